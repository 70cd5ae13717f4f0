"""Verdicts: real changes are found, usual ups and downs are not told, and looking at more does not tell more."""

import random

import pytest

from driftbell.alerts.weekly.tally import Series
from driftbell.alerts.weekly.verdict import Worth, compare, discoveries, judge

WORTH = Worth(0.05, 0.01)


def series(shares: list[float], trials: int = 200, chance: random.Random | None = None) -> Series:
    """35 days of a rate; with ``chance`` its hits are drawn."""
    hits = [
        float(sum(chance.random() < share for _ in range(trials))) if chance else share * trials for share in shares
    ]
    return Series(hits, [float(trials)] * 35)


def verdict(of: Series, good: int = -1, **more) -> tuple[str, str]:
    comparison = compare(of, WORTH, share=True, least=30, **more)
    return judge(comparison, discoveries([comparison])[0], good)


def test_a_rate_that_triples_is_worse_and_one_that_falls_is_better():
    chance = random.Random(1)
    assert verdict(series([0.02] * 28 + [0.06] * 7, chance=chance))[0] == "Worse"
    assert verdict(series([0.06] * 28 + [0.02] * 7, chance=chance))[0] == "Better"
    assert verdict(series([0.6] * 28 + [0.7] * 7, chance=chance), good=1)[0] == "Better"


def test_the_same_rate_is_the_same():
    assert verdict(series([0.3] * 35, chance=random.Random(2))) == ("Same", "no real change")


def test_a_real_change_too_small_to_matter_is_the_same():
    steady = series([0.300] * 28 + [0.303] * 7, trials=100_000)
    assert verdict(steady) == ("Same", "no real change")


def test_few_cases_are_too_few_to_tell():
    assert verdict(series([0.1] * 28 + [0.9] * 7, trials=4)) == ("Cannot tell", "too few to tell")


def test_without_two_weeks_of_history_nothing_is_compared():
    young = Series([0.0] * 21 + [5.0] * 14, [0.0] * 21 + [100.0] * 14)
    assert verdict(young) == ("Cannot tell", "nothing to compare with yet")
    assert verdict(Series([1.0] * 28 + [0.0] * 7, [50.0] * 28 + [0.0] * 7)) == ("Cannot tell", "no data this week")


def test_weeks_that_swing_by_themselves_make_the_next_swing_no_news():
    swinging = [0.1] * 7 + [0.3] * 7 + [0.12] * 7 + [0.28] * 7 + [0.32] * 7
    assert verdict(series(swinging))[0] == "Cannot tell"


def test_a_weekly_rhythm_is_not_mistaken_for_noise():
    rhythm = [0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 0.5]
    raised = [share * 1.3 for share in rhythm]
    assert verdict(series(rhythm * 4 + raised, chance=random.Random(3)))[0] == "Worse"


@pytest.mark.parametrize(("day_noise", "week_noise"), [(0.0, 0.0), (0.3, 0.0), (0.15, 0.15)])
def test_of_many_unchanged_figures_hardly_any_is_called_changed(day_noise, week_noise):
    chance = random.Random(4)
    comparisons = []
    for _ in range(400):
        weeks = [chance.lognormvariate(0, week_noise) for _ in range(5)]
        shares = [0.1 * weeks[d // 7] * chance.lognormvariate(0, day_noise) for d in range(35)]
        hits = [sum(chance.random() < share for _ in range(60)) for share in shares]
        comparisons.append(compare(Series([float(h) for h in hits], [60.0] * 35), WORTH, share=True, least=30))
    assert sum(discoveries(comparisons)) <= 2


def test_of_what_is_told_among_many_nearly_all_is_real():
    chance = random.Random(5)
    comparisons, truth = [], []
    for i in range(400):
        real = i % 10 == 0
        shares = [0.1 * chance.lognormvariate(0, 0.2) * (1.8 if real and d >= 28 else 1) for d in range(35)]
        comparisons.append(compare(series(shares, 150, chance), WORTH, share=True, least=30))
        truth.append(real)
    told = discoveries(comparisons)
    wrong = sum(said and not is_real for said, is_real in zip(told, truth, strict=True))
    found = sum(said and is_real for said, is_real in zip(told, truth, strict=True))
    assert found >= 34
    assert wrong <= 0.1 * sum(told)


def test_nothing_compared_is_nothing_told():
    assert discoveries([]) == []
