"""Measure the page over a large store: time to the first byte, and to the first paint in headless Chromium.

usage: page.py [--workflows N] [--calls N] [--repeats N] [--keep FOLDER]

The store is made by SQL and not by traffic: calls of the last thirty days, points of the last day and week for every
workflow and of thirty days for one, twenty open incidents. With --keep it is made once and used again. Medians over the
repeats; Chromium (Debian's, driven by Playwright) is left out where it is missing.
"""

import argparse
import queue
import random
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from driftbell.alerts.incident import apply
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.call import Call, Judgement
from driftbell.collectors.point import Point
from driftbell.collectors.press import press
from driftbell.collectors.rollup import rollup
from driftbell.collectors.store import Store
from driftbell.detectors import state
from driftbell.detectors.finding import Cause, Finding
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import WorkflowDetector
from driftbell.service.app import Service
from driftbell.service.config import Config
from driftbell.service.demo import address
from driftbell.service.migrations import MIGRATIONS

HOUR, DAY = 3600, 86400
NOW = 1_795_000_000 // HOUR * HOUR + 1800
SLICES = [(segment, model) for segment in ("amer", "emea") for model in ("atlas", "birch")]
DIMENSIONS = 8
CALLS = """WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
INSERT INTO calls (home, workflow, dimensions, trace_id, span_id, ts, input_tokens, output_tokens, cost_usd, latency_ms,
 attempts, user_id)
SELECT ?2 + i, 1 + (?2 + i) % ?3, 1 + (?2 + i) % ?4, CAST(printf('%016d', ?2 + i) AS BLOB),
 CAST(printf('%08d', ?2 + i) AS BLOB), ?5 + (?2 + i) * ?6, 900 + i % 300, 40 + i % 50, 0.002, 700 + i % 900, 1,
 'user-' || (i % 5000) FROM n"""


def bodies(chance: random.Random, workflow: str, calls: int) -> list[tuple[tuple[str | None, ...], Point]]:
    """A point per slice of an hour with so many calls."""
    made = []
    for segment, model in SLICES:
        told = [
            Call(
                0.0, workflow, segment=segment, model=model, prompt_version="v1", sources=(),
                input_tokens=chance.randrange(600, 1400),
                output_tokens=chance.randrange(20, 90), cost_usd=chance.uniform(0.001, 0.004), usage_source="provider",
                latency_ms=chance.lognormvariate(6.5, 0.4), user_id=f"user-{chance.randrange(40)}",
            )
            for _ in range(calls)
        ]  # fmt: skip
        judged = [Judgement(0.0, workflow, segment, None, model, "v1", evaluation="groundedness", score=0.9)]
        (point,) = rollup(told, judged)
        made.append(((segment, None, model, "v1"), point))
    return made


def fill(store: Store, workflows: int, calls: int) -> None:
    """Write everything; prints how long it took."""
    chance = random.Random(5)
    began = time.monotonic()
    names = [f"workflow-{i:04}" for i in range(workflows)]
    templates = [bodies(chance, "w", 25) for _ in range(20)]
    with store.write() as tx:
        db = tx.conn
        db.executemany(
            "INSERT INTO workflows (id, name, owner, risk_tier, first_ts, newest_ts, received) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(i, name, f"team-{i % 30}", "high", NOW - 40 * DAY, NOW - 5, NOW) for i, name in enumerate(names, 1)],
        )
        db.executemany(
            "INSERT INTO dimensions (id, operation, segment, model, prompt_version, usage_source, cost_source, status) "
            "VALUES (?, 'chat', ?, ?, 'v1', 'provider', 'computed', ?)",
            [(i + 1, *SLICES[i % 4], "ok" if i < 4 else "error") for i in range(DIMENSIONS)],
        )
        insert = (
            "INSERT INTO points (resolution, workflow, start, segment, risk_tier, model, prompt_version, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        rows = [
            (resolution, i, start, *key, press(point.encode()))
            for i in range(1, workflows + 1)
            for resolution, start in intervals(i)
            for key, point in chance.choice(templates)
        ]
        db.executemany(insert, rows)
        idle = [(name, NOW + DAY, state.dump(WorkflowDetector(name, DetectorSettings()))) for name in names]
        db.executemany("INSERT INTO detector_state (workflow, next_bin, state) VALUES (?, ?, ?)", idle)
        db.executemany("INSERT INTO series VALUES (NULL, ?, ?, NULL, ?, 'v1')", [(1, *each) for each in SLICES])
    portion = 500_000
    for done in range(0, calls, portion):
        with store.write() as tx:
            given = (min(portion, calls - done), done, workflows, DIMENSIONS, NOW - 30 * DAY, 30 * DAY / calls)
            tx.conn.execute(CALLS, given)
    with store.write() as tx:
        apply(tx, [finding(name, chance) for name in names[: min(20, workflows)]], NOW, AlertSettings())
    print(
        f"made {calls:,} calls and {len(rows):,} points of {workflows:,} workflows in {time.monotonic() - began:.0f} s"
    )


def intervals(workflow: int) -> Iterator[tuple[int, int]]:
    """Resolution and start of the points of a workflow: a day of hours and nine days; of the first a month of hours."""
    hours = 30 * 24 if workflow == 1 else 24
    for back in range(hours):
        yield HOUR, NOW // HOUR * HOUR - back * HOUR
    for back in range(9):
        yield DAY, NOW // DAY * DAY - back * DAY
    if workflow == 1:
        for back in range(24 * 60):
            yield 60, NOW // 60 * 60 - back * 60


def finding(workflow: str, chance: random.Random) -> Finding:
    """A cost incident since three hours ago."""
    return Finding(
        NOW - 60, "fired", workflow, "cost", "cost_per_call", 1, "usd", segment="amer", observed=0.004, usual=0.002,
        n=400, started_at=NOW - 3 * HOUR, usd_per_hour=chance.uniform(1, 9),
        cause=Cause({"segment": "amer"}, "likely", 1.0),
    )  # fmt: skip


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Service]]:
    """A service over the store whose clock stands still; its detectors, measured elsewhere, have nothing to do."""
    schedule = {"evaluate_every": 86400, "deliver_every": 3600, "weekly_every": 86400}
    config = Config.model_validate(
        {
            "data_dir": folder,
            "listen": {"http": "127.0.0.1:0", "grpc": None},
            "public_prices": False,
            "schedule": schedule,
        }
    )
    service = Service(config, lambda: float(NOW))
    lines: queue.Queue[str] = queue.Queue()
    thread = threading.Thread(target=service.run, args=(lines.put,), daemon=True)
    thread.start()
    try:
        yield "http://" + address(lines.get(timeout=60)), service
    finally:
        service.stop()
        thread.join(20)


@dataclass(frozen=True)
class Figures:
    """Milliseconds to the first byte and the first paint (None without a browser), and bytes as they are sent."""

    first_byte: float
    paint: float | None
    sent: int
    unpacked: int


def measure(url: str, path: str, repeats: int, browser: object | None) -> Figures:
    """Medians of one page."""
    times, sent, unpacked = [], 0, 0
    for _ in range(repeats):
        began = time.perf_counter()
        with requests.get(url + path, stream=True, timeout=120) as answer:
            raw = answer.raw.read(1)
            times.append(1000 * (time.perf_counter() - began))
            sent = len(raw) + len(answer.raw.read())
            assert answer.status_code == 200, (path, answer.status_code)
        unpacked = len(requests.get(url + path, timeout=120).content)
    paints = [paint(browser, url + path) for _ in range(repeats)] if browser is not None else []
    return Figures(statistics.median(times), statistics.median(paints) if paints else None, sent, unpacked)


def paint(browser: object, url: str) -> float:
    """First contentful paint (ms after the navigation began) in a tab without anything cached."""
    context = browser.new_context()  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(url)
    found = page.evaluate(
        "() => new Promise(done => new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime))"
        ".observe({type: 'paint', buffered: true}))"
    )
    context.close()
    return float(found)


@contextmanager
def chromium() -> Iterator[object | None]:
    """Debian's browser, or None where it or its driver is missing."""
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        yield None
        return
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def main() -> None:
    """Make the store, measure each page, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if not (folder / "driftbell.db").exists():
            store = Store.open(folder, MIGRATIONS, clock=lambda: float(NOW))
            fill(store, given.workflows, given.calls)
            store.close(timeout=60)
        with serving(folder) as (url, service), chromium() as browser:
            report(url, service, given.repeats, browser)


def report(url: str, service: Service, repeats: int, browser: object | None) -> None:
    """Print the figures of every kind of page."""
    (incident, *_) = requests.get(f"{url}/api/v1/incidents?limit=1", timeout=60).json()["incidents"]
    service.glances.refresh()
    began = time.thread_time()
    service.glances.refresh()
    print(f"a snapshot of the overview costs {time.thread_time() - began:.2f} s of CPU, made once a minute")
    paths = {
        "overview": "/",
        "overview, searched": "/?q=team-7&sort=spend",
        "workflow": "/workflow?name=workflow-0000",
        "one series": "/workflow/series?name=workflow-0000&series=cost&range=30d",
        "incident": f"/incidents/{incident['id']}",
        "calls": "/calls?range=30d",
        "calls, nothing fits": "/calls?range=30d&user_id=nobody",
        "telemetry": "/telemetry",
    }
    print(f"{'page':22}{'first byte':>12}{'first paint':>13}{'sent':>10}{'unpacked':>10}")
    for name, path in paths.items():
        found = measure(url, path, repeats, browser)
        shown = "-" if found.paint is None else f"{found.paint:.0f} ms"
        sizes = f"{found.sent / 1000:>7.0f} kB{found.unpacked / 1000:>7.0f} kB"
        print(f"{name:22}{found.first_byte:>9.0f} ms{shown:>13}{sizes}")
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
