"""How ClickHouse carries it: calls generated inside the engine (chDB), then everything that grows with them.

    python bench/scale.py FOLDER [--millions 1 10] [--workflows 1000] [--days 30] [--out results.json]

Each number of calls lies in thirty days, of which only the newest may be generated (--days 2 is what a cycle needs),
and is a database of its own in FOLDER, deleted afterwards. Measured are the insert, bytes per call, one evaluation
cycle over all workflows with the rebuilding and reading of its points, the weekly numbers, and the heaviest questions
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

DAY, BIN = 86_400, 300
END = 1_794_787_200
"""A Monday, 00:00 UTC."""
DAYS = 30
EDGE = END - DAY
"""What is known at a midnight is watched from then on."""
SEGMENTS = 4
LEARNING = 3
"""Bins before `EDGE`, after which each series is watched when the measured bins come."""
MEASURED = 3
MOST_CYCLE_S, MOST_WEEKLY_S, MOST_GROWTH = 20.0, 10.0, 1.5


@dataclass
class Result:
    """Figures of one number of calls; seconds of wall clock unless said otherwise."""

    calls: int
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


def calls_of(number: str, workflows: int, ts: str) -> str:
    """Columns of the table of calls for the ``number`` of a call."""
    chance = f"(sipHash64({number}) % 1000000 / 1000000.)"
    return (
        f"SELECT {ts} AS ts, concat('workflow-', toString({number} % {workflows})) AS workflow, "
        f"concat('s', toString(intDiv({number}, {workflows}) % {SEGMENTS})) AS segment, 'high' AS risk_tier, "
        f"concat('atlas-', toString({number} % 2)) AS model, 'v1' AS prompt_version, "
        f"hex(sipHash64({number} % 50000)) AS user_id, if({chance} < 0.01, 'error', 'ok') AS status, "
        f"1 AS attempts, false AS fallback, 'provider' AS usage_source, 'chat' AS operation, 'openai' AS provider, "
        f"toInt64(500 + 3000 * {chance}) AS input_tokens, toInt64(200 * {chance}) AS cached_tokens, "
        f"toInt64(50 + 800 * {chance}) AS output_tokens, 0.001 + 0.01 * {chance} AS cost_usd, "
        f"400 + 4000 * {chance} AS latency_ms, 'stop' AS finish_reason, false AS refused, true AS format_ok, "
        f"'driftbell' AS dialect, hex(sipHash128({number})) AS trace_id, hex(sipHash64({number}, 1)) AS span_id, "
        f"'{{}}' AS attributes, toInt64(floor(ts / 60) * 60) AS minute, "
        f"reinterpretAsInt64(sipHash64({number}, 2)) AS key, key AS home, ts + 2 AS received, 1 AS version"
    )


def insert(client: Connection, source: str, numbers: str) -> None:
    """Insert the calls that ``source`` says of ``numbers``."""
    names = [part.rsplit(" AS ", 1)[1] for part in split(source.removeprefix("SELECT "))]
    client.command(f"INSERT INTO calls ({', '.join(names)}) {source} FROM {numbers}")


def split(columns: str) -> list[str]:
    """The columns of a SELECT, at the commas outside of brackets."""
    found, depth = [""], 0
    for letter in columns:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [column.strip() for column in found]


def fill(client: Connection, calls: int, workflows: int, days: int) -> None:
    """The last ``days`` of ``calls`` in thirty days, and one more of every series in every bin that is evaluated."""
    per_day = calls // DAYS
    for day in range(DAYS - days, DAYS):
        began, first = END - (DAYS - day) * DAY, day * per_day
        ts = f"{began} + {DAY} * ((number - {first} + 0.5) / {per_day})"
        insert(client, calls_of("number", workflows, ts), f"numbers({first}, {per_day})")
    for bin_ in range(LEARNING + MEASURED):
        began = EDGE + (bin_ - LEARNING) * BIN
        number, each = f"(number + {10**12 + bin_ * 10**6})", workflows * SEGMENTS
        insert(client, calls_of(number, workflows, f"{began} + 299 * (number / {each})"), f"numbers({each})")


def day_points(client: Connection) -> None:
    """Points of days added up inside the engine, with the measures of costs, tokens, errors and latency."""

    def quantity(name: str, value: str, buckets: bool = False) -> str:
        held = f"sumMap([toInt64(floor(10 * log({value} + 1e-9)))], [1])" if buckets else ""
        pairs = f"arrayMap((i, n) -> concat(toString(i), ',', toString(n)), {held}.1, {held}.2)"
        listed = f", ',', arrayStringConcat({pairs}, ',')"
        return f"'\"{name}\":[', toString(count()), ',', toString(sum({value})){listed if buckets else ''}, ']'"

    quantities = (
        quantity("cost", "assumeNotNull(cost_usd)", True),
        quantity("input_tokens", "assumeNotNull(input_tokens)"),
        quantity("output_tokens", "assumeNotNull(output_tokens)"),
        quantity("latency_ms", "assumeNotNull(latency_ms)", True),
    )
    body = (
        "concat('{\"c\":', toString(count()), ',\"r\":{\"error\":[', toString(countIf(status = 'error')), ',', "
        "toString(count()), ']},\"q\":{', " + ", ',', ".join(quantities) + ", '}}')"
    )
    names = "concat('[\"', segment, '\",\"', risk_tier, '\",\"', model, '\",\"', prompt_version, '\"]')"
    client.command(
        "INSERT INTO points (resolution, workflow, start, version, series, bodies) "
        f"SELECT {DAY}, workflow, day, 1, groupArray(names), groupArray(body) FROM ("
        f"SELECT workflow, intDiv(minute, {DAY}) * {DAY} AS day, {names} AS names, {body} AS body "
        "FROM calls GROUP BY workflow, day, segment, risk_tier, model, prompt_version) GROUP BY workflow, day"
    )


def know(client: Connection, workflows: int) -> None:
    """Tell of the workflows."""
    columns = "name, first_ts, newest_ts, received, version"
    first = EDGE - LEARNING * BIN
    client.command(
        f"INSERT INTO workflows ({columns}) SELECT concat('workflow-', toString(number)), {first}, {END}, {END}, 1 "
        f"FROM numbers({workflows})"
    )


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
        client.command(
            "INSERT INTO dirty (slot, resolution, workflow, start, times, done, first, touched) "
            f"SELECT DISTINCT {int(clock[0]) // 60 * 60}, 60, workflow, minute, 1, 0, {began}, {began} FROM calls "
            f"WHERE minute >= {began} AND minute < {began + BIN}"
        )

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
        result.insert_s = timed(lambda: fill(client, calls, workflows, days))
        held = "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND table = 'calls'"
        result.bytes_per_call = client.query(f"{held} AND active")[0][0] / (calls * days / DAYS)
        know(client, workflows)
        cycles(client, store, clock, result)
        result.day_points_s = timed(lambda: day_points(client))
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
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--days", type=int, default=DAYS, choices=range(2, DAYS + 1))
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
