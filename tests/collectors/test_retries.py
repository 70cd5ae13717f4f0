"""Failed attempts and the call that they belong to."""

import pytest
from emitter_spans import calls, chat, only, span


@pytest.mark.parametrize("frame", ["generation", "agent"])
def test_failed_attempts_before_an_answer_are_one_call(frame: str) -> None:
    a = (
        {"ai.operationId": "ai.generateText", "ai.model.id": "gpt-4o"}
        if frame == "generation"
        else {"gen_ai.operation.name": "invoke_agent"}
    )
    parent = span("parent", took=9, a=a)
    failed = [chat(parent, n, 0.5, tokens=None, error=("RateLimitError", "Error code: 429")) for n in (0, 1)]
    call = only(parent, *failed, chat(parent, 4, 1))
    assert (call.attempts, call.status, call.input_tokens, call.latency_ms) == (3, "ok", 100, 5000.0)


def test_a_call_whose_attempts_all_failed_is_one_failure() -> None:
    parent = span(
        "parent",
        took=9,
        a={"ai.operationId": "ai.streamText", "ai.model.id": "gpt-4o"},
        error=("AI_RetryError", "gave up"),
    )
    call = only(
        parent, *(chat(parent, n, 0.5, tokens=None, error=("AI_APICallError", "429 slow down")) for n in (0, 2, 5))
    )
    assert (call.attempts, call.status) == (3, "rate_limited")


def test_a_failure_and_a_later_call_of_a_plain_program_are_two_calls() -> None:
    main = span("main", took=9)
    found = calls(main, chat(main, 0, 1, tokens=None, error=("RateLimitError", "429")), chat(main, 3, 1))
    assert [call.status for call in found] == ["rate_limited", "ok"]


def test_the_same_question_after_a_failure_is_a_retry_wherever_it_is_asked() -> None:
    chain = span("chain", took=9, a={"openinference.span.kind": "CHAIN"})
    asked = {"gen_ai.input.messages": '[{"role": "user", "parts": []}]'}
    failed = chat(chain, 0, 1, tokens=None, error=("RateLimitError", "429"), a=asked)
    assert only(chain, failed, chat(chain, 3, 1, a=asked)).attempts == 2
    other = chat(chain, 3, 1, a={"gen_ai.input.messages": "[]"})
    assert len(calls(chain, failed, other)) == 2


def test_an_embedding_that_names_no_model_and_counts_nothing_is_no_call() -> None:
    a = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "unknown"}
    assert calls(span("embed", a=a)) == ()


def test_a_refused_request_of_an_agent_is_not_retried_by_the_next_one() -> None:
    agent = span("agent", took=9, a={"gen_ai.operation.name": "invoke_agent"})
    found = calls(
        agent, chat(agent, 0, 1, tokens=None, error=("BadRequestError", "400 context length")), chat(agent, 3, 1)
    )
    assert [call.status for call in found] == ["error", "ok"]
