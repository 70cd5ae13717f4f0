"""A statistic judged by its own past: how unlikely is it that it climbs as high as this by itself?

What is above the usual upper tenth of the last values is an excursion, and each excursion counts once, by its peak.
Peaks far apart are nearly independent also where rows are not, and their tail is close to a generalised Pareto one
(Pickands 1975; Leadbetter 1991 for clusters). It is fitted by probability-weighted moments (Hosking & Wallis 1987),
with a shape that allows for how few peaks were seen: an exponential tail of which ``k`` values are known has the
predictive tail ``(1 + y / (k * mean)) ** -k``.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

VALUES = 1000
"""Values that say where the upper tenth begins."""
PEAKS = 300
"""Excursions remembered."""
FEW = 8
"""Excursions before which nothing is said."""
PRIOR = 0.15
"""Shape of a tail of which little is known, worth `PRIOR_WEIGHT` peaks."""
PRIOR_WEIGHT = 20
LIGHT = 0.02
"""Least shape: next to exponential."""
OVER = 4.0
"""A peak teaches at most so many times the largest excess before it, so that one freak does not end the watch."""
LONGEST = 300
"""Rows after which an excursion that goes on is counted and the next begins."""
APART = 3
"""Rows below the limit that end an excursion."""


@dataclass(slots=True)
class Excursions:
    """One statistic, larger is stranger."""

    ordered: list[float] = field(default_factory=list)
    by_time: deque[float] = field(default_factory=deque)
    peaks: deque[tuple[int, float]] = field(default_factory=deque)
    row: int = 0
    top: float = -math.inf
    began: int = 0
    below: int = 0
    tail: tuple[float, float, float, float] | None = None
    fresh: int = 0

    def score(self, value: float) -> float:
        """``-log10`` of the chance per row that an excursion as high as ``value`` begins; 0 below the limit."""
        if len(self.peaks) < FEW or value <= self._limit():
            return 0.0
        if self.tail is None or self.fresh * 16 > len(self.peaks):
            self.tail, self.fresh = self._fit(), 0
        at, rate, scale, shape = self.tail
        if value <= at:
            return -math.log10(min(2 * rate, 1.0))
        return -math.log10(rate) + math.log1p(shape * (value - at) / scale) / shape / math.log(10)

    def learn(self, value: float) -> None:
        """Take ``value`` in as the next of the past."""
        self.row += 1
        if len(self.ordered) >= 20:
            self._follow(value, self._limit())
        insort(self.ordered, value)
        self.by_time.append(value)
        if len(self.by_time) > VALUES:
            del self.ordered[bisect_left(self.ordered, self.by_time.popleft())]

    def _limit(self) -> float:
        return self.ordered[len(self.ordered) * 9 // 10]

    def _follow(self, value: float, limit: float) -> None:
        if value > limit:
            if self.top == -math.inf:
                self.began = self.row
            self.top, self.below = max(self.top, value), 0
        elif self.top > -math.inf:
            self.below += 1
        if self.top > -math.inf and (self.below >= APART or self.row - self.began >= LONGEST):
            self._end(limit)

    def _end(self, limit: float) -> None:
        if len(self.peaks) >= FEW:
            largest = max(peak for _, peak in self.peaks)
            self.top = min(self.top, limit + OVER * max(largest - limit, 0.0) + 1e-12)
        self.peaks.append((self.row, self.top))
        if len(self.peaks) > PEAKS:
            self.peaks.popleft()
        self.top, self.below = -math.inf, 0
        self.fresh += 1

    def _fit(self) -> tuple[float, float, float, float]:
        """Level above which the tail is fitted, excursions above it per row, scale and shape."""
        heights = sorted(peak for _, peak in self.peaks)
        middle = len(heights) // 2
        at = heights[middle]
        excess = [height - at for height in heights[middle + 1 :]] or [0.0]
        count = len(excess)
        mean = math.fsum(excess) / count
        rate = count / max(self.row - self.peaks[0][0] + 1, 20)
        if mean <= 0.0:
            spare = max(abs(at) * 0.1, 1e-9)
            return at, rate, spare, PRIOR + 1.0 / count
        second = math.fsum((1 - (i + 0.65) / count) * e for i, e in enumerate(excess)) / count
        raw = 2 - mean / max(mean - 2 * second, 1e-12 * mean)
        shape = (count * min(max(raw, -0.5), 0.9) + PRIOR_WEIGHT * PRIOR) / (count + PRIOR_WEIGHT)
        scale = mean * (1 - shape)
        return at, rate, scale, max(shape, LIGHT) + 1.0 / count
