"""From a decorated function to a row: over HTTP, over gRPC, through the real Collector, with the real SDK."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from collector_process import collector, gateway
from running_service import CALL

APPLICATION = Path(__file__).resolve().parents[1] / "kit" / "application.py"


def run_application(calls: int, *endpoint: str, **environment: str) -> list[str]:
    """The references of the calls to ``ticket-triage``."""
    ran = subprocess.run(
        [sys.executable, APPLICATION, str(calls), *endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout.split()


def arrived(running, n: int, workflow: str = "ticket-triage") -> list[dict]:
    """The calls of a workflow, once there are ``n`` of them."""
    deadline = time.monotonic() + 40
    while True:
        calls = running.get("/api/v1/calls", params={"limit": 1000, "workflow": workflow}).json()["calls"]
        if len(calls) >= n or time.monotonic() > deadline:
            return calls
        time.sleep(0.1)


@pytest.fixture
def running(serve):
    return serve(now=time.time(), prices={"atlas-2026": {"input": 10, "output": 100}})


def check_calls(running, refs: list[str]) -> None:
    calls = arrived(running, len(refs))
    assert sorted(f"{call['trace_id']}-{call['span_id']}" for call in calls) == sorted(refs)
    first = next(call for call in calls if f"{call['trace_id']}-{call['span_id']}" == refs[0])
    told = ("segment", "risk_tier", "model", "input_tokens", "output_tokens", "status", "citations", "release")
    assert [first[name] for name in told] == ["even", "high", "atlas-2026", 100, 20, "ok", 1, "1.2.3"]
    assert [source["id"] for source in first["sources"]] == ["doc-1", "doc-2"]
    assert first["cost_usd"] == pytest.approx(100 * 10e-6 + 20 * 100e-6)
    assert "@" not in str(calls)
    assert "secret answer" not in str(calls)


def test_decorated_calls_arrive_over_http(running):
    check_calls(running, run_application(20, running.url))


def test_decorated_calls_arrive_over_grpc(running):
    to = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + running.grpc}
    check_calls(running, run_application(20, **to))


def test_decorated_calls_arrive_once_through_the_real_collector(running, tmp_path):
    collector()
    with gateway(running.url, tmp_path / "queue", tmp_path / "log") as (_, http, _grpc):
        check_calls(running, run_application(20, http))


def test_what_became_of_a_call_arrives_too(running):
    run_application(2, running.url)
    arrived(running, 2)
    store = running.service.store
    judged = {judgement.override or judgement.evaluation for judgement in store.judgements("chat")}
    assert judged == {"edited", "groundedness"}
    (task,) = store.manual_tasks("ticket-triage")
    assert task.segment == "odd"
    assert "@" not in (task.user_id or "")
    assert [(marker.kind, marker.value) for marker in store.markers("ticket-triage")] == [("prompt", "v14")]


def test_a_locked_store_is_a_503_that_asks_to_come_back_and_nothing_is_acknowledged(running, tmp_path):
    other = sqlite3.connect(tmp_path / "data" / "driftbell.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = running.send(CALL)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    other.rollback()
    assert running.get("/api/v1/calls").json()["calls"] == []
    assert running.send(CALL).status_code == 200
    assert len(running.get("/api/v1/calls").json()["calls"]) == 1
