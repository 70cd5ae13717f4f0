"""Emitters of which there is no recording: spans with the names and values that their sources and documents show."""

import json
import random
from dataclasses import replace

import pytest
from emitter_spans import CLIENT, SERVER, calls, chat, only, span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from driftbell.collectors.decode import decode_traces, read_traces
from driftbell.collectors.dialects.read import read
from driftbell.collectors.template import Templates, part_of

GEMINI = {
    "promptTokenCount": 1011,
    "candidatesTokenCount": 203,
    "thoughtsTokenCount": 60,
    "cachedContentTokenCount": 64,
    "totalTokenCount": 1274,
}
SPRING = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}
FOUND = {
    "braintrust": (
        {
            "braintrust.span_attributes": '{"type": "llm"}',
            "braintrust.metadata": '{"model": "gpt-4o", "provider": "openai"}',
            "braintrust.metrics": '{"prompt_tokens": 1011, "completion_tokens": 203, "tokens": 1214, '
            '"prompt_cached_tokens": 64, "completion_reasoning_tokens": 5, "time_to_first_token": 0.4}',
        },
        ("openai", "gpt-4o", 1011, 64, 203, 5, None),
    ),
    "a coding agent": (
        {
            "span.type": "llm_request",
            "model": "claude-opus-4-1",
            "gen_ai.system": "anthropic",
            "input_tokens": 2,
            "output_tokens": 1200,
            "cache_read_tokens": 84562,
            "cache_creation_tokens": 7096,
            "success": True,
            "stop_reason": "tool_use",
        },
        ("anthropic", "claude-opus-4-1", 91660, 84562, 1200, None, "tool_calls"),
    ),
    "haystack": (
        {
            "haystack.component.type": "OpenAIChatGenerator",
            "haystack.component.output": '{"replies": [{"_role": "assistant", "_meta": {"model": "gpt-4o", '
            '"finish_reason": "length", "usage": {"prompt_tokens": 1011, "completion_tokens": 203}}}]}',
        },
        ("openai", "gpt-4o", 1011, None, 203, None, "length"),
    ),
    "spring ai": (
        SPRING
        | {
            "gen_ai.response.id": "none",
            "gen_ai.response.finish_reasons": '["STOP"]',
            "gen_ai.usage.input_tokens": "1011",
            "gen_ai.usage.output_tokens": "203",
        },
        ("openai", "gpt-4o", 1011, None, 203, None, "stop"),
    ),
    "gemini's own answer": (
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.request.model": "gemini-2.5-pro",
            "output.value": json.dumps({"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": GEMINI}),
        },
        ("gcp.gemini", "gemini-2.5-pro", 1011, 64, 263, 60, "length"),
    ),
    "google adk": (
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": 1011,
            "gen_ai.usage.output_tokens": 203,
            "gen_ai.usage.experimental.reasoning_tokens": 60,
        },
        ("gcp.gemini", "gemini-2.5-flash", 1011, None, 263, 60, None),
    ),
    "thoughts beside the output": (
        SPRING
        | {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 200,
            "gen_ai.usage.reasoning_tokens": 50,
            "gen_ai.usage.total_tokens": 1250,
        },
        ("openai", "gpt-4o", 1000, None, 250, 50, None),
    ),
    "langsmith": (
        {
            "langsmith.span.kind": "llm",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 1011,
            "gen_ai.usage.output_tokens": 203,
            "gen_ai.usage.input_token_details": "{'audio': 0, 'cache_read': 64}",
            "gen_ai.usage.output_token_details": "{'audio': 0, 'reasoning': 5}",
        },
        ("openai", "gpt-4o", 1011, 64, 203, 5, None),
    ),
    "trulens": (
        {
            "ai.observability.span_type": "generation",
            "ai.observability.cost.model": "gpt-4o",
            "ai.observability.cost.num_prompt_tokens": 1011,
            "ai.observability.cost.num_completion_tokens": 203,
        },
        ("openai", "gpt-4o", 1011, None, 203, None, None),
    ),
    "a usage object beside a model": (
        {"llm.vendor": '"openai"', "model": '"gpt-4o"', "usage": {"inputTokens": 1011, "outputTokens": 203}},
        ("openai", "gpt-4o", 1011, None, 203, None, None),
    ),
    "tokens by side": (
        {"acme.model": "gpt-4o", "acme.tokens.input": 1011, "acme.tokens.output": 203, "acme.tokens.cached": 64},
        ("openai", "gpt-4o", 1011, 64, 203, None, None),
    ),
    "sides by token": (
        {"acme.model_name": "gpt-4o", "acme.tokens_in": 1011, "acme.tokens_out": 203},
        ("openai", "gpt-4o", 1011, None, 203, None, None),
    ),
    "genkit": (
        {
            "genkit:metadata:subtype": "model",
            "genkit:name": "googleai/gemini-2.5-flash",
            "genkit:output": '{"finishReason": "stop", "usage": {"inputTokens": 1011, "outputTokens": 203, '
            '"thoughtsTokens": 60, "cachedContentTokens": 64, "totalTokens": 1274}}',
        },
        ("gcp.gemini", "gemini-2.5-flash", 1011, 64, 263, 60, None),
    ),
    "details that only the answer has": (
        SPRING
        | {
            "gen_ai.usage.input_tokens": 1011,
            "gen_ai.usage.output_tokens": 203,
            "response_data": '{"message": {}, "usage": {"prompt_tokens": 1011, "completion_tokens": 203, '
            '"prompt_tokens_details": {"cached_tokens": 64}}}',
        },
        ("openai", "gpt-4o", 1011, 64, 203, None, None),
    ),
    "langchain": (
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "output.value": '{"generations": [[{"message": {"kwargs": {"response_metadata": '
            '{"finish_reason": "length"}}}}]], "llm_output": {"token_usage": '
            '{"prompt_tokens": 1011, "completion_tokens": 203}}}',
        },
        ("openai", "gpt-4o", 1011, None, 203, None, "length"),
    ),
    "an answer of something else": (
        SPRING
        | {
            "gen_ai.usage.input_tokens": 1011,
            "gen_ai.usage.output_tokens": 203,
            "output.value": '{"usage": {"prompt_tokens": 9, "completion_tokens": 203, "cached_tokens": 8}}',
        },
        ("openai", "gpt-4o", 1011, None, 203, None, None),
    ),
    "a resource of a cloud": (
        SPRING
        | {
            "gen_ai.system": "aws.bedrock",
            "gen_ai.request.model": "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
            "gen_ai.usage.input_tokens": 1011,
            "gen_ai.usage.output_tokens": 203,
        },
        ("aws.bedrock", "eu.amazon.nova-pro-v1:0", 1011, None, 203, None, None),
    ),
    "an operation nobody has seen": (
        SPRING
        | {
            "gen_ai.operation.name": "chat.streaming_completions",
            "gen_ai.usage.prompt_tokens": 1011,
            "gen_ai.usage.completion_tokens": 203,
        },
        ("openai", "gpt-4o", 1011, None, 203, None, None),
    ),
}


@pytest.mark.parametrize("emitter", FOUND)
def test_its_calls_have_their_model_and_tokens(emitter) -> None:
    attributes, expected = FOUND[emitter]
    call = only(span("step", a=attributes))
    found = (call.provider, call.model, call.input_tokens, call.cached_tokens, call.output_tokens)
    assert (*found, call.reasoning_tokens, call.finish_reason) == expected
    assert (call.status, call.usage_source) == ("ok", "provider")


def test_a_word_for_nothing_ties_no_calls_together() -> None:
    nothing = {"gen_ai.response.id": "none", "gen_ai.response.model": "none", "gen_ai.response.finish_reasons": "none"}
    usage = [{"gen_ai.usage.input_tokens": str(n), "gen_ai.usage.output_tokens": "5"} for n in (100, 200, 300)]
    found = calls(*(span("chat gpt-4o", a=SPRING | nothing | one) for one in usage))
    assert sorted(call.input_tokens for call in found) == [100, 200, 300]
    assert {(call.response_id, call.finish_reason, call.model) for call in found} == {(None, None, "gpt-4o")}


def test_a_request_that_says_it_did_not_succeed_failed() -> None:
    a = {"span.type": "llm_request", "model": "claude-opus-4-1", "success": False, "status_code": 429}
    assert only(span("llm_request", a=a)).status == "rate_limited"
    del a["status_code"]
    assert only(span("llm_request", a=a)).status == "error"


def test_an_error_type_is_told_without_how_python_shows_it() -> None:
    a = SPRING | {"error.type": "<class 'openai.RateLimitError'>"}
    call = only(span("chat.completions gpt-4o", a=a, status=2))
    assert (call.status, call.error_type) == ("rate_limited", "openai.RateLimitError")


def test_preparing_a_run_is_no_call_though_it_names_a_model() -> None:
    names = {"gen_ai.system": "az.ai.agents", "gen_ai.request.model": "gpt-4o"}
    start = span("start_thread_run", a=names | {"gen_ai.operation.name": "start_thread_run"}, kind=CLIENT)
    usage = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    run = span("run", None, 2, a=names | usage | {"gen_ai.operation.name": "process_thread_run"}, kind=CLIENT)
    assert only(start, replace(run, trace_id=start.trace_id)).input_tokens == 100


def test_contexts_that_are_only_counted_are_documents_of_the_call() -> None:
    root = span("query", took=9, a={"ai.observability.span_type": "record_root"})
    found = {"ai.observability.span_type": "retrieval", "ai.observability.retrieval.num_contexts": 2}
    generation, _ = FOUND["trulens"]
    call = only(root, span("retrieve", root, 0.1, 0.2, a=found), span("create", root, 1, a=generation))
    assert call.sources is not None
    assert len(call.sources) == 2


def test_a_call_that_the_model_server_tells_of_too_is_its_callers() -> None:
    client = chat(took=2, tokens=(1011, 203), id="chatcmpl-abc", model="llama-3")
    served = span(
        "llm_request",
        client,
        0.1,
        1.8,
        kind=SERVER,
        scope="vllm.llm_engine",
        a={
            "gen_ai.response.model": "llama-3",
            "gen_ai.usage.prompt_tokens": 1011,
            "gen_ai.usage.completion_tokens": 203,
        }
        | {"gen_ai.latency.time_to_first_token": 0.12},
    )
    call = only(client, replace(served, resource={"service.name": "vllm", "service.version": "0.9"}))
    assert (call.workflow, call.attributes["service.name"], call.release) == ("shop", "shop", None)
    assert call.ttft_ms == pytest.approx(120)


@pytest.mark.parametrize("stated", [311, 2611])
@pytest.mark.parametrize("holder", ["usage", "output.value"])
def test_a_providers_own_counts_complete_those_of_its_emitter(stated, holder) -> None:
    own = {"input_tokens": 311, "cache_read_input_tokens": 1800, "cache_creation_input_tokens": 500}
    call = only(chat(tokens=(stated, 10), a={holder: {"usage": own | {"output_tokens": 10}}}))
    assert (call.input_tokens, call.cached_tokens, call.cache_write_tokens) == (2611, 1800, 500)


def test_counts_that_are_nothing_are_left_alone() -> None:
    call = only(
        chat(tokens=None, a={"usage": {"input_tokens": None, "cache_read_input_tokens": 5, "output_tokens": 3}})
    )
    assert (call.input_tokens, call.output_tokens) == (None, 3)


def test_a_vector_store_is_known_however_it_is_spelt() -> None:
    root = span("rag", took=9)
    query = span("pinecone.query", root, 0.1, 0.2, kind=CLIENT, a={"db.system": "Pinecone"})
    assert only(root, query, chat(root, 1)).retrieval_ms == pytest.approx(200)


@pytest.mark.parametrize("emitter", FOUND)
def test_its_spans_say_the_same_when_templates_read_them(emitter) -> None:
    attributes, _ = FOUND[emitter]
    numbers, templates = random.Random(1), Templates()
    for turn in range(5):
        body = request_of(attributes, numbers, odd=turn < 3)
        plain = {span.span_id: read(span) for span in decode_traces(body, "protobuf").spans}
        found = read_traces(body, templates)
        assert all(part_of(filled) == plain[filled[2].hex()] for filled in found.filled if not filled[0].idle)
        assert all(read(span) == plain[span.span_id] for span in found.spans)


def request_of(attributes: dict, numbers: random.Random, *, odd: bool) -> bytes:
    """A request with spans that differ in ids and counts; ``odd`` ones have words for nothing and counts of zero."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add().scope_spans.add()
    for _ in range(30):
        made = group.spans.add(trace_id=numbers.randbytes(16), span_id=numbers.randbytes(8), name="step", kind=3)
        made.start_time_unix_nano, made.end_time_unix_nano = 10**18, 10**18 + 10**9
        ids = {
            "gen_ai.response.id": f"resp_{numbers.randrange(99)}",
            "session.id": f"s{numbers.randrange(9)}",
            "gen_ai.usage.total_tokens": 1250,
            "app.number": numbers.randrange(1000),
        }
        if odd:
            ids |= {"gen_ai.response.id": numbers.choice(["none", "null", "resp_1"]), "user.id": "none"}
        for key, value in (attributes | ids).items():
            _put(made.attributes.add(key=key).value, _varied(value, numbers, odd))
    return request.SerializeToString()


def _varied(value: object, numbers: random.Random, odd: bool) -> object:
    whole = type(value) is int or (isinstance(value, str) and value.isdigit())
    if not whole:
        return value
    return type(value)(numbers.choice([0, 1, int(value)] if odd else [int(value), numbers.randrange(1, 3000)]))


def _put(held: AnyValue, value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _put(held.kvlist_value.values.add(key=key).value, inner)
    elif value is not None:
        field = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(held, field, value)
