"""The list of incidents, and of the silences that hold."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from driftbell.alerts import history
from driftbell.alerts.message import told_title
from driftbell.alerts.record import Incident
from driftbell.collectors.store import Store
from driftbell.service.page import asked as given
from driftbell.service.page.form import TOKEN
from driftbell.service.page.render import page, url
from driftbell.service.page.session import COOKIE, Sessions

ROWS = 50
STATES = ("open", "resolved", "all")


@dataclass(frozen=True, slots=True)
class Row:
    """One incident in a list."""

    incident: Incident
    title: str
    lasted: float


class IncidentsPage:
    """``/incidents``."""

    def __init__(self, store: Store, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._store, self._sessions, self._clock = store, sessions, clock

    def show(self, request: Request) -> Response:
        """A page of incidents, the newest first."""
        now, db = self._clock(), self._store.read()
        state = given.choice(request, "state", STATES)
        before = given.time(request, "before")
        found = history.listed(db, state, ROWS + 1, before)
        rows = [row_of(incident, now) for incident in found[:ROWS]]
        older = rows[-1].incident.opened_at if len(found) > ROWS else None
        return page(
            request,
            "incidents.html",
            rows=rows,
            state=state,
            states=STATES,
            older=url("/incidents", state=state, before=older) if older else None,
            silences=history.silences(db, now),
            form_name=TOKEN,
            form_token=self._sessions.form_token(request.cookies.get(COOKIE)),
        )


def row_of(incident: Incident, now: float) -> Row:
    """An incident as it is listed at ``now``."""
    end = incident.ended_at or incident.resolved_at or now
    return Row(incident, told_title(incident), max(end - incident.started_at, 0.0))
