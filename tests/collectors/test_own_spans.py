"""Spans of our own SDK around instrumented clients, and the reports that come after them."""

import pytest
from emitter_spans import PRICES, calls, chat, only, span

from driftbell.collectors.merge import interpret, link_keys
from driftbell.collectors.span import Span


def observed(parent=None, at=0.0, took=3.0, **a) -> Span:
    given = {"gen_ai.operation.name": "chat", "driftbell.workflow": "refunds", "driftbell.segment": "de"}
    return span(
        "refunds", parent, at, took, scope="driftbell", a=given | {k.replace("__", "."): v for k, v in a.items()}
    )


def test_our_span_around_a_client_is_one_call_with_its_features_and_the_clients_usage() -> None:
    ours = observed(driftbell__format_ok=False)
    route = span("handler", ours, 0.5, 2.0)
    call = only(ours, route, chat(route, 1.0, id="chatcmpl-aaaa1111"))
    assert (call.workflow, call.segment, call.format_ok) == ("refunds", "de", False)
    assert (call.input_tokens, call.output_tokens, call.model) == (100, 10, "gpt-4o")
    assert (call.span_id, call.latency_ms, call.response_id) == (ours.span_id, 3000.0, "chatcmpl-aaaa1111")
    assert call.dialect == "driftbell"


def test_what_our_sdk_says_of_the_shape_of_an_answer_is_kept() -> None:
    assert only(observed(driftbell__output__length=120)).attributes["driftbell.output.length"] == 120


def test_our_span_around_failed_and_final_attempts_counts_attempts_and_is_ok() -> None:
    ours = observed()
    failed = chat(ours, 0.1, 0.5, tokens=None, error=("RateLimitError", "429"))
    again = chat(ours, 0.7, 0.5, tokens=None, error=("APITimeoutError", "timed out"))
    call = only(ours, failed, again, chat(ours, 1.5, 1.0))
    assert (call.attempts, call.status, call.error_type, call.input_tokens) == (3, "ok", None, 100)


def test_our_span_around_a_fallback_to_another_model_is_one_call_of_the_model_that_answered() -> None:
    ours = observed()
    failed = chat(ours, 0.1, 0.5, model="gpt-4o", tokens=None, error=("InternalServerError", "500"))
    call = only(ours, failed, chat(ours, 1.0, 1.0, model="gpt-4o-mini"))
    assert (call.model, call.attempts, call.status) == ("gpt-4o-mini", 2, "ok")


def test_our_span_around_several_calls_sums_tokens_and_prices_each_by_its_model() -> None:
    ours = observed()
    first = chat(ours, 0.1, 1.0, model="gpt-4o", tokens=(1000, 100))
    call = only(ours, first, chat(ours, 1.5, 1.0, model="gpt-4o-mini", tokens=(500, 50)))
    assert (call.input_tokens, call.output_tokens) == (1500, 150)
    assert call.cost_usd == pytest.approx((1000 * 2 + 100 * 10 + 500 * 1 + 50 * 4) / 1e6)


def test_our_span_around_our_span_of_another_workflow_is_a_call_without_its_usage() -> None:
    outer = observed()
    inner = span(
        "draft", outer, 0.5, 1.0, scope="driftbell", a={"gen_ai.operation.name": "chat", "driftbell.workflow": "draft"}
    )
    call, around = sorted(calls(outer, inner, chat(inner, 0.6, 0.5)), key=lambda one: one.workflow)
    assert (call.workflow, call.segment, call.input_tokens) == ("draft", "de", 100)
    assert (around.workflow, around.segment, around.input_tokens) == ("refunds", "de", None)


def test_our_span_around_our_span_of_the_same_workflow_only_lends_it_its_labels() -> None:
    outer = observed()
    inner = span("refunds", outer, 0.5, 1.0, scope="driftbell", a={"driftbell.workflow": "refunds"})
    call = only(outer, inner, chat(inner, 0.6, 0.5))
    assert (call.span_id, call.segment, call.input_tokens) == (inner.span_id, "de", 100)


def test_attempts_that_our_sdk_tells_of_are_counted_once() -> None:
    outer = observed()
    attempt = span("driftbell.attempt", outer, 0.1, 0.5, scope="driftbell", error=("TimeoutError", ""))
    tried = chat(attempt, 0.2, 0.3, tokens=None, error=("APITimeoutError", "timed out"))
    final = observed(outer, 1.0, 1.0, driftbell__attempts=2)
    call = only(outer, attempt, tried, final, chat(final, 1.1, 0.5))
    assert (call.attempts, call.status, call.span_id, call.input_tokens) == (2, "ok", final.span_id, 100)


def test_a_function_that_failed_after_a_good_answer_failed() -> None:
    ours = span(
        "refunds", scope="driftbell", took=2.0, error=("ValueError", "no JSON"), a={"driftbell.workflow": "refunds"}
    )
    call = only(ours, chat(ours, 0.5))
    assert (call.status, call.error_type, call.input_tokens) == ("error", "ValueError", 100)


def test_embeddings_inside_our_span_are_calls_of_their_own() -> None:
    ours = observed()
    embed = span(
        "embeddings",
        ours,
        0.1,
        0.2,
        a={
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": "text-embedding-3-small",
            "gen_ai.usage.input_tokens": 7,
        },
    )
    found = calls(ours, embed, chat(ours, 1.0))
    assert sorted(call.operation for call in found) == ["chat", "embeddings"]
    assert {call.workflow for call in found} == {"refunds"}
    assert sorted(call.input_tokens for call in found) == [7, 100]


def test_reports_are_joined_to_their_call_in_whatever_trace_they_come() -> None:
    ours = observed()
    told = {"driftbell.call.trace_id": ours.trace_id, "driftbell.call.span_id": ours.span_id}
    override = span(
        "driftbell.override",
        at=60,
        took=0,
        scope="driftbell",
        a=told | {"driftbell.override.kind": "edited", "driftbell.override.edit_distance": 0.4},
    )
    outcome = span(
        "driftbell.outcome", at=90, took=0, scope="driftbell", a=told | {"driftbell.outcome.value": "resolved"}
    )
    said = interpret([override, ours, chat(ours, 0.5), outcome, override], PRICES)
    assert [
        (j.workflow, j.segment, j.override, j.edit_distance, j.outcome)
        for j in sorted(said.judgements, key=lambda j: j.ts)
    ] == [
        ("refunds", "de", "edited", 0.4, None),
        ("refunds", "de", None, None, "resolved"),
    ]
    assert link_keys(override) == (f"t:{ours.trace_id}",)
    assert len(said.calls) == 1


def test_work_without_the_ai_and_markers_are_told() -> None:
    manual = span("driftbell.manual_task", scope="driftbell", a={"driftbell.workflow": "refunds", "user.id": "ab12"})
    marker = span(
        "driftbell.marker", scope="driftbell", a={"driftbell.marker.kind": "release", "driftbell.marker.value": "1.2"}
    )
    said = interpret([manual, marker, manual], PRICES)
    assert [(task.workflow, task.user_id) for task in said.manual_tasks] == [("refunds", "ab12")]
    assert [(m.kind, m.value) for m in said.markers] == [("release", "1.2")]
