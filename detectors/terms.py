"""Terms: what the sequential tests go by within the hour, made from references, season and wander."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from driftbell.detectors.season import HOUR
from driftbell.detectors.sequential import LAMBDAS, EDetectors, Floats

SIZES = np.array(LAMBDAS)[:, None]
CREDIT = 0.5
"""What a season below the reference may take off the exponent of one normal score."""
Rows = NDArray[np.intp]


def _zeros() -> Floats:
    return np.zeros(0)


@dataclass(slots=True)
class Terms:
    """Of ``m`` series; all of it follows from other state and is set again every block and hour.

    ``begin`` and ``end`` are the season at both ends of the hour, in standard deviations of one score. ``ready`` is
    1 for normal scores and 2 for shares that are tested. ``delta`` is what is tolerated beyond the usual: of normal
    scores in standard deviations, of shares as a share. Of shares also: the usual ``level``, its ``spread`` (standard
    deviation of one call) and the ``least`` share that is believed.
    """

    begin: Floats = field(default_factory=_zeros)
    end: Floats = field(default_factory=_zeros)
    ready: Floats = field(default_factory=_zeros)
    direction: Floats = field(default_factory=_zeros)
    delta: Floats = field(default_factory=_zeros)
    level: Floats = field(default_factory=_zeros)
    spread: Floats = field(default_factory=_zeros)
    least: Floats = field(default_factory=_zeros)

    def grow(self, extra: int) -> None:
        """Make room for ``extra`` more series."""
        for name in self.__slots__:
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(extra)]))

    def offset(self, start: int, bin_seconds: int) -> Floats:
        """The season in the middle of the bin that begins at ``start``."""
        found: Floats = self.begin + (self.end - self.begin) * ((start % HOUR + bin_seconds / 2) / HOUR)
        return found

    def set(self, tests: EDetectors) -> None:
        """Give the tests their coefficients for the hour; those of series that are not ready are zero."""
        tests.slope[:] = 0.0
        tests.toll[:] = 0.0
        season = (self.begin + self.end) / 2
        scores, shares = np.flatnonzero(self.ready == 1), np.flatnonzero(self.ready == 2)
        if len(scores):
            tests.slope[:, scores], tests.toll[:, scores] = self._gaussian(scores, season[scores])
        if len(shares):
            tests.slope[:, shares], tests.toll[:, shares] = self._bernoulli(shares, season[shares])

    def _gaussian(self, rows: Rows, season: Floats) -> tuple[Floats, Floats]:
        """Slope and toll, ``(K, len(rows))``, of normal scores whose season is taken out before.

        A season below the reference says that the mean is lower, not that the far tail is thinner: what it takes off
        the exponent of a single score is limited to `CREDIT`.
        """
        direction = self.direction[rows]
        excess = np.maximum(-direction * season * SIZES - CREDIT, 0.0)
        return direction * SIZES, SIZES**2 / 2 + SIZES * self.delta[rows] + excess

    def _bernoulli(self, rows: Rows, season: Floats) -> tuple[Floats, Floats]:
        """Slope and toll of the likelihood ratios between the tolerated share and larger ones."""
        level, spread = self.level[rows], self.spread[rows]
        usual = np.minimum(np.maximum(level + season * spread, self.least[rows]), 0.98)
        null = np.minimum(usual + self.delta[rows], 0.98)
        reach = np.maximum(spread, np.sqrt(null * (1 - null)))
        goal = np.minimum(null + SIZES * reach, 0.5 + null / 2)
        tilt = np.log(goal / (1 - goal)) - np.log(null / (1 - null))
        return tilt, np.log1p(null * np.expm1(tilt))
