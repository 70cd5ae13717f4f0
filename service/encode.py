"""Call records -> OTLP requests in our own dialect, as the application side would have sent them."""

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.records import Record
from driftbell.monitor import attributes as name

Value = str | bool | int | float | None


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
    sources = call.sources
    given: dict[str, Value] = {
        name.OPERATION: call.operation,
        name.WORKFLOW: call.workflow,
        name.SEGMENT: call.segment,
        name.RISK_TIER: call.risk_tier,
        name.OWNER: call.owner,
        name.PROVIDER: call.provider,
        name.REQUEST_MODEL: call.model,
        name.RESPONSE_MODEL: call.model,
        name.PROMPT_VERSION: call.prompt_version,
        name.INPUT_TOKENS: call.input_tokens,
        name.OUTPUT_TOKENS: call.output_tokens,
        name.CACHE_READ_TOKENS: call.cached_tokens,
        name.STATUS: call.status,
        name.ERROR_TYPE: None if call.status == "ok" else call.status,
        name.ATTEMPTS: call.attempts,
        name.REFUSED: call.refused,
        name.FORMAT_OK: call.format_ok,
        name.FALLBACK: call.fallback,
        name.CITATIONS: call.citations,
        name.RETRIEVAL_MS: call.retrieval_ms,
        name.RETRIEVAL_COUNT: None if sources is None else len(sources),
        name.RETRIEVAL_DOCUMENTS: None
        if sources is None
        else json.dumps([{"id": s.id, "score": s.score, "age_days": s.age_days} for s in sources]),
        name.USER_ID: call.user_id,
    }
    title = f"{call.operation} {call.model}" if call.model else call.operation
    span = _span(title, ident, call.ts + shift, (call.latency_ms or 0) / 1000, given)
    span.status.code = Status.STATUS_CODE_UNSET if call.status == "ok" else Status.STATUS_CODE_ERROR
    return span


def _judgement(judgement: Judgement, call: bytes, ident: bytes, shift: float) -> Span:
    title = name.OUTCOME_SPAN
    if judgement.evaluation is not None:
        title = name.EVALUATION_SPAN
    elif judgement.feedback is not None:
        title = name.FEEDBACK_SPAN
    elif judgement.outcome is None:
        title = name.OVERRIDE_SPAN
    given: dict[str, Value] = {
        name.CALL_TRACE_ID: call[:16].hex(),
        name.CALL_SPAN_ID: call[16:].hex(),
        name.OVERRIDE_KIND: judgement.override,
        name.EDIT_DISTANCE: judgement.edit_distance,
        name.REVIEW_MS: judgement.review_ms,
        name.FEEDBACK: judgement.feedback,
        name.EVALUATION_NAME: judgement.evaluation,
        name.EVALUATION_SCORE: judgement.score,
        name.EVALUATION_LABEL: judgement.label,
        name.OUTCOME: judgement.outcome,
    }
    return _span(title, call[:16] + ident, judgement.ts + shift, 0.0, given)


def _manual_task(task: ManualTask, ident: bytes, shift: float) -> Span:
    given: dict[str, Value] = {
        name.WORKFLOW: task.workflow,
        name.SEGMENT: task.segment,
        name.RISK_TIER: task.risk_tier,
        name.USER_ID: task.user_id,
    }
    return _span(name.MANUAL_TASK_SPAN, ident, task.ts + shift, 0.0, given)


def _span(title: str, ident: bytes, end: float, seconds: float, given: dict[str, Value]) -> Span:
    return Span(
        trace_id=ident[:16],
        span_id=ident[16:],
        name=title,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=round((end - seconds) * 1e9),
        end_time_unix_nano=round(end * 1e9),
        attributes=_attributes(given),
    )


def _attributes(given: dict[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in given.items() if value is not None]


def _any(value: str | bool | int | float) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)
