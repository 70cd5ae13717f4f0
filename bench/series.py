"""Anomalies in any series: ``python bench/series.py [--seeds A:B] [--folder DIR] [--only NAME] [--slow] [--svg FILE]``.

Every detector gives each row of each series a score, without looking ahead. One threshold per detector over all series:
the lowest at which there are at most half a false episode per 10,000 rows, as if somebody had tuned it in hindsight.
"with our past" are the same scores after `Excursions`, which judges each series by its own past and so makes the
scores of any detector comparable between series.
Printed is the share of labelled windows with a score above it inside. Rows above the threshold within 5 % of a series
are one episode; it is false when it touches no window. The first 15 % of each series count for nothing.

`series_data` makes the series: seeds 0 to 9 were used while the scorer was built, others were not. With ``--folder``
the series are ``timestamp,value,label`` files.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from plot import bars
from series_data import KINDS, LEARNT, Series, from_folder, series
from series_peers import PEERS, SLOW

from driftbell.detectors.backtest import Row, score_rows
from driftbell.detectors.excursion import Excursions

BUDGET = 0.5 / 10_000
Floats = NDArray[np.float64]


def ours(one: Series) -> Floats:
    """Scores of `driftbell backtest`; 0 where there is none."""
    rows = (Row(str(i), i * one.step, None if np.isnan(v) else float(v)) for i, v in enumerate(one.values))
    return np.array([row.score or 0.0 for row in score_rows(rows, one.step)])


def at_random(one: Series) -> Floats:
    """The dummy that rings at random, more often the lower the threshold."""
    rng = np.random.default_rng(len(one.values))
    return rng.random(len(one.values))


def by_past(scores: Floats) -> Floats:
    """Scores as they compare with the same series' scores before."""
    past, found = Excursions(), np.zeros(len(scores))
    for i, score in enumerate(scores.tolist()):
        found[i] = past.score(score)
        past.learn(score)
    return found


def hits_at(all_series: Sequence[Series], scores: Sequence[Floats], threshold: float) -> Counter[str]:
    """Windows with a score above the threshold inside, by kind."""
    found: Counter[str] = Counter()
    for one, marks in zip(all_series, scores, strict=True):
        found[one.name.split("-")[0]] += sum(marks[a : b + 1].max() > threshold for a, b in one.windows)
    return found


def false_episodes(one: Series, scores: Floats, threshold: float) -> int:
    """Episodes above the threshold that touch no window."""
    start, apart = int(LEARNT * len(scores)), int(0.05 * len(scores))
    rows = [i for i in np.flatnonzero(scores > threshold).tolist() if i >= start]
    false, before, touched = 0, -len(scores), True
    for i in rows:
        if i - before > apart:
            false += not touched
            touched = False
        touched = touched or any(first <= i <= last for first, last in one.windows)
        before = i
    return false + (not touched)


def tuned(all_series: Sequence[Series], scores: Sequence[Floats], budget: float) -> float:
    """The lowest threshold that keeps the budget over all series."""
    allowed = budget * sum(len(one.values) * (1 - LEARNT) for one in all_series)
    levels = np.unique(np.concatenate([np.sort(s)[-300:] for s in scores]))
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        false = sum(false_episodes(o, s, levels[middle]) for o, s in zip(all_series, scores, strict=True))
        low, high = (low, middle) if false <= allowed else (middle + 1, high)
    return float(levels[low])


def tell(name: str, all_series: Sequence[Series], scores: Sequence[Floats], seconds: float) -> list[str]:
    """Cells of a row of the table: hits at half, two and eight false episodes per 10,000 rows, with our past; time."""
    cells, kinds = [name], Counter[str]()
    for factor in (1, 4, 16):
        threshold = tuned(all_series, scores, factor * BUDGET)
        hits = hits_at(all_series, scores, threshold)
        cells.append(f"{hits.total()}" + (f" (> {threshold:.3g})" if factor == 1 else ""))
        kinds = kinds or hits
    own = [by_past(one) for one in scores]
    cells.append(f"{hits_at(all_series, own, tuned(all_series, own, BUDGET)).total()}")
    rows = sum(len(one.values) for one in all_series)
    return [*cells, f"{1e6 * seconds / rows:,.0f} µs", ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))]


def main() -> None:
    """Score everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:4", help="first and last seed, the last excluded")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default="", help="detectors whose name contains this")
    parser.add_argument("--slow", action="store_true", help="also the detectors that take hours")
    parser.add_argument("--svg", type=Path, help="also draw a plot of the first column into this file")
    given = parser.parse_args()
    first, last = (int(part) for part in given.seeds.split(":"))
    chosen = from_folder(given.folder) if given.folder else [series(k, s) for k in KINDS for s in range(first, last)]
    rows = sum(len(one.values) for one in chosen)
    print(f"{len(chosen)} series, {rows:,} rows, {sum(len(one.windows) for one in chosen)} windows")
    detectors: dict[str, Callable[[Series], Floats]] = {"driftbell": ours, "at random": at_random, **PEERS}
    if given.slow:
        detectors |= SLOW
    print("| detector | hits at 0.5 false per 10,000 | at 2 | at 8 | at 0.5 with our past | CPU a row | by kind |")
    found: list[tuple[str, float]] = []
    for name, detector in detectors.items():
        if given.only in name:
            start = time.process_time()
            scores = [detector(one) for one in chosen]
            print(f"| {' | '.join(tell(name, chosen, scores, time.process_time() - start))} |", flush=True)
            found.append((name, float(hits_at(chosen, scores, tuned(chosen, scores, BUDGET)).total())))
    if given.svg is not None:
        windows = sum(len(one.windows) for one in chosen)
        title = f"Found of {windows} anomalies at half a false episode per 10,000 rows"
        bars(given.svg, title, sorted(found, key=lambda row: -row[1]), "")


if __name__ == "__main__":
    main()
