"""The sequential test: mixture Shiryaev-Roberts e-detectors over many series at once.

For a series with scores of mean at most ``mu + delta`` under normal behaviour, and every rate ``lambda``,

    R <- (R + 1) * exp(lambda * S - n * (psi(lambda) + lambda * delta))

per step of ``n`` scores with sum ``S`` (``psi``: log moment generating function of a centred score). The mixture
``mean_lambda R`` exceeds ``gamma`` falsely at most once in ``gamma`` steps on average (e-detectors,
arXiv 2203.03532), for any dependence, as long as the conditional mean stays below ``mu + delta``.

Real levels also wander by themselves. Within a block of ``BLOCK`` seconds the level is taken as a random effect of
variance ``w2`` (in units of the score's variance): the exponent of the block's sums is divided by ``1 + n * w2``,
the exact marginal likelihood ratio of the Gaussian random-effects model. So a block never says more than
``1 / w2`` independent calls would, however many calls it holds. The sums of a block begin anew whenever R is at rest,
so that a level that moves within a block cannot be counted twice.

R itself is kept, in single precision and row by row of the mixture, so that a step is a few passes over contiguous
memory; its exponents are small differences and R is compared with thresholds on the scale of logarithms.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

BLOCK = 6 * 3600
LAMBDAS = (0.08, 0.15, 0.3, 0.6, 1.0, 1.7, 2.8)
"""Sizes of change in standard deviations that the mixture aims at."""
K = len(LAMBDAS)
LEAST, MOST = np.float32(1e-20), np.float32(1e30)
SPAN = 2048
"""Series that are stepped through together: what they need fits into the cache."""


def _empty() -> Floats:
    return np.zeros(0)


def _empty_k() -> Singles:
    return np.zeros((K, 0), np.float32)


def _empty_times() -> NDArray[np.uint32]:
    return np.zeros((K, 0), np.uint32)


@dataclass(slots=True)
class EDetectors:
    """State of ``m`` series: arrays of shape ``(m,)`` and ``(K, m)``, plain numbers only.

    ``r`` is each R; ``total`` and ``count`` are the sums of the running block since R was last at rest and ``told``
    the exponent already added for them. ``slope`` and ``toll`` are the coefficients of the exponent
    ``slope * total - count * toll``; ``climb`` is the CUSUM of the same increments, zero at the likeliest onset
    (Page 1954); ``wiggle2`` is the variance of the level between blocks,
    ``crowd`` how many times the variance of a sum exceeds that of independent scores (the design effect: sessions,
    retries and loops come in crowds). ``onset`` (epoch s) is when ``climb`` was last zero, ``seen`` and ``moved`` the
    scores and their residuals since.
    """

    r: Singles = field(default_factory=_empty_k)
    climb: Singles = field(default_factory=_empty_k)
    told: Singles = field(default_factory=_empty_k)
    slope: Singles = field(default_factory=_empty_k)
    toll: Singles = field(default_factory=_empty_k)
    total: Singles = field(default_factory=_empty_k)
    count: Singles = field(default_factory=_empty_k)
    onset: NDArray[np.uint32] = field(default_factory=_empty_times)
    seen: Singles = field(default_factory=_empty_k)
    moved: Singles = field(default_factory=_empty_k)
    wiggle2: Floats = field(default_factory=_empty)
    crowd: Floats = field(default_factory=_empty)

    def grow(self, extra: int) -> None:
        """Make room for ``extra`` more series at rest; a slope of zero keeps a series there until it is set."""
        for name in ("climb", "told", "slope", "toll", "total", "count", "onset", "seen", "moved"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros((K, extra), old.dtype)], axis=1))
        self.r = np.concatenate([self.r, np.full((K, extra), LEAST)], axis=1)
        self.wiggle2 = np.concatenate([self.wiggle2, np.zeros(extra)])
        self.crowd = np.concatenate([self.crowd, np.ones(extra)])

    def new_block(self) -> None:
        """Forget the sums of the block that ended; the evidence stays."""
        self.total[:] = 0.0
        self.count[:] = 0.0
        self.told[:] = 0.0

    def rest(self, index: int, at: float) -> None:
        """Put one series back to rest at ``at`` (epoch s): what it tells later began no earlier."""
        self.r[:, index] = LEAST
        self.onset[:, index] = np.uint32(at)
        for part in (self.climb, self.seen, self.moved, self.told, self.total, self.count):
            part[:, index] = 0.0

    def step(self, total: Floats, count: Floats, extra: Floats, residual: Floats, end: float) -> Floats:
        """Take one step of sums ``total`` of ``count`` scores per series; return the log evidence per series.

        ``extra`` is added to the variance between blocks (what the comparison group of a contrast contributes;
        zero elsewhere). ``residual`` is the total less what is usual, in standard deviations, and ``end`` the end of
        the step (epoch s). Series without scores stay as they are.
        """
        wiggle2, crowd = (self.wiggle2 + extra).astype(np.float32), self.crowd.astype(np.float32)
        sums, counts, moved = (each.astype(np.float32) for each in (total, count, residual))
        for first in range(0, len(total), SPAN):
            part = slice(first, first + SPAN)
            self._step(part, wiggle2[part], crowd[part], sums[part], counts[part], moved[part], np.uint32(end))
        return self.evidence()

    def _step(
        self,
        part: slice,
        wiggle2: Singles,
        crowd: Singles,
        total: Singles,
        count: Singles,
        residual: Singles,
        end: np.uint32,
    ) -> None:
        r, told, sums, counts = self.r[:, part], self.told[:, part], self.total[:, part], self.count[:, part]
        slope = self.slope[:, part]
        active = ((count > 0) & (slope[0] != 0)).astype(np.float32)
        stirred = r > 1.0
        sums *= stirred
        sums += total
        counts *= stirred
        counts += count
        told *= stirred
        exponent = slope * sums
        exponent -= counts * self.toll[:, part]
        exponent /= counts * wiggle2 + crowd
        exponent -= told
        exponent *= active
        told += exponent
        climb = self.climb[:, part]
        climb += exponent
        np.maximum(climb, 0.0, out=climb)
        r += active
        with np.errstate(over="ignore"):  # the clip takes infinity, too
            np.exp(exponent, out=exponent)
            r *= exponent
        np.clip(r, LEAST, MOST, out=r)
        stirred = climb > 0.0
        seen, moved = self.seen[:, part], self.moved[:, part]
        seen += count
        seen *= stirred
        moved += residual
        moved *= stirred
        np.copyto(self.onset[:, part], end, where=~stirred)

    def change(self, index: int) -> tuple[float, float, float]:
        """``(onset, n, mean shift)`` of one series, by the likeliest size of change; ``n`` is 0 without one."""
        best = int(np.argmax(self.climb[:, index]))
        n = float(self.seen[best, index])
        return float(self.onset[best, index]), n, float(self.moved[best, index]) / max(n, 1.0)

    def evidence(self) -> Floats:
        """Log of the mixture ``mean_k R_k`` per series, shape ``(m,)``."""
        found: Floats = np.log(self.r.mean(axis=0)).astype(np.float64)
        return found
