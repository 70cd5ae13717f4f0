"""Calls in, messages out: a prompt that triples in one segment rings once, whatever way the calls came."""

import base64
import json
import time
from dataclasses import asdict
from itertools import islice

import grpc
import pytest
import requests
import workload
from collector_process import collector, gateway
from driftbell_process import serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from running_service import NOW

from driftbell.collectors.pricing import price
from driftbell.detectors.replay import Replay
from driftbell.detectors.settings import DetectorSettings
from driftbell.service import encode
from driftbell.service.config import Config
from driftbell.service.demo import Sink

START = NOW // 86400 * 86400
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode()


def settings(sink: Sink) -> dict:
    return {
        "prices": workload.PRICES,
        "schedule": {"evaluate_every": 3600, "deliver_every": 3600},
        "alerts": {
            "channels": {"hook": {"kind": "webhook", "url": sink.url, "secrets": ["env:HOOK_SECRET"]}},
            "routes": [{"channels": ["hook"]}],
        },
    }


@pytest.fixture
def sink(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with Sink() as started:
        yield started


def post(running, body: bytes) -> None:
    assert running.post("/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf"}).ok


def feed(running, hours, first: int = 0, send=post) -> int:
    """Send hour by hour; the clock follows, and after each hour the service does its rounds."""
    for records in hours:
        for body in encode.requests(records, 0.0, first=first):
            send(running, body)
        first += len(records)
        running.time[0] = max(running.time[0], records[-1].ts // 3600 * 3600 + 3600)
        running.service.catch_up()
    return first


def check_messages(sink: Sink) -> None:
    opened = [message["data"] for message in sink.received if message["type"] == "alert.opened"]
    assert len(opened) == 1
    told = opened[0]
    assert (told["workflow"], told["family"], told["segments"]) == ("triage", "cost", ["amer"])
    assert "prompt" in told["title"] or "cost" in told["title"] or "tokens" in told["title"]
    begins = START + workload.DEAR_FROM * 3600
    assert begins - 3600 < told["started_at"] < begins + 3600
    assert told["at"] < begins + 6 * 3600


def test_it_rings_once_over_http(serve, sink):
    running = serve(now=START, **settings(sink))
    feed(running, workload.hours(START))
    check_messages(sink)


def test_it_rings_once_over_grpc(serve, sink):
    running = serve(now=START, **settings(sink))
    with grpc.insecure_channel(running.grpc) as channel:
        export = TraceServiceStub(channel).Export

        def send(_running, body: bytes) -> None:
            export(ExportTraceServiceRequest.FromString(body), timeout=10)

        feed(running, workload.hours(START), send=send)
    check_messages(sink)


def test_it_rings_once_through_the_real_collector_and_every_call_arrives_once(serve, sink, tmp_path):
    collector()
    running = serve(now=START, **settings(sink))
    total = workload.HOURS * workload.PER_HOUR
    with gateway(running.url, tmp_path / "queue", tmp_path / "log") as (_, http, _grpc):

        def send(_running, body: bytes) -> None:
            assert requests.post(
                f"{http}/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf"}, timeout=10
            ).ok

        sent = 0
        for records in workload.hours(START):
            for body in encode.requests(records, 0.0, first=sent):
                send(running, body)
            sent += len(records)
        running.time[0] = START + workload.HOURS * 3600
        deadline = time.monotonic() + 60
        while count(running) < total and time.monotonic() < deadline:
            time.sleep(0.2)
    assert count(running) == total
    running.service.catch_up()
    check_messages_of_a_backlog(sink)


def count(running) -> int:
    groups = running.get("/api/v1/usage").json()["groups"]
    return groups[0]["calls"] if groups else 0


def check_messages_of_a_backlog(sink: Sink) -> None:
    """All hours came at once: the incident is told when it is found."""
    opened = [message["data"] for message in sink.received if message["type"] == "alert.opened"]
    assert [(told["workflow"], told["family"], told["segments"]) for told in opened] == [("triage", "cost", ["amer"])]


def rows(running) -> list:
    """Everything that detectors and alerts have stored."""
    db = running.service.store.read()
    queries = (
        "SELECT workflow, next_bin, state FROM detector_state ORDER BY 1",
        "SELECT id, ts, workflow, body FROM findings ORDER BY 1",
        "SELECT id, workflow, state, opened_at, body FROM incidents ORDER BY 1",
        "SELECT event_id, channel, state, message FROM notifications ORDER BY 1, 2",
    )
    return [db.execute(query).fetchall() for query in queries]


def test_a_restart_in_the_middle_changes_nothing(serve, sink, tmp_path):
    """Two services get the same calls; one is stopped and started again twice, once while the incident is open."""
    straight = serve(tmp_path / "straight", START, **settings(sink))
    feed(straight, workload.hours(START))
    hours, sent, now = workload.hours(START), 0, START
    for part in (100, 53, 7):
        running = serve(tmp_path / "restarted", now, **settings(sink))
        sent = feed(running, islice(hours, part), sent)
        now = running.time[0]
        stored = rows(running)
        running.stop()
    expected = rows(straight)
    assert [len(table) for table in stored] == [len(table) for table in expected]
    assert stored == expected
    assert stored[2]


def test_replay_of_the_same_history_finds_the_same_as_the_live_service(serve, sink):
    running = serve(now=START, **settings(sink))
    feed(running, workload.hours(START))
    stored = running.service.store.read().execute("SELECT body FROM findings")
    live = [json.loads(body) for (body,) in stored]
    prices = Config.model_validate({"prices": workload.PRICES, "public_prices": False}).price_table()
    engine = Replay(DetectorSettings(), lambda call: price(call, prices))
    replayed = [finding for records in workload.hours(START) for record in records for finding in engine.take(record)]
    replayed = [asdict(finding) for finding in (*replayed, *engine.finish())]
    same = ("id", "ts", "transition", "family", "metric", "segment", "direction", "started_at", "n")

    def told(findings: list[dict]) -> set[tuple]:
        last = running.time[0]  # the replay also knows that nothing comes after the last record
        return {tuple(finding[name] for name in same) for finding in findings if finding["ts"] < last}

    assert told(live) == told(replayed)
    assert live


def test_killed_while_it_evaluates_and_delivers_it_sends_no_message_under_a_second_id(sink, tmp_path):
    """Days of calls wait; the process is killed again and again until it gets through."""
    start = (time.time() // 3600 - workload.HOURS) * 3600
    config = tmp_path / "driftbell.yaml"
    config.write_text(json.dumps({**settings(sink), "schedule": {"evaluate_every": 1, "deliver_every": 0.2}}))
    arguments = ("--config", str(config))
    with serving(tmp_path / "data", *arguments) as (_, url):
        sent = 0
        for records in workload.hours(start):
            for body in encode.requests(records, 0.0, first=sent):
                requests.post(
                    f"{url}/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf"}, timeout=10
                )
            sent += len(records)
    for lifetime in (0.3, 0.6, 0.9, 1.2, 1.6, 2.0):
        with serving(tmp_path / "data", *arguments) as (process, _):
            deadline = time.monotonic() + lifetime
            while time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
    with serving(tmp_path / "data", *arguments) as (_, url):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not opened(sink):
            time.sleep(0.1)
        incidents = requests.get(f"{url}/api/v1/incidents?state=all", timeout=10).json()["incidents"]
    by_event = {(event["data"]["incident_id"], event["type"], event["data"]["event_id"]) for event in opened(sink)}
    assert by_event
    assert len(by_event) == len({(incident, kind) for incident, kind, _ in by_event}) == len(incidents)


def opened(sink: Sink) -> list[dict]:
    return [message for message in sink.received if message["type"] == "alert.opened"]
