"""A series in natural units, read off points: its level, spread and size, for messages and attribution."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from driftbell.collectors.point import ZERO_BUCKET, Point, Quantity, bucket_middle
from driftbell.detectors.series import Series

_SHOWN = {"price": "cost", "slowness": "latency_ms"}
"""What a person is shown for a measure that is normalised for testing; what is usual then follows from the ratio."""


@dataclass(frozen=True, slots=True)
class Level:
    """``n`` values with their mean and variance; ``shown`` is what a person reads (a mean, a share or a p95)."""

    n: float
    mean: float
    variance: float
    shown: float


def level(
    points: Iterable[Point], series: Series, cap: float | None = None, tail_from: float | None = None
) -> Level | None:
    """The level of ``series`` over ``points``; None when nothing was observed.

    ``cap`` limits single values, so that one freak does not carry an attribution; ``tail_from`` is the value from
    which a tail series counts a hit (the usual 95th percentile).
    """
    if series.kind == "rate":
        return _share(points, series)
    merged = quantity(points, series)
    if not merged.count:
        return None
    values = [(bucket_middle(i), n) for i, n in merged.buckets.items()]
    if series.kind == "tail" and tail_from is not None:
        hits = sum(n for value, n in values if value >= tail_from)
        share = hits / merged.count
        return Level(merged.count, share, max(share * (1 - share), 1.0 / merged.count), percentile(merged, 0.95))
    if cap is not None:
        values = [(min(value, cap), n) for value, n in values]
    mean = math.fsum(value * n for value, n in values) / merged.count
    variance = math.fsum((value - mean) ** 2 * n for value, n in values) / merged.count
    shown = percentile(merged, 0.95) if series.kind == "tail" else merged.total / merged.count
    return Level(merged.count, mean, variance, shown)


def shown(before: Level, after: Level, points: Iterable[Point], series: Series) -> tuple[Level, Level]:
    """The two levels as a person reads them: of a normalised measure, the real one and what it was to be."""
    name = _SHOWN.get(series.measure)
    if name is None or not before.shown:
        return before, after
    real = Quantity()
    for point in points:
        part = point.quantities.get(name)
        if part is not None:
            real.add(part)
    if not real.count:
        return before, after
    now = percentile(real, 0.95) if series.kind == "tail" else real.total / real.count
    usual = now * before.shown / after.shown if after.shown else now
    spread = (now / after.shown) ** 2 if after.shown else 1.0
    return replace(before, shown=usual), replace(after, shown=now, variance=after.variance * spread)


def quantity(points: Iterable[Point], series: Series) -> Quantity:
    """The measure of ``series`` merged over ``points`` and strata."""
    merged = Quantity()
    for point in points:
        if not series.strata:
            part = point.quantities.get(series.measure)
            if part is not None:
                merged.add(part)
            continue
        for name, part in point.quantities.items():
            if name.startswith(series.measure + "|"):
                merged.add(part)
    return merged


def percentile(merged: Quantity, share: float) -> float:
    """Value at a share of the histogram, within half a bucket (4.5 %)."""
    wanted = share * merged.count
    seen = 0
    for index in sorted(merged.buckets):
        seen += merged.buckets[index]
        if seen >= wanted:
            return bucket_middle(index)
    return bucket_middle(max(merged.buckets, default=ZERO_BUCKET))


def _share(points: Iterable[Point], series: Series) -> Level | None:
    hits = trials = 0
    for point in points:
        if series.measure == "manual":
            hits, trials = hits + point.manual, trials + point.manual + point.calls
        elif series.measure in point.rates:
            h, t = point.rates[series.measure]
            hits, trials = hits + h, trials + t
    if not trials:
        return None
    share = hits / trials
    return Level(trials, share, max(share * (1 - share), 1.0 / trials), share)
