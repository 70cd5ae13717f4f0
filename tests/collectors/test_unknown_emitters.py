"""Emitters and shapes that nobody recorded: rules of structure have to carry over to them."""

import json
from itertools import count

import pytest

from driftbell.collectors.decode import LogRecord
from driftbell.collectors.merge import event_span, interpret, is_relevant, link_keys
from driftbell.collectors.pricing import ModelPrice, PriceTable
from driftbell.collectors.span import Span, SpanEvent

T0 = 1_795_000_000.0
CLIENT, INTERNAL, SERVER = 3, 1, 2
PRICES = PriceTable({"gpt-4o": ModelPrice(2.0, 10.0, 1.0), "gpt-4o-mini": ModelPrice(1.0, 4.0)}, public=False)
_ids = count(1)


def span(name, parent=None, at=0.0, took=1.0, *, trace=None, scope="unknown.framework", error=None, **more) -> Span:
    """A span ``at`` seconds after T0; attributes as keyword ``a``; ``error`` is an exception type and a message."""
    n = next(_ids)
    events = tuple(more.get("events", ()))
    if error is not None:
        described = {"exception.type": error[0], "exception.message": error[1]}
        events += (SpanEvent("exception", T0 + at + took, described),)
    return Span(
        trace_id=parent.trace_id if parent else (trace or f"{n:032x}"),
        span_id=f"{n:016x}",
        parent_id=parent.span_id if parent else "",
        name=name,
        start=T0 + at,
        end=T0 + at + took,
        kind=more.get("kind", INTERNAL),
        status=2 if error else more.get("status", 0),
        attributes=more.get("a", {}),
        events=events,
        scope=scope,
        resource={"service.name": "shop", "service.instance.id": more.get("instance", "i-1")},
    )


def chat(parent=None, at=0.0, took=1.0, *, model="gpt-4o", tokens=(100, 10), scope="client.library", **more) -> Span:
    """A span as the conventions want it."""
    a = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model}
    if tokens is not None:
        a |= {"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1]}
    if more.get("id"):
        a["gen_ai.response.id"] = more.pop("id")
    a |= more.pop("a", {})
    return span(f"chat {model}", parent, at, took, scope=scope, kind=CLIENT, a=a, **more)


def calls(*spans: Span):
    """The calls, which must be the same when the spans come in another order, and twice."""
    found = interpret(spans, PRICES)
    assert interpret([*reversed(spans), *spans], PRICES) == found
    return found.calls


def only(*spans: Span):
    (call,) = calls(*spans)
    return call


def tokens(found) -> list[tuple[int | None, int | None]]:
    return [(call.input_tokens, call.output_tokens) for call in found]


# our own SDK around an instrumented client


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


# frames that repeat totals


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


# nested and side-by-side instrumentation


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


# retries


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


# what attributes come as


def test_every_attribute_may_be_json_encoded() -> None:
    a = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"gpt-4o"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 10, "total_tokens": 110,'
        ' "cache_read_input_tokens": 64}',
    }
    call = only(span("Completions", a=a))
    assert (call.model, call.provider, call.input_tokens, call.output_tokens, call.cached_tokens) == (
        "gpt-4o",
        "openai",
        100,
        10,
        64,
    )


def test_python_reprs_and_numbers_in_strings_are_read() -> None:
    a = {
        "gen_ai.operation.name": "chat",
        "langsmith.span.kind": "llm",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": "100",
        "gen_ai.usage.output_tokens": " 10 ",
        "gen_ai.usage.input_token_details": "{'cache_read': 64, 'audio': None}",
        "gen_ai.response.finish_reasons": "['FinishReason.MAX_TOKENS']",
    }
    call = only(span("ChatOpenAI", a=a))
    assert (call.input_tokens, call.output_tokens, call.cached_tokens, call.finish_reason) == (100, 10, 64, "length")


def test_a_component_that_is_known_by_its_class_and_its_output_is_read() -> None:
    pipeline = span("pipeline.run", took=9)
    meta = {
        "model": "gpt-4o-2024-08-06",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }
    documents = json.dumps(
        {"documents": [{"id": "d1", "content": "text", "score": 0.7}, {"id": "d2", "content": "text"}]}
    )
    retriever = span(
        "component.run",
        pipeline,
        0.1,
        0.2,
        a={"acme.component.type": "InMemoryBM25Retriever", "acme.component.output": documents},
    )
    generator = span(
        "component.run",
        pipeline,
        1,
        a={"acme.component.type": "OpenAIGenerator", "acme.component.output": {"replies": ["hi"], "meta": [meta]}},
    )
    call = only(pipeline, retriever, generator)
    assert (call.model, call.provider, call.input_tokens, call.output_tokens) == (
        "gpt-4o-2024-08-06",
        "openai",
        100,
        10,
    )
    assert [s.id for s in call.sources] == ["d1", "d2"]


def test_a_model_is_found_in_a_request_that_a_span_holds_as_a_whole() -> None:
    a = {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": '{"model": "gpt-4o-mini", "messages": []}'}
    usage = {
        "mlflow.spanOutputs": '{"id": "chatcmpl-whole001", "usage": {"prompt_tokens": 100, "completion_tokens": 10}}'
    }
    call = only(span("Completions", a=a | usage))
    assert (call.model, call.input_tokens, call.response_id) == ("gpt-4o-mini", 100, "chatcmpl-whole001")


def test_a_step_that_hands_on_an_answer_with_its_usage_is_no_call() -> None:
    root = span("chain", took=9)
    answer = json.dumps({"content": "hi", "usage_metadata": {"input_tokens": 100, "output_tokens": 10}})
    step = span(
        "parse", root, 3, 0.1, a={"openinference.span.kind": "CHAIN", "input.value": answer, "output.value": answer}
    )
    assert tokens(calls(root, chat(root, 1), step)) == [(100, 10)]


def test_a_response_body_in_the_output_is_a_witness_of_usage() -> None:
    body = {
        "candidates": [],
        "usageMetadata": {
            "promptTokenCount": 100,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 4,
            "cachedContentTokenCount": 64,
        },
    }
    call = only(span("generate", a={"span_type": "LLM", "model": "gemini-2.5-flash", "output": json.dumps(body)}))
    assert (call.input_tokens, call.output_tokens, call.reasoning_tokens, call.cached_tokens) == (100, 10, 4, 64)
    assert call.provider == "gcp.gemini"


def test_names_that_nobody_has_seen_are_read_by_their_ending() -> None:
    call = only(
        span(
            "ask",
            a={
                "acme.llm.model": "openai/gpt-4o",
                "acme.llm.usage.prompt_tokens": 100,
                "acme.llm.usage.completion_tokens": 10,
            },
        )
    )
    assert (call.provider, call.model, call.input_tokens, call.output_tokens) == ("openai", "gpt-4o", 100, 10)


def test_input_that_leaves_out_cached_tokens_is_made_whole() -> None:
    assert (
        only(
            chat(
                tokens=(311, 10),
                a={"gen_ai.usage.cache_read.input_tokens": 1800, "gen_ai.usage.cache_creation.input_tokens": 500},
            )
        ).input_tokens
        == 2611
    )
    raw = {"input_tokens": 2000, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 0, "output_tokens": 5}
    assert only(span("m", a={"span.kind": "llm", "model": "claude-sonnet-4-5", "usage": raw})).input_tokens == 2500
    adds_up = {"gen_ai.usage.cache_read.input_tokens": 50, "gen_ai.usage.total_tokens": 160}
    assert only(chat(tokens=(100, 10), a=adds_up)).input_tokens == 150
    assert only(chat(tokens=(100, 10), a=adds_up | {"gen_ai.usage.total_tokens": 110})).input_tokens == 100


@pytest.mark.parametrize(
    "zeros", [{"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, {"gen_ai.usage.input_tokens": 0}, {}]
)
def test_no_tokens_are_missing_tokens_and_cost_nothing_known(zeros) -> None:
    call = only(chat(tokens=None, a=zeros | {"gen_ai.request.stream": True, "gen_ai.cost.total_cost": 0.0}))
    assert (call.input_tokens, call.usage_source, call.cost_usd, call.cost_source) == (
        None,
        "missing",
        None,
        "unpriced",
    )


def test_a_framework_in_the_place_of_the_provider_is_replaced_by_the_models_provider() -> None:
    a = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "some-agents",
        "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-v1:0",
    }
    assert only(span("chat", a=a)).provider == "aws.bedrock"
    assert only(span("chat", a=a | {"gen_ai.system": "openai.responses"})).provider == "openai"
    assert (
        only(span("chat", a=a | {"gen_ai.system": "Langchain", "gen_ai.request.model": "gpt-4o"})).provider == "openai"
    )


def test_the_kind_an_emitter_states_wins_over_the_operation_it_guesses() -> None:
    root = span("chain", took=9, a={"langsmith.span.kind": "chain"})
    documents = json.dumps({"documents": [{"page_content": "text", "metadata": {"source": "kb/1", "score": 0.5}}]})
    retriever = span(
        "VectorStore",
        root,
        0.1,
        0.5,
        a={"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings", "gen_ai.completion": documents},
    )
    prompt = span(
        "Prompt",
        root,
        1,
        0.1,
        a={"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat", "gen_ai.system": "langchain"},
    )
    call = only(root, retriever, prompt, chat(root, 2))
    assert [(s.id, s.score) for s in call.sources] == [("kb/1", 0.5)]
    assert call.retrieval_ms == pytest.approx(500)


def test_an_operation_name_without_model_or_usage_is_no_call() -> None:
    assert calls(span("Prompt", a={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "langchain"})) == ()
    assert (
        calls(
            span(
                "poll",
                a={
                    "gen_ai.operation.name": "fetch_response",
                    "gen_ai.response.id": "resp_1",
                    "gen_ai.request.model": "gpt-4o",
                },
            )
        )
        == ()
    )


def test_a_retrieval_that_is_called_embeddings_is_a_retrieval() -> None:
    root = span("query", took=9)
    a = {
        "gen_ai.operation.name": "embeddings",
        "task.output": '[{"id": "d1", "page_content": "text"}]',
        "task.retriever": "kb",
    }
    assert [s.id for s in only(root, span("task KB", root, 0.1, 0.2, a=a), chat(root, 2)).sources] == ["d1"]


def test_a_failed_call_that_has_nothing_but_its_name_is_a_call() -> None:
    call = only(span("chat claude-sonnet-4-5", kind=CLIENT, error=("anthropic.RateLimitError", "429")))
    assert (call.model, call.provider, call.status) == ("claude-sonnet-4-5", "anthropic", "rate_limited")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (("litellm.InternalError", "upstream said: Error code: 429 - slow down"), "rate_limited"),
        (("ModelThrottledException", ""), "rate_limited"),
        (("httpx.ReadTimeout", ""), "timeout"),
        (("asyncio.CancelledError", ""), "cancelled"),
        (("AuthenticationError", "401 bad key"), "error"),
    ],
)
def test_errors_are_told_apart_by_whatever_names_them(error, status) -> None:
    call = only(chat(tokens=None, error=error))
    assert (call.status, call.error_type) == (status, error[0])


@pytest.mark.parametrize(
    ("a", "ttft"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250),
        ({"ai.response.msToFirstChunk": 250.0}, 250),
        ({"gen_ai.server.time_to_first_token": 250, "gen_ai.request.stream": True}, 250),
        ({"gen_ai.server.time_to_first_token": 0.25, "gen_ai.request.stream": True}, 250),
        ({"gen_ai.server.time_to_first_token": 250}, 250),
        ({"gen_ai.server.time_to_first_token": 0.25}, 250),
        ({"gen_ai.server.time_to_first_token": 0.99}, None),
        ({"gen_ai.server.time_to_first_token": 0.3, "gen_ai.request.stream": False}, None),
        ({"gen_ai.response.time_to_first_chunk": 250.0}, None),
    ],
)
def test_the_unit_of_the_first_token_is_found_out(a, ttft) -> None:
    assert only(chat(a=a)).ttft_ms == (None if ttft is None else pytest.approx(ttft))


# retrieval


def test_nested_retrievals_and_their_embedding_are_told_once() -> None:
    root = span("query", took=9, a={"openinference.span.kind": "CHAIN"})
    flat = {
        f"retrieval.documents.{n}.document.{k}": v
        for n in range(3)
        for k, v in (("id", f"d{n}"), ("score", 0.9 - n / 10), ("content", "secret text"))
    }
    outer = span("retrieve", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat)
    inner = span("_retrieve", outer, 0.2, 0.8, a={"openinference.span.kind": "RETRIEVER"} | flat)
    embed = span(
        "embed",
        inner,
        0.3,
        0.2,
        a={
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "text-embedding-3-small",
            "llm.token_count.prompt": 5,
        },
    )
    found = calls(root, outer, inner, embed, chat(root, 2))
    assert [(call.operation, len(call.sources or ())) for call in found] == [("embeddings", 0), ("chat", 3)]
    named = {"traceloop.workflow.name": "kb"}  # an ancestor that lends its labels does not lend its documents
    root = span("query", took=9)
    outer = span("retrieve", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat | named)
    inside = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.usage.input_tokens": 5}
    embed = span("embed", outer, 0.3, 0.2, a=inside)
    assert [len(call.sources or ()) for call in calls(root, outer, embed, chat(root, 2))] == [0, 3]
    assert "secret" not in repr(found)


def test_what_a_reranker_kept_is_what_the_call_got() -> None:
    root = span("query", took=9)
    flat = {f"retrieval.documents.{n}.document.id": f"d{n}" for n in range(5)}
    kept = {f"reranker.output_documents.{n}.document.id": f"d{n}" for n in range(2)}
    retriever = span("r", root, 0.1, 1.0, a={"openinference.span.kind": "RETRIEVER"} | flat)
    reranker = span("rr", root, 1.2, 0.3, a={"openinference.span.kind": "RERANKER"} | kept)
    assert [s.id for s in only(root, retriever, reranker, chat(root, 2)).sources] == ["d0", "d1"]


def test_an_empty_retrieval_is_not_an_unknown_one() -> None:
    root = span("query", took=9)
    empty = span("r", root, 0.1, 0.3, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": "[]"})
    silent = span("r", root, 0.1, 0.3, a={"gen_ai.operation.name": "retrieval"})
    assert only(root, empty, chat(root, 2)).sources == ()
    assert only(root, silent, chat(root, 2)).sources is None


def test_a_retrieval_serves_the_next_call_of_its_own_branch() -> None:
    root = span("batch", took=20)
    a, b = span("a", root, 0, 9), span("b", root, 0.1, 9)
    found_a = span(
        "r", a, 0.2, 0.5, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "a"}]'}
    )
    found_b = span(
        "r", b, 0.2, 2.5, a={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "b"}]'}
    )
    found = calls(root, a, b, found_a, found_b, chat(a, 4, 1, tokens=(1, 1)), chat(b, 3, 1, tokens=(2, 2)))
    assert {call.input_tokens: call.sources[0].id for call in found} == {1: "a", 2: "b"}


def test_signed_urls_and_texts_are_no_document_ids() -> None:
    documents = [
        {"metadata": {"source": "https://x.test/doc.pdf?sig=abc"}},
        {"id": "a sentence of the document"},
        {"content": "text"},
    ]
    a = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": documents}
    root = span("query", took=9)
    assert [s.id for s in only(root, span("r", root, a=a), chat(root, 2)).sources] == [
        "https://x.test/doc.pdf",
        None,
        None,
    ]


# workflow names


def test_the_feature_is_named_by_the_best_name_there_is() -> None:
    def named(a_root, a_call, root_name="POST /answer"):
        root = span(root_name, took=9, a=a_root)
        return only(root, chat(root, 1, a=a_call)).workflow

    names = {"traceloop.workflow.name": "b", "ai.telemetry.functionId": "c"}
    assert named(names | {"driftbell.workflow": "a"}, {}) == "a"
    assert named(names, {"ai.telemetry.functionId": "d"}) == "b"
    assert named({}, {"ai.telemetry.functionId": "c"}) == "c"
    assert named({"langfuse.trace.name": "c"}, {}) == "c"
    assert named({}, {}) == "POST /answer"
    assert (
        named({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}, {}, "invoke_agent clerk")
        == "clerk"
    )
    assert only(chat()).workflow == "shop"


# logs


def event(name, of: Span | None, at=5.0, **a) -> Span:
    record = LogRecord(
        name,
        T0 + at,
        of.trace_id if of else "",
        of.span_id if of else "",
        attributes={k.replace("__", "."): v for k, v in a.items()},
        resource={"service.name": "shop"},
    )
    found = event_span(record)
    assert found is not None
    return found


def test_an_evaluation_that_is_logged_is_a_judgement_of_its_call() -> None:
    call = chat(id="chatcmpl-judged01")
    by_span = event(
        "gen_ai.evaluation.result", call, gen_ai__evaluation__name="faithful", gen_ai__evaluation__score__value=0.8
    )
    by_id = event(
        "gen_ai.evaluation.result",
        None,
        gen_ai__evaluation__name="polite",
        gen_ai__evaluation__score__value="1",
        gen_ai__response__id="chatcmpl-judged01",
    )
    said = interpret([call, by_span, by_id, by_span], PRICES)
    assert sorted((j.evaluation, j.score, j.call_span_id, j.model) for j in said.judgements) == [
        ("faithful", 0.8, call.span_id, "gpt-4o"),
        ("polite", 1.0, call.span_id, "gpt-4o"),
    ]
    assert len(said.calls) == 1
    assert set(link_keys(by_id)) & set(link_keys(call))


def test_user_feedback_that_is_logged_is_feedback() -> None:
    call = chat()
    bad = event(
        "gen_ai.evaluation.result",
        call,
        gen_ai__evaluation__name="user_feedback",
        gen_ai__evaluation__score__label="thumbs_down",
    )
    (judgement,) = interpret([call, bad], PRICES).judgements
    assert (judgement.feedback, judgement.evaluation, judgement.workflow) == (-1, None, "shop")


def test_the_details_of_a_call_that_are_logged_fill_what_its_span_left_out() -> None:
    call = chat(tokens=None)
    details = event(
        "gen_ai.client.inference.operation.details",
        call,
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=10,
        gen_ai__response__finish_reasons=["stop"],
        gen_ai__operation__name="chat",
        gen_ai__request__model="gpt-4o",
    )
    found = only(call, details)
    assert (found.input_tokens, found.finish_reason) == (100, "stop")


def test_log_records_that_say_nothing_of_a_call_are_left_alone() -> None:
    assert event_span(LogRecord("gen_ai.user.message", T0, "a" * 32, "b" * 16)) is None
    assert event_span(LogRecord("", T0, body="hello")) is None


# reports of our own SDK


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


# what is kept


def test_user_ids_of_other_emitters_are_hashed_and_texts_are_not_kept() -> None:
    call = only(
        chat(
            a={
                "enduser.id": "jane@example.com",
                "acme.note": "a whole sentence of somebody",
                "acme.tier": "gold",
                "acme.tries": 3,
                "acme.prompt": "secret",
            }
        )
    )
    assert call.user_id is not None
    assert "jane" not in repr(call)
    assert (call.attributes["acme.tier"], call.attributes["acme.tries"]) == ("gold", 3)
    assert "acme.note" not in call.attributes
    assert "acme.prompt" not in call.attributes


def test_requests_to_databases_are_not_relevant_but_what_may_connect_is() -> None:
    assert not is_relevant(span("SELECT", kind=CLIENT, a={"db.system": "postgresql", "db.statement": "SELECT 1"}))
    assert is_relevant(span("handler"))
    assert is_relevant(span("GET", kind=CLIENT, a={"http.request.method": "POST"}))


def test_spans_that_are_each_others_parents_do_no_harm() -> None:
    a, b = chat(), chat()
    looped = [
        Span(**{**{f: getattr(x, f) for f in Span.__slots__}, "trace_id": "c" * 32, "parent_id": y.span_id})
        for x, y in ((a, b), (b, a))
    ]
    assert len(calls(*looped)) == 1
    own = Span(**{**{f: getattr(a, f) for f in Span.__slots__}, "parent_id": a.span_id})
    assert len(calls(own)) == 1


def test_a_very_deep_trace_is_read() -> None:
    spans = [span("root")]
    for n in range(3000):
        spans.append(span("step", spans[-1], n / 1000, 5))
    spans.append(chat(spans[-1], 3))
    assert len(interpret(spans, PRICES).calls) == 1
