"""Call records -> spans of our own dialect, as the application side would have sent them."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b

from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.records import Record
from driftbell.collectors.span import AttributeValue, Span
from driftbell.monitor import attributes as name

Given = dict[str, AttributeValue]
REMEMBERED = 100_000
"""Lines among which equal ones are told apart; equal lines have the same time, so they lie near one another."""


class Twins:
    """Numbers equal lines of one file, so that each is a call of its own and the file read again means the same."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def identity(self, line: bytes) -> bytes:
        """24 bytes for a line: of its content and of how many equal ones came before."""
        key = blake2b(line.strip(), digest_size=16).digest()
        count = self._seen.pop(key, 0)
        self._seen[key] = count + 1
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return blake2b(key + count.to_bytes(4, "big"), digest_size=24).digest()


def spans(record: Record, identity: bytes) -> Iterator[Span]:
    """The call of a record and what was said of it, or its manual task; ``identity`` is 24 bytes."""
    trace, ident = identity[:16].hex(), identity[16:].hex()
    if record.manual_task is not None:
        yield _span(name.MANUAL_TASK_SPAN, trace, ident, record.ts, 0.0, task_attributes(record.manual_task))
    if record.call is None:
        return
    call = record.call
    title = f"{call.operation} {call.model}" if call.model else call.operation
    seconds = (call.latency_ms or 0) / 1000
    yield _span(title, trace, ident, call.ts, seconds, call_attributes(call), 0 if call.status == "ok" else 2)
    for number, judgement in enumerate(record.judgements, 1):
        own = blake2b(identity + bytes([number % 256]), digest_size=8).hexdigest()
        given: Given = {name.CALL_TRACE_ID: trace, name.CALL_SPAN_ID: ident, **judgement_attributes(judgement)}
        yield _span(judgement_title(judgement), trace, own, judgement.ts, 0.0, given)


def call_attributes(call: Call) -> Given:
    """What a call says of itself in our own dialect; None where it says nothing."""
    sources = call.sources
    return {
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


def judgement_title(judgement: Judgement) -> str:
    """The name of the span that reports a judgement."""
    if judgement.evaluation is not None:
        return name.EVALUATION_SPAN
    if judgement.feedback is not None:
        return name.FEEDBACK_SPAN
    return name.OVERRIDE_SPAN if judgement.outcome is None else name.OUTCOME_SPAN


def judgement_attributes(judgement: Judgement) -> Given:
    """What a judgement says, without the call that it is of."""
    return {
        name.OVERRIDE_KIND: judgement.override,
        name.EDIT_DISTANCE: judgement.edit_distance,
        name.REVIEW_MS: judgement.review_ms,
        name.FEEDBACK: judgement.feedback,
        name.EVALUATION_NAME: judgement.evaluation,
        name.EVALUATION_SCORE: judgement.score,
        name.EVALUATION_LABEL: judgement.label,
        name.OUTCOME: judgement.outcome,
    }


def task_attributes(task: ManualTask) -> Given:
    """What a task done without the AI says of itself."""
    return {
        name.WORKFLOW: task.workflow,
        name.SEGMENT: task.segment,
        name.RISK_TIER: task.risk_tier,
        name.USER_ID: task.user_id,
    }


def _span(title: str, trace: str, ident: str, end: float, seconds: float, given: Given, status: int = 0) -> Span:
    attributes = {key: value for key, value in given.items() if value is not None}
    return Span(trace, ident, "", title, end - seconds, end, 3, status, attributes=attributes, scope=name.SCOPE)
