"""What the stored calls tell of an incident when a message is written: example traces, who is touched, money, its peak.

Everything is bounded, because it is asked within the transaction that writes the message: hours instead of
minutes for what lasts, a bounded time back, and some hundred calls of which the examples are taken.
"""

from collections.abc import Callable, Iterable, Sequence

from driftbell.alerts.impact import MAX_TRACES, Course, Impact
from driftbell.alerts.record import Incident
from driftbell.collectors.call import Call, Judgement
from driftbell.collectors.point import Point
from driftbell.collectors.search import Wanted
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding
from driftbell.detectors.metrics import Metric, metric

HOUR = 3600.0
DAY = 24 * HOUR
RECENT = 2 * HOUR
"""What is longer is read from hours instead of minutes."""
DAYS_BACK = 5 * DAY
"""How far back an opening looks."""
USUAL = 7 * DAY
LONGEST = 30 * DAY
AFTER = 2 * HOUR
"""The time after the end that shows the level it went back to."""
CANDIDATES = 500
FEWEST, FEWEST_TRIALS = 15, 60
"""Values, and trials of a share, without which a stretch says nothing of the level."""
LONGER = (1, 4, 24)
"""How many times longer a stretch may be where there are few calls."""
_FLAGS: dict[str, Callable[[Call], bool]] = {
    "status": lambda call: call.status in {"error", "timeout", "rate_limited"},
    "retries": lambda call: call.attempts > 1,
    "fallback": lambda call: bool(call.fallback),
    "refused": lambda call: bool(call.refused),
    "format_ok": lambda call: call.format_ok is False,
    "n_sources": lambda call: call.sources == (),
    "citations": lambda call: call.citations == 0,
    "quality/output_tokens": lambda call: call.finish_reason == "length",
    "instrument/input_tokens": lambda call: call.usage_source != "provider",
    "instrument/cost_per_call": lambda call: call.cost_usd is None,
    "cost/calls": lambda _: True,
    "cost/spend": lambda _: True,
}
"""Calls that carry a change of a share, by metric or by family and metric."""
_VALUES: dict[str, Callable[[Call], float | None]] = {
    "cost_per_call": lambda call: call.cost_usd,
    "input_tokens": lambda call: call.input_tokens,
    "output_tokens": lambda call: call.output_tokens,
    "cached_share": lambda call: (call.cached_tokens or 0) / call.input_tokens if call.input_tokens else None,
    "n_sources": lambda call: None if call.sources is None else len(call.sources),
    "top_score": lambda call: max((s.score for s in call.sources or () if s.score is not None), default=None),
    "source_age": lambda call: max((s.age_days for s in call.sources or () if s.age_days is not None), default=None),
    "retrieval_ms": lambda call: call.retrieval_ms,
    "latency_ms": lambda call: call.latency_ms,
    "ttft_ms": lambda call: call.ttft_ms,
}
"""The value of a call, for a metric that is a level."""
_JUDGED: dict[str, Callable[[Judgement], bool]] = {
    "override": lambda said: said.override in {"edited", "rejected", "regenerated"},
    "edit_distance": lambda said: bool(said.edit_distance),
    "review_ms": lambda said: said.review_ms is not None,
    "feedback": lambda said: said.feedback is not None and said.feedback < 0,
    "escalated": lambda said: said.outcome == "escalated",
}
"""Judgements whose calls carry a change of what people said."""


class Evidence:
    """Looks into one store; a `driftbell.alerts.impact.Look`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def impact(self, incident: Incident, now: float) -> Impact:
        """Calls that carry it, how many of the workflow's lie where it shows, and what it costs."""
        if incident.family == "silent":
            return Impact()
        head = incident.headline
        since = max(incident.started_at, now - DAYS_BACK)
        points = self._points(incident, since, now)
        mine = _where(points, head)
        money = self._money(incident, head, mine, (now - since) / HOUR)
        calls = sum(point.calls for point in mine)
        return Impact(self._traces(incident, head, since, now), calls, sum(p.calls for p in points), money)

    def _money(self, incident: Incident, head: Finding, points: Sequence[Point], hours: float) -> float | None:
        """USD per hour beyond the usual, from more calls or from dearer ones; None where money is not the matter."""
        mean = _mean_cost(points)
        if incident.family != "cost" or mean is None or hours <= 0:
            return None
        if head.metric == "calls" and head.observed is not None and head.usual is not None:
            return max(head.observed - head.usual, 0.0) * mean
        start = incident.started_at // HOUR * HOUR
        before = _mean_cost(_where(self._store.points(incident.workflow, start - USUAL, start, "hour"), head))
        if before is None or mean <= before:
            return None
        return (mean - before) * sum(point.calls for point in points) / hours

    def _traces(self, incident: Incident, head: Finding, since: float, now: float) -> tuple[str, ...]:
        judged = _judgement_test(head)
        if judged is not None:
            said = self._store.judgements(incident.workflow, max(since, now - HOUR), now)
            found = [s for s in reversed(said) if judged(s) and head.segment in (None, s.segment) and s.call_trace_id]
            return tuple(dict.fromkeys(str(s.call_trace_id) for s in found))[:MAX_TRACES]
        keys = incident.lead.cause.keys
        wanted = Wanted(
            since, now, incident.workflow, head.segment, head.risk_tier, keys.get("model"),
            keys.get("prompt_version"), user_id=keys.get("user_id"),
        )  # fmt: skip
        calls = self._store.search(wanted, CANDIDATES).calls
        return tuple(dict.fromkeys(call.trace_id for call in _carrying(calls, head) if call.trace_id))[:MAX_TRACES]

    def course(self, incident: Incident, now: float) -> Course:
        """The worst stretch, the level after the end, and what all of it cost beyond the usual."""
        head = incident.headline
        end = incident.ended_at or now
        since = max(incident.started_at, end - LONGEST)
        measured = _measured(head)
        if measured is None or end <= since:
            return Course()
        points = _where(self._points(incident, since, end), head)
        after = _where(self._points(incident, end, min(end + AFTER, now)), head)
        worst = _worst(measured, points, head.direction, HOUR if end - since > RECENT else 900.0, end)
        last, n = _level(measured, after, max(min(end + AFTER, now) - end, 1.0))
        return Course(
            calls=sum(point.calls for point in points),
            peak=worst[1],
            peak_at=None if worst[0] is None else max(worst[0], since),
            last=last if n >= _enough(measured) else None,
            extra_usd=_extra(points, head, (end - since) / HOUR),
        )

    def _points(self, incident: Incident, since: float, until: float) -> list[Point]:
        """The workflow's minutes, or its hours where they are many."""
        if until - since <= RECENT:
            return self._store.points(incident.workflow, since // 60 * 60, until)
        return self._store.points(incident.workflow, since // HOUR * HOUR, until, "hour")


def _where(points: Iterable[Point], head: Finding) -> list[Point]:
    """The points of the slice in which it shows."""
    return [p for p in points if head.segment in (None, p.key.segment) and head.risk_tier in (None, p.key.risk_tier)]


def _judgement_test(head: Finding) -> Callable[[Judgement], bool] | None:
    if head.metric.startswith("eval."):
        name, level = head.metric.removeprefix("eval."), head.observed
        return lambda said: (
            said.evaluation == name and said.score is not None and (level is None or said.score <= level)
        )
    return _JUDGED.get(head.metric)


def _carrying(calls: Sequence[Call], head: Finding) -> list[Call]:
    """The calls that show the change: those with the fault, else those at or beyond the level that was observed."""
    flag = _FLAGS.get(f"{head.family}/{head.metric}") or (_FLAGS.get(head.metric) if head.unit == "share" else None)
    if flag is not None:
        return [call for call in calls if flag(call)]
    value = _VALUES.get(head.metric)
    if value is None:
        return []
    valued = [(found, call) for call in calls if (found := value(call)) is not None]
    beyond = [
        call for found, call in valued if head.observed is not None and (found - head.observed) * head.direction >= 0
    ]
    return beyond or [call for _, call in sorted(valued, key=lambda pair: -pair[0] * head.direction)]


def _measured(head: Finding) -> Metric | None:
    """The measure of the title's level, where its plain mean is what the title shows."""
    try:
        found = metric(head.metric)
    except ValueError:
        return None
    return found if found.unit == head.unit and head.unit != "ms" and head.family != "instrument" else None


def _level(measured: Metric, points: Sequence[Point], seconds: float) -> tuple[float | None, int]:
    """The level of a measure over points that span ``seconds``, and on how many observations."""
    if measured.name == "calls":
        n = sum(point.calls for point in points)
        return n * HOUR / max(seconds, 60.0), max(n, FEWEST)
    if measured.kind == "rate":
        hits, trials = (sum(part) for part in zip(*map(measured.share, points), strict=True)) if points else (0, 0)
        return (hits / trials if trials else None), trials
    values = [found for point in points if (found := measured.values(point)) is not None]
    n, total = sum(one.count for one in values), sum(one.total for one in values)
    if measured.kind == "total":
        return (total * HOUR / max(seconds, 60.0) if n else None), n
    return (total / n if n else None), n


def _worst(
    measured: Metric, points: Sequence[Point], direction: int, width: float, end: float
) -> tuple[float | None, float | None]:
    """Start and level of the worst stretch of ``width`` seconds, of longer ones where so short ones hold too little."""
    for times in LONGER:
        found = [
            (at, *_level(measured, part, min(times * width, end - at)))
            for at, part in _stretches(points, times * width)
        ]
        known = [(at, level) for at, level, n in found if level is not None and n >= _enough(measured)]
        if known:
            return max(known, key=lambda stretch: stretch[1] * direction)
    return None, None


def _enough(measured: Metric) -> int:
    return FEWEST_TRIALS if measured.kind == "rate" else FEWEST


def _stretches(points: Iterable[Point], width: float) -> list[tuple[float, list[Point]]]:
    found: dict[float, list[Point]] = {}
    for point in points:
        found.setdefault(point.key.minute // width * width, []).append(point)
    return sorted(found.items())


def _cost(points: Iterable[Point]) -> tuple[float, int]:
    """USD of the priced calls, and how many they are."""
    found = [point.quantities["cost"] for point in points if "cost" in point.quantities]
    return sum(one.total for one in found), sum(one.count for one in found)


def _mean_cost(points: Iterable[Point]) -> float | None:
    total, priced = _cost(points)
    return total / priced if priced else None


def _extra(points: Sequence[Point], head: Finding, hours: float) -> float | None:
    """What the calls cost beyond the usual: dearer ones for cost per call, more of them for a surge; else None."""
    total, priced = _cost(points)
    if not priced or head.usual is None or head.family != "cost":
        return None
    if head.metric == "cost_per_call" and head.unit == "usd":
        return total - head.usual * priced
    if head.metric == "calls" and head.usual > 0:
        return max(sum(point.calls for point in points) - head.usual * hours, 0.0) * total / priced
    return None
