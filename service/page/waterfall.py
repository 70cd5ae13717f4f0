"""Why a cost changed, as bars that begin where the one before ended: from what it was to what it is, exactly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.collectors.point import Point
from driftbell.detectors.decomposition import FACTORS, cells_of, decompose

WORDS = {
    "traffic": "Traffic",
    "segment_mix": "Segment mix",
    "model_mix": "Model mix",
    "attempts": "Retries",
    "input_tokens": "Input length",
    "output_tokens": "Output length",
    "cache_share": "Cache",
    "price": "Price",
    "other": "Other",
}
SMALL = 0.03
"""Parts below this share of the largest are drawn as one, so that the others can be seen."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: ``amount`` in USD per call; ``left`` and ``width`` in percent of the drawing."""

    label: str
    amount: float
    left: float
    width: float
    kind: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """``bars`` lead from ``before`` to ``after`` (USD per call); the parts between sum to the difference."""

    before: float
    after: float
    bars: tuple[Bar, ...]
    assumed_prices: bool

    @property
    def parts_sum(self) -> float:
        """What the parts add up to."""
        return math.fsum(bar.amount for bar in self.bars if bar.kind not in ("before", "after"))


def waterfall(before: Sequence[Point], after: Sequence[Point]) -> Waterfall | None:
    """The decomposition of the cost per call between two spans of points; None when a side has no priced call."""
    split = decompose(cells_of(before), cells_of(after), per="call")
    if split is None:
        return None
    steps = _steps([(WORDS.get(factor, factor), split.parts[factor]) for factor in FACTORS if factor in split.parts])
    levels = [split.before]
    for _, part in steps:
        levels.append(levels[-1] + part)
    low, high = min(0.0, *levels), max(*levels, split.after)
    scale = 100 / (high - low or 1.0)

    def bar(label: str, start: float, end: float, kind: str) -> Bar:
        left, width = (min(start, end) - low) * scale, abs(end - start) * scale
        return Bar(label, end - start, round(left, 2), round(max(width, 0.3), 2), kind)

    bars = [bar("Before", 0.0, split.before, "before")]
    for (label, part), start in zip(steps, levels, strict=False):
        bars.append(bar(label, start, start + part, "up" if part > 0 else "down"))
    bars.append(bar("Now", 0.0, split.after, "after"))
    return Waterfall(split.before, split.after, tuple(bars), split.assumed_prices)


def _steps(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The parts in their order, the small ones added up at the end."""
    least = SMALL * max((abs(part) for _, part in parts), default=0.0)
    steps = [(label, part) for label, part in parts if abs(part) > least]
    rest = math.fsum(part for _, part in parts if abs(part) <= least)
    return [*steps, ("All else", rest)] if rest else steps
