"""OTLP in protobuf -> spans, log records and metric names."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from driftbell.collectors.otlp import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_EVENTS,
    MAX_GROUPS,
    MAX_LINKS,
    LogRecord,
    MalformedError,
    Refusal,
    RejectedError,
    TooManyError,
    checked_id,
    interval,
    is_sampled,
    optional_id,
    seconds,
)
from driftbell.collectors.span import AttributeValue, Span, SpanEvent

_SCALARS = {"string_value", "int_value", "double_value", "bool_value", "bytes_value"}


def spans(body: bytes) -> Iterator[Span | Refusal]:
    """Each span, or the reason why it is rejected; raises `MalformedError`."""
    request = ExportTraceServiceRequest()
    _parse(request, body)
    for of_resource in groups(request.resource_spans):
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in groups(of_resource.scope_spans):
            scope, version = of_scope.scope.name, of_scope.scope.version
            for message in of_scope.spans:
                try:
                    yield span_of(message, scope, version, resource)
                except RejectedError as why:
                    yield Refusal(why, resource)


def logs(body: bytes) -> Iterator[LogRecord | Refusal]:
    """Each log record, or the reason why it is rejected; raises `MalformedError`."""
    request = ExportLogsServiceRequest()
    _parse(request, body)
    for of_resource in groups(request.resource_logs):
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in groups(of_resource.scope_logs):
            scope, version = of_scope.scope.name, of_scope.scope.version
            for message in of_scope.log_records:
                yield _log(message, scope, version, resource)


def metrics(body: bytes) -> ExportMetricsServiceRequest:
    """The request, with no more groups than are taken at a time; raises `MalformedError`."""
    request = ExportMetricsServiceRequest()
    _parse(request, body)
    for of_resource in groups(request.resource_metrics):
        groups(of_resource.scope_metrics)
    return request


def groups(found: Sequence[Any]) -> Sequence[Any]:
    """What was ``found``; raises `TooManyError` if that is more than a sender can mean."""
    if len(found) > MAX_GROUPS:
        raise TooManyError(f"the body holds more than {MAX_GROUPS} resources or scopes")
    return found


def _parse(request: Message, body: bytes) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise MalformedError(f"the body is not a protobuf {type(request).__name__}") from None


def span_of(message: SpanMessage, scope: str, version: str, resource: dict[str, AttributeValue]) -> Span:
    """One span; raises `RejectedError`."""
    start, end = interval(message.start_time_unix_nano, message.end_time_unix_nano)
    return Span(
        checked_id(message.trace_id.hex(), 32, "trace_id"),
        checked_id(message.span_id.hex(), 16, "span_id"),
        optional_id(message.parent_span_id.hex(), 16),
        message.name,
        start,
        end,
        message.kind,
        message.status.code,
        message.status.message,
        attributes_of(message.attributes),
        tuple(
            SpanEvent(event.name, seconds(event.time_unix_nano), attributes_of(event.attributes))
            for event in message.events[:MAX_EVENTS]
        ),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in message.links[:MAX_LINKS]),
        scope,
        version,
        resource,
        is_sampled(message.trace_state),
    )


def _log(message: LogMessage, scope: str, version: str, resource: dict[str, AttributeValue]) -> LogRecord:
    return LogRecord(
        message.event_name,
        seconds(message.time_unix_nano or message.observed_time_unix_nano),
        optional_id(message.trace_id.hex(), 32),
        optional_id(message.span_id.hex(), 16),
        message.severity_number,
        _value(message.body, 0),
        attributes_of(message.attributes),
        scope,
        version,
        resource,
    )


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    """Key-value pairs as a dict, at most `MAX_ATTRIBUTES` of them."""
    found: dict[str, AttributeValue] = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        found[pair.key] = getattr(value, kind) if kind in _SCALARS else _value(value, 0)
        if len(found) >= MAX_ATTRIBUTES:
            break
    return found


def _value(value: AnyValue, depth: int) -> AttributeValue:
    kind = value.WhichOneof("value")
    if kind in _SCALARS:
        scalar: AttributeValue = getattr(value, kind)
        return scalar
    if kind is None or depth >= MAX_DEPTH:
        return None
    if kind == "array_value":
        return [_value(member, depth + 1) for member in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return None
