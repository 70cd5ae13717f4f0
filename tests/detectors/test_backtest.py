"""Any series of numbers: rarely wrong, and never looking ahead."""

from pathlib import Path

import numpy as np
import pytest

from driftbell.detectors.backtest import EPISODE, BadSeriesError, episodes, read_series, score_rows


def scored(values: np.ndarray, step: float = 300.0):
    return list(score_rows(((str(i), float(v)) for i, v in enumerate(values)), step))


def season(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10 + 5 * np.sin(2 * np.pi * np.arange(n) / 288) + rng.normal(0, 1, n)


def test_a_quiet_series_has_hardly_an_episode() -> None:
    assert sum(len(episodes(scored(season(5000, seed)))) for seed in range(4)) <= 2


def test_a_spike_and_a_new_level_are_episodes() -> None:
    values = season(4000, 1)
    values[3000] += 12
    values[3600:] += 4
    found = episodes(scored(values))
    assert any(int(e.start) <= 3000 <= int(e.end) for e in found)
    assert any(3600 <= int(e.start) < 3650 for e in found)


def test_a_larger_spike_scores_higher() -> None:
    scores = []
    for height in (8.0, 16.0, 64.0):
        values = season(3000, 2)
        values[2500] += height
        scores.append(scored(values)[2500].score)
    assert scores[0] < scores[1] < scores[2]


def test_scores_do_not_change_when_the_future_does() -> None:
    values = season(2000, 3)
    other = values.copy()
    other[1500:] = 99.0
    assert scored(values)[:1500] == scored(other)[:1500]


def test_units_do_not_matter() -> None:
    values = season(1500, 4)
    small = [row.score or 0.0 for row in scored(values * 2.0**-20)]
    assert small == pytest.approx([row.score or 0.0 for row in scored(values)], rel=1e-6)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300])
def test_odd_values_do_not_end_the_watch(odd: float) -> None:
    values = season(3000, 5)
    values[1000:1010] = odd
    values[2500:2560] += 12
    assert max(row.score or 0 for row in scored(values)[2500:2560]) >= EPISODE


def test_a_constant_series_is_quiet() -> None:
    assert episodes(scored(np.full(1000, 7.0))) == []


def test_missing_values_have_no_score(tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00,\n2026-01-01T00:10:00Z,nan\n")
    rows, step = read_series(file)
    assert [value for _, value in rows] == [1.0, None, None]
    assert step == 300.0


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "timestamp,value\nnoon,1\n", "timestamp,value\n1,many\n", ""])
def test_a_file_that_is_no_series_says_what_to_write(tmp_path: Path, text: str) -> None:
    file = tmp_path / "series.csv"
    file.write_text(text)
    with pytest.raises(BadSeriesError):
        read_series(file)
