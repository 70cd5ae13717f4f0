"""What stands before every page: the name under which we are asked, the session, and the headers of the answer."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from driftbell.service import token as bearer
from driftbell.service.page.session import COOKIE, Sessions

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer that does not set its own."""
SIGN_IN = "/signin"
_AGAIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>driftbell</title>
<meta http-equiv="refresh" content="0"><p>One moment.</p></html>"""
"""A browser that follows a link from another site leaves our strict cookie out; asked by ourselves it sends it."""


def is_local(host: str) -> bool:
    """Whether a ``Host`` header (with or without a port) names this machine itself."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class HostGuard:
    """Refuses requests under a name that is not ours: a page of another site whose name was made to point at us.

    Only for a service without a token; ``names`` are further hosts under which the page is reached. ``open_paths``
    take data only and are called by whatever name the sender knows.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], open_paths: frozenset[str]) -> None:
        self._app, self._names, self._open = app, frozenset(names), open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421."""
        if scope["type"] == "http" and scope["path"] not in self._open:
            host = Request(scope).headers.get("host", "")
            try:
                known = is_local(host) or urlsplit(f"//{host}").hostname in self._names
            except ValueError:
                known = False
            if not known:
                text = "This service is not known by that name. Set alerts.links.page_url to the address you use.\n"
                await PlainTextResponse(text, status_code=421)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks: whether they may act, and whether they have signed in (so that they can sign out)."""

    may_act: bool
    signed_in: bool


READER = "driftbell.reader"
"""Where the scope of a request holds its `Reader`."""


class Door:
    """Lets in who may see the page, notes what they may do, and puts our headers on what leaves."""

    def __init__(self, app: ASGIApp, sessions: Sessions, token: str | None, free: Callable[[str], bool]) -> None:
        self._app, self._sessions, self._token, self._free = app, sessions, token, free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or send it to the sign-in."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = None if scope["type"] != "http" else self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, dressed)

    def _refusal(self, request: Request) -> Response | None:
        reader = self._reader(request)
        free = self._free(request.url.path)
        request.scope[READER] = reader or Reader(may_act=False, signed_in=False)
        reads = request.method in ("GET", "HEAD")
        if free or (reader is not None and (reads or reader.may_act)):
            return None
        if not reads:
            text = "You may look, but not act." if reader else "You are signed out. Go back and sign in."
            return PlainTextResponse(text + "\n", status_code=403 if reader else 401)
        if request.headers.get("sec-fetch-site") == "cross-site":
            return HTMLResponse(_AGAIN)
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?next={quote(asked)}", status_code=303)

    def _reader(self, request: Request) -> Reader | None:
        if self._token is None:
            return Reader(may_act=True, signed_in=False)
        right = self._sessions.right(request.cookies.get(COOKIE))
        if right is not None:
            return Reader(may_act=right == "act", signed_in=True)
        if bearer.allowed(request.headers.get("authorization"), self._token):
            return Reader(may_act=True, signed_in=False)
        return None


def from_here(request: Request) -> bool:
    """Whether a form was sent by a page of ours, as far as the browser tells."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return request.headers.get("sec-fetch-site") == "same-origin"
