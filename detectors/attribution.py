"""Why: which slice carries a change, what came new just before it, and what it is not."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from driftbell.collectors.call import Marker
from driftbell.collectors.point import Point
from driftbell.detectors.decomposition import FACTORS, cells_of, decompose
from driftbell.detectors.finding import Cause, Confidence
from driftbell.detectors.measure import Level, level, percentile, quantity, shown
from driftbell.detectors.series import Series

CARRIES = 0.75
"""Share of the excess that a slice must carry to be named."""
APART = 2.0
"""Standard errors by which its change must exceed that of all others, unless the evidence itself points at it."""
HINTED = 0.5
"""The same where the evidence points at the slice."""
ALIKE = 0.4
"""The others moved alike when their change is more than this part of the slice's."""
FEWEST_OTHERS = 2
"""Values of the others without which nothing can be compared."""
FEW = 20
"""Values below which a slice has no usual level of its own."""
NEAR = 6 * 3600.0
"""A marker is near the onset when it lies within this many seconds before it."""
SLACK = 1800.0
"""The onset is an estimate: a marker may also lie this many seconds after it."""
DIMENSIONS: dict[str, Callable[[Point], str | None]] = {
    "prompt_version": lambda point: point.key.prompt_version,
    "model": lambda point: point.key.model,
    "segment": lambda point: point.key.segment,
    "risk_tier": lambda point: point.key.risk_tier,
}
_WORDS = {"prompt_version": "prompt version", "model": "model", "segment": "segment", "risk_tier": "risk tier"}
_FACTOR_WORDS = {
    "segment_mix": "segment mix", "model_mix": "model mix", "attempts": "retries", "input_tokens": "input length",
    "output_tokens": "output length", "cache_share": "cache", "price": "price",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Carrier:
    """A slice that carries ``share`` of the change; ``fresh`` when it was not there before."""

    dimension: str
    value: str
    share: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one series between two spans of points, and its cause."""

    before: Level | None
    after: Level | None
    cause: Cause
    segment: str | None = None
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Points of a workflow before and since ``onset`` (epoch seconds), and the markers around it."""

    before: Sequence[Point]
    after: Sequence[Point]
    onset: float
    markers: Sequence[Marker] = field(default=())


def explain(series: Series, evidence: Evidence, hint: str | None = None) -> Change:
    """What changed in ``series``, and which slice carries it.

    ``hint`` is the segment whose own test holds more evidence than the whole workflow's. If all segments had moved
    alike the workflow's would hold more, as it has more calls; so only the share of the segment is checked then.
    """
    usual = quantity(evidence.before, series) if series.kind != "rate" else None
    cap = percentile(usual, 0.99) if usual is not None and usual.count else None
    tail = percentile(usual, 0.95) if usual is not None and usual.count else None
    carriers: dict[str, Carrier] = {}
    for dimension in DIMENSIONS:
        found = _carrier(dimension, series, evidence, cap, tail, hint if dimension == "segment" else None)
        if found is not None:
            carriers[dimension] = found
    if "segment" in carriers:
        carriers.pop("risk_tier", None)
    segment = carriers["segment"].value if "segment" in carriers else None
    alike = [
        name for name in ("model", "prompt_version", "segment")
        if name not in carriers and _alike(name, series, evidence, cap, tail)
    ]  # fmt: skip
    return replace(levels(series, evidence, segment), cause=_cause(series, evidence, carriers, alike))


def levels(series: Series, evidence: Evidence, segment: str | None) -> Change:
    """What changed in ``series``, in one segment or (None) in the whole workflow, without a cause."""
    usual = quantity(evidence.before, series) if series.kind != "rate" else None
    tail = percentile(usual, 0.95) if usual is not None and usual.count else None
    since = _slice(evidence.after, segment)
    before = level(_slice(evidence.before, segment), series, None, tail)
    after = level(since, series, None, tail)
    if before is not None and after is not None:
        before, after = shown(before, after, since, series)
    return Change(before, after, Cause(), segment, (segment,) if segment else ())


def _slice(points: Sequence[Point], segment: str | None) -> Sequence[Point]:
    return points if segment is None else [point for point in points if point.key.segment == segment]


def _levels(
    points: Sequence[Point], dimension: str, series: Series, cap: float | None, tail: float | None
) -> dict[str, Level]:
    by_value: dict[str, list[Point]] = {}
    for point in points:
        value = DIMENSIONS[dimension](point)
        if value is not None:
            by_value.setdefault(value, []).append(point)
    found = {value: level(part, series, cap, tail) for value, part in by_value.items()}
    return {value: one for value, one in found.items() if one is not None}


def _carrier(
    dimension: str, series: Series, evidence: Evidence, cap: float | None, tail: float | None, hint: str | None
) -> Carrier | None:
    before = _levels(evidence.before, dimension, series, cap, tail)
    after = _levels(evidence.after, dimension, series, cap, tail)
    usual = level(evidence.before, series, cap, tail)
    if usual is None or not after:
        return None
    few = max(FEW, 0.005 * usual.n)
    shifts: dict[str, tuple[float, float, float]] = {}
    for value, now in after.items():
        then = before.get(value)
        fresh = then is None or then.n < few
        base = usual if then is None or then.n < FEW else then
        shift = (now.mean - base.mean) * series.direction
        error = (max(now.variance, base.variance) / now.n) + base.variance / max(base.n, 1.0)
        shifts[value] = (now.n * shift, error, 1.0 if fresh else 0.0)
    gain = sum(max(excess, 0.0) for excess, _, _ in shifts.values())
    if gain <= 0:
        return None
    value = hint if hint in shifts else max(shifts, key=lambda v: (shifts[v][0], v))
    excess, error, fresh_mark = shifts[value]
    share = excess / gain
    others = [v for v in shifts if v != value]
    other_n = sum(after[v].n for v in others)
    is_fresh = bool(fresh_mark) and dimension in ("prompt_version", "model")
    if share < (CARRIES if hint is None else HINTED):
        return None
    if other_n < FEWEST_OTHERS:
        return Carrier(dimension, value, share, True) if is_fresh else None
    other_shift = sum(shifts[v][0] for v in others) / other_n
    other_error = sum(shifts[v][1] * after[v].n ** 2 for v in others) / other_n**2
    shift = excess / after[value].n
    if hint is None and shift - other_shift < APART * math.sqrt(error + other_error):
        return None
    if other_shift > (ALIKE if hint is None else HINTED) * shift:
        return None
    return Carrier(dimension, value, share, is_fresh)


def _alike(dimension: str, series: Series, evidence: Evidence, cap: float | None, tail: float | None) -> bool:
    """Whether each slice that can be compared with itself moved, of two at least. No carrier is no proof of it."""
    before = _levels(evidence.before, dimension, series, cap, tail)
    after = _levels(evidence.after, dimension, series, cap, tail)
    shifts = [
        (now.mean - before[value].mean) * series.direction
        for value, now in after.items()
        if now.n >= FEW and value in before and before[value].n >= FEW
    ]
    return len(shifts) > 1 and min(shifts) > ALIKE * max(shifts)


def _cause(series: Series, evidence: Evidence, carriers: dict[str, Carrier], alike: Sequence[str]) -> Cause:
    keys = {name: carrier.value for name, carrier in carriers.items()}
    marker = nearest_marker(evidence)
    parts, notes, ruled_out = _money(series, evidence)
    ruled_out += tuple(f"{_WORDS[name]}: all moved alike" for name in alike)
    fresh = next((c for c in carriers.values() if c.fresh), None)
    confidence: Confidence = "unknown"
    text = "Cause not found."
    share = max((c.share for c in carriers.values()), default=None)
    if fresh is not None:
        confidence = "likely" if fresh.share >= 0.8 else "possible"
        where = f" in {keys['segment']}" if "segment" in keys else ""
        word = _WORDS[fresh.dimension]
        text = f"{word[0].upper() + word[1:]} {fresh.value} is new{where} and carries {fresh.share:.0%} of the change."
    elif carriers:
        confidence = "possible"
        named = " and ".join(f"{_WORDS[c.dimension]} {c.value}" for c in carriers.values())
        text = f"Only {named} changed ({share:.0%} of the change); why is not known."
    cause = Cause(keys, confidence, share, text, notes, ruled_out, parts)
    if marker is None:
        return cause
    told = " ".join(part for part in (marker.kind.replace("_", " "), marker.value or "", marker.text or "") if part)
    if not carriers:
        cause = replace(cause, confidence="possible", text=f"At the same time: {told}.")
    return replace(cause, marker=told, marker_at=marker.ts)


def nearest_marker(evidence: Evidence) -> Marker | None:
    """The marker closest to the onset, if one lies within `NEAR` before it (or `SLACK` after it)."""
    near = [m for m in evidence.markers if evidence.onset - NEAR <= m.ts <= evidence.onset + SLACK]
    return min(near, key=lambda m: (abs(m.ts - evidence.onset), m.id), default=None)


def _cents(usd: float) -> str:
    """``+0.45c``: two figures that matter."""
    digits = max(0, 1 - math.floor(math.log10(abs(usd) * 100)))
    return f"{usd * 100:+.{digits}f}c"


def _money(series: Series, evidence: Evidence) -> tuple[dict[str, float], tuple[str, ...], tuple[str, ...]]:
    """Exact parts of a change of cost per call (USD), the ones that matter in words, and the ones ruled out."""
    if series.family != "cost":
        return {}, (), ()
    split = decompose(cells_of(evidence.before), cells_of(evidence.after), per="call")
    if split is None or not split.change:
        return {}, (), ()
    parts = {factor: split.parts[factor] for factor in FACTORS if split.parts.get(factor)}
    shares = {factor: part / split.change for factor, part in parts.items()}
    big = sorted((f for f in shares if abs(shares[f]) >= 0.15), key=lambda f: -abs(shares[f]))[:3]
    named = [(_FACTOR_WORDS.get(factor, factor), factor) for factor in big]
    notes = tuple(f"{word} explains {shares[f]:.0%} of the change of cost per call" for word, f in named)
    if any(shares[factor] < 0 for factor in big):  # parts of more than the whole are understood in money only
        notes = tuple(f"{word} {_cents(parts[factor])} a call" for word, factor in named)
    small = tuple(word for f, word in _FACTOR_WORDS.items() if abs(shares.get(f, 0.0)) < 0.1)  # type: ignore[call-overload]
    return {str(f): part for f, part in parts.items()}, notes, small
