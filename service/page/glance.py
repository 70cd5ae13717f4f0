"""A glance at every workflow: its last day, what is usual for a day, and what is open. Made by a job, not by readers.

Only points are read, never calls, and hours that can hardly change any more are remembered; so it costs little
however many calls are stored. A page says of which moment its snapshot is.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from driftbell.alerts import history
from driftbell.alerts.record import Incident
from driftbell.alerts.weekly.outcome import ENOUGH_COVERAGE, GOOD_OUTCOMES
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.alerts.wording import SEVERITY_ORDER
from driftbell.collectors.point import Quantity
from driftbell.collectors.store import Store
from driftbell.collectors.totals import Totals
from driftbell.collectors.workflows import Workflow
from driftbell.detectors.measure import percentile

HOUR, DAY = 3600, 86400
HOURS = 24
USUAL_DAYS = 7
EVERY = 60.0
"""Seconds between two snapshots made by the job."""
UNSETTLED = 3 * HOUR
"""Hours younger than this are read again each time, older ones every hour."""
FRESH, CHEAP = 10.0, 0.25
"""A snapshot older than ``FRESH`` s is made anew for who asks, where that takes at most ``CHEAP`` s."""
MOST_OPEN = 500


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the last day and of a usual one; ``label`` says what it is of, for the eye and for the ear."""

    value: float | None
    usual: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Glance:
    """One workflow. ``hourly`` are the calls of each of the last 24 hours; ``state`` is what is to be said first."""

    workflow: Workflow
    state: str
    rank: tuple[float, ...]
    incidents: tuple[Incident, ...]
    hourly: tuple[float | None, ...]
    calls: Figure
    spend: Figure
    per_call: Figure
    per_outcome: Figure
    quality: Figure
    retrieval: Figure
    bypass: Figure
    errors: Figure
    latency: Figure

    def tone(self, *families: str) -> str:
        """The severity of what is open in any of ``families``; empty when nothing is."""
        severities = [i.severity for i in self.incidents if i.family in families]
        return max(severities, key=SEVERITY_ORDER.index, default="")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All workflows, the worst first, at epoch second ``at``; ``own`` are incidents about the alerting itself."""

    at: float
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
        return Snapshot(now, tuple(glances), own)

    def _read(self, now: float) -> None:
        """Bring the remembered hours and days up to date."""
        end = int(now // HOUR + 1) * HOUR
        begin = end - HOURS * HOUR
        whole = self._read_all_at != end
        self._read_all_at = end
        since = begin if whole else int((now - UNSETTLED) // HOUR) * HOUR
        for hours in self._hours.values():
            for start in [start for start in hours if start < begin or start >= since]:
                del hours[start]
        for totals in self._store.totals(since, end, "hour"):
            self._hours.setdefault(totals.workflow, {})[totals.start] = totals
        if whole:
            today = int(now // DAY) * DAY
            self._usual = {}
            for totals in self._store.totals(today - (USUAL_DAYS + 1) * DAY, today - DAY, "day"):
                days, total = self._usual.get(totals.workflow) or (0, Totals(totals.workflow, totals.start))
                total.add(totals)
                self._usual[totals.workflow] = (days + 1, total)

    def _glance(self, workflow: Workflow, incidents: list[Incident], now: float) -> Glance:
        hours = self._hours.get(workflow.name, {})
        end = self._read_all_at
        starts = range(end - HOURS * HOUR, end, HOUR)
        day = Totals(workflow.name, 0)
        for totals in hours.values():
            day.add(totals)
        days, usual = self._usual.get(workflow.name) or (0, Totals(workflow.name, 0))
        settings = self._weekly.of(workflow.name)
        unit = _unit(usual if days else day, settings.accepted_outcomes, settings.outcome_title)
        name = _evaluation(day, usual)
        people = "override" if "override" in (day.rates.keys() | usual.rates.keys()) and not usual.manual else "manual"

        def both(take: Callable[[Totals], float | None], label: str, per_day: bool = False) -> Figure:
            before = take(usual) if days else None
            return Figure(take(day), before / days if before is not None and per_day else before, label)

        return Glance(
            workflow=workflow,
            state=_state(workflow, incidents, now, self._learn),
            rank=_rank(incidents, _mean(day, "cost", total=True)),
            incidents=tuple(sorted(incidents, key=lambda i: -SEVERITY_ORDER.index(i.severity))),
            hourly=tuple(
                float(hours[s].calls) if s in hours else (0.0 if s >= workflow.first_ts else None) for s in starts
            ),
            calls=both(lambda t: float(t.calls), "calls", per_day=True),
            spend=both(lambda t: _mean(t, "cost", total=True), "spend", per_day=True),
            per_call=both(lambda t: _mean(t, "cost"), "per call"),
            per_outcome=both(lambda t: _per(t, unit), f"per {unit.title}"),
            quality=both(*_quality(name, day, usual)),
            retrieval=both(lambda t: _share(t, "no_sources"), "without a document"),
            bypass=both(
                _manual if people == "manual" else lambda t: _share(t, "override"),
                "done without the AI" if people == "manual" else "changed by staff",
            ),
            errors=both(lambda t: _share(t, "error"), "failed"),
            latency=both(_slowest, "95 of 100 answers took at most"),
        )


@dataclass(frozen=True, slots=True)
class _Unit:
    """What cost is divided by: the hits of ``names``, accepted suggestions, or (empty) calls that did not fail."""

    title: str
    names: tuple[str, ...]


def _unit(totals: Totals, accepted: tuple[str, ...], title: str | None) -> _Unit:
    """As the weekly summary chooses it (`driftbell.alerts.weekly.outcome`), from sums."""
    answered = totals.calls - totals.rates.get("error", [0, 0])[0]
    if accepted:
        return _Unit(title or "accepted outcome", tuple(f"outcome.{name}" for name in accepted))
    if answered and totals.rates.get("override", [0, 0])[1] >= ENOUGH_COVERAGE * answered:
        return _Unit(title or "accepted suggestion", ("override",))
    reported = sum(cell[0] for name, cell in totals.rates.items() if name.startswith("outcome."))
    good = tuple(f"outcome.{name}" for name in GOOD_OUTCOMES if f"outcome.{name}" in totals.rates)
    if good and answered and reported >= ENOUGH_COVERAGE * answered:
        return _Unit(title or f"{good[0].removeprefix('outcome.')} case", good)
    return _Unit(title or "successful call", ())


def _per(totals: Totals, unit: _Unit) -> float | None:
    spent = _mean(totals, "cost", total=True)
    if unit.names == ("override",):
        changed, judged = totals.rates.get("override", [0, 0])
        number = judged - changed
    elif unit.names:
        number = sum(totals.rates.get(name, [0, 0])[0] for name in unit.names)
    else:
        number = totals.calls - totals.rates.get("error", [0, 0])[0]
    return spent / number if spent is not None and number > 0 else None


def _mean(totals: Totals, name: str, total: bool = False) -> float | None:
    count, amount = totals.sums.get(name, [0, 0.0])
    if not count:
        return None
    return amount if total else amount / count


def _share(totals: Totals, name: str) -> float | None:
    hits, trials = totals.rates.get(name, [0, 0])
    return hits / trials if trials else None


def _manual(totals: Totals) -> float | None:
    return totals.manual / (totals.manual + totals.calls) if totals.manual else None


def _slowest(totals: Totals) -> float | None:
    count = sum(totals.latency.values())
    return percentile(Quantity(count, 0.0, totals.latency), 0.95) if count else None


def _evaluation(*all_totals: Totals) -> str | None:
    """The evaluation with the most scores."""
    scores: dict[str, float] = {}
    for totals in all_totals:
        for name, (n, _) in totals.sums.items():
            if name.startswith("eval."):
                scores[name] = scores.get(name, 0.0) + n
    return max(scores, key=lambda name: (scores[name], name), default=None)


def _quality(name: str | None, *all_totals: Totals) -> tuple[Callable[[Totals], float | None], str]:
    """How quality is told: by evaluation scores, else by what went wrong with answers."""
    if name is not None:
        return (lambda t: _mean(t, name)), name.removeprefix("eval.").replace("_", " ")
    for rate, label in (("feedback_negative", "bad feedback"), ("refused", "refused"), ("format_failed", "bad format")):
        if any(rate in totals.rates for totals in all_totals):
            return partial(_share, name=rate), label
    return (lambda _: None), "not reported"


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


def _rank(incidents: Iterable[Incident], spend: float | None) -> tuple[float, ...]:
    """Worst first: severity, then extra money per hour, then how many, then what is spent at all."""
    weights = [SEVERITY_ORDER.index(i.severity) + 1 - (0.5 if i.state == "unknown" else 0.0) for i in incidents]
    extra = sum(incident.usd_per_hour or 0.0 for incident in incidents)
    return (-max(weights, default=0.0), -extra, -len(weights), -(spend or 0.0))
