"""Increments of metrics -> points, with the same measures as those of calls where metrics can tell them.

Of several instrumentations (scopes) and names that count the same calls in one service, one is taken: that with the
most calls. What only single calls could tell (attempts, refusals, sources, users) is not there.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from driftbell.collectors.call import Call
from driftbell.collectors.point import Point, PointKey, Quantity, bucket, bucket_middle
from driftbell.collectors.rollup import expected_ms


@dataclass(frozen=True, slots=True)
class Increment:
    """What one series added in the interval that ended in ``minute`` (epoch s). A counter has no ``count``."""

    minute: int
    buckets: Mapping[int, int]
    service: str
    scope: str
    name: str
    measure: str
    segment: str | None
    risk_tier: str | None
    model: str | None
    status: str
    count: int | None
    total: float | None
    usd: float | None


_BLANK = Call(0.0, "")


def points_of(minute: int, workflow: str, increments: Sequence[Increment]) -> list[Point]:
    """The points of one service, workflow and minute."""
    scope = _leading((each.scope, each) for each in increments)
    keyed: dict[PointKey, list[Increment]] = defaultdict(list)
    for each in increments:
        if each.scope == scope:
            keyed[PointKey(minute, workflow, each.segment, each.risk_tier, each.model, None)].append(each)
    made = (_point(key, held) for key, held in keyed.items())
    return [point for point in made if point.calls]


def _leading(named: Iterable[tuple[str, Increment]]) -> str | None:
    """The name under which most calls were timed, or else brought their tokens."""
    timed: Counter[str] = Counter()
    brought: Counter[str] = Counter()
    for name, each in named:
        timed[name] += (each.count or 0) if each.measure == "duration" else 0
        brought[name] += (each.count or 0) if each.measure == "input" else 0
    return min(brought, key=lambda name: (-timed[name], -brought[name], name), default=None)


def _point(key: PointKey, increments: Sequence[Increment]) -> Point:
    held = {measure: _of(increments, measure) for measure in ("duration", "input", "output", "cached", "first_token")}
    failed: Counter[str] = Counter()
    for each in held["duration"]:
        failed[each.status] += each.count or 0
    good = failed.pop("ok", 0)
    brought = sum(each.count or 0 for each in held["input"])
    if not held["duration"]:
        good = brought
    calls = good + sum(failed.values())
    point = Point(key, calls=calls)
    if not calls:
        return point
    point.rates["error"] = [calls - good - failed["cancelled"], calls]
    for status in ("timeout", "rate_limited"):
        if failed[status]:
            point.rates[status] = [failed[status]] * 2
    latency = _quantity([each for each in held["duration"] if each.status == "ok"], 0)
    if latency is not None:
        point.quantities["latency_ms"] = latency
        point.quantities["slowness|0"] = _shrunk(latency, expected_ms(_BLANK))
    for name, measure in (("ttft_ms", "first_token"), ("output_tokens", "output"), ("input_tokens", "input")):
        if (quantity := _quantity(held[measure], good)) is not None:
            point.quantities[name] = quantity
    _cached(point, _quantity(held["cached"], good))
    if good:
        known = point.quantities.get("input_tokens")
        point.rates["usage_missing"] = [max(good - (known.count if known else 0), 0), good]
        _cost(point, held, _of(increments, "cost"), good)
    return point


def _of(increments: Sequence[Increment], measure: str) -> list[Increment]:
    """The increments of one measure, of the name that counts most: a histogram before a plain counter."""
    found = [each for each in increments if each.measure == measure]
    counts: Counter[str] = Counter()
    for each in found:
        counts[each.name] += each.count or 0
    leading = min(counts, key=lambda name: (-counts[name], name), default=None)
    return [each for each in found if each.name == leading]


def _quantity(increments: Sequence[Increment], calls: int) -> Quantity | None:
    """The sum of increments; plain counters are spread evenly over ``calls``."""
    total = sum(each.total for each in increments if each.total is not None)
    count = sum(each.count for each in increments if each.count is not None)
    if count:
        found = Quantity(count, total)
        for each in increments:
            for at, n in each.buckets.items():
                found.buckets[at] = found.buckets.get(at, 0) + n
        return found
    return Quantity(calls, total, {bucket(total / calls): calls}) if total and calls else None


def _shrunk(quantity: Quantity, by: float) -> Quantity:
    found = Quantity(quantity.count, quantity.total / by)
    for at, n in quantity.buckets.items():
        moved = bucket(bucket_middle(at) / by)
        found.buckets[moved] = found.buckets.get(moved, 0) + n
    return found


def _cached(point: Point, cached: Quantity | None) -> None:
    given = point.quantities.get("input_tokens")
    if cached is not None and given is not None and given.total > 0:
        point.quantities["cached_tokens"] = cached
        share = min(cached.total / given.total, 1.0)
        point.quantities["cached_share"] = Quantity(given.count, share * given.count, {bucket(share): given.count})


def _cost(point: Point, held: Mapping[str, list[Increment]], reported: list[Increment], good: int) -> None:
    """What the tokens cost by our prices, or else what the emitter reckoned; nothing when neither is known."""
    paid = [each.usd for measure in ("input", "output", "cached") for each in held[measure] if each.usd is not None]
    told = sum(each.total for each in reported if each.total is not None)
    total = sum(paid) if paid else told
    if total > 0:
        point.quantities["cost"] = Quantity(good, total, {bucket(total / good): good})
    point.rates["unpriced"] = [0 if total > 0 else good, good]
