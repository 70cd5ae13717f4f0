"""Frames that repeat totals, and instrumentations nested or side by side: each call is told once."""

import json

from emitter_spans import CLIENT, SERVER, calls, chat, only, span, tokens

from driftbell.collectors.merge import link_keys
from driftbell.collectors.span import Span


def test_an_agent_that_repeats_the_totals_of_its_calls_is_no_call() -> None:
    agent = span(
        "invoke_agent a",
        took=9,
        a={"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30},
    )
    found = calls(agent, chat(agent, 1), chat(agent, 4, tokens=(200, 20)))
    assert tokens(found) == [(100, 10), (200, 20)]


def test_a_frame_that_is_wrongly_called_chat_and_repeats_totals_is_no_call() -> None:
    frame = chat(took=9, tokens=(300, 30), scope="framework")
    step = span("step", frame, 0.5, 8)
    found = calls(frame, step, chat(step, 1), chat(step, 4, tokens=(200, 20)))
    assert tokens(found) == [(100, 10), (200, 20)]


def test_a_frame_called_chat_around_an_agent_that_makes_the_calls_is_no_call() -> None:
    frame = chat(took=9, tokens=(300, 30), scope="framework")
    agent = span("agent", frame, 0.5, 8, a={"gen_ai.operation.name": "invoke_agent"})
    found = calls(frame, agent, chat(agent, 1), chat(agent, 4, tokens=(200, 20)))
    assert tokens(found) == [(100, 10), (200, 20)]


def test_an_agent_without_visible_calls_is_the_call_that_its_usage_speaks_of() -> None:
    a = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.request.model": "gpt-4o",
    }
    outer = span(
        "crew", a={"gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30, "span.kind": "CHAIN"}, took=5
    )
    assert tokens(calls(outer, span("invoke_agent", outer, 1, a=a))) == [(300, 30)]


def test_the_one_call_without_usage_gets_what_the_total_leaves_over() -> None:
    agent = span(
        "invoke_agent a",
        took=9,
        a={"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30},
    )
    found = calls(agent, chat(agent, 1), chat(agent, 4, tokens=None))
    assert tokens(found) == [(100, 10), (200, 20)]
    assert [call.usage_source for call in found] == ["provider", "estimated"]


def test_a_call_that_is_made_while_another_one_runs_is_another_call() -> None:
    outer = chat(took=9, tokens=(500, 50), id="chatcmpl-outer001")
    assert sorted(tokens(calls(outer, chat(outer, 2, id="chatcmpl-inner001")))) == [(100, 10), (500, 50)]


def test_an_agent_inside_a_tool_of_a_call_is_not_that_call() -> None:
    outer = chat(took=9, tokens=(500, 50), id="chatcmpl-outer001")
    tool = span("execute_tool ask", outer, 1, 5, a={"gen_ai.operation.name": "execute_tool"})
    assert sorted(tokens(calls(outer, tool, chat(tool, 2)))) == [(100, 10), (500, 50)]


def test_nested_model_spans_of_which_one_has_usage_are_one_call() -> None:
    predict = span("LLM.predict", took=3, a={"openinference.span.kind": "LLM", "input.value": "x"})
    inner = span(
        "LLM.chat",
        predict,
        0.5,
        2,
        a={
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 10,
        },
    )
    assert tokens(calls(predict, inner)) == [(100, 10)]


def test_two_views_with_the_same_response_id_in_unrelated_traces_are_one_call() -> None:
    framework = span(
        "ChatModel",
        took=2.1,
        scope="framework",
        a={
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 10,
            "output.value": json.dumps({"generations": [[{"text": "hi"}]], "llm_output": {"id": "chatcmpl-12345abc"}}),
            "metadata": '{"team": "x"}',
        },
    )
    client = chat(None, 0.05, 2.0, id="chatcmpl-12345abc")
    call = only(framework, client)
    assert (call.input_tokens, call.response_id) == (100, "chatcmpl-12345abc")
    assert set(link_keys(framework)) & set(link_keys(client))


def test_the_response_id_is_found_in_json_inside_json() -> None:
    inner = json.dumps({"id": "resp_12345abc", "output": []})
    framework = span(
        "model",
        took=2.1,
        scope="framework",
        a={"run_type": "llm", "model": "gpt-4o", "llm.output": json.dumps({"raw": inner})},
    )
    assert only(framework, chat(None, 0.05, 2.0, id="resp_12345abc")).input_tokens == 100


def test_without_any_id_equal_tokens_at_the_same_time_in_one_process_are_one_call() -> None:
    framework = span(
        "model",
        took=2.1,
        scope="framework",
        a={"run_type": "llm", "model": "gpt-4o", "usage": '{"prompt_tokens": 100, "completion_tokens": 10}'},
    )
    client = chat(None, 0.05, 2.0)
    assert tokens(calls(framework, client)) == [(100, 10)]
    assert set(link_keys(framework)) & set(link_keys(client))


def test_without_usage_one_view_inside_the_other_is_one_call() -> None:
    framework = span("model", took=2.1, scope="framework", a={"run_type": "llm", "model": "gpt-4o"})
    client = chat(None, 0.05, 2.0, model="gpt-4o-2024-08-06", tokens=None, id="chatcmpl-stream01")
    assert len(calls(framework, client)) == 1
    assert set(link_keys(framework)) & set(link_keys(client))
    assert len(calls(framework, chat(None, 0.05, 2.0, model="gpt-4o-mini", tokens=None))) == 2


def test_a_failure_that_two_instrumentations_tell_of_is_one_failure() -> None:
    framework = span("model", took=2.1, scope="framework", a={"run_type": "llm", "model": "gpt-4o"}, error=("E", "429"))
    client = chat(None, 0.05, 2.0, tokens=None, error=("RateLimitError", "429"))
    assert [call.status for call in calls(framework, client)] == ["rate_limited"]


def test_two_calls_at_once_are_paired_with_their_own_views() -> None:
    views = []
    for n in (0, 1):
        a = {"run_type": "llm", "model": "gpt-4o", "user.id": f"u{n}"}
        views.append(span("model", None, n * 0.01, 2.0 + n, scope="framework", a=a))
        views.append(chat(None, n * 0.01 + 0.005, 1.99 + n, tokens=None, id=f"chatcmpl-pair000{n}"))
    found = calls(*views)
    assert len(found) == 2
    assert len({call.user_id for call in found}) == 2


def test_a_view_that_ended_before_its_stream_began_is_the_same_call() -> None:
    step = span("synthesize", took=5)
    framework = span(
        "LLM.stream", step, 0.1, 0.2, scope="framework", a={"openinference.span.kind": "LLM", "model": "gpt-4o"}
    )
    assert tokens(calls(step, framework, chat(step, 1.0, 2.0))) == [(100, 10)]


def test_equal_calls_at_the_same_time_are_not_one_call() -> None:
    assert len(calls(chat(), chat(), chat(None, 0.1, 0.5))) == 3


def test_a_replay_with_equal_ids_is_not_one_call() -> None:
    assert len(calls(*(chat(id="chatcmpl-fixed001") for _ in range(5)))) == 5


def test_the_same_id_in_another_service_is_another_call() -> None:
    other = Span(
        **{
            **{f: getattr(chat(id="chatcmpl-fixed001"), f) for f in Span.__slots__},
            "scope": "elsewhere",
            "resource": {"service.name": "b"},
        }
    )
    assert len(calls(chat(id="chatcmpl-fixed001"), other)) == 2


def test_a_gateway_in_the_same_trace_is_the_same_call() -> None:
    client = chat(took=3, tokens=(100, 10), id="chatcmpl-gateway1")
    post = span(
        "POST", client, 0.1, 2.8, kind=CLIENT, a={"http.request.method": "POST", "http.response.status_code": 200}
    )
    server = span("POST /v1/chat", post, 0.2, 2.6, kind=SERVER, scope="gateway")
    inner = chat(
        server, 0.3, 2.4, scope="gateway", id="chatcmpl-gateway1", a={"gen_ai.usage.cache_read.input_tokens": 64}
    )
    tries = [
        span(
            "POST",
            inner,
            0.3 + n,
            0.5,
            kind=CLIENT,
            a={"http.request.method": "POST", "http.response.status_code": code},
            status=2 if code > 399 else 0,
        )
        for n, code in enumerate((503, 200))
    ]
    call = only(client, post, server, inner, *tries)
    assert (call.input_tokens, call.cached_tokens, call.attempts) == (100, 64, 2)
