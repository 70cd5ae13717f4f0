"""What hour and week do to a level is learned apart from how far it strays by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbell.detectors.season import DAY, HOUR, MOST_CROWD, Seasons
from driftbell.detectors.sequential import BLOCK

WEEKS = 6
LEARNED = np.array([True])


def learned(mean, per_hour=200, wander=0.0, weeks=WEEKS, seed=1) -> Seasons:
    """Seasons after hours whose mean residual is ``mean(start)`` plus a level that each block draws anew."""
    rng = np.random.default_rng(seed)
    seasons = Seasons()
    seasons.grow(1)
    level = 0.0
    for start in range(0, weeks * 7 * DAY, HOUR):
        if start % BLOCK == 0:
            level = rng.normal(0, wander)
        n = float(rng.poisson(per_hour))
        total = n * (mean(start) + level) + np.sqrt(n) * rng.normal()
        seasons.take(start, np.array([n]), np.array([total]))
        if (start + HOUR) % BLOCK == 0:
            seasons.learn(start // BLOCK * BLOCK, LEARNED)
    return seasons


def middle(seasons: Seasons, start: int) -> float:
    begin, end = seasons.ahead(start)
    return float(begin[0] + end[0]) / 2


def daily(start: int) -> float:
    return 0.5 * float(np.sin(2 * np.pi * (start + HOUR / 2) / DAY))


def weekly(start: int) -> float:
    return -0.6 if start // DAY % 7 in (2, 3) else 0.2


@pytest.mark.parametrize("season", [daily, weekly])
def test_a_season_is_known_after_some_weeks(season):
    seasons = learned(season)
    after = WEEKS * 7 * DAY
    inside = [h for h in range(24 * 7) if season is daily or h % 24 not in (0, 1, 2, 21, 22, 23)]
    wrong = [middle(seasons, after + h * HOUR) - season(after + h * HOUR) for h in inside]
    assert np.sqrt(np.mean(np.square(wrong))) < 0.12


def crowded(phi, per_hour=50, days=5, seed=1) -> Seasons:
    """Seasons after scores that follow each other with the correlation ``phi``."""
    rng = np.random.default_rng(seed)
    seasons, last = Seasons(), 0.0
    seasons.grow(1)
    for start in range(0, days * DAY, HOUR):
        total = 0.0
        for fresh in rng.normal(size=per_hour):
            last = phi * last + np.sqrt(1 - phi * phi) * fresh
            total += last
        seasons.take(start, np.array([float(per_hour)]), np.array([total]))
        if (start + HOUR) % BLOCK == 0:
            seasons.learn(start // BLOCK * BLOCK, LEARNED)
    return seasons


@pytest.mark.parametrize("seed", range(5))
def test_calls_that_follow_each_other_are_known_as_a_crowd_before_the_first_test(seed):
    alone = np.array([1.0])
    assert crowded(0.8, seed=seed).crowd(alone)[0] > 2.5
    assert crowded(0.0, seed=seed).crowd(alone)[0] < 1.3


def test_a_series_of_which_nothing_is_known_is_as_crowded_as_its_bins():
    seasons = Seasons()
    seasons.grow(3)
    assert seasons.crowd(np.array([1.0, 4.0, 1e9])).tolist() == [1.0, 4.0, MOST_CROWD]


def test_where_there_is_no_season_none_is_made_up():
    seasons = learned(lambda _: 0.0)
    found = [middle(seasons, h * HOUR) for h in range(24 * 7)]
    assert np.sqrt(np.mean(np.square(found))) < 0.04


@pytest.mark.parametrize("season", [lambda _: 0.0, daily, weekly])
@pytest.mark.parametrize("wander", [0.0, 0.1, 0.3])
def test_a_level_strays_as_far_as_it_does_with_and_without_a_season(season, wander):
    found = [float(learned(season, wander=wander, seed=seed).wander()[0]) for seed in range(4)]
    assert np.mean(found) == pytest.approx(wander, abs=0.06 + 0.2 * wander)


def test_a_level_that_stays_away_for_days_counts_for_more_than_one_that_jumps():
    def slow(start: int) -> float:
        return 0.3 if start // (3 * DAY) % 2 else -0.3

    jumping = [learned(lambda _: 0.0, wander=0.3, seed=seed).kinship()[0] for seed in range(5)]
    assert learned(slow).kinship()[0] > 1.5
    assert np.mean(jumping) < 1.3


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.floats(-1e6, 1e6), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_comes_the_numbers_stay_numbers(blocks):
    seasons = Seasons()
    seasons.grow(2)
    for at, (n, residual, learn) in enumerate(blocks):
        start = at * BLOCK
        seasons.take(start, np.array([float(n), 0.0]), np.array([residual if n else 0.0, 0.0]))
        seasons.learn(start, np.array([learn, True]))
        begin, end = seasons.ahead(start + BLOCK)
        assert np.isfinite([begin, end, seasons.wander(), seasons.kinship()]).all()
    assert begin[1] == end[1] == 0.0


def test_one_hit_of_a_rare_share_at_night_does_not_make_its_level_uncertain() -> None:
    share, seasons, rng = 0.005, Seasons(), np.random.default_rng(3)
    spread = np.sqrt(share * (1 - share))
    seasons.grow(1)
    seasons.scale[:] = 2 * spread
    for start in range(0, 10 * DAY, HOUR):
        office = 8 <= start % DAY // HOUR < 18
        n = 50.0 if office else float(start % DAY == 2 * HOUR)
        hits = rng.binomial(50, share) if office else float(start == 8 * DAY + 2 * HOUR)
        seasons.take(start, np.array([n]), np.array([(hits - n * share) / spread]))
        if (start + HOUR) % BLOCK == 0:
            seasons.learn(start // BLOCK * BLOCK, LEARNED)
    assert seasons.wander()[0] < 0.1
