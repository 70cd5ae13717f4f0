"""Responses in the dialects of Anthropic, Google, Amazon Bedrock and Cohere."""

from typing import Any, Final

from driftbell.monitor import attributes as names
from driftbell.monitor.reading import (
    Reading,
    count,
    field,
    getter,
    items,
    put_count,
    put_finish,
    put_number_of,
    put_text,
    put_total,
)


def anthropic(response: Any) -> Reading:
    """Anthropic messages, their stream events, and the same through Bedrock's or Vertex's Anthropic clients."""
    kind = field(response, "type")
    if kind == "message_start":
        response = field(response, "message")
    elif kind == "message_delta":
        return _anthropic_delta(response)
    get = getter(response)
    if get(response, "type", None) != "message":
        return {}
    reading: Reading = {names.OPERATION: "chat", names.PROVIDER: "anthropic"}
    put_text(reading, names.RESPONSE_MODEL, get(response, "model", None))
    put_text(reading, names.RESPONSE_ID, get(response, "id", None))
    put_finish(reading, get(response, "stop_reason", None))
    _anthropic_usage(reading, get(response, "usage", None))
    content = items(response, "content")
    put_number_of(reading, names.TOOL_CALLS, [block for block in content if field(block, "type") == "tool_use"])
    put_number_of(reading, names.CITATIONS, [cited for block in content for cited in items(block, "citations")])
    return reading


def _anthropic_delta(event: Any) -> Reading:
    reading: Reading = {}
    put_finish(reading, field(field(event, "delta"), "stop_reason"))
    _anthropic_usage(reading, field(event, "usage"))
    return reading


def _anthropic_usage(reading: Reading, usage: Any) -> None:
    if usage is None:
        return
    get = getter(usage)
    put_count(reading, names.OUTPUT_TOKENS, get(usage, "output_tokens", None))
    put_total(
        reading,
        get(usage, "input_tokens", None),
        get(usage, "cache_read_input_tokens", None),
        get(usage, "cache_creation_input_tokens", None),
    )


def gemini(response: Any) -> Reading:
    """Google's ``generate_content``, from the client or as the REST answer; running totals in streams."""
    get = getter(response)
    usage = get(response, "usage_metadata", None)
    if usage is None:
        usage = get(response, "usageMetadata", None)
    candidates = get(response, "candidates", None)
    if usage is None and type(candidates) is not list:
        return {}
    reading: Reading = {}
    for snake, camel, name in _GEMINI_COUNTS:
        value = field(usage, snake)
        put_count(reading, name, field(usage, camel) if value is None else value)
    if names.REASONING_TOKENS in reading and names.OUTPUT_TOKENS in reading:
        reading[names.OUTPUT_TOKENS] += reading[names.REASONING_TOKENS]
    tools = count(field(usage, "tool_use_prompt_token_count") or field(usage, "toolUsePromptTokenCount"))
    if tools and names.INPUT_TOKENS in reading:
        reading[names.INPUT_TOKENS] += tools
    put_text(reading, names.RESPONSE_MODEL, get(response, "model_version", None) or get(response, "modelVersion", None))
    put_text(reading, names.RESPONSE_ID, get(response, "response_id", None) or get(response, "responseId", None))
    if type(candidates) is list and candidates:
        first = candidates[0]
        put_finish(reading, field(first, "finish_reason") or field(first, "finishReason"))
        parts = items(field(first, "content"), "parts")
        called = [part for part in parts if field(part, "function_call") or field(part, "functionCall")]
        put_number_of(reading, names.TOOL_CALLS, called)
    feedback = get(response, "prompt_feedback", None) or get(response, "promptFeedback", None)
    if field(feedback, "block_reason") or field(feedback, "blockReason"):
        reading[names.REFUSED] = True
    if not reading:
        return {}
    return {names.OPERATION: "generate_content", names.PROVIDER: "gcp.gemini", **reading}


_GEMINI_COUNTS: Final = (
    ("prompt_token_count", "promptTokenCount", names.INPUT_TOKENS),
    ("candidates_token_count", "candidatesTokenCount", names.OUTPUT_TOKENS),
    ("cached_content_token_count", "cachedContentTokenCount", names.CACHE_READ_TOKENS),
    ("thoughts_token_count", "thoughtsTokenCount", names.REASONING_TOKENS),
)


def bedrock(response: Any) -> Reading:
    """Amazon Bedrock: ``converse`` and its stream events, and the token headers of ``invoke_model``."""
    if not isinstance(response, dict):
        return {}
    reading: Reading = {}
    usage = response.get("usage")
    if "metadata" in response:  # the last event of a stream
        usage = field(response["metadata"], "usage")
    put_finish(reading, response.get("stopReason") or field(response.get("messageStop"), "stopReason"))
    if isinstance(usage, dict) and "inputTokens" in usage:
        cached, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
        put_total(reading, usage["inputTokens"], cached, written)
        put_count(reading, names.OUTPUT_TOKENS, usage.get("outputTokens"))
    blocks = items(field(response.get("output"), "message"), "content")
    put_number_of(reading, names.TOOL_CALLS, [block for block in blocks if field(block, "toolUse")])
    about = response.get("ResponseMetadata")
    _bedrock_headers(reading, field(about, "HTTPHeaders"))
    if not reading:
        return {}
    put_text(reading, names.RESPONSE_ID, field(about, "RequestId"))
    return {names.OPERATION: "chat", names.PROVIDER: "aws.bedrock", **reading}


def _bedrock_headers(reading: Reading, headers: Any) -> None:
    if not isinstance(headers, dict) or names.INPUT_TOKENS in reading:
        return
    for header, name in (
        ("x-amzn-bedrock-input-token-count", names.INPUT_TOKENS),
        ("x-amzn-bedrock-output-token-count", names.OUTPUT_TOKENS),
    ):
        value = headers.get(header)
        if isinstance(value, str) and value.isdecimal():
            put_count(reading, name, int(value[:12]))


def cohere(response: Any) -> Reading:
    """Cohere: chat and embeddings of both API versions, and the last event of a stream."""
    if field(response, "type") == "message-end":
        response = field(response, "delta")
    get = getter(response)
    usage = get(response, "usage", None) or get(response, "meta", None)
    tokens = field(usage, "tokens") or field(usage, "billed_units")
    if tokens is None:
        return {}
    reading: Reading = {}
    put_count(reading, names.INPUT_TOKENS, field(tokens, "input_tokens"))
    put_count(reading, names.OUTPUT_TOKENS, field(tokens, "output_tokens"))
    if not reading:
        return {}
    put_count(reading, names.CACHE_READ_TOKENS, field(usage, "cached_tokens"))
    put_text(reading, names.RESPONSE_ID, get(response, "id", None) or get(response, "generation_id", None))
    put_finish(reading, get(response, "finish_reason", None))
    message = get(response, "message", None)
    put_number_of(reading, names.CITATIONS, field(message, "citations") or get(response, "citations", None))
    put_number_of(reading, names.TOOL_CALLS, field(message, "tool_calls"))
    operation = "chat" if get(response, "embeddings", None) is None else "embeddings"
    return {names.OPERATION: operation, names.PROVIDER: "cohere", **reading}
