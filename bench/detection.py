"""Detection on labelled traffic: ``python bench/detection.py FOLDER… [--prices FILE] [--jobs N]``.

Each FOLDER holds ``replay_<profile>.jsonl.gz`` (call records) and ``labels_<profile>.json``: one seed of a generator
that puts labelled incidents and benign events into real traffic. Every file runs through the code of
`driftbell replay`, incidents included. Printed per profile: mean and range over the seeds, what two dummies would
reach, recall by family and by type, and our delay against that of an `oracle` that knows each incident beforehand.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from labels import Alarm, Labels, Score, read_labels, score
from oracle import oracle

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


@dataclass(frozen=True, slots=True)
class Measured:
    """One folder: our score and those of the two dummies, the oracle's hours by incident, and how long it took."""

    profile: str
    name: str
    ours: Score
    periodic: Score
    never: Score
    oracle: dict[str, tuple[str, float | None]]
    seconds: float


def measure(job: tuple[Path, Path | None]) -> Measured:
    """Play and score one folder."""
    folder, prices = job
    (file,) = folder.glob("replay_*.jsonl.gz")
    labels = read_labels(next(folder.glob("labels_*.json")))
    alarms, seconds = rung(file, prices)
    types = {event.id: event.type for event in labels.incidents}
    return Measured(
        labels.profile,
        folder.name,
        score(alarms, labels),
        score(periodic(labels), labels),
        score([], labels),
        {name: (types[name], hours) for name, hours in oracle(file, labels).items()},
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


def tell_oracle(rows: Sequence[Measured]) -> None:
    """Print our delay against the oracle's, by type and over all; a ratio where both found the incident."""
    types: dict[str, list[tuple[float | None, float | None]]] = {}
    for row in rows:
        for name, (kind, hours) in row.oracle.items():
            types.setdefault(kind, []).append((hours, row.ours.delays.get(name)))
    print("| delay against an oracle | incidents | oracle found | ours | oracle, median h | ours | median ratio |")
    everything = [pair for pairs in types.values() for pair in pairs]
    for kind, pairs in [*sorted(types.items()), ("all", everything)]:
        known = [o for o, _ in pairs if o is not None]
        found = [d for _, d in pairs if d is not None]
        ratios = [d / o for o, d in pairs if o is not None and d is not None]
        medians = [f"{statistics.median(part):.2f}" if part else "-" for part in (known, found, ratios)]
        print(f"| {kind} | {len(pairs)} | {len(known)} | {len(found)} | {' | '.join(medians)} |")


def tell(profile: str, rows: Sequence[Measured]) -> None:
    """Print one profile."""
    print(f"\n{profile}: {len(rows)} seeds; mean (least to most)")
    print(f"| {'':30} | driftbell | every 24 h | never |")
    columns = [[row.ours for row in rows], [row.periodic for row in rows], [row.never for row in rows]]
    for name, figure in FIGURES:
        cells = [spread([figure(part) for part in parts]) for parts in columns]
        print(f"| {name:30} | {' | '.join(cells)} |")
    ours = columns[0]
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
    tell_oracle(rows)
    print(f"seconds per replay: {spread([row.seconds for row in rows])}")


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
            print(row.name, json.dumps(row.ours.summary()), flush=True)
            rows.append(row)
    for profile in sorted({row.profile for row in rows}):
        tell(profile, [row for row in rows if row.profile == profile])


if __name__ == "__main__":
    main()
