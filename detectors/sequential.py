"""The sequential test: mixture Shiryaev-Roberts e-detectors over many series at once.

For a series with scores of mean at most ``mu + delta`` under normal behaviour, and every rate ``lambda``,

    R <- (R + 1) * exp(lambda * S - n * (psi(lambda) + lambda * delta))

per step of ``n`` scores with sum ``S`` (``psi``: log moment generating function of a centred score). The mixture
``mean_lambda R`` exceeds ``gamma`` falsely at most once in ``gamma`` steps on average (e-detectors,
arXiv 2203.03532), for any dependence, as long as the conditional mean stays below ``mu + delta``.

Real levels also wander by themselves. Within a block of ``BLOCK`` seconds the level is taken as a random effect of
variance ``w2`` (in units of the score's variance): the exponent of the block's sums is divided by ``1 + n * w2``,
the exact marginal likelihood ratio of the Gaussian random-effects model. So a block never says more than
``1 / w2`` independent calls would, however many calls it holds.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 6 * 3600
LAMBDAS = (0.15, 0.3, 0.6, 1.0, 1.7, 2.8)
"""Sizes of change in standard deviations that the mixture aims at."""
K = len(LAMBDAS)
FLOOR = -60.0
CEILING = 600.0


def _empty() -> Floats:
    return np.zeros(0)


def _empty_k() -> Floats:
    return np.zeros((0, K))


@dataclass(slots=True)
class EDetectors:
    """State of ``m`` series: arrays of shape ``(m,)`` and ``(m, K)``, plain numbers only.

    ``log_r`` is the log of each R; ``total`` and ``count`` are the sums of the running block and ``told`` the
    exponent already added for it. ``slope`` and ``toll`` are the coefficients of the exponent
    ``slope * total - count * toll``; ``wiggle2`` is the variance of the level between blocks.
    """

    log_r: Floats = field(default_factory=_empty_k)
    told: Floats = field(default_factory=_empty_k)
    slope: Floats = field(default_factory=_empty_k)
    toll: Floats = field(default_factory=_empty_k)
    total: Floats = field(default_factory=_empty)
    count: Floats = field(default_factory=_empty)
    wiggle2: Floats = field(default_factory=_empty)

    def grow(self, extra: int) -> None:
        """Make room for ``extra`` more series, each at rest and not yet testable (infinite toll is not needed:
        a slope and toll of zero keep the evidence at rest)."""
        pad_k = np.zeros((extra, K))
        self.log_r = np.concatenate([self.log_r, pad_k + FLOOR])
        self.told = np.concatenate([self.told, pad_k])
        self.slope = np.concatenate([self.slope, pad_k])
        self.toll = np.concatenate([self.toll, pad_k])
        pad = np.zeros(extra)
        self.total = np.concatenate([self.total, pad])
        self.count = np.concatenate([self.count, pad])
        self.wiggle2 = np.concatenate([self.wiggle2, pad])

    def new_block(self) -> None:
        """Forget the sums of the block that ended; the evidence stays."""
        self.total[:] = 0.0
        self.count[:] = 0.0
        self.told[:] = 0.0

    def rest(self, index: int) -> None:
        """Put one series back to rest."""
        self.log_r[index] = FLOOR
        self.told[index] = 0.0
        self.total[index] = 0.0
        self.count[index] = 0.0

    def step(self, total: Floats, count: Floats, noise: Floats) -> Floats:
        """Take one step of sums ``total`` of ``count`` scores per series; return the log evidence per series.

        ``noise`` is added to the variance factor ``1 + n * w2`` (what the comparison group contributes to a
        contrast; zero elsewhere). Series without scores stay as they are.
        """
        seen = count > 0
        self.total += total
        self.count += count
        exponent = (self.slope * self.total[:, None] - self.count[:, None] * self.toll) / (
            1.0 + self.count * self.wiggle2 + noise
        )[:, None]
        active = seen[:, None] & (self.slope != 0.0)
        grown = np.logaddexp(self.log_r, 0.0) + (exponent - self.told)
        np.copyto(self.log_r, np.clip(grown, FLOOR, CEILING), where=active)
        np.copyto(self.told, exponent, where=active)
        return self.evidence()

    def evidence(self) -> Floats:
        """Log of the mixture ``mean_k R_k`` per series, shape ``(m,)``."""
        top = self.log_r.max(axis=1, initial=FLOOR)
        mixed: Floats = top + np.log(np.exp(self.log_r - top[:, None]).sum(axis=1) / K)
        return mixed
