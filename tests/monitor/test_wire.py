"""The hand-written encoder against the one that comes with OpenTelemetry."""

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from driftbell.monitor import wire

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
whole = st.integers(-(2**63), 2**63 - 1)
plain = st.one_of(texts, st.booleans(), whole, st.floats(allow_nan=False))
values = st.one_of(
    plain,
    st.lists(texts, max_size=4).map(tuple),
    st.lists(whole, max_size=4).map(tuple),
    st.lists(st.booleans(), max_size=4).map(tuple),
    st.lists(st.floats(allow_nan=False), max_size=4).map(tuple),
)
attributes = st.dictionaries(texts.filter(bool), values, max_size=6)
times = st.integers(1, 2**63 - 1)
states = st.sampled_from([None, TraceState([("a", "1"), ("b", "2")])])
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(1), TraceFlags(3)]),
    states,
)
scope = InstrumentationScope("driftbell", "1.2.3")
spans = st.builds(
    ReadableSpan,
    name=texts,
    context=contexts,
    parent=st.none() | contexts,
    resource=st.builds(Resource, attributes),
    attributes=attributes,
    events=st.lists(st.builds(Event, texts, attributes, times), max_size=2),
    links=st.lists(st.builds(Link, contexts, attributes), max_size=2),
    kind=st.sampled_from(SpanKind),
    status=st.sampled_from([Status(StatusCode.UNSET), Status(StatusCode.OK), Status(StatusCode.ERROR, "oh no")]),
    start_time=times,
    end_time=times,
    instrumentation_scope=st.just(scope),
)


def ours(span):
    encoded = wire.span(span)
    request = ExportTraceServiceRequest()
    request.ParseFromString(wire.request(span.resource, scope, [encoded]))
    return request


@settings(max_examples=300, deadline=None)
@given(spans)
def test_a_span_reads_the_same_as_from_the_stock_encoder(span):
    assert ours(span) == encode_spans([span])


def test_many_spans_share_one_request():
    context = SpanContext(1, 2, False, TraceFlags(1))
    span = ReadableSpan("a", context, resource=Resource({}), start_time=1, end_time=2, instrumentation_scope=scope)
    encoded = wire.span(span)
    request = ExportTraceServiceRequest()
    request.ParseFromString(wire.request(Resource({"service.name": "x"}), scope, [encoded] * 300))
    assert len(request.resource_spans[0].scope_spans[0].spans) == 300


@given(st.one_of(st.integers(), st.floats(), st.text(st.characters(), max_size=20), st.binary(max_size=20)))
def test_every_plain_value_makes_a_valid_message(value):
    request = ExportTraceServiceRequest()
    request.ParseFromString(wire.request(Resource({}), scope, []))
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    KeyValue.FromString(wire.pair("key", value))
