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
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 6 * 3600
LAMBDAS = (0.15, 0.3, 0.6, 1.0, 1.7, 2.8)
"""Sizes of change in standard deviations that the mixture aims at."""
K = len(LAMBDAS)
AT_REST = 0.7
"""Log R below which a series counts as undisturbed (R settles around 1)."""
FLOOR = -60.0
CEILING = 600.0


def _empty() -> Floats:
    return np.zeros(0)


def _empty_k() -> Floats:
    return np.zeros((0, K))


@dataclass(slots=True)
class EDetectors:
    """State of ``m`` series: arrays of shape ``(m,)`` and ``(m, K)``, plain numbers only.

    ``log_r`` is the log of each R; ``total`` and ``count`` are the sums of the running block since R was last at
    rest and ``told`` the exponent already added for them. ``slope`` and ``toll`` are the coefficients of the exponent
    ``slope * total - count * toll``; ``wiggle2`` is the variance of the level between blocks,
    ``crowd`` how many times the variance of a sum exceeds that of independent scores (the design effect: sessions,
    retries and loops come in crowds).
    """

    log_r: Floats = field(default_factory=_empty_k)
    told: Floats = field(default_factory=_empty_k)
    slope: Floats = field(default_factory=_empty_k)
    toll: Floats = field(default_factory=_empty_k)
    total: Floats = field(default_factory=_empty_k)
    count: Floats = field(default_factory=_empty_k)
    onset: Floats = field(default_factory=_empty_k)
    seen: Floats = field(default_factory=_empty_k)
    moved: Floats = field(default_factory=_empty_k)
    wiggle2: Floats = field(default_factory=_empty)
    crowd: Floats = field(default_factory=_empty)

    def grow(self, extra: int) -> None:
        """Make room for ``extra`` more series at rest; a slope of zero keeps a series there until it is set."""
        zeros = np.zeros((extra, K))
        self.log_r = np.concatenate([self.log_r, zeros + FLOOR])
        for name in ("told", "slope", "toll", "total", "count", "onset", "seen", "moved"):
            setattr(self, name, np.concatenate([getattr(self, name), zeros]))
        self.wiggle2 = np.concatenate([self.wiggle2, np.zeros(extra)])
        self.crowd = np.concatenate([self.crowd, np.ones(extra)])

    def new_block(self) -> None:
        """Forget the sums of the block that ended; the evidence stays."""
        self.total[:] = 0.0
        self.count[:] = 0.0
        self.told[:] = 0.0

    def rest(self, index: int) -> None:
        """Put one series back to rest."""
        self.log_r[index] = FLOOR
        self.seen[index] = 0.0
        self.moved[index] = 0.0
        self.told[index] = 0.0
        self.total[index] = 0.0
        self.count[index] = 0.0

    def step(self, total: Floats, count: Floats, extra: Floats, residual: Floats, end: float) -> Floats:
        """Take one step of sums ``total`` of ``count`` scores per series; return the log evidence per series.

        ``extra`` is added to the variance between blocks (what the comparison group of a contrast contributes;
        zero elsewhere). ``residual`` is the total less what is usual, in standard deviations, and ``end`` the end of
        the step. Series without scores stay as they are.
        """
        active = (count > 0)[:, None] & (self.slope != 0.0)
        fresh = self.log_r <= 0.0
        self.total = np.where(fresh, 0.0, self.total) + total[:, None]
        self.count = np.where(fresh, 0.0, self.count) + count[:, None]
        told = np.where(fresh, 0.0, self.told)
        variance = self.crowd[:, None] + self.count * (self.wiggle2 + extra)[:, None]
        exponent = (self.slope * self.total - self.count * self.toll) / variance
        grown = np.logaddexp(self.log_r, 0.0) + (exponent - told)
        np.copyto(self.log_r, np.clip(grown, FLOOR, CEILING), where=active)
        np.copyto(self.told, exponent, where=active)
        resting = self.log_r <= AT_REST
        self.onset = np.where(resting, end, self.onset)
        self.seen = np.where(resting, 0.0, self.seen + count[:, None])
        self.moved = np.where(resting, 0.0, self.moved + residual[:, None])
        return self.evidence()

    def change(self, index: int) -> tuple[float, float, float]:
        """``(onset, n, mean shift)`` of one series, as the size of change with the most evidence has it."""
        best = int(np.argmax(self.log_r[index]))
        n = float(self.seen[index, best])
        return float(self.onset[index, best]), n, float(self.moved[index, best]) / max(n, 1.0)

    def evidence(self) -> Floats:
        """Log of the mixture ``mean_k R_k`` per series, shape ``(m,)``."""
        top = self.log_r.max(axis=1, initial=FLOOR)
        mixed: Floats = top + np.log(np.exp(self.log_r - top[:, None]).sum(axis=1) / K)
        return mixed
