"""Better, Same, Worse or Cannot tell: each week is tested against the four before it and their own variation.

A week's figure is a ratio of sums (a share, a mean, money per outcome). How far weeks are from the four before them is
learned from up to twelve usual weeks: each against its own four, so that slow growth counts as usual; from the days of
the last four (their residuals, weekdays removed); and from the other figures of the summary: see
`driftbell.alerts.weekly.variation`. A share is never given less variation than its binomial one. Over all comparisons
of a summary the false discovery rate is held at `FALSE_DISCOVERIES` (Benjamini and Hochberg, J. R. Stat. Soc. B 57,
1995), so that looking at more does not tell more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from driftbell.alerts.weekly.tally import Series
from driftbell.alerts.weekly.variation import Spread, chances
from driftbell.alerts.weekly.weeks import USUAL_WEEKS, WEEK_DAYS

Verdict = Literal["Better", "Same", "Worse", "Cannot tell"]
FALSE_DISCOVERIES = 0.05
ENOUGH_CASES = 30
BLIND_FACTOR = 5.0
"""With an uncertainty beyond so many times the smallest change worth telling, no difference means nothing."""
UNSURE_FACTOR = 1.0
"""The same where the week differs by more than is worth telling, and yet not by more than usual."""
THIN = 0.5
"""An earlier week with fewer than this share of the usual cases tells nothing of how the usual ones vary."""
OVERLAP = 0.125
"""Share of a degree of freedom lost by a week that is held against four others which are held against each other."""
Weekly = tuple[float, float]
"""(hits, trials) of a week."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure against its usual weeks, before multiplicity is looked at.

    ``spread`` is None when nothing can be compared, and ``reason`` says why. ``p`` (two-sided) and ``margin`` (half
    the width of the 95 % interval of the difference) come with `weighed`; ``worth`` is the smallest difference worth
    telling, in the figure's unit.
    """

    this: float | None
    last: float | None
    usual: float | None
    cases: float
    usual_cases: float
    worth: float
    reason: str = ""
    spread: Spread | None = None
    p: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """The smallest change worth telling: the larger of a relative and an absolute one."""

    relative: float = 0.0
    absolute: float = 0.0

    def of(self, usual: float) -> float:
        """In the figure's unit."""
        return max(self.relative * abs(usual), self.absolute)


def compare(
    series: Series,
    worth: Worth,
    *,
    share: bool = False,
    weeks: Sequence[int] = tuple(range(USUAL_WEEKS)),
    least: int = 0,
    earlier: Sequence[Weekly] = (),
) -> Comparison:
    """Compare week 4 of ``series`` with its usual ``weeks``.

    ``share``: the ratio is a proportion of counted cases. ``least``: cases needed on both sides. ``earlier``: weeks
    before the usual ones, the oldest first; they tell how much weeks vary and nothing else.
    """
    this, cases = series.week(USUAL_WEEKS)
    past = [(h, n) for h, n in (series.week(week) for week in weeks) if n > 0]
    usual_cases = sum(n for _, n in past)
    now = this / cases if cases > 0 else None
    usual = sum(h for h, _ in past) / usual_cases if usual_cases > 0 else None
    last_hits, last_trials = series.week(USUAL_WEEKS - 1)
    last = last_hits / last_trials if last_trials > 0 else None
    least_difference = worth.of(usual) if usual is not None else 0.0

    def say(reason: str, spread: Spread | None = None) -> Comparison:
        return Comparison(now, last, usual, cases, usual_cases, least_difference, reason, spread)

    if now is None:
        return say("no data this week")
    if cases < least:
        return say("too few to tell")
    if usual is None or len(past) < 2 or usual_cases < least:
        return say("nothing to compare with yet")
    mean_cases = usual_cases / len(past)
    days = _variance_of_days(series, weeks) / mean_cases**2
    if share:
        smoothed = (usual * usual_cases + 1) / (usual_cases + 2)
        days = max(days, smoothed * (1 - smoothed) / mean_cases)
    known = [week for week in earlier if week[1] >= THIN * mean_cases]
    factor = max(1.0, mean_cases / cases) + 1 / len(past)
    return say("", Spread(*_variance_of_weeks([*known, *past], mean_cases), days, factor))


def _variance_of_weeks(weeks: Sequence[Weekly], mean_cases: float) -> tuple[float, float]:
    """Variance of a week of ``mean_cases`` around the four before it, and its degrees of freedom."""
    squares = []
    for i in range(1, len(weeks)):
        before = weeks[max(0, i - USUAL_WEEKS) : i]
        (hits, cases), cases_before = weeks[i], sum(n for _, n in before)
        rest = _distance(hits / cases, sum(h for h, _ in before) / cases_before)
        squares.append(rest**2 / (1 / cases + 1 / cases_before) / mean_cases)
    free = len(squares) - OVERLAP * max(0, len(squares) - USUAL_WEEKS)
    return sum(squares) / len(squares), free


def weighed(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one summary with ``p`` and ``margin``, where they can be compared at all."""
    tested = [
        (i, c.spread, _distance(c.this, c.usual))
        for i, c in enumerate(comparisons)
        if c.spread is not None and c.this is not None and c.usual is not None
    ]
    found = list(comparisons)
    given = chances([spread for _, spread, _ in tested], [difference for _, _, difference in tested])
    for (i, _, _), chance in zip(tested, given, strict=True):
        found[i] = replace(comparisons[i], p=chance.p, margin=chance.margin)
    return found


def _distance(this: float, usual: float) -> float:
    """How far a week is from usual; upwards on the scale of logarithms, as what moves whole weeks multiplies."""
    return usual * math.log(this / usual) if this > usual > 0 else this - usual


def _variance_of_days(series: Series, weeks: Sequence[int]) -> float:
    """Variance of a week's sum of hits around its own ratio, from its days with the weekday's mean removed.

    The week's own ratio is taken, so that what moves whole weeks is not in it.
    """
    sums = {week: series.week(week) for week in weeks}
    ratios = {week: hits / trials for week, (hits, trials) in sums.items() if trials > 0}
    total, days = 0.0, 0
    for weekday in range(WEEK_DAYS):
        at = [(ratio, week * WEEK_DAYS + weekday) for week, ratio in ratios.items()]
        rests = [series.hits[d] - ratio * series.trials[d] for ratio, d in at if series.trials[d] > 0]
        if len(rests) > 1:
            mean = sum(rests) / len(rests)
            total += sum((rest - mean) ** 2 for rest in rests)
            days += len(rests) - 1
    free = days - (len(ratios) - 1)
    return WEEK_DAYS * total / free if free > 0 else 0.0


def discoveries(comparisons: Sequence[Comparison], rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which differences are real, with the false discovery rate held over all of them."""
    tested = sorted((c.p, i) for i, c in enumerate(comparisons) if c.p is not None)
    found = [False] * len(comparisons)
    passed = 0
    for rank, (p, _) in enumerate(tested, 1):
        if p <= rate * rank / len(tested):
            passed = rank
    for _, i in tested[:passed]:
        found[i] = True
    return found


def judge(comparison: Comparison, real: bool, good: int) -> tuple[Verdict, str]:
    """The verdict and its reason in words; ``good`` is +1 where more is better, -1 where less is."""
    if comparison.p is None or comparison.this is None or comparison.usual is None or comparison.margin is None:
        return "Cannot tell", comparison.reason
    difference = comparison.this - comparison.usual
    if real and abs(difference) >= comparison.worth and difference:
        return ("Better" if difference * good > 0 else "Worse"), "real change"
    blind = BLIND_FACTOR if abs(difference) < comparison.worth else UNSURE_FACTOR
    if good and not real and comparison.margin > blind * comparison.worth > 0:
        return "Cannot tell", "it varies too much from week to week"
    return "Same", "no real change"
