"""The original spans of chosen workflows are kept as they came, of these alone, and for as long as is wanted."""

import gzip
import json
from dataclasses import replace

import pytest
import requests
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.batch import Batch
from driftbell.collectors.intake import Limits
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.store import Store

DAY = 86_400.0
START = 1_760_000_000.0


def span(trace: str, number: int, **texts) -> dict:
    return {
        "traceId": trace * 32,
        "spanId": f"{number:016x}",
        "name": "chat m",
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000001000000000",
        "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()],
    }


CLAIMS = {"driftbell.workflow": "claims-eu"}
REQUEST = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "a"},
                    "spans": [
                        span("1", 1, **CLAIMS, **{"gen_ai.input.messages": "what is my claim"}),
                        span("1", 2, note="child"),
                        span("2", 3, note="of others", **{"driftbell.workflow": "triage"}),
                    ],
                }
            ],
        },
        {"resource": {}, "scopeSpans": [{"spans": [span("3", 4)]}]},
    ]
}


def post(server, encoding: str):
    if encoding == "json":
        body = json.dumps(REQUEST).encode()
    else:
        message = json_format.ParseDict(REQUEST, ExportTraceServiceRequest())
        for group in message.resource_spans:
            for each in group.scope_spans[0].spans:
                each.trace_id, each.span_id = each.trace_id[:16], each.span_id[:8]
        body = message.SerializeToString()
    headers = {"content-type": f"application/{encoding}"}
    assert requests.post(f"{server.url}/v1/traces", data=body, headers=headers, timeout=10).status_code == 200


def told(body) -> str:
    plain = gzip.decompress(body.data)
    return plain.decode() if body.encoding == "json" else str(ExportTraceServiceRequest.FromString(plain))


@pytest.mark.parametrize("encoding", ["json", "x-protobuf"])
def test_only_traces_of_chosen_workflows_are_kept_and_these_whole(serve, store, encoding):
    server = serve(Limits(keep_bodies=("claims-*", "billing")))
    post(server, encoding)
    ((_, body),) = store.bodies(0, 1e12)
    assert (body.workflow, body.signal) == ("claims-eu", "traces")
    assert "what is my claim" in told(body)
    assert "child" in told(body)
    assert "of others" not in told(body)


def test_a_service_may_be_named_in_the_place_of_a_workflow(serve, store):
    server = serve(Limits(keep_bodies=("shop",)))
    post(server, "json")
    ((_, body),) = store.bodies(0, 1e12)
    assert body.workflow == "shop"
    assert told(body).count("spanId") == 3


def test_nothing_is_kept_unless_it_is_asked_for(serve, store):
    post(serve(), "json")
    post(serve(Limits(keep_bodies=("elsewhere",))), "json")
    assert list(store.bodies(0, 1e12)) == []


def test_each_workflow_has_its_own_retention(tmp_path, spans):
    now = [START]
    store = Store.open(tmp_path, clock=lambda: now[0])
    for name in ("claims-eu", "triage"):
        store.append(Batch([replace(spans.call(workflow=name), start=START - 2, end=START - 1)]))
    own = RetentionPolicy(calls=3.0, minutes=3.0, hours=40.0, days=50.0)
    policy = RetentionPolicy(workflows=(("claims-*", own),))
    now[0] = START + 5 * DAY
    for name in ("claims-eu", "triage"):
        store.append(Batch([replace(spans.call(workflow=name), start=now[0] - 2, end=now[0] - 1)]))
    store.retain(now[0], policy)
    assert len(store.calls("claims-eu").calls) == 1
    assert len(store.calls("triage").calls) == 2
    store.refresh_all()
    for name in ("claims-eu", "triage"):
        assert sum(point.calls for point in store.points(name, -1e12, 1e12, "day")) == 2, "the points outlive the calls"
    store.append(Batch([replace(spans.call(workflow="claims-eu"), start=START - 2, end=START - 1)]))
    assert len(store.calls("claims-eu").calls) == 1, "what is too old is not taken again"
    store.close()


def test_bodies_are_kept_as_long_as_their_workflow_says(tmp_path, serve, store):
    post(serve(Limits(keep_bodies=("claims-*", "triage"))), "json")
    assert [body.workflow for _, body in store.bodies(0, 1e12)] == ["claims-eu", "triage"]
    short = RetentionPolicy(bodies=0.5)
    store.retain(START + 1000 + DAY, RetentionPolicy(workflows=(("claims-*", short),)))
    assert [body.workflow for _, body in store.bodies(0, 1e12)] == ["triage"]
