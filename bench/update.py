"""Cost of an update: ``python bench/update.py [--series N]``.

Side by side in one process: the sequential test of driftbell over many series (one step of all, with scores) against
river's ADWIN (one update with one value), then a whole detector per bin of five minutes with scoring, references and
attribution state, and the size of its stored state.
"""

import argparse
import time

import numpy as np
from river.drift import ADWIN
from unchanged import Setting, records

from driftbell.collectors.rollup import Rollup
from driftbell.detectors import state
from driftbell.detectors.sequential import LAMBDAS, EDetectors
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import BIN, WorkflowDetector

REPEATS = 7


def ours(series: int) -> float:
    """Microseconds of CPU per series and step; the best of `REPEATS` rounds of 5 steps."""
    rng = np.random.default_rng(1)
    tests = EDetectors()
    tests.grow(series)
    sizes = np.array(LAMBDAS)[:, None]
    tests.slope[:] = sizes
    tests.toll[:] = sizes * sizes / 2 + sizes * 0.05
    tests.wiggle2[:] = 0.01
    count, extra = np.full(series, 4.0), np.zeros(series)
    totals = [2.0 * rng.normal(size=series) for _ in range(5)]
    rounds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        for i, total in enumerate(totals):
            tests.step(total, count, extra, total, float(i))
        rounds.append((time.process_time() - begin) / len(totals) / series * 1e6)
    return min(rounds)


def adwin(updates: int = 20_000) -> float:
    """Microseconds of CPU per update of river's ADWIN with its defaults, past its first windows."""
    values = np.random.default_rng(2).normal(size=updates).tolist()
    rounds = []
    for _ in range(REPEATS):
        detector = ADWIN()
        for value in values[:5000]:
            detector.update(value)
        begin = time.process_time()
        for value in values:
            detector.update(value)
        rounds.append((time.process_time() - begin) / updates * 1e6)
    return min(rounds)


def workflow(setting: Setting, days: int) -> tuple[int, float, float, float]:
    """Series watched; microseconds per bin and series over the last day, without and with calls; stored bytes."""
    bins: dict[int, Rollup] = {}
    for record in records(setting, days, 3):
        assert record.call is not None
        rollup = bins.setdefault(int(record.ts // BIN) * BIN, Rollup())
        rollup.call(record.call)
        for judgement in record.judgements:
            rollup.judgement(judgement)
    detector = WorkflowDetector("unchanged", DetectorSettings())
    spent = 0.0
    first, last = min(bins), max(bins)
    points = {begin: rollup.points() for begin, rollup in bins.items()}
    for begin in range(first, last, BIN):
        timed = begin >= last - 86400
        start = time.process_time()
        detector.step(begin, points.get(begin, ()))
        spent += (time.process_time() - start) * timed
    watched = len(detector.watches)
    calls = setting.per_hour * 24
    return watched, spent / 288 / watched * 1e6, spent / calls * 1e6, len(state.dump(detector)) / watched


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    given = parser.parse_args()
    floor = adwin()
    print(f"ADWIN: {floor:.2f} µs per update")
    for series in (200, 2_000, given.series):
        cost = ours(series)
        print(f"sequential test, {series:,} series: {cost:.2f} µs per series and step ({cost / floor:.2f} of ADWIN)")
    for per_hour in (5, 50, 500):
        watched, per_series, per_call, size = workflow(Setting("iid", per_hour), 16 if per_hour < 500 else 9)
        print(
            f"whole detector, {per_hour} calls an hour, {watched} series: {per_series:.2f} µs per series and bin, "
            f"{per_call:.0f} µs per call, {size:,.0f} bytes of state per series"
        )


if __name__ == "__main__":
    main()
