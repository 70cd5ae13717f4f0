"""Detection on labelled traffic: ``python bench/detection.py FOLDER… [--prices FILE] [--jobs N]``.

Each FOLDER holds ``replay_<profile>.jsonl.gz`` (call records) and ``labels_<profile>.json``: one seed of a generator
that puts labelled incidents and benign events into real traffic. Every file runs through the code of
`driftbell replay`, incidents included. Printed per profile: mean and range over the seeds, what two dummies would
reach, and recall by family and by type.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from labels import Alarm, Labels, Score, read_labels, score

from driftbell.service.config import Config, load_prices
from driftbell.service.replay import replay

FIGURES: tuple[tuple[str, Callable[[Score], float | None]], ...] = (
    ("recall", lambda s: s.recall),
    ("median hours to detect", lambda s: s.median_hours),
    ("false alarms per workflow-week", lambda s: s.false_per_week),
    ("of them in benign events", lambda s: float(s.benign)),
    ("attribution", lambda s: s.attribution),
)


def rung(file: Path, prices: Path | None) -> tuple[list[Alarm], float]:
    """The incidents that a replay of ``file`` opens, and how long it took in seconds."""
    config = Config(prices=load_prices(prices)) if prices is not None else Config()
    alarms: list[Alarm] = []

    def opened(line: dict[str, object]) -> None:
        cause = line["cause"]
        assert isinstance(cause, dict)
        segment = line["segment"]
        alarms.append(
            Alarm(
                ts=float(str(line["ts"])),
                workflow=str(line["workflow"]),
                family=str(line["family"]),
                metric=str(line["metric"]),
                keys=cause if segment is None else {"segment": str(segment), **cause},
            )
        )

    start = time.perf_counter()
    replay(file, config, opened, lambda _: None)
    return alarms, time.perf_counter() - start


def periodic(labels: Labels) -> list[Alarm]:
    """The dummy that rings every 24 hours for every workflow, right about any family by decree."""
    days = range(1, round(labels.days) + 1)
    return [Alarm(labels.t0 + day * 86400.0, workflow, "*") for day in days for workflow in labels.workflows]


def measure(job: tuple[Path, Path | None]) -> tuple[str, str, Score, Score, Score, float]:
    """One folder: profile, name, our score and those of the two dummies, seconds."""
    folder, prices = job
    (file,) = folder.glob("replay_*.jsonl.gz")
    labels = read_labels(next(folder.glob("labels_*.json")))
    alarms, seconds = rung(file, prices)
    return (
        labels.profile,
        folder.name,
        score(alarms, labels),
        score(periodic(labels), labels),
        score([], labels),
        seconds,
    )


def spread(values: Sequence[float | None]) -> str:
    """Mean and range; what has no value (a median of nothing) is left out."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{statistics.mean(known):.2f} ({min(known):.2f} to {max(known):.2f})"


def shares(scores: Sequence[Score], by: Callable[[Score], dict[str, tuple[int, int]]]) -> str:
    """Found of all, summed over the seeds, per family or type."""
    sums: dict[str, list[int]] = {}
    for one in scores:
        for name, (found, of) in by(one).items():
            cell = sums.setdefault(name, [0, 0])
            cell[0] += found
            cell[1] += of
    return ", ".join(f"{name} {found}/{of}" for name, (found, of) in sorted(sums.items()))


def tell(profile: str, rows: Sequence[tuple[str, str, Score, Score, Score, float]]) -> None:
    """Print one profile."""
    print(f"\n{profile}: {len(rows)} seeds; mean (least to most)")
    print(f"| {'':30} | driftbell | every 24 h | never |")
    for name, figure in FIGURES:
        cells = [spread([figure(row[i]) for row in rows]) for i in (2, 3, 4)]  # type: ignore[arg-type]
        print(f"| {name:30} | {' | '.join(cells)} |")
    ours = [row[2] for row in rows]
    print("recall by family:", shares(ours, lambda s: s.by_family))
    print("recall by type:", shares(ours, lambda s: s.by_type))
    print("attribution by type:", shares(ours, lambda s: s.attributed))
    hours: dict[str, list[float]] = {}
    for one in ours:
        for kind, found in one.hours:
            hours.setdefault(kind, []).append(found)
    print("median hours:", ", ".join(f"{kind} {statistics.median(h):.1f}" for kind, h in sorted(hours.items())))
    false: dict[str, int] = {}
    for one in ours:
        for alarm in one.false:
            false[f"{alarm.family}/{alarm.metric}"] = false.get(f"{alarm.family}/{alarm.metric}", 0) + 1
    print("false alarms:", ", ".join(f"{name} {n}" for name, n in sorted(false.items(), key=lambda i: -i[1])))
    print(f"seconds per replay: {spread([row[5] for row in rows])}")


def main() -> None:
    """Run every folder and print per profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--prices", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for row in pool.map(measure, [(folder, given.prices) for folder in given.folders]):
            print(row[1], json.dumps(row[2].summary()), flush=True)
            rows.append(row)
    for profile in sorted({row[0] for row in rows}):
        tell(profile, [row for row in rows if row[0] == profile])


if __name__ == "__main__":
    main()
