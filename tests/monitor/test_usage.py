"""Responses as dicts, in the words of the providers' documentation; the real clients are in test_providers.py."""

import types

import pytest

from driftbell.monitor import usage

OPENAI = {
    "id": "chatcmpl-B9",
    "model": "gpt-4.1-2025-04-14",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": None}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
}
RESPONSES = {
    "id": "resp_67",
    "object": "response",
    "status": "completed",
    "model": "gpt-4.1-2025-04-14",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi", "annotations": [{}, {}]}]}],
    "usage": {
        "input_tokens": 19,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
    },
}
ANTHROPIC = {
    "id": "msg_01",
    "type": "message",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 311,
        "cache_read_input_tokens": 1800,
        "cache_creation_input_tokens": 500,
        "output_tokens": 10,
    },
}
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 19,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 8,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "abc",
}
BEDROCK = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 11, "outputTokens": 10, "cacheReadInputTokens": 8, "cacheWriteInputTokens": 0},
    "ResponseMetadata": {"RequestId": "d-1", "HTTPHeaders": {}},
}
COHERE = {
    "id": "c14",
    "finish_reason": "COMPLETE",
    "message": {"content": [{"type": "text", "text": "Hi"}], "citations": [{}, {}, {}]},
    "usage": {
        "billed_units": {"input_tokens": 5, "output_tokens": 10},
        "tokens": {"input_tokens": 19.0, "output_tokens": 10.0},
    },
}

READ = {
    "openai": (OPENAI, "openai", "gpt-4.1-2025-04-14", 19, 8, 10, 4, "stop"),
    "responses": (RESPONSES, "openai", "gpt-4.1-2025-04-14", 19, 8, 10, 4, "stop"),
    "anthropic": (ANTHROPIC, "anthropic", "claude-sonnet-4-5", 2611, 1800, 10, None, "end_turn"),
    "gemini": (GEMINI, "gcp.gemini", "gemini-2.5-flash", 19, 8, 10, 4, "STOP"),
    "bedrock": (BEDROCK, "aws.bedrock", None, 19, 8, 10, None, "end_turn"),
    "cohere": (COHERE, "cohere", None, 19, None, 10, None, "COMPLETE"),
}


@pytest.mark.parametrize("name", READ)
def test_every_provider_is_read_in_the_same_terms(name):
    response, provider, model, sent, cached, received, reasoning, finish = READ[name]
    told = usage.read(response)
    assert told.get("gen_ai.provider.name") == provider
    assert told.get("gen_ai.response.model") == model
    assert told.get("gen_ai.usage.input_tokens") == sent
    assert told.get("gen_ai.usage.cache_read.input_tokens") == cached
    assert told.get("gen_ai.usage.output_tokens") == received
    assert told.get("gen_ai.usage.reasoning.output_tokens") == reasoning
    assert told.get("gen_ai.response.finish_reasons") == (finish,)


def as_object(value):
    if isinstance(value, dict):
        return types.SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in READ if name not in ("bedrock",)])
def test_objects_and_dicts_are_read_alike(name):
    response = READ[name][0]
    assert usage.read(as_object(response)) == usage.read(response)


def test_citations_and_tool_calls_are_counted():
    assert usage.read(COHERE)["driftbell.citations.count"] == 3
    assert usage.read(RESPONSES)["driftbell.citations.count"] == 2
    called = {**ANTHROPIC, "content": [{"type": "tool_use"}, {"type": "text"}], "stop_reason": "tool_use"}
    assert usage.read(called)["driftbell.tool_calls.count"] == 1


@pytest.mark.parametrize(
    "response",
    [
        {**ANTHROPIC, "stop_reason": "refusal"},
        {**OPENAI, "choices": [{"message": {"refusal": "I can't"}, "finish_reason": "stop"}]},
        {**OPENAI, "choices": [{"message": {}, "finish_reason": "content_filter"}]},
        {**GEMINI, "candidates": [{"finishReason": "SAFETY"}]},
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}},
        {**BEDROCK, "stopReason": "guardrail_intervened"},
    ],
)
def test_refusals_are_told(response):
    assert usage.read(response)["driftbell.refused"] is True


@pytest.mark.parametrize(
    "response", [None, "text", 3, [], {}, {"choices": []}, object(), {"usage": {"tokens": 4}}, (1, 2)]
)
def test_what_has_no_known_shape_tells_nothing(response):
    assert usage.read(response) == {}


@pytest.mark.parametrize("wrong", [-1, "12", True, None, 1e300, float("nan"), 1.5, [], {}])
def test_a_count_that_is_none_is_missing_and_not_zero(wrong):
    told = usage.read({**OPENAI, "usage": {"prompt_tokens": wrong, "completion_tokens": 3}})
    assert "gen_ai.usage.input_tokens" not in told
    assert told["gen_ai.usage.output_tokens"] == 3


def test_a_response_without_usage_has_no_tokens():
    assert not [name for name in usage.read({**OPENAI, "usage": None}) if "usage" in name]


def test_a_response_in_a_tuple_or_beside_its_parsed_form_is_found():
    assert usage.read(("answer", OPENAI)) == usage.read(OPENAI)
    assert usage.read({"raw": OPENAI, "parsed": {}}) == usage.read(OPENAI)


def test_tokens_of_two_responses_of_one_call_add_up():
    attributes = {}
    usage.read_into(OPENAI, attributes)
    usage.read_into(OPENAI, attributes)
    assert attributes["gen_ai.usage.input_tokens"] == 38


def test_azure_is_told_from_openai_by_its_content_filter():
    filtered = {**OPENAI, "choices": [{**OPENAI["choices"][0], "content_filter_results": {}}]}
    assert usage.read(filtered)["gen_ai.provider.name"] == "azure.ai.openai"


def test_a_cost_that_the_provider_tells_is_kept():
    told = usage.read({**OPENAI, "usage": {**OPENAI["usage"], "cost": 0.0123}})
    assert (told["gen_ai.usage.cost.amount"], told["gen_ai.usage.cost.source"]) == (0.0123, "provider")


def test_an_anthropic_stream_is_read_from_its_first_and_last_events():
    start = {**ANTHROPIC, "stop_reason": None, "usage": {**ANTHROPIC["usage"], "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_stop"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 203}},
        {"type": "message_stop"},
    ]
    told = usage.read_stream(events[:1], events[1:])
    assert told["gen_ai.usage.input_tokens"] == 2611
    assert told["gen_ai.usage.output_tokens"] == 203
    assert told["gen_ai.response.finish_reasons"] == ("end_turn",)


def test_a_bedrock_stream_is_read_from_its_last_events():
    usage_event = {"metadata": {"usage": BEDROCK["usage"]}}
    told = usage.read_stream([{"messageStart": {}}], [{"messageStop": {"stopReason": "max_tokens"}}, usage_event])
    assert told["gen_ai.usage.input_tokens"] == 19
    assert told["gen_ai.response.finish_reasons"] == ("max_tokens",)


def test_bedrock_headers_tell_the_tokens_of_invoke_model():
    headers = {"x-amzn-bedrock-input-token-count": "19", "x-amzn-bedrock-output-token-count": "10"}
    told = usage.read({"ResponseMetadata": {"RequestId": "r", "HTTPHeaders": headers}, "body": object()})
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (19, 10)
