"""What the next value would be: levels and seasons, the best of them, without being thrown by freaks."""

import math

import numpy as np
import pytest

from driftbell.detectors.forecast import Best, Level, Season


def test_a_level_is_the_mean_at_first_and_follows_at_its_rate() -> None:
    level = Level(0.1)
    for value in (1.0, 2.0, 3.0):
        level.learn(value, math.inf)
    assert level.forecast() == pytest.approx(2.0)


def test_a_freak_moves_a_level_no_further_than_its_reach() -> None:
    level = Level(0.1)
    for value in [5.0] * 50 + [1e9]:
        level.learn(value, 1.0)
    assert level.forecast() == pytest.approx(5.1)


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_a_season_knows_the_time_of_day_after_one_day(width: float) -> None:
    season = Season(24, width)
    for i in range(24 * 4):
        if i >= 24:
            usual = season.forecast()
            assert usual is not None
            assert abs(usual - 10 * math.sin(2 * math.pi * i / 24)) < (1e-9 if width == 1.0 else 5.0)
        season.learn(10 * math.sin(2 * math.pi * i / 24), math.inf)


def test_a_season_says_nothing_on_its_first_day() -> None:
    season = Season(4)
    for i in range(4):
        assert season.forecast() is None
        season.learn(float(i), math.inf)
    assert season.forecast() == 0.0


def test_a_season_goes_on_over_rows_that_never_came() -> None:
    season = Season(4)
    for i in range(8):
        season.learn(float(i % 4), math.inf)
    season.skip(2)
    assert season.forecast() == 2.0
    season.skip(-1)
    assert season.forecast() == 1.0


def test_the_model_that_was_best_so_far_speaks() -> None:
    best = Best([Level(1.0), Season(7)])
    values = np.tile([1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 5.0], 12)
    found = [best.step(float(value), math.inf) for value in values]
    assert found[-7:] == values[-7:].tolist()


def test_without_a_value_nothing_is_learned() -> None:
    best = Best([Level(0.5)])
    assert best.step(None, math.inf) is None
    best.step(4.0, math.inf)
    best.step(4.0, math.inf)
    assert best.step(None, math.inf) == best.step(None, math.inf) == 4.0
