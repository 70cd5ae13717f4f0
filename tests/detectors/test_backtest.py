"""Any series of numbers: rarely wrong, never looking ahead, and neither units nor odd values change the answer."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbell.detectors.backtest import (
    EPISODE,
    BadSeriesError,
    Row,
    Scored,
    episodes,
    read_series,
    score_rows,
)

DAY = 288
"""Rows of a day, one in five minutes."""


def scored(values: np.ndarray | list[float], step: float = 300.0) -> list[Scored]:
    return list(score_rows((Row(str(i), i * step, float(v)) for i, v in enumerate(values)), step))


def scores(values: np.ndarray | list[float], step: float = 300.0) -> list[float]:
    return [row.score or 0.0 for row in scored(values, step)]


def season(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10 + 5 * np.sin(2 * np.pi * np.arange(n) / DAY) + rng.normal(0, 1, n)


def dependent(n: int, seed: int, phi: float = 0.8) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    found = np.zeros(n)
    for i in range(1, n):
        found[i] = phi * found[i - 1] + noise[i]
    return found


def drawn(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    match kind:
        case "normal":
            return rng.normal(size=n)
        case "log-normal":
            return np.exp(rng.normal(size=n))
        case "mostly zero counts":
            return rng.poisson(0.05, n).astype(float)
        case "seasonal counts":
            return rng.poisson(20 + 15 * np.sin(2 * np.pi * np.arange(n) / DAY)).astype(float)
        case "many whole numbers":
            return rng.integers(0, 5000, n).astype(float)
        case "dependent":
            return dependent(n, seed)
    return np.cumsum(rng.normal(size=n))


KINDS = ("normal", "log-normal", "mostly zero counts", "seasonal counts", "many whole numbers", "dependent", "walk")


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_chance_that_it_claims_within_a_factor(kind: str) -> None:
    rows = [row for seed in range(2) for row in scored(drawn(kind, 5000, seed))]
    for level in (2.0, 3.0):
        begun = sum(
            (b.score or 0) >= level > max(row.score or 0 for row in rows[max(i - 20, 0) : i + 1])
            for i, b in enumerate(rows[1:])
        )
        assert begun <= 2.5 * 10**-level * len(rows) + 3
    assert len(episodes(rows)) <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_spike_far_out_is_an_episode(kind: str) -> None:
    values = drawn(kind, 3000, 7)
    values[2500] += 60 * float(np.std(np.diff(values)))
    # Counts that are mostly zero have nothing usual to stand out from, so that an episode needs more evidence.
    assert max(scores(values)[2500:2502]) >= (3.0 if kind == "mostly zero counts" else EPISODE)


def test_a_new_level_a_frozen_value_and_livelier_values_are_episodes() -> None:
    level, frozen, lively = season(4000, 1), season(4000, 2), season(4000, 3)
    level[3600:] += 5
    frozen[3600:3680] = frozen[3600]
    lively[3600:3700] += np.random.default_rng(4).normal(0, 5, 100)
    for values, rows in ((level, 50), (frozen, 80), (lively, 100)):
        assert max(scores(values)[3600 : 3600 + rows]) >= EPISODE


def test_a_day_without_its_season_is_an_episode() -> None:
    values = season(10 * DAY, 1)
    values[9 * DAY : 9 * DAY + DAY // 2] = 10 + np.random.default_rng(1).normal(0, 1, DAY // 2)
    assert max(scores(values)[9 * DAY : 9 * DAY + DAY // 2]) >= EPISODE


def test_a_burst_of_a_count_that_is_mostly_zero_is_strange() -> None:
    values = drawn("mostly zero counts", 4000, 3)
    values[3500:3512] += 2
    assert max(scores(values)[3500:3512]) >= 3.0


def test_a_larger_spike_scores_higher() -> None:
    found = []
    for height in (8.0, 16.0, 64.0, 1e6):
        values = season(3000, 2)
        values[2500] += height
        found.append(scores(values)[2500])
    assert found == sorted(set(found))


def test_one_freak_does_not_end_the_watch() -> None:
    values = season(4000, 6)
    values[2000] = 1e9
    values[3600:3660] += 12
    assert max(scores(values)[3600:3660]) >= EPISODE


@given(cut=st.integers(1, 699), later=st.floats(allow_nan=True, allow_infinity=True))
@settings(max_examples=15, deadline=None)
def test_scores_do_not_change_when_the_future_does(cut: int, later: float) -> None:
    values = season(700, 3)
    other = values.copy()
    other[cut:] = later
    assert scored(values)[:cut] == scored(other)[:cut]


@given(power=st.integers(-60, 60), down=st.booleans(), shift=st.floats(-1e3, 1e3))
@settings(max_examples=15, deadline=None)
def test_units_direction_and_zero_point_do_not_matter(power: int, down: bool, shift: float) -> None:
    values = season(700, 4)
    values[600] += 20
    other = scores((-1.0 if down else 1.0) * 2.0**power * (values + shift))
    assert other == pytest.approx(scores(values), rel=1e-3, abs=1e-3)


@given(st.lists(st.floats() | st.sampled_from([0.0, 1.0, 1e308, -1e308, 5e-324]), min_size=150, max_size=300))
@settings(max_examples=25, deadline=None)
def test_any_numbers_have_finite_scores(values: list[float]) -> None:
    for row in scored(values, 3600.0):
        assert row.score is None or (math.isfinite(row.score) and row.score >= 0)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300])
def test_odd_values_do_not_end_the_watch(odd: float) -> None:
    values = season(3000, 5)
    values[1000:1010] = odd
    values[2500:2560] += 12
    assert max(scores(values)[2500:2560]) >= EPISODE


@pytest.mark.parametrize("value", [0.0, 7.0, -1e12])
def test_a_constant_series_is_quiet_until_it_moves(value: float) -> None:
    assert episodes(scored(np.full(1000, value))) == []


@pytest.mark.parametrize("rows", [0, 1, 2, 50])
def test_a_short_series_has_rows_but_no_scores(rows: int) -> None:
    assert [row.score for row in scored(season(rows, 1))] == [None] * rows


def test_holes_and_repeated_rows_leave_the_time_of_day_where_it_is() -> None:
    values = np.round(season(14 * DAY, 8))
    rows = [Row(str(i), i * 300.0, float(v)) for i, v in enumerate(values)]
    part = [row for i, row in enumerate(rows) if not 8 * DAY < i < 8 * DAY + DAY // 2]
    part.insert(100, part[100])
    assert episodes(score_rows(part, 300.0)) == []


def test_missing_values_have_no_score(tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00,\n2026-01-01T00:10:00Z,nan\n")
    rows, step = read_series(file)
    assert [row.value for row in rows] == [1.0, None, None]
    assert step == 300.0


def test_rows_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("Value, Timestamp\n3,1200\n1,0\n2,600\n2.5,600\n")
    rows, step = read_series(file)
    assert [row.value for row in rows] == [1.0, 2.0, 2.5, 3.0]
    assert step == 600.0


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "timestamp,value\nnoon,1\n",
        "timestamp,value\nnan,1\n",
        "timestamp,value\n1e300,1\n",
        "timestamp,value\n1,many\n",
        "timestamp,value\n1," + 200_000 * "9" + "\n",
        "",
    ],
)
def test_a_file_that_is_no_series_says_what_to_write(tmp_path: Path, text: str) -> None:
    file = tmp_path / "series.csv"
    file.write_text(text)
    with pytest.raises(BadSeriesError) as told:
        read_series(file)
    assert len(str(told.value)) < 500
