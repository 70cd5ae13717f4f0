"""How ClickHouse carries it: calls generated inside the engine (chDB), then everything that grows with them.

    python bench/scale.py FOLDER [--millions 1 10 100] [--workflows 1000] [--days 7] [--out results.json]

Each number of calls lies in thirty days and is a database of its own in FOLDER, deleted afterwards. The calls of the
newest ``--days`` are stored, which are all that a cycle and the page ask for; the day points of all thirty are added up
inside the engine from the same calls. Measured are the insert, bytes per call, one evaluation cycle over all workflows
with the rebuilding of its points and reading them among those of a day, the weekly numbers, and the heaviest questions
of the page. Every series has calls in every measured bin, so that as many are evaluated whatever the number of calls.
Times are wall clock and, for cycles and weekly numbers, CPU of all threads.
"""

import argparse
import gc
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from scale_data import BIN, DAY, DAYS, EDGE, END, LEARNING, MEASURED, day_points, fill, know, mark, repeat_minutes

from driftbell.alerts.summary import summarise
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.source import StoreSource
from driftbell.alerts.weekly.weeks import last_full_week
from driftbell.collectors.batch import Batch
from driftbell.collectors.clickhouse.client import Connection, connect
from driftbell.collectors.clickhouse.store import ClickHouseStore
from driftbell.collectors.search import Wanted
from driftbell.collectors.span import Span
from driftbell.detectors.evaluate import Detectors
from driftbell.detectors.settings import DetectorSettings
from driftbell.monitor import attributes as names
from driftbell.service.migrations import MIGRATIONS

HOURS = 24
"""Hours of minute points that are there before the bins that are evaluated: a cycle reads the newest among them."""
MOST_CYCLE_S, MOST_WEEKLY_S, MOST_GROWTH = 20.0, 10.0, 1.5


@dataclass
class Result:
    """Figures of one number of calls; seconds of wall clock unless said otherwise."""

    calls: int
    stored: int = 0
    insert_s: float = 0.0
    bytes_per_call: float = 0.0
    day_points_s: float = 0.0
    series: int = 0
    rebuild_s: list[float] = field(default_factory=list)
    evaluate_s: list[float] = field(default_factory=list)
    rebuild_cpu_s: list[float] = field(default_factory=list)
    evaluate_cpu_s: list[float] = field(default_factory=list)
    weekly_s: float = 0.0
    weekly_cpu_s: float = 0.0
    page_s: dict[str, float] = field(default_factory=dict)

    @property
    def cycle_s(self) -> float:
        """The median cycle: rebuilding what arrived in five minutes, reading and evaluating it."""
        return median(map(sum, zip(self.rebuild_s, self.evaluate_s, strict=True)))


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cycles(client: Connection, store: ClickHouseStore, clock: list[float], result: Result) -> None:
    """Bin after bin: rebuild the points of its calls, then read and evaluate them."""
    detectors = Detectors(DetectorSettings())
    grace = detectors.settings.grace
    for bin_ in range(LEARNING + MEASURED):
        began = EDGE + (bin_ - LEARNING) * BIN
        clock[0] = began + BIN + grace + 60.0
        mark(client, began, clock[0])

        def refresh() -> None:
            while store.refresh_points(5000, clock[0] - grace):
                pass

        def evaluate() -> None:
            with store.write() as tx:
                detectors.cycle(tx, store, store.workflows(), clock[0])

        for work, spent, used in (
            (refresh, result.rebuild_s, result.rebuild_cpu_s),
            (evaluate, result.evaluate_s, result.evaluate_cpu_s),
        ):
            before = time.process_time()
            spent.append(timed(work))
            used.append(time.process_time() - before)
        if bin_ == 0:
            repeat_minutes(client, began, HOURS)
    for figures in (result.rebuild_s, result.evaluate_s, result.rebuild_cpu_s, result.evaluate_cpu_s):
        del figures[:LEARNING]
    stations = [station for station, _ in detectors._stations.values()]
    result.series = sum(len(station.engine.watches) for station in stations)


def received(folder: Path, spans: int = 20_000) -> dict[str, float]:
    """CPU milliseconds per span: to store it, and to make a call and points of it."""
    client = connect(f"chdb://{folder}/engine?database=received")
    given = {names.OPERATION: "chat", names.PROVIDER: "openai", names.REQUEST_MODEL: "atlas", names.INPUT_TOKENS: 900}
    with TemporaryDirectory(dir=folder) as own:
        store = ClickHouseStore.connect(client, Path(own), MIGRATIONS, clock=lambda: END + 600.0)
        used = time.process_time()
        for first in range(0, spans, 2000):
            batch = [
                Span(
                    trace_id=f"{number * 0x9E3779B97F4A7C15 % 2**64:032x}",
                    span_id=f"{number + 1:016x}",
                    parent_id="",
                    name="chat atlas",
                    start=END + number / 100 - 1,
                    end=END + number / 100,
                    kind=3,
                    attributes={**given, names.OUTPUT_TOKENS: number % 700, names.WORKFLOW: f"workflow-{number % 50}"},
                    scope=names.SCOPE,
                    resource={"service.name": "shop"},
                )
                for number in range(first, first + 2000)
            ]
            store.append(Batch(batch))
        stored = time.process_time() - used
        store.refresh_all()
        made = time.process_time() - used - stored
        assert store.count_calls() == spans
        client.command("DROP DATABASE received")
        store.close()
    return {"store": stored / spans * 1000, "make calls and points": made / spans * 1000}


def page(store: ClickHouseStore) -> dict[str, float]:
    """The heaviest questions of the page."""
    week = END - 7 * DAY
    text = Wanted(since=week, until=END, text="no call has this")
    return {
        "sums of a week by workflow and model": timed(lambda: store.usage(("workflow", "model"), week, END)),
        "newest calls of a week": timed(lambda: store.search(Wanted(since=week, until=END))),
        "text in the calls of a week": timed(lambda: store.search(text)),
        "newest calls of one workflow": timed(
            lambda: store.search(Wanted(since=week, until=END, workflow="workflow-7"))
        ),
    }


def measure(folder: Path, calls: int, workflows: int, days: int) -> Result:
    """All figures for a number of calls."""
    client = connect(f"chdb://{folder}/engine?database=scale_{calls}")
    result, clock = Result(calls), [float(END)]
    with TemporaryDirectory(dir=folder) as own:
        store = ClickHouseStore.connect(client, Path(own), MIGRATIONS, clock=lambda: clock[0])
        began = time.perf_counter()
        result.stored = fill(client, calls, workflows, days)
        result.insert_s = time.perf_counter() - began
        held = "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND table = 'calls'"
        result.bytes_per_call = client.query(f"{held} AND active")[0][0] / result.stored
        know(client, workflows)
        cycles(client, store, clock, result)
        client.command("TRUNCATE TABLE dirty")  # else these days were made anew from the few minutes that were rebuilt
        result.day_points_s = timed(lambda: day_points(client, calls, workflows))
        clock[0] = END + 3600.0
        week = last_full_week(clock[0], "UTC")
        store.refresh_all()
        used = time.process_time()
        result.weekly_s = timed(lambda: summarise(StoreSource(store), WeeklySettings(), EVERYONE, week))
        result.weekly_cpu_s = time.process_time() - used
        result.page_s = page(store)
        client.command(f"DROP DATABASE scale_{calls}")
        store.close()
    return result


def main() -> None:
    """Measure and print; exit 1 beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--days", type=int, default=7, choices=range(2, DAYS + 1))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    gc.set_threshold(50_000, 20, 50)  # as `driftbell serve` does
    for what, spent in received(given.folder).items():
        print(f"{what}: {spent:.3f} ms of CPU per span", flush=True)
    results = []
    for millions in given.millions:
        results.append(measure(given.folder, int(millions * 1e6), given.workflows, given.days))
        print(json.dumps({**asdict(results[-1]), "cycle_s": results[-1].cycle_s}), flush=True)
        if given.out:
            given.out.write_text(json.dumps([asdict(result) for result in results], indent=1))
    shutil.rmtree(given.folder / "engine", ignore_errors=True)
    growth = median(results[-1].evaluate_cpu_s) / median(results[0].evaluate_cpu_s)
    print(
        f"cycle {results[-1].cycle_s:.1f} s, weekly numbers {results[-1].weekly_s:.1f} s, "
        f"CPU of an evaluation grows {growth:.2f} times"
    )
    late = any(one.cycle_s > MOST_CYCLE_S or one.weekly_s > MOST_WEEKLY_S for one in results)
    raise SystemExit(late or growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
