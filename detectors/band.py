"""The band of what is usual, for people: the level that a series was expected at, hour by hour, and its spread.

It is learned from hour points with the detectors' own baselines (`driftbell.detectors.baseline`): a day teaches only
after a day has passed, and a day with a known incident not at all. The band holds a reading of ``n`` values in about
95 of 100 cases: two standard errors of the sampling (with the crowding that the series showed) and of the wandering of
its level. It says what is usual, not where an alarm begins; that also weighs how long and how much.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from driftbell.collectors.point import Point
from driftbell.detectors.baseline import DECAY, Distribution, Share
from driftbell.detectors.group import KNOWN_FROM
from driftbell.detectors.season import MOST_CROWD, Seasons
from driftbell.detectors.sequential import BLOCK
from driftbell.detectors.series import Series
from driftbell.detectors.volume import hour_slot
from driftbell.detectors.workflow import LEAST_BLOCKS

HOUR, DAY = 3600, 86400
ERRORS = 2.0
"""Standard errors on both sides."""
STEEP = math.sqrt(2.0)
"""The factor over which the score of a distribution is taken to be straight in the logarithm."""
FARTHEST = 3.0
"""Octaves that an expected level may lie from the mean of the reference."""
Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A series over ``[start, start + width)``: ``value`` on ``n`` observations, and what was usual for so many.

    None stands for nothing observed, or nothing known yet. A value is in the unit of its series, a volume per hour.
    """

    start: int
    n: float
    value: float | None
    usual: float | None = None
    low: float | None = None
    high: float | None = None


def _one_series() -> Seasons:
    seasons = Seasons()
    seasons.grow(1)
    return seasons


@dataclass(slots=True)
class Normal:
    """What is usual for one series of one group, learned by taking in its hours in order."""

    series: Series
    distribution: Distribution = field(default_factory=Distribution)
    share: Share = field(default_factory=Share)
    seasons: Seasons = field(default_factory=_one_series)
    crowd: tuple[float, float] = (300.0, 300.0)
    at: int = -1
    slope: float = 0.0

    def turn(self, start: int, trusted: bool) -> None:
        """Go on to the hour at ``start``; a day that was not ``trusted`` is forgotten when it ends."""
        if start // BLOCK == self.at // BLOCK:
            self.at = start
            return
        if self.at >= 0:
            self.seasons.learn(self.at // BLOCK * BLOCK, np.array([trusted]))
        if start // DAY != self.at // DAY:
            self._turn_day(trusted)
        self.at = start

    def _turn_day(self, trusted: bool) -> None:
        if self.series.kind == "rate":
            self.share.turn_day(trusted)
            level = self.share.level()
            self.seasons.scale[0] = min(2.0 * math.sqrt(level / (1 - level)), 1.0)
        else:
            self.distribution.turn_day(trusted)
            if self.distribution.size:
                up, down = self.distribution.shift_score(STEEP), self.distribution.shift_score(1 / STEEP)
                self.slope = (up - down) / (2 * math.log2(STEEP))
        self.crowd = (self.crowd[0] * DECAY, self.crowd[1] * DECAY)

    def take(self, point: Point, trusted: bool) -> None:
        """Take in the point of the present hour; of a day that is not ``trusted`` nothing stays."""
        n, residual = self._score(point)
        if n and trusted:
            self.seasons.take(self.at, np.array([float(n)]), np.array([residual]))
            apart = residual - n * self._season(self.at)
            square, size = self.crowd
            self.crowd = (square + min(apart**2, 9 * MOST_CROWD * n) - (n * self._wander()) ** 2, size + n)

    def _score(self, point: Point) -> tuple[float, float]:
        """``(values scored, total residual in standard deviations of one)``; also remembers them for learning."""
        if self.series.kind == "rate":
            hits, trials = trials_of(point, self.series.measure)
            known = self.share.trials >= KNOWN_FROM
            self.share.today[0] += hits
            self.share.today[1] += trials
            level = self.share.level()
            return (trials, (hits - trials * level) / math.sqrt(level * (1 - level))) if known and trials else (0, 0.0)
        quantity = point.quantities.get(self.series.measure)
        if quantity is None:
            return 0, 0.0
        self.distribution.observe(quantity.buckets)
        if self.distribution.size < KNOWN_FROM:
            return 0, 0.0
        return quantity.count, self.distribution.total(quantity.buckets)[0]

    def expect(self, start: int, n: float) -> tuple[float, float, float] | None:
        """``(usual, low, high)`` for ``n`` values at ``start``; None while too little is known."""
        if self.seasons.blocks[0] < LEAST_BLOCKS:
            return None
        offset = self._season(start)
        square, size = self.crowd
        crowd = min(max(square / size, 1.0), MOST_CROWD) if size else 1.0
        reach = ERRORS * math.sqrt(self._wander() ** 2 + crowd / max(n, 1.0))
        if self.series.kind == "rate":
            level = self.share.level()
            spread = math.sqrt(level * (1 - level))
            return tuple(min(max(level + x * spread, 0.0), 1.0) for x in (offset, offset - reach, offset + reach))  # type: ignore[return-value]
        if not self.distribution.size or self.slope <= 0:
            return None
        mean = self.distribution.mean()
        return tuple(mean * self._ratio(x) for x in (offset, offset - reach, offset + reach))  # type: ignore[return-value]

    def _season(self, start: int) -> float:
        """Mean season of the hour that begins at ``start``, in standard deviations of one value."""
        begin, end = self.seasons.ahead(start - start % HOUR)
        return float(begin[0] + end[0]) / 2

    def _wander(self) -> float:
        return float(self.seasons.wander()[0])

    def _ratio(self, shift: float) -> float:
        """The factor on all values that moves their mean score by ``shift``."""
        return math.exp2(min(max(shift / self.slope, -FARTHEST), FARTHEST))


def trials_of(point: Point, measure: str) -> tuple[int, int]:
    """``(hits, trials)`` of a rate; of ``manual``, the work done without the AI in all work."""
    if measure == "manual":
        return point.manual, point.manual + point.calls
    hits, trials = point.rates.get(measure, (0, 0))
    return hits, trials


def value_of(point: Point, series: Series) -> tuple[float, float | None]:
    """``(n, value)`` of a series in one point: a share or a mean; the value is None when nothing was observed."""
    if series.kind == "rate":
        hits, trials = trials_of(point, series.measure)
        return trials, hits / trials if trials else None
    quantity = point.quantities.get(series.measure)
    return (0, None) if quantity is None or not quantity.count else (quantity.count, quantity.total / quantity.count)


def readings(hours: Iterable[Point], shown: Sequence[Point], series: Series, incidents: Spans = ()) -> list[Reading]:
    """The readings of ``shown`` (one point per bin), each with what was usual before it.

    ``hours`` are the hour points of the same group, one per hour, both in order; they begin some days earlier so that
    there is something to learn from. Days that overlap ``incidents`` teach nothing.
    """
    normal = Normal(series)
    waiting = iter(hours)
    following = next(waiting, None)
    found: list[Reading] = []
    for point in shown:
        start = point.key.minute
        while following is not None and following.key.minute < start - start % HOUR:
            _learn(normal, following, incidents)
            following = next(waiting, None)
        normal.turn(start - start % HOUR, _trusted(normal.at, incidents))
        n, value = value_of(point, series)
        expected = normal.expect(start, n) if n else None
        found.append(Reading(start, n, value, *(expected or ())))
    return found


def _learn(normal: Normal, point: Point, incidents: Spans) -> None:
    normal.turn(point.key.minute, _trusted(normal.at, incidents))
    normal.take(point, _trusted(point.key.minute, incidents))


def _trusted(at: int, incidents: Spans) -> bool:
    """Whether the day that holds ``at`` is free of incidents."""
    day = at // DAY * DAY
    return not any(since < day + DAY and until > day for since, until in incidents)


def volumes(
    hours: Sequence[Point],
    shown: Sequence[Point],
    width: int,
    until: float,
    measure: str | None = None,
    incidents: Spans = (),
) -> list[Reading]:
    """Calls per hour (or with ``measure`` the sum of a quantity per hour), against the same hour of earlier days.

    Bins of ``width`` seconds must be there for every hour, empty ones too: no calls are a reading of zero. What is
    known ends at ``until`` (epoch s): a bin that it cuts counts for the part before it, and not at all when that is
    less than half.
    """
    profile: dict[int, tuple[float, float, float]] = {}
    waiting, found = list(hours), []
    at = 0
    for point in shown:
        start = point.key.minute
        while at < len(waiting) and waiting[at].key.minute < start // DAY * DAY:
            hour = waiting[at].key.minute
            if _trusted(hour, incidents):
                profile[hour_slot(hour)] = _added(profile.get(hour_slot(hour)), _volume(waiting[at], measure) or 0.0)
            at += 1
        value = _volume(point, measure)
        seen = min(until - start, width)
        per_hour = None if value is None or seen < width / 2 else value * HOUR / seen
        cell = profile.get(hour_slot(start))
        expected = () if cell is None or cell[0] < 3 else _spread(cell, HOUR / width if measure is None else 1.0)
        found.append(Reading(start, point.calls, per_hour, *expected))
    return found


def _volume(point: Point, measure: str | None) -> float | None:
    if measure is None:
        return float(point.calls)
    quantity = point.quantities.get(measure)
    return None if quantity is None else quantity.total


def _added(cell: tuple[float, float, float] | None, value: float) -> tuple[float, float, float]:
    n, total, square = cell or (0.0, 0.0, 0.0)
    return n * DECAY + 1.0, total * DECAY + value, square * DECAY + value * value


def _spread(cell: tuple[float, float, float], bins_per_hour: float) -> tuple[float, float, float]:
    n, total, square = cell
    mean = total / n
    chance = mean * max(bins_per_hour - 1.0, 0.0)  # shorter bins hold fewer calls, which vary more
    reach = ERRORS * math.sqrt(max(square / n - mean * mean, 0.0) * (1 + 1 / n) + chance)
    return mean, max(mean - reach, 0.0), mean + reach
