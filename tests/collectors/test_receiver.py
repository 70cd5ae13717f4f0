import base64
import gzip
import json
import logging
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import requests
from google.rpc import status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from driftbell.collectors.chunk import unpack
from driftbell.collectors.intake import Limits

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def request_of(spans: int = 1, bad: int = 0) -> ExportTraceServiceRequest:
    """A request with good spans, each a call and a trace, and bad ones without ids."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    name = group.resource.attributes.add(key="service.name")
    name.value.string_value = "shop"
    scope = group.scope_spans.add()
    for at in range(spans + bad):
        span = scope.spans.add(name="chat m", start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 10**9)
        if at < spans:
            span.trace_id = (at + 1).to_bytes(16, "big")
            span.span_id = (at + 1).to_bytes(8, "big")
        for key, value in (("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m")):
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    return request


def json_of(request: ExportTraceServiceRequest) -> dict:
    """The request in OTLP/JSON as JavaScript sends it: hex ids, numbers as numbers."""
    spans = [
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "name": span.name,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": [
                {"key": a.key, "value": {"stringValue": a.value.string_value}}
                if a.value.string_value
                else {"key": a.key, "value": {"intValue": a.value.int_value}}
                for a in span.attributes
            ],
        }
        for span in request.resource_spans[0].scope_spans[0].spans
    ]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}


def post(server, body, headers=PROTOBUF, path="/v1/traces") -> requests.Response:
    return requests.post(server.url + path, data=body, headers=headers, timeout=20)


def chunked(body: bytes, size: int = 1000):
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("exporter", ["http", "http-gzip", "grpc", "grpc-gzip"])
def test_the_real_exporters_deliver_every_call(serve, store, all_calls, exporter):
    server = serve()
    if exporter.startswith("http"):
        compression = Compression.Gzip if exporter.endswith("gzip") else Compression.NoCompression
        sender = HttpExporter(f"{server.url}/v1/traces", compression=compression)
    else:
        compression = grpc.Compression.Gzip if exporter.endswith("gzip") else grpc.Compression.NoCompression
        sender = GrpcExporter(f"http://{server.grpc}", insecure=True, compression=compression)
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(sender, max_export_batch_size=64))
    tracer = provider.get_tracer("app")
    for at in range(200):
        given = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": at + 1}
        with tracer.start_as_current_span("answer"), tracer.start_as_current_span("chat m", attributes=given):
            pass
    provider.shutdown()
    calls = all_calls(store)
    assert sorted(call.input_tokens for call in calls) == list(range(1, 201))
    assert store.integrity() == "ok"


def test_protobuf_json_gzip_and_chunked_bodies_say_the_same(serve, store, all_calls):
    server = serve()
    request = request_of(3)
    body, text = request.SerializeToString(), json.dumps(json_of(request)).encode()
    forms = [
        (body, PROTOBUF),
        (gzip.compress(body), PROTOBUF | {"content-encoding": "gzip"}),
        (chunked(body, 100), PROTOBUF),
        (text, JSON),
        (text, {"content-type": "Application/JSON; charset=utf-8"}),
        (gzip.compress(text[:50]) + gzip.compress(text[50:]), JSON | {"content-encoding": "GZIP"}),
    ]
    for form, headers in forms:
        answer = post(server, form, headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == headers["content-type"].lower().partition(";")[0]
    assert len(all_calls(store)) == 3


def test_bad_spans_are_refused_one_by_one(serve, store, all_calls):
    server = serve()
    request = request_of(2, bad=3)
    answer = ExportTraceServiceResponse.FromString(post(server, request.SerializeToString()).content)
    assert answer.partial_success.rejected_spans == 3
    assert answer.partial_success.error_message
    said = post(server, json.dumps(json_of(request)), JSON).json()
    assert said["partialSuccess"]["rejectedSpans"] == "3"
    assert len(all_calls(store)) == 2
    assert sum(n for (_, counter), n in store.trust_totals().items() if counter == "rejected") == 6


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_an_empty_request_is_a_success(serve, path):
    server = serve()
    assert post(server, b"", path=path).content == b""
    answer = post(server, b"{}", JSON, path)
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_a_malformed_body_is_400_in_its_own_encoding_and_stores_nothing(serve, store, path):
    server = serve()
    answer = post(server, b"\xff\xff\xff", path=path)
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROTOBUF["content-type"])
    assert status_pb2.Status.FromString(answer.content).message
    for body in (b"{", b"[]", b"\x00", b'{"resourceSpans":' + b"[" * 1_000_000):
        answer = post(server, body, JSON, path)
        assert answer.status_code == 400
        assert answer.json()["message"]
    broken = PROTOBUF | {"content-encoding": "gzip"}
    assert post(server, b"not gzip", broken, path).status_code == 400
    assert post(server, gzip.compress(b"x" * 5000)[:-9], broken, path).status_code == 400
    assert store.workflows() == []
    assert post(server, request_of().SerializeToString()).status_code == 200


def test_wrong_methods_types_and_encodings_are_told_so(serve):
    server = serve()
    assert requests.get(server.url + "/v1/traces", timeout=9).status_code == 405
    assert post(server, b"", {"content-type": "text/plain"}).status_code == 415
    assert post(server, b"", PROTOBUF | {"content-encoding": "br"}).status_code == 415
    assert post(server, b"", path="/v1development/profiles").status_code == 404


def test_what_is_too_large_is_413_before_and_after_decompression(serve, store):
    server = serve(Limits(body=100_000, inflated=200_000))
    big = request_of(3000).SerializeToString()
    assert post(server, big).status_code == 413
    assert post(server, chunked(big)).status_code == 413
    squeezed = PROTOBUF | {"content-encoding": "gzip"}
    assert len(gzip.compress(big)) < 100_000
    assert post(server, gzip.compress(big), squeezed).status_code == 413
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert post(server, bomb, squeezed).status_code == 413
    assert store.workflows() == []
    assert post(server, request_of().SerializeToString()).status_code == 200
    assert server.intake.in_flight == (0, 0)


def test_without_the_token_nothing_is_taken(serve, store, all_calls):
    server = serve(token="secret-1")
    body = request_of().SerializeToString()
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret-1"}, {"authorization": "Bearer"}):
        answer = post(server, body, PROTOBUF | wrong)
        assert answer.status_code == 401
        assert b"secret-1" not in answer.content
    assert post(server, body, PROTOBUF | {"authorization": "bearer secret-1"}).status_code == 200
    assert len(all_calls(store)) == 1


def test_the_token_may_come_as_a_password(serve):
    server = serve(token="secret-1")
    body = request_of().SerializeToString()
    told = {"pk-1:secret-1": 200, ":secret-1": 200, "secret-1": 401, "secret-1:": 401, "pk-1:secret": 401}
    for credentials, code in told.items():
        basic = {"authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
        assert post(server, body, PROTOBUF | basic).status_code == code
    assert post(server, body, PROTOBUF | {"authorization": "Basic secret-1"}).status_code == 401


def test_a_body_that_comes_too_slowly_may_be_sent_again(serve, store):
    server = serve(Limits(receive_timeout=0.2))
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=9) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = connection.recv(4096).lower()
    assert answer.startswith(b"http/1.1 503")
    assert b"retry-after: 1" in answer
    assert store.workflows() == []


def test_a_locked_database_is_503_with_retry_after_and_keeps_nothing(serve, store, all_calls):
    server = serve()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = post(server, request_of().SerializeToString())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert status_pb2.Status.FromString(answer.content).code == 14
    other.execute("ROLLBACK")
    other.close()
    assert all_calls(store) == []
    assert post(server, request_of().SerializeToString()).status_code == 200
    assert len(all_calls(store)) == 1


def test_overload_is_503_and_what_was_accepted_is_kept(serve, store, all_calls, wait_until):
    server = serve(Limits(in_flight=4))
    with ThreadPoolExecutor(12) as pool, store.write():
        sending = [pool.submit(post, server, request_of(at + 1).SerializeToString()) for at in range(12)]
        wait_until(lambda: sum(future.done() for future in sending) == 8)
        assert {future.result().status_code for future in sending if future.done()} == {503}
    codes = [future.result().status_code for future in sending]
    assert (codes.count(200), codes.count(503)) == (4, 8)
    assert server.intake.in_flight == (0, 0)


def test_bodies_are_kept_as_they_came_when_that_is_switched_on(serve, store):
    server = serve(Limits(keep_bodies=("*",)))
    body = request_of(2).SerializeToString()
    post(server, body)
    post(server, gzip.compress(body), PROTOBUF | {"content-encoding": "gzip"})
    kept = [gzip.decompress(held.data) for _, held in store.bodies(0, 1e12)]
    assert kept == [body, body]


def test_prompts_reach_no_row_and_no_log(serve, store, caplog):
    secret = "my social security number is 078-05-1120"
    request = request_of()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for key in (
        "gen_ai.input.messages",
        "llm.input_messages.0.message.content",
        "input.value",
        "traceloop.entity.input",
    ):
        span.attributes.add(key=key).value.string_value = secret
    with caplog.at_level(logging.DEBUG):
        server = serve()
        assert post(server, request.SerializeToString()).status_code == 200
        bad = json_of(request)
        bad["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = secret
        assert secret not in post(server, json.dumps(bad), JSON).text
        assert secret not in post(server, json.dumps(secret), JSON).text
    dump = "\n".join(line for line in store.read().iterdump())
    chunks = [repr(unpack(store.read(), data)) for (data,) in store.read().execute("SELECT data FROM chunks")]
    for text in (dump, *chunks, caplog.text):
        assert "078-05-1120" not in text


OTLP_KEYS = (
    *("resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "attributes", "key", "value", "events", "scope"),
    *("intValue", "stringValue", "arrayValue", "values", "kvlistValue", "startTimeUnixNano", "resource"),
)
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers()
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(OTLP_KEYS), inner, max_size=5),
    max_leaves=40,
)


@given(
    body=st.binary(max_size=400) | TREES.map(lambda tree: json.dumps(tree).encode()),
    headers=st.sampled_from([PROTOBUF, JSON]),
    signal=st.sampled_from(["traces", "logs", "metrics"]),
    mangled=st.integers(0, 300),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_whatever_is_a_server_error(request, body, headers, signal, mangled):
    server = _shared_server(request)
    assert post(server, body, headers, f"/v1/{signal}").status_code in (200, 400)
    real = bytearray(request_of(2, 1).SerializeToString())
    real[mangled % len(real)] ^= 1 + mangled % 255
    assert post(server, bytes(real), PROTOBUF, f"/v1/{signal}").status_code in (200, 400)


def _shared_server(request):
    if not hasattr(request.node, "shared_server"):
        request.node.shared_server = request.getfixturevalue("serve")()
    return request.node.shared_server


def test_base64_ids_are_not_hex_ids(serve, store):
    server = serve()
    said = json_of(request_of())
    said["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = base64.b64encode(b"\1" * 16).decode()
    assert post(server, json.dumps(said), JSON).json()["partialSuccess"]["rejectedSpans"] == "1"


def test_half_a_surrogate_pair_costs_no_span(serve, store, all_calls):
    server = serve()
    said = json_of(request_of(2))
    text = json.dumps(said).replace('"m"', '"m\\ud83d\\ude00\\ud800x\\udc00"').replace("chat m", "\\udfff")
    assert post(server, text, JSON).json() == {}
    assert [call.model for call in all_calls(store)] == ["m\U0001f600\ufffdx\ufffd"] * 2


def test_more_spans_than_the_limit_are_413(serve, store, monkeypatch):
    monkeypatch.setattr("driftbell.collectors.decode.MAX_ITEMS", 5)
    server = serve()
    assert post(server, request_of(6).SerializeToString()).status_code == 413
    assert store.workflows() == []
    assert post(server, request_of(5).SerializeToString()).status_code == 200


def test_what_no_one_foresaw_is_400_without_its_text(serve, store, monkeypatch, caplog):
    server = serve()

    def fail(span, service):
        raise ValueError(f"cannot read {span.name!r} 078-05-1120")

    monkeypatch.setattr("driftbell.collectors.ingest.reading_of", fail)
    answer = post(server, request_of().SerializeToString())
    assert answer.status_code == 400
    assert b"078-05-1120" not in answer.content
    assert "078-05-1120" not in caplog.text
    assert "ValueError" in caplog.text
    assert server.intake.in_flight == (0, 0)
