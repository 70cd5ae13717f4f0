"""The sequential test rings rarely on nothing, soon on something, and each series for itself."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftbell.detectors.sequential import LAMBDAS, SPAN, EDetectors

SIZES = np.array(LAMBDAS)[:, None]
BIN = 300.0


def normal(series: int, tolerance: float = 0.0) -> EDetectors:
    tests = EDetectors()
    tests.grow(series)
    tests.slope[:] = SIZES
    tests.toll[:] = SIZES * SIZES / 2 + SIZES * tolerance
    return tests


def test_streams_without_change_ring_as_rarely_as_promised():
    rng = np.random.default_rng(3)
    series, steps, gamma = 500, 400, 1000.0
    tests, rung = normal(series), np.zeros(series, bool)
    n, extra = np.full(series, 4.0), np.zeros(series)
    for step in range(steps):
        if step % 72 == 0:
            tests.new_block()
        total = 2.0 * rng.normal(size=series)
        rung |= tests.step(total, n, extra, total, BIN * (step + 1)) > math.log(gamma)
    assert rung.mean() <= steps / gamma


def test_a_change_is_found_and_dated_whatever_its_size():
    rng = np.random.default_rng(4)
    for size in (0.3, 1.0, 3.0):
        tests = normal(200)
        n, extra = np.full(200, 4.0), np.zeros(200)
        for step in range(400):
            total = 2.0 * rng.normal(size=200) + 4.0 * size * (step >= 100)
            evidence = tests.step(total, n, extra, total, BIN * (step + 1))
            if step == 99:
                assert (evidence < math.log(1e4)).all()
        assert (evidence > math.log(1e4)).all()
        found = np.array([tests.change(i) for i in range(200)])
        assert np.median(np.abs(found[:, 0] / BIN - 100)) <= 8 / size
        assert abs(np.median(found[:, 2]) - size) < 0.1


def test_a_level_that_wanders_by_itself_is_no_more_than_one_piece_of_evidence():
    tests = normal(1)
    tests.wiggle2[:] = 0.25
    for step in range(70):
        total = np.array([40.0])
        evidence = tests.step(total, np.array([40.0]), np.zeros(1), total, BIN * (step + 1))
    assert evidence[0] < 1.0**2 / 0.25 / 2 + math.log(len(LAMBDAS)) + math.log(72)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(-3, 3)), min_size=1, max_size=40), st.integers(0, 2**32))
def test_a_series_is_judged_alike_alone_and_among_thousands(steps, seed):
    rng = np.random.default_rng(seed)
    alone, among = normal(1), normal(SPAN + 2)
    for at, (n, mean) in enumerate(steps):
        counts = rng.integers(0, 5, SPAN + 2).astype(float)
        totals = rng.normal(size=SPAN + 2) * np.sqrt(counts)
        counts[SPAN], totals[SPAN] = n, n * mean
        end = BIN * (at + 1)
        one = alone.step(np.array([n * mean]), np.array([float(n)]), np.zeros(1), np.array([n * mean]), end)
        many = among.step(totals, counts, np.zeros(SPAN + 2), totals, end)
        assert np.isfinite(many).all()
        assert math.isclose(one[0], many[SPAN], rel_tol=1e-4, abs_tol=1e-4)
        assert alone.change(0)[1:] == among.change(SPAN)[1:]


def test_a_series_without_scores_stays_as_it_is_and_one_put_to_rest_begins_anew():
    tests = normal(2)
    for step in range(30):
        total = np.array([8.0, 8.0])
        before = tests.step(total, np.array([4.0, 4.0]), np.zeros(2), total, BIN * (step + 1))
    nothing = np.zeros(2)
    assert (tests.step(nothing, nothing, nothing, nothing, BIN * 31) == before).all()
    tests.rest(0, BIN * 31)
    after = tests.step(nothing, nothing, nothing, nothing, BIN * 32)
    assert after[0] < -10
    assert after[1] == before[1]
    tests.rest(1, BIN * 32)
    tests.step(np.array([8.0, 8.0]), np.array([4.0, 4.0]), nothing, np.array([8.0, 8.0]), BIN * 33)
    assert tests.change(1)[0] == BIN * 32
