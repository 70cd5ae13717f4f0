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
    """One bar: ``amount`` in USD per call and as it is ``shown``; ``left`` and ``width`` in percent of the drawing."""

    label: str
    amount: float
    shown: str
    left: float
    width: float
    kind: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """``bars`` lead from ``before`` to ``after`` (USD per call); the parts between sum to the difference.

    They do so too as they are shown: the levels are rounded and not the parts. ``change`` is the shown difference.
    """

    before: float
    after: float
    bars: tuple[Bar, ...]
    change: str
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

    written = _Amounts(max(abs(level) for level in (*levels, split.after)))

    def bar(label: str, start: float, end: float, kind: str) -> Bar:
        left, width = (min(start, end) - low) * scale, abs(end - start) * scale
        shown = written.between(start, end, signed=kind not in ("before", "after"))
        return Bar(label, end - start, shown, round(left, 2), round(max(width, 0.3), 2), kind)

    levels[-1] = split.after
    bars = [bar("Before", 0.0, split.before, "before")]
    for (label, _), start, end in zip(steps, levels, levels[1:], strict=False):
        bars.append(bar(label, start, end, "up" if end > start else "down"))
    bars.append(bar("Now", 0.0, split.after, "after"))
    change = written.between(split.before, split.after, signed=True)
    return Waterfall(split.before, split.after, tuple(bars), change, split.assumed_prices)


class _Amounts:
    """Writes amounts up to ``most`` USD with equally many decimals, three figures of the largest."""

    def __init__(self, most: float) -> None:
        self._cents = most < 0.995
        largest = most * 100 if self._cents else most
        self._decimals = min(max(2 - math.floor(math.log10(largest)), 0), 9) if largest > 0 else 0

    def between(self, start: float, end: float, *, signed: bool) -> str:
        """The distance between two levels as they are rounded."""
        size = 100 if self._cents else 1
        amount = round(end * size, self._decimals) - round(start * size, self._decimals)
        number = f"{abs(amount):,.{self._decimals}f}"
        text = f"{number}c" if self._cents else f"${number}"
        nothing = not number.strip("0.")
        sign = "" if nothing else "-" if amount < 0 else "+" if signed else ""
        return sign + text


def _steps(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The parts in their order, the small ones added up at the end."""
    least = SMALL * max((abs(part) for _, part in parts), default=0.0)
    steps = [(label, part) for label, part in parts if abs(part) > least]
    rest = math.fsum(part for _, part in parts if abs(part) <= least)
    return [*steps, ("All else", rest)] if rest else steps
