"""The whole page as one application: its routes, its door, and its place in front of everything else."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from driftbell.alerts.secret import SecretMissingError, resolve, resolve_url
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.query import BadQueryError
from driftbell.collectors.store import Store
from driftbell.service import oncall
from driftbell.service.api_input import BadRequestError
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.job import Job
from driftbell.service.page.calls import CallsPage
from driftbell.service.page.form import form_of
from driftbell.service.page.glance import Glances
from driftbell.service.page.guard import SIGN_IN, Door, HostGuard, from_here
from driftbell.service.page.incident import IncidentPage
from driftbell.service.page.incidents import IncidentsPage
from driftbell.service.page.overview import OverviewPage
from driftbell.service.page.render import FOLDER, page
from driftbell.service.page.session import COOKIE, LASTS, Sessions
from driftbell.service.page.summaries import SummariesPage
from driftbell.service.page.trust import TrustPage
from driftbell.service.page.workflow import WorkflowPage

log = logging.getLogger("driftbell.service")
SIGN_OUT = "/signout"
STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Site:
    """All pages over one store. ``jobs`` are those of the service, for the page about itself."""

    def __init__(
        self,
        store: Store,
        config: Config,
        token: str | None,
        glances: Glances,
        jobs: Sequence[Job],
        clock: Callable[[], float],
    ) -> None:
        self._config, self._token = config, token
        self._sessions = Sessions(token, _secret(config), clock)
        incident = IncidentPage(store, config, self._sessions, clock)
        self._routes = [
            Route("/", OverviewPage(glances, clock).show),
            Route("/workflow", WorkflowPage(store, config, clock).show),
            Route("/workflow/series", WorkflowPage(store, config, clock).series),
            Route("/incidents", IncidentsPage(store, self._sessions, clock).show),
            Route("/incidents/{incident}", incident.show),
            Route("/incidents/{incident}/{action}", incident.act, methods=["POST"]),
            Route("/silences/{silence}/end", incident.end_silence, methods=["POST"]),
            Route("/calls", CallsPage(store, clock).show),
            Route("/calls/{trace}/{span}", CallsPage(store, clock).trail),
            Route("/summaries", SummariesPage(store, config, clock).show),
            Route("/telemetry", TrustPage(store, jobs, clock).show),
            Route(SIGN_IN, self._ask_token, methods=["GET"]),
            Route(SIGN_IN, self._sign_in, methods=["POST"]),
            Route(SIGN_OUT, self._sign_out, methods=["POST"]),
            Route("/static/{name}", _static),
        ]

    def in_front_of(self, inner: ASGIApp, open_paths: frozenset[str]) -> ASGIApp:
        """``inner`` with the page before it. ``open_paths`` only take data and may be called by any name."""
        pages = Starlette(routes=self._routes, exception_handlers=ERRORS)
        zipped = GZipMiddleware(pages, minimum_size=1024, compresslevel=5)
        behind_door = Door(zipped, self._sessions, self._token, _is_free)
        routes = self._routes

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            ours = scope["type"] == "http" and any(route.matches(scope)[0] is not Match.NONE for route in routes)
            await (behind_door if ours else inner)(scope, receive, send)

        return app if self._token is not None else HostGuard(app, self._names(), open_paths)

    def _names(self) -> list[str]:
        """The hosts under which we are reached, besides this machine's own names."""
        address = self._config.alerts.links.page_url
        try:
            host = urlsplit(resolve_url(address)).hostname if address else None
        except SecretMissingError:
            return []
        return [host] if host else []

    def _ask_token(self, request: Request) -> Response:
        return page(request, "signin.html", next=_inside(request.query_params.get("next")), error=None)

    async def _sign_in(self, request: Request) -> Response:
        form = await form_of(request)
        where = _inside(form.get("next"))
        if not from_here(request):
            raise BadRequestError("sign in on the page of this service itself", 403)
        if self._sessions.paused():
            error = "Too many wrong tokens. Wait a minute."
            return page(request, "signin.html", 429, next=where, error=error)
        cookie = self._sessions.sign_in(form.get("token", ""))
        if cookie is None:
            return page(request, "signin.html", 403, next=where, error="That is not the token of this service.")
        response = RedirectResponse(where, status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, max_age=int(LASTS), httponly=True, samesite="strict", secure=secure)
        return response

    async def _sign_out(self, request: Request) -> Response:
        if not from_here(request):
            raise BadRequestError("sign out on the page of this service itself", 403)
        response = RedirectResponse(SIGN_IN if self._sessions.needed else "/", status_code=303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response


def _secret(config: Config) -> str | None:
    """The token of who may look; raises `Failure` when it cannot be read."""
    try:
        return None if config.view_token is None else resolve(config.view_token)
    except SecretMissingError as error:
        raise Failure(f"view_token: {error}") from None


def _is_free(path: str) -> bool:
    """What is shown without signing in."""
    return path in (SIGN_IN, SIGN_OUT) or path.startswith("/static/")


def _inside(path: str | None) -> str:
    """A path of this page to go on to; anything that could lead elsewhere becomes the overview."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(c) < 32 for c in path):
        return "/"
    return path


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    kept = "public, max-age=31536000, immutable" if request.query_params.get("v") else "no-cache"
    file: Path = FOLDER / "static" / name
    return FileResponse(file, media_type=STATIC[name], headers={"Cache-Control": kept})


def _told(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, oncall.NotFoundError) else getattr(error, "status", 400)
    title = "Not found" if status == 404 else "That does not work"
    return page(request, "error.html", status, title=title, text=str(error))


def _unavailable(request: Request, _error: Exception) -> Response:
    text = "The store cannot be read or written at the moment. Try again in a few seconds."
    return page(request, "error.html", 503, title="Not now", text=text)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "Not found" if error.status_code == 404 else "That does not work"
    return page(request, "error.html", error.status_code, title=title, text="There is nothing at this address.")


def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return page(request, "error.html", 500, title="A defect", text="The log of the service says more.")


ERRORS = {
    BadRequestError: _told,
    BadQueryError: _told,
    oncall.NotFoundError: _told,
    oncall.RefusedError: _told,
    StoreUnavailableError: _unavailable,
    HTTPException: _http_error,
    Exception: _unforeseen,
}
"""What each error is answered with."""
