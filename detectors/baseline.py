"""What is normal for a series: a lagged reference, its seasonal offsets and how much its level wanders.

A reference learns a day only after at least a full day has passed, so that a change does not teach it; days on which
the series was under suspicion are not learned at all. Forgetting is exponential, ``DECAY`` a day.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from statistics import NormalDist

DECAY = 0.93
"""Per day: a reference remembers about fourteen days."""
TAIL = 0.05
"""The tail is what lies beyond the reference's worst twentieth."""
RING = 56
"""Blocks of six hours whose residuals are kept: fourteen days."""
_NORMAL = NormalDist()


@dataclass(slots=True)
class Distribution:
    """Reference of a quantity: decayed log-bucket counts, and the normal score of each bucket.

    The score of a value is the expectation of a standard normal given the reference quantiles of its bucket (van der
    Waerden scores): mean 0, variance at most 1, log moment generating function at most ``lambda**2 / 2`` by Jensen's
    inequality, and immune to units and heavy tails.
    """

    known: dict[int, float] = field(default_factory=dict)
    held: dict[int, float] = field(default_factory=dict)
    today: dict[int, int] = field(default_factory=dict)
    _edges: list[int] = field(default_factory=list)
    _below: list[float] = field(default_factory=list)
    _scores: dict[int, float] = field(default_factory=dict)
    size: float = 0.0
    tail_from: int = 0
    tail_share: float = 0.0

    def observe(self, buckets: dict[int, int]) -> None:
        """Remember values for later learning."""
        today = self.today
        for index, n in buckets.items():
            today[index] = today.get(index, 0) + n

    def total(self, buckets: dict[int, int]) -> tuple[float, int]:
        """``(sum of the normal scores, values beyond the usual tail)`` of values given by bucket."""
        scores, tail_from = self._scores, self.tail_from
        total, hits = 0.0, 0
        for index, n in buckets.items():
            score = scores.get(index)
            total += n * (self.score(index) if score is None else score)
            if index >= tail_from:
                hits += n
        return total, hits

    def turn_day(self, trusted: bool) -> None:
        """Learn the day before yesterday's midnight-to-midnight values, or drop them when not ``trusted``."""
        if self.held and trusted:
            self.known = {i: n * DECAY for i, n in self.known.items() if n * DECAY > 0.02}
            for index, n in self.held.items():
                self.known[index] = self.known.get(index, 0.0) + n
            self.prepare()
        self.held = {i: float(n) for i, n in self.today.items()} if trusted else {}
        self.today = {}

    def relearn(self) -> None:
        """Take what was seen since yesterday as the new normal."""
        self.known = dict(self.held)
        for index, n in self.today.items():
            self.known[index] = self.known.get(index, 0.0) + n
        self.held, self.today = {}, {}
        self.prepare()

    def prepare(self) -> None:
        """Make the score table from the known counts."""
        self._edges = sorted(self.known)
        self.size = sum(self.known.values())
        self._below, self._scores = [], {}
        below = 0.0
        self.tail_from, self.tail_share = (self._edges[-1] + 1 if self._edges else 0), 0.0
        for index in self._edges:
            share = self.known[index] / self.size
            self._below.append(below)
            self._scores[index] = _mean_normal(below, min(below + share, 1.0))
            if below >= 1.0 - TAIL and self.tail_share == 0.0:
                self.tail_from, self.tail_share = index, 1.0 - below
            below += share

    def score(self, bucket: int) -> float:
        """Normal score of a bucket; one never seen gets the score of its place among the known ones."""
        score = self._scores.get(bucket)
        if score is None:
            place = bisect_left(self._edges, bucket)
            below = self._below[place] if place < len(self._below) else 1.0
            edge = 0.5 / (self.size + 1.0)
            score = _NORMAL.inv_cdf(min(max(below, edge), 1.0 - edge))
            if len(self._scores) < 4096:
                self._scores[bucket] = score
        return score

    def shift_score(self, ratio: float) -> float:
        """Mean score when every value is multiplied by ``ratio``: a relative change in units of the score."""
        buckets = 8.0 * math.log2(ratio)
        low = math.floor(buckets)
        part = buckets - low
        total = 0.0
        for index in self._edges:
            if index < -1000:
                total += self.known[index] * self._scores[index]
                continue
            moved = (1 - part) * self.score(index + low) + part * self.score(index + low + 1)
            total += self.known[index] * moved
        return total / self.size

    def mean(self) -> float:
        """Mean of the reference, from the middles of its buckets."""
        return math.fsum(n * math.exp2((i + 0.5) / 8) for i, n in self.known.items() if i > -1000) / self.size


def _mean_normal(low: float, high: float) -> float:
    """Expectation of a standard normal between its quantiles ``low`` and ``high``."""
    if high - low < 1e-12:
        return _NORMAL.inv_cdf(min(max(low, 1e-12), 1 - 1e-12))
    below = _NORMAL.pdf(_NORMAL.inv_cdf(low)) if low > 0 else 0.0
    above = _NORMAL.pdf(_NORMAL.inv_cdf(high)) if high < 1 - 1e-12 else 0.0
    return (below - above) / (high - low)


@dataclass(slots=True)
class Share:
    """Reference of a rate: decayed hits and trials, lagged like `Distribution`."""

    hits: float = 0.0
    trials: float = 0.0
    held: tuple[int, int] = (0, 0)
    today: list[int] = field(default_factory=lambda: [0, 0])

    def turn_day(self, trusted: bool) -> None:
        """Learn the day before yesterday, or drop it when not ``trusted``."""
        if self.held[1] and trusted:
            self.hits = self.hits * DECAY + self.held[0]
            self.trials = self.trials * DECAY + self.held[1]
        self.held = (self.today[0], self.today[1]) if trusted else (0, 0)
        self.today = [0, 0]

    def relearn(self) -> None:
        """Take what was seen since yesterday as the new normal."""
        self.hits = float(self.held[0] + self.today[0])
        self.trials = float(self.held[1] + self.today[1])
        self.held, self.today = (0, 0), [0, 0]

    def level(self) -> float:
        """The usual share (Jeffreys estimate, so that it is never 0 or 1)."""
        return (self.hits + 0.5) / (self.trials + 1.0)

    def doubt(self, z: float) -> float:
        """How far the true share may lie above `level`: Wilson's upper bound at ``z`` standard errors."""
        n, share = self.trials, self.hits / self.trials if self.trials else 1.0
        if not n:
            return 1.0
        middle = share + z * z / (2 * n)
        error = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max((middle + error) / (1 + z * z / n) - self.level(), 0.0)
