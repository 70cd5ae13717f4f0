"""A statistic judged by its own past: chances that hold, within bounds."""

import math

import numpy as np
import pytest

from driftbell.detectors.excursion import PEAKS, VALUES, Excursions


def fed(values: np.ndarray) -> Excursions:
    past = Excursions()
    for value in values.tolist():
        past.learn(value)
    return past


@pytest.mark.parametrize("tail", ["normal", "exponential", "pareto"])
def test_one_value_in_a_thousand_scores_about_three(tail: str) -> None:
    rng = np.random.default_rng(1)
    draw = {
        "normal": lambda n: rng.normal(size=n),
        "exponential": lambda n: rng.exponential(size=n),
        "pareto": lambda n: rng.pareto(4.0, n),
    }[tail]
    level = float(np.quantile(draw(1_000_000), 0.999))
    found = [fed(draw(6000)).score(level) for _ in range(5)]
    assert 2.6 < np.median(found) < 3.3


def test_before_enough_excursions_nothing_is_said() -> None:
    assert fed(np.arange(20.0)).score(1e9) == 0.0


def test_what_is_usual_scores_nothing() -> None:
    past = fed(np.random.default_rng(2).normal(size=3000))
    assert past.score(0.0) == 0.0


def test_higher_is_never_likelier() -> None:
    past = fed(np.random.default_rng(3).exponential(size=3000))
    found = [past.score(x) for x in np.linspace(0, 50, 500).tolist()]
    assert found == sorted(found)
    assert math.isfinite(past.score(1e300))


def test_a_long_past_takes_no_more_room() -> None:
    past = fed(np.random.default_rng(4).normal(size=8000))
    assert len(past.ordered) == len(past.by_time) == VALUES
    assert len(past.peaks) <= PEAKS
