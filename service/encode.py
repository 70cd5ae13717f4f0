"""Call records -> OTLP requests in our own dialect, as the application side would have sent them."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.imports.call_records import (
    Given,
    call_attributes,
    judgement_attributes,
    judgement_title,
    task_attributes,
)
from driftbell.collectors.records import Record
from driftbell.monitor import attributes as name


def requests(records: Iterable[Record], shift: float, batch: int = 512, first: int = 0) -> Iterator[bytes]:
    """Protobuf bodies of at least ``batch`` spans each (the last may have fewer), ``shift`` seconds later than told.

    ``first`` is the number of the first record, from which the ids are made.
    """
    body = _empty()
    spans = body.resource_spans[0].scope_spans[0].spans
    for index, record in enumerate(records, first):
        spans.extend(_record_spans(record, index, shift))
        if len(spans) >= batch:
            yield body.SerializeToString()
            body = _empty()
            spans = body.resource_spans[0].scope_spans[0].spans
    if spans:
        yield body.SerializeToString()


def _empty() -> ExportTraceServiceRequest:
    body = ExportTraceServiceRequest()
    resource = body.resource_spans.add()
    resource.resource.attributes.extend(_attributes({"service.name": "driftbell-sample"}))
    resource.scope_spans.add().scope.name = name.SCOPE
    return body


def _record_spans(record: Record, index: int, shift: float) -> Iterator[Span]:
    if record.manual_task is not None:
        yield _manual_task(record.manual_task, _ident(record.ts, index, 24), shift)
    if record.call is not None:
        ident = _ident(record.ts, index, 24)
        yield _call(record.call, ident, shift)
        for number, judgement in enumerate(record.judgements, start=1):
            yield _judgement(judgement, ident, _ident(record.ts, index, 8, number), shift)


def _ident(ts: float, index: int, size: int, number: int = 0) -> bytes:
    """The same ids for the same records, so that a sample sent twice counts once."""
    return blake2b(f"{ts}/{index}/{number}".encode(), digest_size=size).digest()


def _call(call: Call, ident: bytes, shift: float) -> Span:
    title = f"{call.operation} {call.model}" if call.model else call.operation
    given = call_attributes(call)
    span = _span(title, ident, call.ts + shift, (call.latency_ms or 0) / 1000, given)
    span.status.code = Status.STATUS_CODE_UNSET if call.status == "ok" else Status.STATUS_CODE_ERROR
    return span


def _judgement(judgement: Judgement, call: bytes, ident: bytes, shift: float) -> Span:
    of = {name.CALL_TRACE_ID: call[:16].hex(), name.CALL_SPAN_ID: call[16:].hex()}
    given = {**of, **judgement_attributes(judgement)}
    return _span(judgement_title(judgement), call[:16] + ident, judgement.ts + shift, 0.0, given)


def _manual_task(task: ManualTask, ident: bytes, shift: float) -> Span:
    return _span(name.MANUAL_TASK_SPAN, ident, task.ts + shift, 0.0, task_attributes(task))


def _span(title: str, ident: bytes, end: float, seconds: float, given: Given) -> Span:
    return Span(
        trace_id=ident[:16],
        span_id=ident[16:],
        name=title,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=round((end - seconds) * 1e9),
        end_time_unix_nano=round(end * 1e9),
        attributes=_attributes(given),
    )


def _attributes(given: Given) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in given.items() if value is not None]


def _any(value: object) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=str(value))
