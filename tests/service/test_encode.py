"""What the encoder sends is what the receiver understands: records survive the way over the wire."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_service import CALL

from driftbell.collectors.call import Call, Judgement, ManualTask, Source
from driftbell.collectors.decode import decode_traces
from driftbell.collectors.merge import Interpreted, interpret
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.records import Record
from driftbell.service import encode

TOLD = [
    *("workflow", "segment", "risk_tier", "model", "prompt_version", "input_tokens", "output_tokens", "cached_tokens"),
    *("status", "attempts", "refused", "format_ok", "citations", "sources", "user_id", "operation"),
]
names = st.none() | st.text("abcxyz-0", min_size=1, max_size=12)
counts = st.none() | st.integers(1, 10**6)
flags = st.none() | st.booleans()
sources = st.none() | st.lists(
    st.builds(Source, names, st.none() | st.floats(0, 1), st.none() | st.floats(0, 999)), max_size=4
).map(tuple)
calls = st.builds(
    Call,
    ts=st.floats(1.7e9, 1.9e9),
    workflow=st.text("abcxyz", min_size=1, max_size=12),
    segment=names,
    risk_tier=names,
    model=names,
    prompt_version=names,
    input_tokens=counts,
    output_tokens=counts,
    latency_ms=st.none() | st.floats(1, 1e5),
    status=st.sampled_from(["ok", "error", "timeout", "rate_limited"]),
    attempts=st.integers(1, 5),
    refused=flags,
    format_ok=flags,
    sources=sources,
    citations=st.none() | st.integers(0, 9),
    user_id=names,
)


def received(*records: Record, shift: float = 0.0) -> Interpreted:
    spans = [span for body in encode.requests(records, shift) for span in decode_traces(body, "protobuf").spans]
    return interpret(spans, PriceTable(public=False))


@settings(max_examples=60, deadline=None)
@given(calls)
def test_a_call_arrives_as_it_was_recorded(call):
    (arrived,) = received(Record(call.ts, call, (), None)).calls
    assert arrived.ts == pytest.approx(call.ts, abs=1e-5)
    assert {name: getattr(arrived, name) for name in TOLD} == {name: getattr(call, name) for name in TOLD}


def test_judgements_arrive_with_the_dimensions_of_their_call():
    said = Judgement(CALL.ts, override="edited", edit_distance=0.25, review_ms=900.0)
    scored = Judgement(CALL.ts, evaluation="groundedness", score=0.5)
    ended = Judgement(CALL.ts, outcome="resolved")
    liked = Judgement(CALL.ts, feedback=-1)
    found = received(Record(CALL.ts, CALL, (said, scored, ended, liked), None)).judgements
    assert {judgement.workflow for judgement in found} == {CALL.workflow}
    assert {judgement.segment for judgement in found} == {CALL.segment}
    told = {
        name: [v for j in found if (v := getattr(j, name)) is not None] for name in [f.name for f in fields(Judgement)]
    }
    assert told["override"] == ["edited"]
    assert told["edit_distance"] == [0.25]
    assert told["review_ms"] == [900.0]
    assert (told["evaluation"], told["score"]) == (["groundedness"], [0.5])
    assert told["outcome"] == ["resolved"]
    assert told["feedback"] == [-1]


def test_work_done_without_the_ai_arrives():
    task = ManualTask(CALL.ts, "triage", "emea", "high", "u1")
    (arrived,) = received(Record(task.ts, None, (), task)).manual_tasks
    assert (arrived.workflow, arrived.segment, arrived.risk_tier) == ("triage", "emea", "high")


def test_the_same_records_make_the_same_requests_and_times_are_shifted():
    record = Record(CALL.ts, CALL, (), None)
    assert list(encode.requests([record], 0.0)) == list(encode.requests([record], 0.0))
    (arrived,) = received(record, shift=604800.0).calls
    assert arrived.ts == pytest.approx(CALL.ts + 604800.0)
