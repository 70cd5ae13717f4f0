"""Verdicts: what people said of an incident, and what the detectors make of it."""

from dataclasses import dataclass
from typing import Literal

from driftbell.collectors.point import Point, PointKey, merge
from driftbell.detectors.group import WHOLE, GroupKey
from driftbell.detectors.history import History, points_since
from driftbell.detectors.watch import Watch
from driftbell.detectors.workflow import WorkflowDetector

LONGEST = 14 * 86400
"""Of a change that is older, the last two weeks are the new normal."""

Told = tuple[str, str | None, str | None, int]
"""``(metric, segment, risk tier, direction)``, as a finding names a series."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's judgement ``at`` (epoch s) of an incident that began at ``started_at`` and shows in ``series``."""

    id: str
    workflow: str
    verdict: Literal["false_alarm", "new_normal"]
    at: float
    started_at: float
    series: tuple[Told, ...]


def accept(engine: WorkflowDetector, history: History, verdict: Verdict, start: int) -> None:
    """Take the level since the onset as normal from the bin that begins at ``start``; `false_alarm` changes nothing.

    The references of what was told are made anew from the calls since the onset, and those of the groups that were
    about to tell the same; their tests begin at rest. What the residuals of the days before say of seasons and
    wandering stays.
    """
    if verdict.verdict != "new_normal":
        return
    told = set(verdict.series)
    affected = [watch for watch in engine.watches if _affected(watch, told)]
    places: dict[tuple[GroupKey, str], float] = {}
    for watch in affected:
        # The latest onset of a metric: an estimate that is too early would mix the old level in.
        known = [w.alarm.started_at for w in affected if w.alarm is not None and w.series.metric == watch.series.metric]
        places[watch.group, watch.series.measure] = max(known, default=verdict.started_at)
    for (group, measure), onset in places.items():
        since = max(onset, start - LONGEST)
        _relearn(engine, group, measure, _seen(engine.workflow, group, history, since, start))
        for i in engine.groups[group].index[measure]:
            engine.renew(i, start)
        engine.distrusted.discard(measure)
    if any(metric == "calls" for metric, *_ in told):
        engine.volume.expect()


def _affected(watch: Watch, told: set[Told]) -> bool:
    """Whether a series is one that was told, a part of one, or shows the same change and was about to be told."""
    series = watch.series
    if watch.alarm is not None:
        return (series.metric, watch.alarm.segment, watch.risk_tier, series.direction) in told
    if (series.metric, None, None, series.direction) in told:
        return True
    segments = {segment for metric, segment, _, way in told if (metric, way) == (series.metric, series.direction)}
    return watch.suspect and bool(segments) and (watch.group == WHOLE or watch.segment in segments)


def _relearn(engine: WorkflowDetector, key: GroupKey, measure: str, seen: Point) -> None:
    group = engine.groups[key]
    if measure in group.shares:
        share = group.shares[measure]
        hits, trials = (
            (seen.manual, seen.manual + seen.calls) if measure == "manual" else seen.rates.get(measure, (0, 0))
        )
        share.hits, share.trials = float(hits), float(trials)
        share.held, share.today = (0, 0), [0, 0]
    for name in [measure, *group.strata(measure)]:
        distribution = group.distributions.get(name)
        if distribution is None:
            continue
        values = seen.quantities.get(name)
        distribution.known = {} if values is None else {index: float(n) for index, n in sorted(values.buckets.items())}
        distribution.held, distribution.today = {}, {}
        distribution.prepare()


def _seen(workflow: str, key: GroupKey, history: History, since: float, until: int) -> Point:
    """All points of a group in ``[since, until)`` as one."""
    parts = points_since(history, workflow, since, until)
    return merge((point for point in parts if _within(point, key)), PointKey(until, workflow, None, None, None, None))


def _within(point: Point, key: GroupKey) -> bool:
    dimension, value = key
    if dimension == "segment":
        return point.key.segment == value
    return dimension == "workflow" or point.key.risk_tier == value
