"""The page behind the links of messages: it shows what a link does, and does it when a person says so.

The signature of a link is its right, so no login is asked for. Opening a link changes nothing, since mail scanners and
chat previews open links too; only the form of the page does, and it carries the signature along. What no key signed
needs the bearer token or, where the service has none, a page of its own.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import jinja2
from sqlite_utils import Database
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from driftbell.alerts import actions, history, links
from driftbell.alerts.message import subject
from driftbell.alerts.plain import plain
from driftbell.alerts.record import Incident
from driftbell.alerts.settings import AlertSettings
from driftbell.alerts.wording import moment
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.store import Store
from driftbell.service import oncall, token
from driftbell.service.evidence import Evidence

MAX_FORM_BYTES = 4096
PRESSED_AGAIN = 600.0
"""A silence made by the same button within so many seconds is long enough; one that ends sooner is not."""
PREFIX = "/act/"
"""Where these pages are; they check the right to them themselves."""
EXPLAINS = {
    "ack": "Stops the escalation, and shows everyone who was told that it is in your hands.",
    "silence": "Sends nothing more of this incident for 4 hours, except its end.",
    "false_alarm": "Closes the incident and counts it against the false-alarm budget.",
    "new_normal": "Closes the incident, and learns anew what is usual from here on.",
}
BUTTONS = {
    **links.LABELS,
    "ack": "I take it",
    "false_alarm": "It is a false alarm",
    "new_normal": "It is the new normal",
}
STATES = {"open": "open", "unknown": "open, but without data", "resolved": "resolved"}
_SOURCE = Path(__file__).with_name("act.html").read_text(encoding="utf-8")
_TEMPLATE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_SOURCE)
_STYLE = base64.b64encode(hashlib.sha256(re.findall(r"<style>(.*?)</style>", _SOURCE, re.S)[0].encode()).digest())
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE.decode()}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown: facts of the incident where the reader has a right to them, and a form while there is a choice."""

    status: int
    title: str
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    button: str | None = None
    form: Mapping[str, str] | None = None
    asks_name: bool = True


class Act:
    """The handlers. ``bearer`` is the token of the service, if it has one."""

    def __init__(self, store: Store, alerts: AlertSettings, bearer: str | None, clock: Callable[[], float]) -> None:
        self._store, self._alerts, self._bearer, self._clock = store, alerts, bearer, clock
        self._look = Evidence(store)

    def routes(self) -> list[Route]:
        """``/act/{action}/{incident}``: GET shows, POST does."""
        return [
            Route(PREFIX + "{action}/{incident}", self.show),
            Route(PREFIX + "{action}/{incident}", self.do, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """What the link would do; nothing changes."""
        return await self._answer(request, dict(request.query_params), confirmed=False)

    async def do(self, request: Request) -> Response:
        """Do it."""
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_FORM_BYTES:
                return answer(Page(413, "Too much", "The form is larger than this page makes it."))
        try:
            given = parse_qs(raw.decode("ascii"), max_num_fields=10)
        except ValueError:
            return answer(Page(400, "Not understood", "This is no form of this page. Open the link again."))
        return await self._answer(request, {name: values[0] for name, values in given.items()}, confirmed=True)

    async def _answer(self, request: Request, given: Mapping[str, str], *, confirmed: bool) -> Response:
        action, incident_id = request.path_params["action"], request.path_params["incident"]
        if action not in EXPLAINS or not self._may(request, action, incident_id, given, confirmed):
            return answer(_refused(incident_id))
        work = self._done if confirmed else self._asked
        try:
            return answer(await run_in_threadpool(work, action, incident_id, given))
        except StoreUnavailableError:
            return answer(Page(503, "Not now", "The store cannot be written at the moment. Try again in a minute."))

    def _may(self, request: Request, action: str, incident_id: str, given: Mapping[str, str], confirmed: bool) -> bool:
        if self._bearer is not None and token.allowed(request.headers.get("authorization"), self._bearer):
            return True
        settings = self._alerts.links
        if settings.key is None and self._bearer is None:
            return not confirmed or _from_here(request)
        until, signature = given.get("until", ""), given.get("sig", "")
        return links.allowed(settings, action, incident_id, until, signature, self._clock())

    def _asked(self, action: str, incident_id: str, given: Mapping[str, str]) -> Page:
        incident = history.get(self._store.read(), incident_id)
        if incident is None:
            return Page(404, "Unknown incident", "It is not in the store any more.")
        facts = self._facts(incident)
        if incident.state == "resolved" and action in {"ack", "silence"}:
            return Page(200, "It is over", "The incident is resolved; there is nothing left to do.", facts)
        form = {name: given[name] for name in ("until", "sig") if name in given}
        return Page(200, links.LABELS[action], EXPLAINS[action], facts, BUTTONS[action], form)

    def _done(self, action: str, incident_id: str, given: Mapping[str, str]) -> Page:
        who = plain(given.get("by", ""), 80) or "a link in a message"
        try:
            with oncall.acting(self._store, incident_id) as tx:
                text = self._act(tx, action, incident_id, who)
        except oncall.NotFoundError:
            return Page(404, "Unknown incident", "It is not in the store any more.")
        except oncall.RefusedError as error:
            return Page(409, "Nothing was done", f"{error}.")
        incident = oncall.find(self._store, incident_id)
        return Page(200, "Done", text, self._facts(incident))

    def _act(self, tx: Database, action: str, incident_id: str, who: str) -> str:
        now = self._clock()
        if action == "silence":
            wanted = now + links.SILENCE - PRESSED_AGAIN
            held = next(
                (s for s in history.silences(tx, now) if s.incident_id == incident_id and s.ends_at >= wanted), None
            )
            made = held or actions.silence(tx, by=who, now=now, seconds=links.SILENCE, incident_id=incident_id)
            return f"Quiet until {moment(made.ends_at, self._alerts.timezone)}."
        verdict = "seen" if action == "ack" else action
        taken = actions.acknowledge(tx, incident_id, who, now, self._alerts, verdict, self._look)  # type: ignore[arg-type]
        by = taken.ack.by if taken.ack else who
        return f"Taken by {by}." if action == "ack" else f"Closed as {action.replace('_', ' ')} by {by}."

    def _facts(self, incident: Incident) -> tuple[tuple[str, str], ...]:
        zone, ack = self._alerts.timezone, incident.ack
        pairs = [
            ("Incident", incident.subject or subject(incident)),
            ("State", STATES[incident.state]),
            ("Since", moment(incident.started_at, zone)),
            ("Taken", f"by {ack.by}, {moment(ack.at, zone)}" if ack and ack.verdict == "seen" else ""),
            ("Id", incident.id),
        ]
        return tuple((label, text) for label, text in pairs if text)


def _from_here(request: Request) -> bool:
    """Whether a form was sent by a page of this service, or by a program that is no browser."""
    site = request.headers.get("sec-fetch-site")
    return site == "same-origin" or (site is None and "origin" not in request.headers)


def _refused(incident_id: str) -> Page:
    command = f"driftbell ack {plain(incident_id, 40)}"
    return Page(
        403,
        "This link gives no right",
        f"It has run out, is not complete, or was made with another key. On the machine of the service: {command}",
    )


def answer(page: Page) -> HTMLResponse:
    """The page as HTML, with headers that let nothing in from elsewhere."""
    return HTMLResponse(_TEMPLATE.render(page=page), status_code=page.status, headers=HEADERS)
