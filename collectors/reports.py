"""Reports that speak of a call after the fact: judgements, manual tasks and markers, from spans and log records."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.dialects import values
from driftbell.collectors.logical import Logical
from driftbell.collectors.span import AttributeValue, Span
from driftbell.collectors.tree import Key, Tree
from driftbell.monitor import attributes as own

EVALUATION_EVENT = "gen_ai.evaluation.result"
USER_FEEDBACK = "user_feedback"
REPORT_NAMES = frozenset(
    {
        own.OVERRIDE_SPAN,
        own.FEEDBACK_SPAN,
        own.EVALUATION_SPAN,
        own.OUTCOME_SPAN,
        own.MANUAL_TASK_SPAN,
        own.MARKER_SPAN,
        EVALUATION_EVENT,
    }
)
JUDGING_EVENTS = (EVALUATION_EVENT, own.FEEDBACK_SPAN, own.OVERRIDE_SPAN)
"""Events of a span that judge the call which it is."""
_OVERRIDES = ("accepted", "edited", "rejected", "regenerated")
_BAD_LABELS = ("negative", "thumbs_down", "thumbs-down", "dislike", "bad", "down")
_MAX_NAME = 80

Attributes = Mapping[str, AttributeValue]


def is_report(span: Span) -> bool:
    """Whether the span is a report as such (evaluations can also be events of a call's own span)."""
    return span.name in REPORT_NAMES


def judgements(spans: Iterable[Span]) -> Iterator[Judgement]:
    """The judgements that ``spans`` report, each referring to the span that it was told of."""
    for span in spans:
        if is_report(span):
            yield from _judgement(span, span.attributes, span.end, f"{span.trace_id}/{span.span_id}")
            continue
        for at, event in enumerate(span.events[:64]):
            if event.name in JUDGING_EVENTS:
                home = replace(span, name=event.name, parent_id=span.span_id)
                yield from _judgement(home, event.attributes, event.time, f"{span.trace_id}/{span.span_id}/{at}")


def _judgement(span: Span, given: Attributes, ts: float, identity: str) -> Iterator[Judgement]:
    judgement = Judgement(
        ts=ts,
        workflow=values.text(given.get(own.WORKFLOW)),
        segment=values.text(given.get(own.SEGMENT)),
        risk_tier=values.text(given.get(own.RISK_TIER)),
        call_trace_id=values.text(given.get(own.CALL_TRACE_ID)) or span.trace_id,
        call_span_id=values.text(given.get(own.CALL_SPAN_ID)) or span.parent_id or None,
        response_id=values.text(given.get(own.RESPONSE_ID)),
        id=identity,
    )
    match span.name:
        case own.OVERRIDE_SPAN:
            kind = values.text(given.get(own.OVERRIDE_KIND))
            distance = values.share(given.get(own.EDIT_DISTANCE))
            review = values.amount(given.get(own.REVIEW_MS))
            if kind in _OVERRIDES or distance is not None or review is not None:
                override = kind if kind in _OVERRIDES else None
                yield replace(judgement, override=override, edit_distance=distance, review_ms=review)  # type: ignore[arg-type]
        case own.FEEDBACK_SPAN:
            sign = _sign(given.get(own.FEEDBACK), None)
            if sign is not None:
                yield replace(judgement, feedback=sign)
        case own.OUTCOME_SPAN:
            outcome = values.text(given.get(own.OUTCOME))
            if outcome is not None:
                yield replace(judgement, outcome=outcome[:_MAX_NAME])
        case own.EVALUATION_SPAN | "gen_ai.evaluation.result":
            found = _evaluation(judgement, given)
            if found is not None:
                yield found


def _evaluation(judgement: Judgement, given: Attributes) -> Judgement | None:
    name = values.text(given.get(own.EVALUATION_NAME))
    score = given.get(own.EVALUATION_SCORE)
    label = values.text(given.get(own.EVALUATION_LABEL))
    if name is None or (values.number(score) is None and label is None):
        return None
    if name == USER_FEEDBACK:
        sign = _sign(score, label)
        return None if sign is None else replace(judgement, feedback=sign)
    return replace(judgement, evaluation=name[:_MAX_NAME], score=values.share(score), label=label and label[:_MAX_NAME])


def _sign(score: object, label: str | None) -> int | None:
    """-1 or 1; a score of zero is a "no", no score and no telling label is nothing."""
    number = values.number(score)
    if number is not None:
        return 1 if number > 0 else -1
    if label is None:
        return None
    return -1 if label.lower() in _BAD_LABELS else 1


def manual_tasks(spans: Iterable[Span]) -> Iterator[ManualTask]:
    """Work that was finished without the AI; one that names no workflow is left out, it could be counted nowhere."""
    for span in spans:
        given = span.attributes
        workflow = values.text(given.get(own.WORKFLOW))
        if span.name == own.MANUAL_TASK_SPAN and workflow is not None:
            yield ManualTask(
                ts=span.end,
                workflow=workflow,
                segment=values.text(given.get(own.SEGMENT)),
                risk_tier=values.text(given.get(own.RISK_TIER)),
                user_id=values.text(given.get(own.USER_ID)),
                id=f"{span.trace_id}/{span.span_id}",
            )


def markers(spans: Iterable[Span]) -> Iterator[Marker]:
    """Changes on purpose; one without a kind says nothing."""
    for span in spans:
        given = span.attributes
        kind = values.text(given.get(own.MARKER_KIND))
        if span.name == own.MARKER_SPAN and kind is not None:
            yield Marker(
                ts=span.end,
                kind=kind,
                workflow=values.text(given.get(own.WORKFLOW)),
                value=values.text(given.get(own.MARKER_VALUE)),
                text=values.text(given.get(own.MARKER_TEXT)),
                id=f"{span.trace_id}/{span.span_id}",
            )


class Joiner:
    """Finds the call that a judgement speaks of and lends the judgement its dimensions."""

    def __init__(self, calls: Iterable[tuple[Logical, Call]], tree: Tree) -> None:
        self._by_part: dict[Key, Call] = {}
        self._beneath: dict[Key, list[Call]] = defaultdict(list)
        self._by_response: dict[str, list[Call]] = defaultdict(list)
        self._by_trace: dict[str, list[Call]] = defaultdict(list)
        for logical, call in calls:
            for part in logical.members():
                self._by_part[part.key] = call
            for above in tree.ancestors(logical.leaf):
                self._beneath[above.key].append(call)
            for identity in sorted(logical.ids()):
                self._by_response[identity].append(call)
            for trace_id in sorted({part.trace_id for part in logical.parts()}):
                self._by_trace[trace_id].append(call)
        self._tree = tree

    def join(self, judgement: Judgement) -> Judgement:
        """The judgement with the dimensions of its call; as it is if the call is not known or not the only one."""
        call = self._find(judgement)
        if call is None:
            return judgement
        return replace(
            judgement,
            workflow=call.workflow,
            segment=call.segment,
            risk_tier=call.risk_tier,
            model=call.model,
            prompt_version=call.prompt_version,
            call_trace_id=call.trace_id,
            call_span_id=call.span_id,
        )

    def _find(self, judgement: Judgement) -> Call | None:
        trace_id, span_id = judgement.call_trace_id or "", judgement.call_span_id or ""
        exact = self._by_part.get((trace_id, span_id))
        if exact is not None:
            return exact
        if judgement.response_id is not None:
            told = self._by_response.get(judgement.response_id, [])
            return told[0] if len(told) == 1 else _latest_before(told, judgement.ts)
        named = self._tree.find(trace_id, span_id)
        beneath = self._beneath.get((trace_id, span_id), [])
        if beneath:
            return max(beneath, key=lambda call: (call.ts, call.span_id))
        for above in self._tree.ancestors(named) if named is not None else ():
            if above.key in self._by_part:
                return self._by_part[above.key]
        in_trace = self._by_trace.get(trace_id, [])
        return in_trace[0] if len(in_trace) == 1 else None


def _latest_before(calls: list[Call], ts: float) -> Call | None:
    earlier = [call for call in calls if call.ts <= ts]
    return max(earlier, key=lambda call: (call.ts, call.span_id)) if earlier else None
