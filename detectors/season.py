"""Season and wander: by how much hour and week move a level, and how far it strays besides.

Of every series the mean residual of each hour of the day and of each quarter of a day of the week is kept, both with
exponential forgetting. With cells that differ among each other by ``t2`` (estimated, not given) and a mean that is
known with precision ``p``, the best linear estimate of a cell's effect is ``mean * p / (p + 1 / t2)`` (empirical Bayes;
Efron and Morris 1973).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from driftbell.detectors.sequential import BLOCK, Floats, Singles

HOUR = 3600
DAY = 86400
HOURS = 24
QUARTERS = 28
PER_BLOCK = BLOCK // HOUR
Rows = NDArray[np.intp] | slice
Held = tuple[int, list[float], list[float]]
"""A block of one series: its start, and the scores and their total residual hour by hour."""
HOUR_MEMORY = 0.9
"""Per observation of an hour of the day: about ten days."""
WEEK_MEMORY = 0.8
"""Per observation of a quarter of the week: about five weeks."""
WANDER_MEMORY = 0.97
"""Per block: the wander is that of about eight days."""
LEAST_SEASON, LEAST_WEEK = 0.05, 0.03
"""Standard deviation of the effects of hours and of quarters that is granted before any is seen."""
PRIOR_WANDER = 0.15
PRIOR_BLOCKS = 4.0
LEAST_WANDER = 0.03
MOST_STRAY = 1.0
"""Standard deviations of one score that a block counts for at most: of a rare share, one hit at night is ten."""
MOST_RELATED = 0.8
CHANCE = 0.3
"""A correlation of successive blocks up to this is taken for chance, with as few blocks as are remembered."""
PRIOR_FREE = 5.0
FEW = 30.0
"""Scores of which a large change needs no more to be seen."""
MOST_CROWD = 30.0
"""Largest design effect: beyond it a series is watched as if its calls came thirty at a time."""
TRUSTED_FROM = 20.0
"""Calls of a block that make it count half."""


def _empty() -> Floats:
    return np.zeros(0)


def _empty_single() -> Singles:
    return np.zeros(0, np.float32)


def _block() -> Floats:
    return np.zeros((0, PER_BLOCK))


def _cells(n: int) -> NDArray[np.float32]:
    return np.zeros((0, n), np.float32)


@dataclass(slots=True)
class Seasons:
    """State of ``m`` series; residuals are in standard deviations of one score.

    ``hour`` and ``week`` are the means per cell and ``hour_sure``, ``week_sure`` their decayed
    precisions. ``square``, ``related`` and ``trusted`` are decayed sums over blocks: of the squared deviation from the
    season, of its product with that of the block before (``last``), and of the weights. ``n`` and ``total`` hold the
    running block, hour by hour. ``scale`` is what the level is expected to wander by, relative to `PRIOR_WANDER`.
    ``unrest``, ``free`` and ``hourly`` are decayed sums over blocks as well: of the squares between the hours of a
    block, of their degrees of freedom, and of the scores of an hour times these.
    """

    hour: NDArray[np.float32] = field(default_factory=lambda: _cells(HOURS))
    hour_sure: NDArray[np.float32] = field(default_factory=lambda: _cells(HOURS))
    week: NDArray[np.float32] = field(default_factory=lambda: _cells(QUARTERS))
    week_sure: NDArray[np.float32] = field(default_factory=lambda: _cells(QUARTERS))
    n: Floats = field(default_factory=_block)
    total: Floats = field(default_factory=_block)
    square: Floats = field(default_factory=_empty)
    related: Floats = field(default_factory=_empty)
    trusted: Floats = field(default_factory=_empty)
    last: Floats = field(default_factory=_empty)
    blocks: Floats = field(default_factory=_empty)
    scale: Floats = field(default_factory=_empty)
    unrest: Singles = field(default_factory=_empty_single)
    free: Singles = field(default_factory=_empty_single)
    hourly: Singles = field(default_factory=_empty_single)

    def grow(self, extra: int) -> None:
        """Make room for ``extra`` more series of which nothing is known."""
        for name in self.__slots__:
            old: Floats = getattr(self, name)
            fill = 1.0 if name == "scale" else 0.0
            setattr(self, name, np.concatenate([old, np.full((extra, *old.shape[1:]), fill, old.dtype)]))

    def forget(self, index: int) -> None:
        """Know nothing more of one series but the running block."""
        for name in self.__slots__:
            if name not in ("n", "total", "scale"):
                getattr(self, name)[index] = 0.0

    def take(self, start: int, n: Floats, residual: Floats) -> None:
        """Add a bin: ``n`` scores per series and their total residual from the reference."""
        hour = start % BLOCK // HOUR
        self.n[:, hour] += n
        self.total[:, hour] += residual

    def wander(self) -> Floats:
        """Standard deviation of the level between blocks beyond what sampling and season explain."""
        prior = PRIOR_WANDER * self.scale
        square = (PRIOR_BLOCKS * prior**2 + self.square) / (PRIOR_BLOCKS + self.trusted)
        found: Floats = np.sqrt(np.maximum(square, (LEAST_WANDER * self.scale) ** 2))
        return found

    def kinship(self) -> Floats:
        """Ratio of the long-run variance of the wander to its variance: above 1 when a block resembles the last."""
        prior = PRIOR_BLOCKS * (PRIOR_WANDER * self.scale) ** 2
        r = self.related / np.maximum(self.square + prior, 1e-12)
        r = np.clip((r - CHANCE) / (1.0 - CHANCE), 0.0, MOST_RELATED)
        found: Floats = (1 + r) / (1 - r)
        return found

    def learn(self, start: int, learned: NDArray[np.bool_]) -> dict[int, Held]:
        """End the block that began at ``start``: the series in the mask ``learned`` take it in.

        Returns the block of the others that had any score, by index.
        """
        n, total = self.n, self.total
        self.n, self.total = np.zeros_like(n), np.zeros_like(total)
        seen = n.sum(axis=1) >= 1.0
        rows = np.flatnonzero(learned & seen)
        if len(rows):
            self._learn(start, rows, n[rows], total[rows])
        return {int(i): (start, n[i].tolist(), total[i].tolist()) for i in np.flatnonzero(seen & ~learned)}

    def learn_late(self, index: int, held: Held) -> None:
        """Take in one block of one series that `learn` returned."""
        start, n, total = held
        self._learn(start, np.array([index]), np.array([n]), np.array([total]))

    def _learn(self, start: int, rows: NDArray[np.intp], n: Floats, total: Floats) -> None:
        calls = n.sum(axis=1)
        first, cell = start % DAY // HOUR, quarter_of(start)
        hours = slice(first, first + PER_BLOCK)
        w2 = self.wander()[rows, None] ** 2
        mean = np.divide(total, n, out=np.zeros_like(n), where=n > 0)
        weight = np.divide(n, 1.0 + n * w2)
        known, sure = self.hour[rows, hours], self.hour_sure[rows, hours]
        week, week_sure = self.week[rows, cell], self.week_sure[rows, cell]
        weekly = self._week_effect(rows, [cell])[:, 0]
        away = (n * (mean - known)).sum(axis=1) / calls
        stray = np.clip(np.where(week_sure > 0, away - week, away - weekly), -MOST_STRAY, MOST_STRAY)
        whole = calls / (1.0 + calls * w2[:, 0])
        fair = (n * sure / (sure + weight + 1e-12)).sum(axis=1) / calls
        fair = fair * np.where(week_sure > 0, week_sure / (week_sure + whole), 1.0)
        self._stray(rows, calls, stray, fair)
        daily = self._hour_effect(rows, hours)
        self._stir(rows, n, mean - daily - weekly[:, None], sure / (sure + weight + 1e-12))
        level = (n * (mean - daily)).sum(axis=1) / calls
        self.hour_sure[rows, hours] = sure = np.where(n > 0, sure * HOUR_MEMORY, sure) + weight
        self.hour[rows, hours] += np.divide(weight, sure, out=np.zeros_like(weight), where=n > 0) * (
            mean - weekly[:, None] - known
        )
        self.week_sure[rows, cell] = week_sure = week_sure * WEEK_MEMORY + whole
        self.week[rows, cell] += whole / week_sure * (level - week)
        self.blocks[rows] += 1.0

    def _stray(self, rows: Rows, calls: Floats, stray: Floats, fair: Floats) -> None:
        """Learn how far the block strayed; ``fair`` takes out what the season itself is not known by."""
        trust = np.where(fair > 0, calls / (calls + TRUSTED_FROM), 0.0)
        self.square[rows] = self.square[rows] * WANDER_MEMORY + trust * (stray**2 * fair - 1.0 / calls)
        self.related[rows] = self.related[rows] * WANDER_MEMORY + trust * stray * self.last[rows] * fair
        self.trusted[rows] = self.trusted[rows] * WANDER_MEMORY + trust
        self.last[rows] = stray

    def _stir(self, rows: Rows, n: Floats, away: Floats, fair: Floats) -> None:
        """Learn how far the hours of a block lie apart; ``away`` are their means less the season."""
        calls, hours = n.sum(axis=1), (n > 0).sum(axis=1)
        apart = away - ((n * away).sum(axis=1) / calls)[:, None]
        free = (fair * (n > 0)).sum(axis=1) * (hours - 1) / hours
        self.unrest[rows] = self.unrest[rows] * WANDER_MEMORY + (n * fair * apart**2).sum(axis=1)
        self.free[rows] = self.free[rows] * WANDER_MEMORY + free
        self.hourly[rows] = self.hourly[rows] * WANDER_MEMORY + free * calls / hours

    def crowd(self, near: Floats) -> Floats:
        """Design effect of the sum of a few scores, from ``near``, that of a bin, and that of an hour.

        How many times the variance of an hour's sum exceeds that of independent scores is estimated within blocks
        (analysis of variance, one way), less one standard error, so that chance does not slow a test; a rare share has
        few hits an hour, and their kurtosis adds to the error. Between the bin and the hour it is a straight line in
        the number of scores, read at `FEW`.
        """
        free = PRIOR_FREE + self.free
        size = self.hourly / np.maximum(self.free, 1e-9)
        odds = self.scale**2 / 4.0
        kurtosis = (1.0 + odds) ** 2 / (odds * np.maximum(size, 1.0))
        hour = (PRIOR_FREE + self.unrest) / free * np.maximum(1.0 - np.sqrt((2.0 + kurtosis) / free), 0.0)
        part = FEW / np.maximum(size, FEW)
        found: Floats = np.clip(near + np.maximum(hour - near, 0.0) * part, 1.0, MOST_CROWD)
        return found

    def _hour_effect(self, rows: Rows, cells: slice | list[int]) -> Floats:
        return self._effect(self.hour[rows], self.hour_sure[rows], LEAST_SEASON * self.scale[rows], cells)

    def _week_effect(self, rows: Rows, cells: slice | list[int]) -> Floats:
        return self._effect(self.week[rows], self.week_sure[rows], LEAST_WEEK * self.scale[rows], cells)

    @staticmethod
    def _effect(
        means: NDArray[np.float32], sure: NDArray[np.float32], least: Floats, cells: slice | list[int]
    ) -> Floats:
        """Effects of ``cells``, shrunk by how little all cells differ."""
        there = sure > 0
        noise = np.divide(1.0, sure, out=np.zeros_like(sure), where=there)
        signal = np.where(there, means**2 - noise, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        differ = np.maximum(signal, least**2)[:, None]
        effect: Floats = means[:, cells] * sure[:, cells] / (sure[:, cells] + 1.0 / differ)
        return effect

    def ahead(self, start: int) -> tuple[Floats, Floats]:
        """The season at the start and at the end of the hour that begins at ``start``.

        Between the middles of two cells the season is a straight line.
        """
        every: slice = slice(None)
        hour, quarter = start % DAY // HOUR, quarter_of(start)
        daily = self._hour_effect(every, [(hour - 1) % HOURS, hour, (hour + 1) % HOURS])
        weekly = self._week_effect(every, [(quarter - 1) % QUARTERS, quarter, (quarter + 1) % QUARTERS])
        at = [(daily[:, 0] + daily[:, 1]) / 2, (daily[:, 1] + daily[:, 2]) / 2]
        for i, moment in enumerate((start, start + HOUR)):
            place = (moment - start // BLOCK * BLOCK) / BLOCK - 0.5
            near = weekly[:, 2] if place > 0 else weekly[:, 0]
            at[i] = at[i] + (1 - abs(place)) * weekly[:, 1] + abs(place) * near
        return at[0], at[1]


def quarter_of(start: int) -> int:
    """Quarter of the UTC week, from Thursday (epoch day 0)."""
    return start // BLOCK % QUARTERS
