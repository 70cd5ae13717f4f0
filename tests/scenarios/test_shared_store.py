"""The whole product on ClickHouse tells what it tells on SQLite, whoever is killed on the way."""

import base64
import json
from collections.abc import Iterator
from itertools import islice

import pytest
import workload
from clickhouse import database
from running_service import NOW

from driftbell.alerts.summary import summarise
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.weeks import last_full_week
from driftbell.collectors.records import Record
from driftbell.service import encode
from driftbell.service.demo import Sink
from driftbell.service.weekly import source

START = NOW // 604800 * 604800 + 11 * 86400
"""A Monday, after the service has started."""
HOUR = 3600
EVER = (-1e12, 1e12)


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
            assert running.post("/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf"}).ok
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
        running = serve(tmp_path / folder, **settings(sink, store))
        running.time[0] = START
        feed(running, traffic())
        told.append((watched(running), points(running), weekly(running)))
    expected, found = told
    assert expected[0]["incidents"]
    for each, same in zip(found, expected, strict=True):
        assert each == loosely(same)
