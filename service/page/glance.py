"""A glance at every workflow: its last day, what is usual for a day, and what is open. Made by a job, not by readers.

Only points are read, never calls, and hours that can hardly change any more are remembered; so it costs little
however many calls are stored. A page says of which moment its snapshot is.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from driftbell.alerts import history
from driftbell.alerts.record import Incident
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.alerts.wording import SEVERITY_ORDER
from driftbell.collectors.store import Resolution, Store
from driftbell.collectors.totals import Totals
from driftbell.collectors.workflows import Workflow
from driftbell.service.page.figures import Figure, figures

HOUR, DAY = 3600, 86400
HOURS = 24
USUAL_DAYS = 7
EVERY = 60.0
"""Seconds between two snapshots made by the job."""
UNSETTLED = 3 * HOUR
"""Hours younger than this are read again each time, older ones every hour."""
FEW = 50
"""Up to so many workflows minutes are read, which are there some seconds after a call, hours only after minutes."""
FRESH, CHEAP = 10.0, 0.25
"""A snapshot older than ``FRESH`` s is made anew for who asks, where that takes at most ``CHEAP`` s."""
MOST_OPEN = 500


@dataclass(frozen=True, slots=True)
class Glance:
    """One workflow. ``hourly`` are the calls of each of the last 24 hours; ``state`` is what is to be said first."""

    workflow: Workflow
    state: str
    rank: tuple[float, ...]
    incidents: tuple[Incident, ...]
    hourly: tuple[float | None, ...]
    figures: dict[str, Figure]
    """By column of the overview (`driftbell.service.page.figures.COLUMNS`)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All workflows, the worst first, at epoch second ``at``; ``own`` are incidents about the alerting itself.

    ``learns`` is how many seconds a workflow is learned before it may ring.
    """

    at: float
    learns: float
    glances: tuple[Glance, ...]
    own: tuple[Incident, ...]


class Glances:
    """Makes and keeps the snapshot. Safe to use from any thread."""

    def __init__(self, store: Store, weekly: WeeklySettings, learn_days: float, clock: Callable[[], float]) -> None:
        self._store, self._weekly, self._learn, self._clock = store, weekly, learn_days * DAY, clock
        self._lock = threading.Lock()
        self._hours: dict[str, dict[int, Totals]] = {}
        self._usual: dict[str, tuple[int, Totals]] = {}
        self._read_all_at = self._read_usual_at = -1
        self._snapshot: Snapshot | None = None
        self._cost = 0.0

    def refresh(self) -> None:
        """Make a new snapshot."""
        with self._lock:
            began = time.monotonic()
            self._snapshot = self._make(self._clock())
            self._cost = time.monotonic() - began

    def latest(self) -> Snapshot:
        """The snapshot, made anew where that is cheap or there is none yet."""
        held = self._snapshot
        if held is None or (self._cost <= CHEAP and not 0 <= self._clock() - held.at < FRESH):
            self.refresh()
            held = self._snapshot
        assert held is not None
        return held

    def _make(self, now: float) -> Snapshot:
        self._read(now)
        open_now = history.listed(self._store.read(), "open", MOST_OPEN)
        of: dict[str, list[Incident]] = {}
        for incident in open_now:
            of.setdefault(incident.workflow, []).append(incident)
        workflows = self._store.workflows()
        glances = [self._glance(w, of.pop(w.name, []), now) for w in workflows]
        own = tuple(incident for rest in of.values() for incident in rest)
        glances.sort(key=lambda glance: (glance.rank, glance.workflow.name))
        return Snapshot(now, self._learn, tuple(glances), own)

    def _read(self, now: float) -> None:
        """Bring the remembered hours and days up to date."""
        end = int(now // HOUR + 1) * HOUR
        begin, recent = end - HOURS * HOUR, int((now - UNSETTLED) // HOUR) * HOUR
        whole = self._read_all_at != end
        self._read_all_at = end
        for hours in self._hours.values():
            for start in [start for start in hours if whole or start >= recent]:
                del hours[start]
        few = len(self._store.workflows()) <= FEW
        self._take(recent, end, "minute" if few else "hour")
        if whole:
            self._take(begin, recent, "hour")
        if whole:
            today = int(now // DAY) * DAY
            self._usual = {}
            for totals in self._store.totals(today - (USUAL_DAYS + 1) * DAY, today - DAY, "day"):
                days, total = self._usual.get(totals.workflow) or (0, Totals(totals.workflow, totals.start))
                total.add(totals)
                self._usual[totals.workflow] = (days + 1, total)

    def _take(self, since: int, until: int, resolution: Resolution) -> None:
        for totals in self._store.totals(since, until, resolution):
            start = totals.start // HOUR * HOUR
            self._hours.setdefault(totals.workflow, {}).setdefault(start, Totals(totals.workflow, start)).add(totals)

    def _glance(self, workflow: Workflow, incidents: list[Incident], now: float) -> Glance:
        hours = self._hours.get(workflow.name, {})
        end = self._read_all_at
        starts = range(end - HOURS * HOUR, end, HOUR)
        day = Totals(workflow.name, 0)
        for totals in hours.values():
            day.add(totals)
        days, usual = self._usual.get(workflow.name) or (0, Totals(workflow.name, 0))
        worst = sorted(incidents, key=lambda i: (-SEVERITY_ORDER.index(i.severity), i.opened_at))
        return Glance(
            workflow=workflow,
            state=_state(workflow, incidents, now, self._learn),
            rank=_rank(incidents, day.sums.get("cost", [0, 0.0])[1]),
            incidents=tuple(worst),
            hourly=tuple(
                float(hours[s].calls) if s in hours else (0.0 if s >= workflow.first_ts else None) for s in starts
            ),
            figures=figures(day, usual, days, worst, self._weekly.of(workflow.name)),
        )


def _state(workflow: Workflow, incidents: Iterable[Incident], now: float, learn: float) -> str:
    open_now = list(incidents)
    if any(incident.severity == "page" and incident.state == "open" for incident in open_now):
        return "page"
    if any(incident.state == "open" for incident in open_now):
        return "ticket"
    if open_now:
        return "unknown"
    if now - workflow.newest_ts > DAY:
        return "quiet"
    return "learning" if now - workflow.first_ts < learn else "usual"


def _rank(incidents: Iterable[Incident], spend: float) -> tuple[float, ...]:
    """Worst first: severity, then extra money per hour, then how many, then what is spent at all."""
    weights = [SEVERITY_ORDER.index(i.severity) + 1 - (0.5 if i.state == "unknown" else 0.0) for i in incidents]
    extra = sum(incident.usd_per_hour or 0.0 for incident in incidents)
    return (-max(weights, default=0.0), -extra, -len(weights), -spend)
