"""How much figures vary by themselves from week to week, learned from few weeks and from all figures together.

The days within the weeks tell precisely how much chance alone moves a week (variance ``days``), but not what moves
whole weeks: holidays, campaigns, slow changes of the work. The four usual weeks tell that too (``weeks``), but four are
few. So the ratio R of the two is taken as unknown on a grid from 1 upwards. Its distribution over the figures of one
summary is estimated from them (a nonparametric maximum likelihood estimate: Laird, J. Am. Stat. Assoc. 73, 1978, by
EM), starting from a prior that `PRIOR_WEIGHT` figures are worth, and each figure then has its own by Bayes' rule. The
chance of a difference is averaged over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

RATIOS = 2.0 ** np.arange(11)
"""R, up to weeks that vary by 32 times what their days let expect."""
CALM_PRIOR, DECAY, PRIOR_WEIGHT = 0.25, 0.8, 8.0
"""Prior chance that a figure has no weekly swings; each doubling of R is so much less likely than the one before."""
STEPS = 15
DAYS_FREEDOM = 8.0
"""Degrees of freedom granted to the variation learned from days: 21 at most, fewer as days are not bell-shaped."""
LARGEST = RATIOS[-1] / 4
"""Days are never taken to vary less than a week by this, so that R stays on the grid."""
TINY = 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of one usual week's value, in the figure's unit squared.

    ``weeks``: from the ``free`` + 1 weekly values. ``days``: from the days within them; 0 where they told nothing.
    ``factor`` times it is the variance of this week minus usual.
    """

    weeks: float
    free: int
    days: float
    factor: float


@dataclass(frozen=True, slots=True)
class Chance:
    """``p``: two-sided chance of so large a difference without a change. ``margin``: half a typical 95 % interval."""

    p: float
    margin: float


def chances(spreads: Sequence[Spread], differences: Sequence[float]) -> list[Chance]:
    """The chance of each difference; all figures of a summary are handed in together and learn from each other."""
    found = [_certain(spread, difference) for spread, difference in zip(spreads, differences, strict=True)]
    open_ = [i for i, chance in enumerate(found) if chance is None]
    if open_:
        weeks = np.array([spreads[i].weeks for i in open_])
        free = np.array([float(spreads[i].free) for i in open_])
        days = np.maximum([spreads[i].days for i in open_], weeks / LARGEST)
        factor = np.array([spreads[i].factor for i in open_])
        size = np.abs(np.array([differences[i] for i in open_]))
        shares = _posterior(weeks / days, free)
        base = np.sqrt(days * factor)
        tails = 2 * stdtr(DAYS_FREEDOM, -(size / base)[:, None] / np.sqrt(RATIOS))
        typical = np.exp(shares @ np.log(RATIOS) / 2)
        margins = base * typical * float(stdtrit(DAYS_FREEDOM, 0.975))
        for i, p, margin in zip(open_, (shares * tails).sum(1), margins, strict=True):
            found[i] = Chance(min(float(p), 1.0), float(margin))
    return [chance for chance in found if chance is not None]


def _certain(spread: Spread, difference: float) -> Chance | None:
    """The chance where nothing ever varied."""
    if spread.weeks > 0 or spread.days > 0:
        return None
    return Chance(1.0 if difference == 0 else 0.0, 0.0)


def _posterior(observed: Array, free: Array) -> Array:
    """For each observed ratio the probabilities of `RATIOS`."""
    scaled = np.maximum(observed, TINY)[:, None] / RATIOS
    half = free[:, None] / 2
    likelihood = scaled**half * np.exp(-half * scaled)
    steps = DECAY ** np.arange(len(RATIOS) - 1)
    prior = np.concatenate(([CALM_PRIOR], (1 - CALM_PRIOR) * steps / steps.sum()))
    mixture = prior
    for _ in range(STEPS):
        shares = _shares(likelihood, mixture)
        mixture = (shares.sum(0) + PRIOR_WEIGHT * prior) / (len(observed) + PRIOR_WEIGHT)
    return _shares(likelihood, mixture)


def _shares(likelihood: Array, mixture: Array) -> Array:
    weighted = likelihood * mixture
    total: Array = weighted.sum(1, keepdims=True)
    return np.where(total > 0, weighted / np.maximum(total, np.finfo(float).tiny), RATIOS[-1] == RATIOS)
