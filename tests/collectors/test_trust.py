import json
from dataclasses import replace

import pytest
import requests
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry, generate_latest

from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.metrics import ReceiverMetrics
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.store import Store

START = 1_760_000_000.0


def counters(store, service="shop"):
    (point,) = store.trust(-1e12, 1e12, service)
    return point.counters


def test_every_way_in_which_telemetry_can_be_wrong_is_counted(store, spans, put):
    on_time, late, ahead = spans.call(995), spans.call(0), spans.call(2000)
    put(on_time, late, ahead)
    put(on_time)
    assert counters(store) == {
        "received": 4,
        "late": 1,
        "ahead": 1,
        "duplicated": 1,
        "calls": 3,
        "lag_ms": 5_000 + 1_000_000 + 5_000,
        "ahead_ms": 1_000_000,
    }


def test_calls_without_price_or_usage_are_counted_when_first_told_of(store, spans, put):
    call = spans.call(995, request_model="house-model", response_model="house-model", provider="me")
    silent = replace(call, attributes={k: v for k, v in call.attributes.items() if "usage" not in k}, trace_id="b" * 32)
    put(call, silent)
    put(call, silent)
    said = counters(store)
    assert (said["calls"], said["unpriced"], said["usage_missing"]) == (2, 2, 1)


def test_losses_inside_the_application_are_counted_once(store, spans, put):
    put(spans.call(995, dropped_spans=7))
    assert counters(store)["sdk_dropped"] == 7


def test_what_was_rejected_is_counted_for_its_service(store):
    store.append(Batch(refused={"shop": 3}))
    store.append(Batch(refused={"(unknown)": 2}))
    assert counters(store) == {"rejected": 3}
    assert counters(store, "(unknown)") == {"rejected": 2}


def request_of(service: str, **fields) -> dict:
    """A request of one call, and one without id, in OTLP/JSON."""
    said = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.request.model": {"stringValue": "m"},
        "gen_ai.usage.input_tokens": {"intValue": 7},
    }
    span = {
        "name": "chat m",
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "startTimeUnixNano": str(int(START + 900) * 10**9),
        "endTimeUnixNano": str(int(START + 990) * 10**9),
        "attributes": [{"key": key, "value": value} for key, value in said.items()],
        **fields,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span, {**span, "spanId": ""}]}]}]}


def in_protobuf(request: dict, number: int = 0x11) -> bytes:
    message = json_format.ParseDict(request, ExportTraceServiceRequest())
    for group in message.resource_spans:
        for span in group.scope_spans[0].spans:
            span.trace_id, span.span_id = bytes([number]) * 16, b"\x22" * 8 if span.span_id else b""
    return message.SerializeToString()


@pytest.mark.parametrize("encoding", ["json", "x-protobuf"])
def test_refused_spans_are_told_of_the_service_that_sent_them(serve, store, encoding):
    server = serve()
    for service in ("shop", "", "desk"):
        request = request_of(service)
        body = json.dumps(request) if encoding == "json" else in_protobuf(request)
        headers = {"content-type": f"application/{encoding}"}
        assert requests.post(f"{server.url}/v1/traces", data=body, headers=headers, timeout=10).status_code == 200
    found = {point.service: point.counters["rejected"] for point in store.trust(-1e12, 1e12)}
    assert found == {"shop": 1, "desk": 1, "(unknown)": 1}


@pytest.mark.parametrize(
    ("state", "sampled"),
    [("", 0), ("ot=th:0", 0), ("ot=th:8", 1), ("vendor=1, ot=rv:01;th:fd70a", 1), ("vendor=th:8", 0), ("ot=th:", 0)],
)
def test_spans_that_stand_for_others_are_counted(serve, store, state, sampled):
    server = serve()
    for body, kind in (
        (json.dumps(request_of("shop", traceState=state)), "json"),
        (in_protobuf(request_of("shop", traceState=state)), "x-protobuf"),
    ):
        headers = {"content-type": f"application/{kind}"}
        assert requests.post(f"{server.url}/v1/traces", data=body, headers=headers, timeout=10).status_code == 200
    assert counters(store).get("sampled", 0) == 2 * sampled


def test_calls_that_are_too_old_are_told_of_their_service(store, spans, put):
    put(spans.call(995))
    with store.write() as db:
        db.execute("UPDATE workflows SET calls_purged = ?", [START + 990])
    store.retain(START + 1000, RetentionPolicy())
    put(spans.call(980))
    assert counters(store)["too_old"] == 1


def test_services_beyond_the_limit_are_counted_together(store, spans, put, monkeypatch):
    monkeypatch.setattr("driftbell.collectors.trust.SERVICES", 3)
    for at in range(10):
        put(replace(spans.call(995), resource={"service.name": f"s{at}"}))
    assert len(store.trust(-1e12, 1e12)) == 4
    assert counters(store, "(other)")["received"] == 7


@pytest.mark.parametrize("value", [-5, 2**40, "many", 1.5, None])
def test_a_senseless_number_of_losses_is_not_counted(store, spans, put, value):
    put(spans.call(995, dropped_spans=value))
    assert "sdk_dropped" not in counters(store)


def test_the_metrics_page_tells_how_the_receiver_is(store, spans, put):
    put(spans.call(995), spans.call(996))
    registry = CollectorRegistry()
    intake = Intake(store, Limits())
    intake.requests["traces", "200"] += 1
    registry.register(ReceiverMetrics(store, intake))
    text = generate_latest(registry).decode()
    assert 'driftbell_otlp_requests_total{answer="200",signal="traces"} 1.0' in text
    assert "driftbell_store_waiting 0.0" in text


def test_one_service_cannot_take_the_room_of_all_workflows(tmp_path, spans, monkeypatch):
    monkeypatch.setattr("driftbell.collectors.workflows.SENDER_LIMIT", 3)
    store = Store.open(tmp_path, clock=lambda: START + 1000)
    noisy = {"service.name": "noisy"}
    with_ids = [replace(spans.call(20 * n, workflow=f"answer-{n}"), resource=noisy) for n in range(10)]
    store.append(Batch(with_ids[:5]))
    store.append(Batch([*with_ids, spans.call(300, workflow="triage")]))
    names = {workflow.name for workflow in store.workflows()}
    assert names == {"answer-0", "answer-1", "answer-2", "(other)", "triage"}
    assert len(store.calls("(other)").calls) == 7
    assert counters(store, "noisy")["unnamed"] == 7
    assert "unnamed" not in counters(store, "shop")
    store.close()


@pytest.mark.parametrize("encoding", ["json", "x-protobuf"])
def test_no_control_character_reaches_a_name(serve, store, encoding):
    server = serve()
    evil = "a\x1b[31m\u202eb\nc\u2028\x00"
    for number in range(1, 9):
        named = {"attributes": [{"key": "service.name", "value": {"stringValue": f"s{evil}"}}]}
        request = request_of("", traceId=f"{number:032x}", spanId=f"{number:016x}", name=f"chat {evil}")
        group = request["resourceSpans"][0]
        group["resource"] = named
        span = group["scopeSpans"][0]["spans"][0]
        group["scopeSpans"][0]["spans"] = [span]
        for key in ("driftbell.workflow", "driftbell.segment", "gen_ai.response.model", "driftbell.owner"):
            span["attributes"].append({"key": key, "value": {"stringValue": f"w{evil}"}})
        body = json.dumps(request) if encoding == "json" else in_protobuf(request, number)
        headers = {"content-type": f"application/{encoding}"}
        assert requests.post(f"{server.url}/v1/traces", data=body, headers=headers, timeout=10).status_code == 200
    calls = store.calls(limit=100).calls
    assert len(calls) == 8
    for call in calls:
        assert all(name.isprintable() for name in (call.workflow, call.segment, call.model, call.owner))
    assert all(point.service.isprintable() for point in store.trust(-1e12, 1e12))
    assert all(workflow.name.isprintable() for workflow in store.workflows())


def test_names_of_imported_records_are_printable_too(store):
    store.append(Batch(calls=[Call(START, "a\x1b[2Jb")]))
    assert [workflow.name for workflow in store.workflows()] == ["a [2Jb"]
