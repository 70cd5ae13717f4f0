"""Responses in OpenAI's dialects: chat and text completions, the Responses API, embeddings."""

from collections.abc import Mapping
from typing import Any

from driftbell.monitor import attributes as names
from driftbell.monitor.reading import (
    Reading,
    count,
    field,
    getter,
    held,
    items,
    put_count,
    put_finish,
    put_number_of,
    put_provider,
    put_text,
)


def chat_completion(response: Any) -> Reading:
    """OpenAI chat and text completions and their chunks: also Azure, Mistral, LiteLLM, DeepSeek, Groq, vLLM, ..."""
    get = getter(response)
    choices = get(response, "choices", None)
    if type(choices) is not list:
        return {}
    reading: Reading = {names.OPERATION: "chat"}
    put_text(reading, names.RESPONSE_MODEL, get(response, "model", None))
    put_text(reading, names.RESPONSE_ID, get(response, "id", None))
    choice = held(choices[0]) if choices else {}
    if choice:
        _choice(reading, choice)
    usage = get(response, "usage", None)
    if usage is not None:
        _completion_usage(reading, usage)
    put_provider(reading, response)
    if choice.get("content_filter_results") is not None and reading.get(names.PROVIDER) == "openai":
        reading[names.PROVIDER] = "azure.ai.openai"  # Azure tells what its filter found; OpenAI never does
    return reading if len(reading) > 1 else {}


def _choice(reading: Reading, choice: Mapping[str, Any]) -> None:
    put_finish(reading, choice.get("finish_reason"))
    message = choice.get("message") or choice.get("delta")
    if message is None:
        if choice.get("text") is not None:
            reading[names.OPERATION] = "text_completion"
        return
    get = getter(message)
    if get(message, "refusal", None):
        reading[names.REFUSED] = True
    called = get(message, "tool_calls", None)
    if called is not None:
        put_number_of(reading, names.TOOL_CALLS, called)


def _completion_usage(reading: Reading, usage: Any) -> None:
    get = getter(usage)
    put_count(reading, names.INPUT_TOKENS, get(usage, "prompt_tokens", None))
    put_count(reading, names.OUTPUT_TOKENS, get(usage, "completion_tokens", None))
    details = get(usage, "prompt_tokens_details", None)
    if details is not None:
        put_count(reading, names.CACHE_READ_TOKENS, field(details, "cached_tokens"))
        put_count(reading, names.CACHE_WRITE_TOKENS, held(details).get("cache_write_tokens"))
    details = get(usage, "completion_tokens_details", None)
    if details is not None:
        put_count(reading, names.REASONING_TOKENS, field(details, "reasoning_tokens"))
    rare = held(usage)
    if names.CACHE_READ_TOKENS not in reading:  # DeepSeek
        put_count(reading, names.CACHE_READ_TOKENS, rare.get("prompt_cache_hit_tokens"))
    cost = rare.get("cost")  # OpenRouter bills in US dollars and says how much
    if type(cost) is float and cost >= 0:
        reading |= {names.COST_AMOUNT: cost, names.COST_CURRENCY: "USD", names.COST_SOURCE: "provider"}


def openai_response(response: Any) -> Reading:
    """OpenAI's Responses API, and the last events of its streams, which carry the whole response."""
    inner = field(response, "response")
    if inner is not None and str(field(response, "type")).startswith("response."):
        response = inner
    get = getter(response)
    if get(response, "object", None) != "response":
        return {}
    reading: Reading = {names.OPERATION: "chat"}
    put_text(reading, names.RESPONSE_MODEL, get(response, "model", None))
    put_text(reading, names.RESPONSE_ID, get(response, "id", None))
    reason = field(get(response, "incomplete_details", None), "reason")
    status = get(response, "status", None)
    put_finish(reading, reason or {"completed": "stop", "failed": "error"}.get(status))
    usage = get(response, "usage", None)
    if usage is not None:
        use = getter(usage)
        put_count(reading, names.INPUT_TOKENS, use(usage, "input_tokens", None))
        put_count(reading, names.OUTPUT_TOKENS, use(usage, "output_tokens", None))
        details = use(usage, "input_tokens_details", None)
        put_count(reading, names.CACHE_READ_TOKENS, field(details, "cached_tokens"))
        put_count(reading, names.CACHE_WRITE_TOKENS, held(details).get("cache_write_tokens"))
        details = use(usage, "output_tokens_details", None)
        put_count(reading, names.REASONING_TOKENS, field(details, "reasoning_tokens"))
    _output_items(reading, items(response, "output"))
    put_provider(reading, response)
    return reading


def _output_items(reading: Reading, output: list[Any] | tuple[Any, ...]) -> None:
    tools = sum(1 for item in output if field(item, "type") in ("function_call", "custom_tool_call"))
    if tools:
        reading[names.TOOL_CALLS] = tools
    parts = [part for item in output for part in items(item, "content")]
    if any(field(part, "type") == "refusal" for part in parts):
        reading[names.REFUSED] = True
    notes = sum(len(items(part, "annotations")) for part in parts)
    if notes:
        reading[names.CITATIONS] = notes


def embeddings(response: Any) -> Reading:
    """Embeddings in OpenAI's form: a list of vectors with the tokens of the input."""
    get = getter(response)
    usage = get(response, "usage", None)
    if usage is None or type(get(response, "data", None)) is not list:
        return {}
    tokens = count(field(usage, "prompt_tokens"))
    if tokens is None:
        return {}
    reading: Reading = {names.OPERATION: "embeddings", names.INPUT_TOKENS: tokens}
    put_text(reading, names.RESPONSE_MODEL, get(response, "model", None))
    put_provider(reading, response)
    return reading
