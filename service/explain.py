"""The numbers of an incident, counted again from the calls themselves.

What the detectors saw is in the incident; here the same measures are taken from the stored calls for the time of the
incident and for two times to compare with, as a whole and by segment, model and prompt version.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from driftbell.alerts.record import Incident
from driftbell.collectors.point import Point
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding
from driftbell.detectors.metrics import METRICS

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
LONGEST = 14 * DAY
"""An incident that lasts is explained by its first two weeks."""
MEAN = {
    "cost_per_call": "cost",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "retries": "attempts",
    "top_score": "top_score",
    "source_age": "source_age",
    "retrieval_ms": "retrieval_ms",
    "edit_distance": "edit_distance",
    "review_ms": "review_ms",
    "latency_ms": "latency_ms",
    "ttft_ms": "ttft_ms",
}
SHARE = {
    "status": "error",
    "refused": "refused",
    "format_ok": "format_failed",
    "feedback": "feedback_negative",
    "escalated": "escalated",
    "n_sources": "no_sources",
    "citations": "uncited",
    "override": "override",
    "fallback": "fallback",
}
"""Metrics that are shares, and the rate of a point that counts them (the share of what went wrong)."""
SPLITS = ("segment", "risk_tier", "model", "prompt_version")
OF_WORK = ("segment", "risk_tier")
"""What is known of work that was done without the AI."""
MAX_PARTS = 8


@dataclass(frozen=True, slots=True)
class Count:
    """A measure over some points: ``value`` (None when nothing was observed) on ``n`` observations."""

    value: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Period:
    """A time that is looked at, half open, in epoch seconds."""

    label: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Line:
    """One slice of the workflow: its counts in each period."""

    slice: str
    counts: tuple[Count, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The metric of an incident over its periods; the first line is what the incident speaks of."""

    metric: str
    unit: str
    periods: tuple[Period, ...]
    lines: tuple[Line, ...]


def explain(store: Store, incident: Incident, now: float) -> Explanation:
    """Count the incident's leading metric again; nothing is taken from what the detectors stored."""
    lead = incident.lead
    periods = _periods(incident, now)
    found = [store.recount(incident.workflow, period.since, period.until) for period in periods]
    known = METRICS.get(lead.metric)
    # An objective counts bad calls and a budget a sum; what is counted here is the metric itself.
    counted = known.unit if known is not None and known.kind != "rate" else lead.unit
    unit = "attempts" if lead.metric == "retries" else counted
    return Explanation(lead.metric, unit, tuple(periods), tuple(lines_of(lead, found, periods)))


def lines_of(lead: Finding, found: Sequence[Sequence[Point]], periods: Sequence[Period]) -> list[Line]:
    """The metric of a finding over its workflow's points of each period: what it speaks of first, then every slice."""
    mine = [_of(points, lead.segment, lead.risk_tier) for points in found]
    lines = [_line(_name(lead.segment, lead.risk_tier), lead.metric, mine, periods)]
    for split in OF_WORK if lead.metric == "ai_share" else SPLITS:
        if split == "segment" and lead.segment is not None:
            lines += _parts(found, split, lead.metric, periods)
        else:
            lines += _parts(mine, split, lead.metric, periods)
    return lines


def _periods(incident: Incident, now: float) -> list[Period]:
    since = incident.started_at
    until = min(incident.ended_at or incident.resolved_at or now, since + LONGEST)
    until = max(until, since + 60.0)
    return [
        Period("incident", since, until),
        Period("day before", since - DAY, since),
        Period("week before", since - WEEK, until - WEEK if until - since < WEEK else since),
    ]


def _of(points: Iterable[Point], segment: str | None, risk_tier: str | None) -> list[Point]:
    return [
        point for point in points if segment in (None, point.key.segment) and risk_tier in (None, point.key.risk_tier)
    ]


def _name(segment: str | None, risk_tier: str | None) -> str:
    if segment is not None:
        return f"segment {segment}"
    return f"risk tier {risk_tier}" if risk_tier is not None else "whole workflow"


def _line(name: str, metric: str, found: Sequence[Sequence[Point]], periods: Sequence[Period]) -> Line:
    measure = measure_of(metric)
    return Line(name, tuple(measure(points, period) for points, period in zip(found, periods, strict=True)))


def _parts(found: Sequence[Sequence[Point]], split: str, metric: str, periods: Sequence[Period]) -> list[Line]:
    """A line per value of one dimension, the busiest first; none when there is only one value."""
    busy: dict[str | None, int] = {}
    for point in (point for points in found for point in points):
        value = getattr(point.key, split)
        busy[value] = busy.get(value, 0) + point.calls + point.manual
    if len(busy) < 2:
        return []
    lines = []
    for value in sorted(busy, key=lambda each: -busy[each])[:MAX_PARTS]:
        part = [[point for point in points if getattr(point.key, split) == value] for points in found]
        lines.append(_line(f"{split.replace('_', ' ')} {value or '(none)'}", metric, part, periods))
    return lines


def measure_of(metric: str) -> Callable[[Sequence[Point], Period], Count]:
    """How a metric of the contract is taken from points."""
    if metric in SHARE:
        return lambda points, _: _share(points, SHARE[metric])
    if metric == "calls":
        return _calls_per_hour
    if metric == "spend":
        return _spend_per_hour
    if metric == "ai_share":
        return _manual_share
    if metric == "cached_share":
        return _cached_share
    return lambda points, _: _mean(points, MEAN.get(metric, metric))


def _share(points: Sequence[Point], name: str) -> Count:
    cells = [point.rates[name] for point in points if name in point.rates]
    trials = sum(cell[1] for cell in cells)
    return Count(sum(cell[0] for cell in cells) / trials if trials else None, trials)


def _mean(points: Sequence[Point], name: str) -> Count:
    cells = [point.quantities[name] for point in points if name in point.quantities]
    n = sum(cell.count for cell in cells)
    return Count(sum(cell.total for cell in cells) / n if n else None, n)


def _calls_per_hour(points: Sequence[Point], period: Period) -> Count:
    n = sum(point.calls for point in points)
    return Count(n * HOUR / (period.until - period.since), n)


def _spend_per_hour(points: Sequence[Point], period: Period) -> Count:
    mean = _mean(points, "cost")
    if mean.value is None:
        return mean
    return Count(mean.value * mean.n * HOUR / (period.until - period.since), mean.n)


def _manual_share(points: Sequence[Point], _period: Period) -> Count:
    """The share of what went wrong here too: work that was done without the AI."""
    calls, manual = sum(point.calls for point in points), sum(point.manual for point in points)
    return Count(manual / (calls + manual) if calls + manual else None, calls + manual)


def _cached_share(points: Sequence[Point], _period: Period) -> Count:
    cached, all_input = _mean(points, "cached_tokens"), _mean(points, "cacheable_tokens")
    if cached.value is None or not all_input.value:
        return Count(None, cached.n)
    return Count(cached.value * cached.n / (all_input.value * all_input.n), cached.n)
