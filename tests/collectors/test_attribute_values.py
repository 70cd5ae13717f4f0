"""Attributes in any type and under any name, from emitters that nobody recorded."""

import json

import pytest
from emitter_spans import CLIENT, calls, chat, only, span, tokens


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
    assert (call.input_tokens, call.output_tokens, call.reasoning_tokens, call.cached_tokens) == (100, 14, 4, 64)
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
