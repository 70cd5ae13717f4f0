"""Verdicts: real changes are found, usual ups and downs are not told, and looking at more does not tell more."""

import random

import numpy as np
import pytest

from driftbell.alerts.weekly.tally import Series
from driftbell.alerts.weekly.verdict import Worth, compare, discoveries, judge, weighed

WORTH = Worth(0.05, 0.01)


def series(shares: list[float], trials: int = 200, chance: random.Random | None = None) -> Series:
    """35 days of a rate; with ``chance`` its hits are drawn."""
    hits = [
        float(sum(chance.random() < share for _ in range(trials))) if chance else share * trials for share in shares
    ]
    return Series(hits, [float(trials)] * 35)


def verdict(of: Series, good: int = -1, **more) -> tuple[str, str]:
    (comparison,) = weighed([compare(of, WORTH, share=True, least=30, **more)])
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
    assert sum(discoveries(weighed(comparisons))) <= 2


def test_of_what_is_told_among_many_nearly_all_is_real():
    chance = random.Random(5)
    comparisons, truth = [], []
    for i in range(400):
        real = i % 10 == 0
        shares = [0.1 * chance.lognormvariate(0, 0.2) * (1.8 if real and d >= 28 else 1) for d in range(35)]
        comparisons.append(compare(series(shares, 150, chance), WORTH, share=True, least=30))
        truth.append(real)
    told = discoveries(weighed(comparisons))
    wrong = sum(said and not is_real for said, is_real in zip(told, truth, strict=True))
    found = sum(said and is_real for said, is_real in zip(told, truth, strict=True))
    assert found >= 34
    assert wrong <= 0.1 * sum(told)


def test_nothing_compared_is_nothing_told():
    assert discoveries([]) == []


def mail(kind: str, chance: np.random.Generator, *, week: float, day: float, figures: int = 20) -> list[Series]:
    """Figures of one summary in which nothing changes, whose weeks and days swing by so much (log scale)."""
    trials = np.tile([1000.0] * 5 + [400.0] * 2, 5)
    made = []
    for _ in range(figures):
        level = np.exp(np.repeat(chance.normal(0, week, 5), 7) + chance.normal(0, day, 35))
        if kind == "share":
            hits = chance.binomial(trials.astype(int), np.minimum(0.1 * level, 1)).astype(float)
        else:
            hits = level * trials * chance.normal(1, 1 / np.sqrt(trials))
        made.append(Series(hits.tolist(), trials.tolist()))
    return made


def told_falsely(kind: str, mails: int = 100, **swings: float) -> float:
    """Share of the summaries that tell a change though there is none."""
    chance, wrong = np.random.default_rng(20261122), 0
    for _ in range(mails):
        share = kind == "share"
        compared = weighed([compare(s, WORTH, share=share, least=30) for s in mail(kind, chance, **swings)])
        verdicts = [judge(c, real, -1)[0] for c, real in zip(compared, discoveries(compared), strict=True)]
        wrong += any(verdict in ("Better", "Worse") for verdict in verdicts)
    return wrong / mails


@pytest.mark.parametrize("kind", ["share", "money"])
@pytest.mark.parametrize(("week", "day"), [(0.0, 0.0), (0.0, 0.2), (0.05, 0.1), (0.2, 0.1)])
def test_hardly_a_mail_tells_a_change_when_weeks_and_days_only_swing(kind, week, day):
    """One mail in twenty is promised; of a hundred, chance alone may make ten (`bench/verdicts.py` measures finer)."""
    assert told_falsely(kind, week=week, day=day) <= 0.1


@pytest.mark.parametrize("kind", ["share", "money"])
def test_earlier_weeks_make_a_change_easier_to_find_and_no_change_no_likelier_to_be_told(kind):
    chance = np.random.default_rng(20261123)
    found, wrong = [0, 0], 0
    for _ in range(30):
        for knows in (0, 1):
            compared = []
            for number, one in enumerate(mail(kind, chance, week=0.05, day=0.1)):
                hits = [h * (1.3 if number < 3 and d >= 28 else 1) for d, h in enumerate(one.hits)]
                (older,) = mail(kind, chance, week=0.05, day=0.1, figures=1)
                before = [older.week(week) for week in range(5)] * knows
                changed = Series(hits, one.trials)
                compared.append(compare(changed, WORTH, share=kind == "share", least=30, earlier=before))
            told = discoveries(weighed(compared))
            found[knows] += sum(told[:3])
            wrong += any(told[3:])
    assert found[1] > found[0]
    assert wrong <= 9


def test_a_jump_in_the_earlier_weeks_is_how_much_this_figure_moves():
    chance = random.Random(6)
    steady, jumped = series([0.3] * 28 + [0.5] * 7, chance=chance), [(150.0, 1400.0), (560.0, 1400.0)] * 4
    (calm,), (wild,) = (weighed([compare(steady, WORTH, share=True, earlier=one)]) for one in ((), jumped))
    assert calm.p < 0.01 < wild.p


def test_thin_weeks_long_ago_are_not_asked_how_much_the_usual_ones_vary():
    full = series([0.3] * 35, chance=random.Random(7))
    thin = [(9.0, 10.0), (1.0, 10.0)] * 4
    assert compare(full, WORTH, share=True, earlier=thin).spread == compare(full, WORTH, share=True).spread


def test_the_error_of_a_coin_would_tell_many_a_change_that_is_none():
    chance, wrong = np.random.default_rng(8), 0
    for _ in range(60):
        for series in mail("share", chance, week=0.1, day=0.1, figures=1):
            (hits, trials), before = series.week(4), [series.week(week) for week in range(4)]
            usual, cases = sum(h for h, _ in before) / sum(n for _, n in before), sum(n for _, n in before)
            error = (usual * (1 - usual) * (1 / trials + 1 / cases)) ** 0.5
            wrong += abs(hits / trials - usual) > 1.96 * error
    assert wrong > 20


def test_weeks_that_never_vary_are_told_apart_exactly():
    (same,) = weighed([compare(series([0.5] * 35), Worth(0.05))])
    (other,) = weighed([compare(series([0.5] * 28 + [0.6] * 7), Worth(0.05))])
    assert (same.p, other.p) == (1.0, 0.0)


def test_weeks_that_jump_while_their_days_stand_still_are_not_trusted():
    jumping = Series([20.0] * 7 + [60.0] * 7 + [30.0] * 7 + [50.0] * 7 + [70.0] * 7, [200.0] * 35)
    (comparison,) = weighed([compare(jumping, Worth(0.05))])
    assert comparison.p > 0.05
