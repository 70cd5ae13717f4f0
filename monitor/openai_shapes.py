"""Responses in OpenAI's dialects: chat and text completions, the Responses API, embeddings."""

from typing import Any

from driftbell.monitor import attributes as names
from driftbell.monitor.reading import (
    Reading,
    count,
    extra,
    field,
    getter,
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
    if choices:
        first = choices[0]
        put_finish(reading, field(first, "finish_reason"))
        message = extra(first, "message") or extra(first, "delta")
        if field(message, "refusal"):
            reading[names.REFUSED] = True
        put_number_of(reading, names.TOOL_CALLS, field(message, "tool_calls"))
        if message is None and field(first, "text") is not None:
            reading[names.OPERATION] = "text_completion"
    usage = get(response, "usage", None)
    if usage is not None:
        _completion_usage(reading, usage)
    put_provider(reading, response)
    if choices and reading.get(names.PROVIDER) == "openai" and _from_azure(choices[0], response):
        reading[names.PROVIDER] = "azure.ai.openai"
    return reading if len(reading) > 1 else {}


def _completion_usage(reading: Reading, usage: Any) -> None:
    get = getter(usage)
    put_count(reading, names.INPUT_TOKENS, get(usage, "prompt_tokens", None))
    put_count(reading, names.OUTPUT_TOKENS, get(usage, "completion_tokens", None))
    details = get(usage, "prompt_tokens_details", None)
    if details is not None:
        put_count(reading, names.CACHE_READ_TOKENS, field(details, "cached_tokens"))
        put_count(reading, names.CACHE_WRITE_TOKENS, extra(details, "cache_write_tokens"))
    details = get(usage, "completion_tokens_details", None)
    if details is not None:
        put_count(reading, names.REASONING_TOKENS, field(details, "reasoning_tokens"))
    if names.CACHE_READ_TOKENS not in reading:  # DeepSeek
        put_count(reading, names.CACHE_READ_TOKENS, extra(usage, "prompt_cache_hit_tokens"))
    cost = extra(usage, "cost")  # OpenRouter bills in US dollars and says how much
    if type(cost) is float and cost >= 0:
        reading |= {names.COST_AMOUNT: cost, names.COST_CURRENCY: "USD", names.COST_SOURCE: "provider"}


def _from_azure(first: Any, response: Any) -> bool:
    """Azure annotates every answer with the verdict of its content filter; OpenAI never does."""
    return extra(first, "content_filter_results") is not None or extra(response, "prompt_filter_results") is not None


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
        put_count(reading, names.CACHE_WRITE_TOKENS, extra(details, "cache_write_tokens"))
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
