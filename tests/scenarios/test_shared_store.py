"""The whole product on ClickHouse tells what it tells on SQLite, whoever is killed on the way."""

import base64
import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import requests
import workload
from clickhouse import database
from clickhouse_server import clickhouse_server
from driftbell_process import serving
from exported_table import create, export
from running_service import NOW

from driftbell.alerts.summary import summarise
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.weeks import last_full_week
from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.decode import decode_traces
from driftbell.collectors.records import Record
from driftbell.collectors.store import FILE
from driftbell.service import encode
from driftbell.service.demo import Sink
from driftbell.service.weekly import source

START = NOW // 604800 * 604800 + 11 * 86400
"""A Monday, after the service has started."""
HOUR = 3600
EVER = (-1e12, 1e12)
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
def sink(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode())
    with Sink() as started:
        yield started


def settings(sink: Sink, store: str | None = None) -> dict:
    return {
        "store": store,
        "prices": workload.PRICES,
        "schedule": {"evaluate_every": 3600, "deliver_every": 3600},
        "detectors": {"idle": 3600},
        "alerts": {
            "channels": {"hook": {"kind": "webhook", "url": sink.url, "secrets": ["env:HOOK_SECRET"]}},
            "routes": [{"channels": ["hook"]}],
        },
    }


def traffic() -> Iterator[list[Record]]:
    """A third of the workload: an engine in a test is slow to start each of its many questions."""
    return (records[::3] for records in workload.hours(float(START)))


def feed(running, hours, together: int = 20, first: int = 0) -> int:
    """Send some hours together; after them the clock is there, and the service does its rounds."""
    while portion := [record for records in islice(hours, together) for record in records]:
        for body in encode.requests(portion, 0.0, batch=10_000, first=first):
            assert running.post("/v1/traces", data=body, headers=PROTOBUF).ok
        first += len(portion)
        running.time[0] = max(running.time[0], portion[-1].ts // HOUR * HOUR + HOUR)
        running.service.catch_up()
    return first


def watched(running) -> dict:
    """What detectors and alerts have made of the calls, without the order of what happened at once."""
    db = running.service.store.read()
    queries = {
        "state": "SELECT workflow, next_bin, state, beside FROM detector_state ORDER BY 1",
        "findings": "SELECT id, ts, workflow, body FROM findings ORDER BY 1",
        "incidents": "SELECT id, workflow, state, opened_at, body FROM incidents ORDER BY 1",
        "messages": "SELECT event_id, channel, state, message FROM notifications ORDER BY 1, 2",
    }
    return {name: [list(map(parsed, row)) for row in db.execute(query)] for name, query in queries.items()}


def points(running) -> dict:
    store = running.service.store
    store.refresh_all()
    return {
        (workflow.name, resolution): [[p.key, p.calls, p.rates, json.loads(p.encode())] for p in found]
        for workflow in store.workflows()
        for resolution in ("minute", "hour", "day")
        for found in [sorted(store.points(workflow.name, *EVER, resolution), key=lambda p: json.dumps(p.key))]
    }


def weekly(running) -> dict:
    store, config = running.service.store, running.service._config
    week = last_full_week(START + 8 * 86400, "UTC")
    return json.loads(summarise(source(store, config), WeeklySettings(), EVERYONE, week).json)


def parsed(value):
    return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value


def loosely(value):
    """``value`` as it is, but for the last bits of sums of floats, which depend on the order of their terms."""
    if isinstance(value, dict):
        return {key: loosely(one) for key, one in value.items()}
    if isinstance(value, list):
        return [loosely(one) for one in value]
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


def test_the_same_calls_give_the_same_points_findings_incidents_and_weekly_numbers(serve, sink, tmp_path):
    told = []
    for folder, store in (("file", None), ("clickhouse", database())):
        running = serve(tmp_path / folder, START, **settings(sink, store))
        feed(running, traffic())
        told.append((watched(running), points(running), weekly(running)))
    expected, found = told
    assert expected[0]["incidents"]
    for each, same in zip(found, expected, strict=True):
        assert each == loosely(same)


class Fleet:
    """A receiver and two detectors as processes of their own, on one ClickHouse; each may be killed and started."""

    def __init__(self, folder: Path, address: str, given: dict) -> None:
        self._folder = folder
        self._config = folder / "driftbell.yaml"
        self.address = address
        self.configure(given)
        self._running: dict[str, AbstractContextManager] = {}
        self.processes: dict[str, tuple[subprocess.Popen, str]] = {}

    def configure(self, given: dict) -> None:
        """What the processes that are started from now on go by."""
        self.given = given
        self._config.write_text(json.dumps(given))

    def start(self, name: str, *arguments: str) -> None:
        held = serving(self._folder / name, "--config", str(self._config), *arguments)
        self.processes[name] = held.__enter__()
        self._running[name] = held

    def kill(self, name: str) -> None:
        self.processes[name][0].kill()
        self._running.pop(name).__exit__(None, None, None)

    def end(self) -> None:
        for name in list(self._running):
            self.kill(name)


@pytest.fixture
def fleet(tmp_path, sink):
    with clickhouse_server(tmp_path / "engine") as address:
        given = {**settings(sink, f"clickhouse://{address}/driftbell"), "public_prices": False}
        given["schedule"] = {"evaluate_every": 1, "deliver_every": 1}
        fleet = Fleet(tmp_path, address, given)
        yield fleet
        fleet.end()


def two_workflows(start: float) -> list[bytes]:
    """The requests of a history of two workflows; the second does not go wrong as the first does."""
    records: list[Record] = []
    for hour in workload.hours(start):
        for at, record in enumerate(hour[::6]):
            call = replace(record.call, workflow="route") if at % 2 else record.call
            records.append(record._replace(call=call))
    return list(encode.requests(records, 0.0, batch=400))


def evaluated(path: Path) -> dict[str, list]:
    """How far each workflow in the file of a detector is evaluated, what its tests hold, and what was found.

    Without causes: those are read from whole hours, which are rebuilt in the time of this test, not of its calls.
    """
    with closing(sqlite3.connect(path / FILE)) as db:
        states = db.execute("SELECT workflow, next_bin, state FROM detector_state").fetchall()
        findings = db.execute("SELECT workflow, id, ts, body ->> 'transition' FROM findings ORDER BY id").fetchall()
        told = db.execute("SELECT workflow, id, opened_at FROM incidents ORDER BY id").fetchall()
    return {
        name: [
            until,
            [parsed(state)[part] for part in ("volume", "tests", "groups")],
            [each for whose, *each in findings if whose == name],
            [each for whose, *each in told if whose == name],
        ]
        for name, until, state in states
    }


def test_receivers_and_detectors_that_are_killed_change_nothing(serve, sink, fleet, tmp_path):
    bodies = two_workflows((time.time() // HOUR - workload.HOURS) * HOUR)
    expected = undisturbed(serve(tmp_path / "file", time.time(), **settings(sink)), bodies, tmp_path / "file")

    for name in ("0/2", "1/2"):
        fleet.start(name.replace("/", "-"), "--shard", name)
    fleet.start("receiver", "--receive-only")
    for number, body in enumerate(bodies):
        if number in (2, 5):
            killer = threading.Timer(0.03 * number, fleet.processes["receiver"][0].kill)
            killer.start()
        while not taken(fleet.processes["receiver"][1], body):
            fleet.kill("receiver")
            fleet.start("receiver", "--receive-only")
        if number in (3, 6):
            fleet.kill(f"{number % 2}-2")
            fleet.start(f"{number % 2}-2", "--shard", f"{number % 2}/2")
    awaited(expected, tmp_path)


def test_a_reader_of_the_collectors_tables_that_is_killed_changes_nothing(serve, sink, fleet, tmp_path):
    bodies = two_workflows((time.time() // HOUR - workload.HOURS) * HOUR)
    expected = undisturbed(serve(tmp_path / "file", time.time(), **settings(sink)), bodies, tmp_path / "file")

    table = connect(f"clickhouse://{fleet.address}/otel")
    create(table)
    traces = {"url": f"clickhouse://{fleet.address}/otel", "back": "60d", "every": 1}
    fleet.configure({**fleet.given, "otel_traces": traces})
    fleet.start("1-2", "--shard", "1/2")
    fleet.start("0-2", "--shard", "0/2")
    for number, body in enumerate(bodies):
        export(table, decode_traces(body, "protobuf").spans)
        if number in (1, 3, 6):
            # While it reads, while calls are made of what it read, and while these are evaluated.
            time.sleep(0.3 * number)
            fleet.kill("0-2")
            fleet.start("0-2", "--shard", "0/2")
    awaited(expected, tmp_path)


def undisturbed(alone, bodies: list[bytes], folder: Path) -> dict[str, list]:
    """What one process on a file that nobody kills makes of the same spans."""
    for body in bodies:
        assert alone.post("/v1/traces", data=body, headers=PROTOBUF).ok
    alone.service.catch_up()
    expected = evaluated(folder)
    assert expected["triage"][2]
    return expected


def awaited(expected: dict[str, list], folder: Path) -> None:
    """Wait until both shards have evaluated as much, and compare."""
    found: dict[str, list] = {}
    deadline = time.monotonic() + 240
    while {n: e[0] for n, e in found.items()} != {n: e[0] for n, e in expected.items()}:
        assert time.monotonic() < deadline, found.keys()
        time.sleep(0.2)
        found = evaluated(folder / "0-2") | evaluated(folder / "1-2")
    for name, each in expected.items():
        assert found[name] == loosely(each)


def taken(url: str, body: bytes) -> bool:
    """Whether a receiver acknowledges a request; if not, it is to be sent again."""
    try:
        return requests.post(f"{url}/v1/traces", data=body, headers=PROTOBUF, timeout=20).ok
    except requests.ConnectionError:
        return False
