"""Through the real OpenTelemetry Collector: the shipped configurations run, lose nothing, and let no text pass."""

import os
import subprocess
import time
from dataclasses import replace

import pytest
import requests
from collector_process import CONFIGURATIONS, collector, free_port, gateway
from driftbell_process import serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_recorder import recording
from running_service import CALL

from driftbell.collectors.records import Record
from driftbell.service import encode

PROTOBUF = {"Content-Type": "application/x-protobuf"}
DEADLINE = 60


def bodies(n: int, at: float) -> list[bytes]:
    records = [Record(at + i, replace(CALL, ts=at + i, segment=str(i)), (), None) for i in range(n)]
    return list(encode.requests(records, 0.0, batch=50))


def segments(url: str) -> list[int]:
    calls = requests.get(f"{url}/api/v1/calls?limit=1000", timeout=10).json()["calls"]
    return sorted(int(call["segment"]) for call in calls)


def wait_for(url: str, n: int) -> list[int]:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = segments(url)
        if len(found) >= n:
            return found
        time.sleep(0.2)
    return segments(url)


@pytest.mark.parametrize("name", ["gateway.yaml", "agent.yaml"])
def test_the_collector_accepts_the_configuration(name, tmp_path):
    command = [collector(), "validate", "--config", CONFIGURATIONS / name]
    checked = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "QUEUE_DIR": str(tmp_path)}
    )
    assert checked.returncode == 0, checked.stderr


def test_every_call_arrives_exactly_once_though_driftbell_is_away_for_a_while(tmp_path):
    """The first half is sent while driftbell runs, the second while it is down and the collector restarts."""
    collector()
    port, waiting, log = free_port(), tmp_path / "queue", tmp_path / "collector.log"
    driftbell, at = f"http://127.0.0.1:{port}", time.time() - 3600
    with gateway(driftbell, waiting, log) as (_, http, _grpc):
        with serving(tmp_path / "data", port=port) as (_, url):
            for body in bodies(200, at):
                assert requests.post(f"{http}/v1/traces", data=body, headers=PROTOBUF, timeout=10).ok
            assert wait_for(url, 200) == list(range(200))
        for body in bodies(400, at):  # the first half again, as a client that never saw the answer would
            assert requests.post(f"{http}/v1/traces", data=body, headers=PROTOBUF, timeout=10).ok
    with gateway(driftbell, waiting, log), serving(tmp_path / "data", port=port) as (_, url):
        assert wait_for(url, 400) == list(range(400))


def test_texts_and_secrets_do_not_pass_the_gateway(tmp_path):
    collector()
    canary = "the quick brown canary"
    request = ExportTraceServiceRequest.FromString(bodies(1, time.time() - 600)[0])
    span = request.resource_spans[0].scope_spans[0].spans[0]
    held = {
        "gen_ai.input.messages": canary,
        "gen_ai.prompt.0.content": canary,
        "llm.input_messages.0.message.content": canary,
        "retrieval.documents.0.document.content": canary,
        "reranker.output_documents.1.document.content": canary,
        "ai.prompt.messages": canary,
        "input.value": canary,
        "traceloop.entity.output": canary,
        "my.note": "key sk-abcdefghijklmnop1234 of jane.doe@example.com",
    }
    for name, text in held.items():
        span.attributes.add(key=name).value.string_value = text
    span.events.add(name="gen_ai.user.message").attributes.add(key="gen_ai.prompt").value.string_value = canary
    with recording() as (url, received), gateway(url, tmp_path / "queue", tmp_path / "log") as (_, http, _grpc):
        requests.post(f"{http}/v1/traces", data=request.SerializeToString(), headers=PROTOBUF, timeout=10)
        passed = received.get(timeout=DEADLINE)
    assert not [text for text in (canary, "abcdefghijklmnop1234", "jane.doe") if text.encode() in passed]
    kept = {
        a.key for a in ExportTraceServiceRequest.FromString(passed).resource_spans[0].scope_spans[0].spans[0].attributes
    }
    assert {"gen_ai.usage.input_tokens", "driftbell.workflow", "my.note"} <= kept
