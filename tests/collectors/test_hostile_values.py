"""Whatever an attribute holds and however a body is broken: nothing raises but the one error that means "malformed"."""

import contextlib
import json
import math
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbell.collectors.decode import (
    LogRecord,
    MalformedError,
    decode_logs,
    decode_metrics,
    decode_traces,
)
from driftbell.collectors.dialects.aliases import BY_ATTRIBUTE
from driftbell.collectors.dialects.kinds import EVENT_NAMES
from driftbell.collectors.merge import event_span, interpret, is_relevant, link_keys
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.reports import REPORT_NAMES
from driftbell.collectors.span import Span, SpanEvent

KINDS = ("openinference.span.kind", "traceloop.span.kind", "mlflow.spanType", "run_type")
DOCUMENTS = (
    "gen_ai.retrieval.documents",
    "retrieval.documents",
    "retrieval.documents.0.document.score",
    "output.value",
)
NAMES = st.sampled_from(sorted([*BY_ATTRIBUTE, *KINDS, *DOCUMENTS, "usage", "acme.prompt_tokens"])) | st.text(
    max_size=20
)
WORDS = st.sampled_from(
    (
        *(
            "chat",
            "embeddings",
            "LLM",
            "RETRIEVER",
            "CHAIN",
            '"AGENT"',
            "invoke_agent",
            "retrieval",
            "gpt-4o",
            "openai",
        ),
        *("0", "-1", "1e400", "NaN", "Infinity", "{", "[[[[", "{'a': 1}", "9" * 400),
        *('{"usage": {"prompt_tokens": 3}}', '[{"id": 1, "score": "x"}]'),
    )
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=20) | st.text(max_size=40) | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=8)
TIMES = st.floats(min_value=0, max_value=2e10)
SPAN_NAMES = st.sampled_from(sorted([*EVENT_NAMES, *REPORT_NAMES, "chat gpt-4o", "GET"])) | st.text(max_size=10)


@st.composite
def spans(draw) -> Span:
    start = draw(TIMES)
    return Span(
        trace_id=draw(st.sampled_from(["a" * 32, "b" * 32])),
        span_id=draw(st.sampled_from([f"{n:016x}" for n in range(1, 7)])),
        parent_id=draw(st.sampled_from(["", *(f"{n:016x}" for n in range(1, 7))])),
        name=draw(SPAN_NAMES),
        start=start,
        end=start + draw(st.sampled_from([0.0, 0.5, 10.0])),
        kind=draw(st.integers(0, 5)),
        status=draw(st.integers(0, 2)),
        status_message=draw(st.text(max_size=10)),
        attributes=draw(ATTRIBUTES),
        events=tuple(
            SpanEvent(name, start, attributes)
            for name, attributes in draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(["exception", "gen_ai.choice", "db.query.result", "gen_ai.evaluation.result"]),
                        ATTRIBUTES,
                    ),
                    max_size=2,
                )
            )
        ),
        scope=draw(st.sampled_from(["", "driftbell", "openlit.x", "acme"])),
        resource=draw(ATTRIBUTES),
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(spans(), max_size=6), st.randoms())
def test_no_value_raises_and_no_order_matters(given_spans, random) -> None:
    said = interpret(given_spans, PriceTable())
    shuffled = [*given_spans, *given_spans]
    random.shuffle(shuffled)
    assert repr(interpret(shuffled, PriceTable())) == repr(said)  # repr, because NaN is not equal to itself
    for span in given_spans:
        is_relevant(span)
        keys = link_keys(span)
        assert len(keys) <= 4
        assert all(len(key) <= 80 for key in keys)
    for call in said.calls:
        _is_sound(call)


def _is_sound(call) -> None:
    """What every consumer of calls relies on."""
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cost_usd", "latency_ms", "ttft_ms", "retrieval_ms"):
        value = getattr(call, name)
        assert value is None or (math.isfinite(value) and value >= 0), name
    assert call.status in ("ok", "error", "timeout", "rate_limited", "cancelled")
    assert call.attempts >= 1
    assert isinstance(call.workflow, str)
    assert len(call.workflow) <= 200
    assert call.sources is None or len(call.sources) <= 64
    json.dumps(call.attributes, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_malformed(body) -> None:
    for encoding in ("protobuf", "json"):
        for decode in (decode_traces, decode_logs, decode_metrics):
            with contextlib.suppress(MalformedError):
                decode(body, encoding)


FIELDS = (
    *("resourceSpans", "scopeSpans", "spans", "resource", "scope", "attributes", "key", "value", "kind", "name"),
    *("resourceLogs", "scopeLogs", "logRecords", "body", "events", "links", "status", "code"),
    *("resourceMetrics", "scopeMetrics", "metrics", "sum", "dataPoints", "traceId", "spanId", "parentSpanId"),
    *("stringValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue", "values"),
    *("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40, alphabet=string.printable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_decoded_or_malformed(value) -> None:
    body = json.dumps(value).encode()
    for decode in (decode_traces, decode_logs, decode_metrics):
        with contextlib.suppress(MalformedError):
            decode(body, "json")


def one_span(**fields) -> bytes:
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": 2,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span | fields]}]}]}).encode()


@settings(max_examples=300, deadline=None)
@given(
    JSON,
    st.sampled_from(["attributes", "events", "links", "status", "name", "kind", "startTimeUnixNano", "parentSpanId"]),
)
def test_any_field_of_a_span_is_read_or_the_span_is_rejected(value, field) -> None:
    found = decode_traces(one_span(**{field: value}), "json")
    assert len(found.spans) + found.rejected == 1
    interpret(found.spans, PriceTable())


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b'{"resourceSpans":' + b"[" * 1_000_000])
def test_a_million_levels_of_json_are_malformed(body) -> None:
    with pytest.raises(MalformedError, match="deep"):
        decode_traces(body, "json")


def test_a_deep_attribute_is_cut_off() -> None:
    value: object = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    (span,) = decode_traces(one_span(attributes=[{"key": "k", "value": value}]), "json").spans
    depth, here = 0, span.attributes["k"]
    while isinstance(here, list):
        depth, here = depth + 1, here[0]
    assert (depth, here) == (16, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceId": "abc"}, "32 hex"),
        ({"traceId": "0" * 32}, "zero"),
        ({"traceId": "g" * 32}, "32 hex"),
        ({"spanId": "b7ad6b71692033"}, "16 hex"),
        ({"spanId": 7}, "16 hex"),
        ({"startTimeUnixNano": "soon"}, "integer"),
        ({"startTimeUnixNano": "-5"}, "range"),
        ({"startTimeUnixNano": 0, "endTimeUnixNano": None}, "no time"),
        ({"trace_id": "x", "traceId": None}, "32 hex"),
    ],
)
def test_a_bad_span_is_rejected_alone_and_the_reason_is_told(fields, reason) -> None:
    good = json.loads(one_span())["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [good | fields, good]}]}]}).encode()
    found = decode_traces(body, "json")
    assert (len(found.spans), found.rejected) == (1, 1)
    assert reason in found.error_message


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b'{"resourceSpans": 1}', b'{"resourceSpans": [1]}']
)
def test_a_body_that_is_no_request_is_malformed(body) -> None:
    with pytest.raises(MalformedError):
        decode_traces(body, "json")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"resourceSpans": null}', b'{"resource_spans": [{}], "other": 1}', b'{"resourceSpans": []}']
)
def test_an_empty_request_is_fine_and_unknown_names_are_ignored(body) -> None:
    assert decode_traces(body, "json").spans == []
    assert decode_traces(b"", "protobuf").spans == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": ""}, ""),
        ({"intValue": "12"}, 12),
        ({"intValue": 12}, 12),
        ({"intValue": "-9223372036854775808"}, -(1 << 63)),
        ({"intValue": "x"}, None),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"doubleValue": 0.5}, 0.5),
        ({"boolValue": False}, False),
        ({"bytesValue": "aGk="}, b"hi"),
        ({"bytesValue": "*"}, None),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, {"a": 1}),
        ({"string_value": "snake"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_json_values_follow_the_rules_of_otlp(value, expected) -> None:
    (span,) = decode_traces(one_span(attributes=[{"key": "k", "value": value}]), "json").spans
    assert span.attributes["k"] == expected


def test_ids_are_lower_case_whatever_they_came_as() -> None:
    (span,) = decode_traces(
        one_span(traceId="0AF7651916CD43DD8448EB211C80319C", parentSpanId="00F067AA0BA902B7"), "json"
    ).spans
    assert (span.trace_id, span.parent_id) == ("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7")


@settings(max_examples=100, deadline=None)
@given(SPAN_NAMES, VALUES, ATTRIBUTES)
def test_any_log_record_is_an_event_or_nothing(name, body, attributes) -> None:
    found = event_span(LogRecord(name, 1.0, "a" * 32, "b" * 16, body=body, attributes=attributes))
    if found is not None:
        interpret([found], PriceTable())
        assert found.start == found.end
