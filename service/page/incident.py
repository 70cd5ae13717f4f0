"""One incident: what, how much, since when, where, why, what was told to whom, and what one can do."""

from collections.abc import Callable

from sqlite_utils import Database
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from driftbell.alerts import actions, history
from driftbell.alerts.message import build
from driftbell.alerts.record import Incident, Verdict
from driftbell.collectors.store import Store
from driftbell.service import oncall
from driftbell.service.api_input import BadRequestError
from driftbell.service.config import Config
from driftbell.service.evidence import Evidence
from driftbell.service.page.evidence import evidence
from driftbell.service.page.form import TOKEN, checked_form
from driftbell.service.page.render import page
from driftbell.service.page.session import COOKIE, Sessions

VERDICTS: dict[str, Verdict] = {"ack": "seen", "false_alarm": "false_alarm", "new_normal": "new_normal"}
LENGTHS = {"1h": 3600.0, "4h": 4 * 3600.0, "1d": 86_400.0, "1w": 7 * 86_400.0}
"""How long one can silence."""
SCOPES = ("incident", "family", "workflow")
WHO = "driftbell_name"
"""Cookie with the name that one last acted under."""
FIRST, SECOND = 0.5, 0.0


class IncidentPage:
    """``/incidents/{id}`` and what its buttons do."""

    def __init__(self, store: Store, config: Config, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._store, self._config, self._sessions, self._clock = store, config, sessions, clock
        self._look = Evidence(store)

    def show(self, request: Request) -> Response:
        """The page."""
        return self._page(request, request.path_params["incident"])

    def _page(self, request: Request, incident_id: str, status: int = 200, problem: str | None = None) -> Response:
        now, db = self._clock(), self._store.read()
        incident = oncall.find(self._store, incident_id)
        until = incident.ended_at or incident.resolved_at or now
        return page(
            request,
            "incident.html",
            status,
            incident=incident,
            message=build(incident, "updated", "shown", now, self._config.alerts),
            lasted=max(until - incident.started_at, 0.0),
            shown=evidence(self._store, incident, now, now - self._config.retention.minutes),
            events=history.events(db, incident.id),
            deliveries=history.deliveries(db, incident.id),
            silences=[silence for silence in history.silences(db, now) if silence.takes(incident, now)],
            problem=problem,
            who=request.cookies.get(WHO, "")[:80],
            lengths=LENGTHS,
            form_name=TOKEN,
            form_token=self._sessions.form_token(request.cookies.get(COOKIE)),
        )

    async def act(self, request: Request) -> Response:
        """Do what a button says, then show the page again."""
        form = await checked_form(request, self._sessions)
        incident_id, action = request.path_params["incident"], request.path_params["action"]
        who = form.get("by", "").strip()[:80] or "page"
        try:
            await run_in_threadpool(self._do, incident_id, action, who, form)
        except oncall.RefusedError as error:
            return await run_in_threadpool(self._page, request, incident_id, 409, str(error))
        return _remember(RedirectResponse(f"/incidents/{incident_id}", status_code=303), who)

    def _do(self, incident_id: str, action: str, who: str, form: dict[str, str]) -> None:
        now, settings = self._clock(), self._config.alerts
        with oncall.acting(self._store, incident_id) as tx:
            if action in VERDICTS:
                actions.acknowledge(tx, incident_id, who, now, settings, VERDICTS[action], self._look)
            elif action == "resolve":
                actions.resolve(tx, incident_id, who, now, settings, self._look)
            elif action == "silence":
                self._silence(tx, incident_id, who, now, form)
            else:
                raise BadRequestError("there is no such action", 404)

    def _silence(self, tx: Database, incident_id: str, who: str, now: float, form: dict[str, str]) -> None:
        length, scope = form.get("for", "4h"), form.get("scope", SCOPES[0])
        if length not in LENGTHS or scope not in SCOPES:
            raise BadRequestError("a silence needs a length and a scope that the form offers")
        about = _scope(oncall.find(self._store, incident_id), scope)
        seconds, reason = LENGTHS[length], form.get("reason", "")
        actions.silence(tx, by=who, now=now, seconds=seconds, reason=reason, **about)

    async def end_silence(self, request: Request) -> Response:
        """End a silence."""
        await checked_form(request, self._sessions)

        def end() -> None:
            with oncall.acting(self._store) as tx:
                actions.end_silence(tx, request.path_params["silence"], self._clock())

        await run_in_threadpool(end)
        return RedirectResponse("/incidents", status_code=303)


def _scope(incident: Incident, scope: str) -> dict[str, str]:
    if scope == "incident":
        return {"incident_id": incident.id}
    if scope == "family":
        return {"workflow": incident.workflow, "family": incident.family}
    return {"workflow": incident.workflow}


def _remember(response: Response, who: str) -> Response:
    if who != "page" and who.isascii() and who.isprintable() and not set(who) & set('";\\,'):
        response.set_cookie(WHO, who, max_age=365 * 86_400, httponly=True, samesite="strict")
    return response
