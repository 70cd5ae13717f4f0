"""How much figures vary by themselves from week to week, learned from each one's weeks and from all of them together.

The days within the weeks tell how much chance alone moves a week (variance ``days``), the weeks themselves tell what
else moves them: holidays, campaigns, slow changes of the work (``weeks``, from few values). As in Smyth (Stat. Appl.
Genet. Mol. Biol. 3, 2004) the ratio of the two is drawn around a common one: ``weeks / days`` follows ``common`` times
F(``free``, ``worth``), and each figure's own variance is the mean of both, weighted by their degrees of freedom. How
alike the figures are (``worth``) is learned from them too, so a mail of figures that swing apart leaves each to itself.
Common ratio and worth are not guessed but averaged over a grid, by how well each explains the figures at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, stdtr, stdtrit

LARGEST = 256.0
"""Weeks that vary by 16 times what their days let expect; days are never taken to tell less than that."""
COMMON, WORTH = (grid.ravel() for grid in np.meshgrid(np.geomspace(1.0, LARGEST, 17), [1.0, 2.0, 4.0, 8.0, 16.0]))
"""The grid: before the figures are seen, every pair is as likely as any other.

The figures together are never worth more than what their days tell: at most 18 degrees of freedom each.
"""
NEGLIGIBLE = 1e-4
"""Pairs less likely than this are left out of the average."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of one usual week's value, in the figure's unit squared.

    ``weeks``: from the weeks, with ``free`` degrees of freedom. ``days``: from the days within them; 0 where they told
    nothing. ``factor`` times it is the variance of this week minus usual.
    """

    weeks: float
    free: float
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
        free = np.array([spreads[i].free for i in open_])
        days = np.maximum([spreads[i].days for i in open_], weeks / LARGEST)
        base = np.sqrt(days * np.array([spreads[i].factor for i in open_]))
        size = np.abs(np.array([differences[i] for i in open_]))
        tails, margins = np.zeros(len(open_)), np.zeros(len(open_))
        for common, worth, weight in _likely(weeks / days, free):
            own = np.sqrt(np.maximum((worth * common + free * weeks / days) / (worth + free), 1.0))
            tails += weight * 2 * stdtr(worth + free, -size / (base * own))
            margins += weight * base * own * stdtrit(worth + free, 0.975)
        for i, p, margin in zip(open_, tails, margins, strict=True):
            found[i] = Chance(min(float(p), 1.0), float(margin))
    return [chance for chance in found if chance is not None]


def _certain(spread: Spread, difference: float) -> Chance | None:
    """The chance where nothing ever varied."""
    if spread.weeks > 0 or spread.days > 0:
        return None
    return Chance(1.0 if difference == 0 else 0.0, 0.0)


def _likely(observed: Array, free: Array) -> list[tuple[float, float, float]]:
    """(common ratio, its worth, probability) of the pairs that explain the ``observed`` ratios, summing to 1."""
    logs = np.array([_log_likelihood(observed, free, c, w) for c, w in zip(COMMON, WORTH, strict=True)])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    kept = shares >= NEGLIGIBLE
    return list(zip(COMMON[kept], WORTH[kept], shares[kept] / shares[kept].sum(), strict=True))


def _log_likelihood(observed: Array, free: Array, common: float, worth: float) -> float:
    """Log density of ``observed / common`` under F(free, worth), without what no pair changes."""
    odds = free / (worth * common)
    terms = free / 2 * np.log(odds) - (free + worth) / 2 * np.log1p(odds * observed) - betaln(free / 2, worth / 2)
    return float(terms.sum())
