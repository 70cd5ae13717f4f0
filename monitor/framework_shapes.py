"""Responses as frameworks hand them on: LangChain messages, Pydantic AI results, Mistral's stream events."""

from typing import Any, Final

from driftbell.monitor import attributes as names
from driftbell.monitor.openai_shapes import chat_completion
from driftbell.monitor.reading import Reading, field, put_count, put_finish, put_number_of, put_text
from driftbell.monitor.vendor import known, of_model


def langchain(response: Any) -> Reading:
    """A LangChain ``AIMessage`` or chunk of one, or an ``LLMResult`` that holds one."""
    generations = field(response, "generations")
    if type(generations) is list and generations and type(generations[0]) is list and generations[0]:
        response = field(generations[0][0], "message")
    about, usage = field(response, "response_metadata"), field(response, "usage_metadata")
    if not isinstance(about, dict):
        return {}
    reading: Reading = {}
    if isinstance(usage, dict):
        put_count(reading, names.INPUT_TOKENS, usage.get("input_tokens"))
        put_count(reading, names.OUTPUT_TOKENS, usage.get("output_tokens"))
        details = usage.get("input_token_details")
        put_count(reading, names.CACHE_READ_TOKENS, field(details, "cache_read"))
        put_count(reading, names.CACHE_WRITE_TOKENS, field(details, "cache_creation"))
        put_count(reading, names.REASONING_TOKENS, field(usage.get("output_token_details"), "reasoning"))
    put_text(reading, names.RESPONSE_MODEL, about.get("model_name") or about.get("model"))
    put_finish(reading, about.get("finish_reason") or about.get("stop_reason") or about.get("stopReason"))
    if not reading:
        return {}
    put_text(reading, names.RESPONSE_ID, about.get("id") or field(response, "id"))
    put_number_of(reading, names.TOOL_CALLS, field(response, "tool_calls"))
    vendor = about.get("model_provider")
    provider = known(vendor) if isinstance(vendor, str) and vendor else of_model(reading.get(names.RESPONSE_MODEL))
    if provider:
        reading[names.PROVIDER] = provider
    return {names.OPERATION: "chat", **reading}


def pydantic_ai(response: Any) -> Reading:
    """A Pydantic AI run result (usage of the whole run) or one of its model responses."""
    last = response if hasattr(response, "provider_response_id") else None
    usage = getattr(response, "usage", None)
    if last is None:
        if not hasattr(response, "all_messages"):
            return {}
        last = response.response
    if callable(usage) and not hasattr(usage, "input_tokens"):  # a method before version 2
        usage = usage()
    reading: Reading = {}
    for attribute, name in _PYDANTIC_AI_COUNTS:
        put_count(reading, name, getattr(usage, attribute, None))
    for name in (names.CACHE_READ_TOKENS, names.CACHE_WRITE_TOKENS):
        if reading.get(name) == 0:  # its default, whatever the provider said
            del reading[name]
    put_count(reading, names.REASONING_TOKENS, field(getattr(usage, "details", None), "reasoning_tokens"))
    if reading.get(names.INPUT_TOKENS) == 0 and reading.get(names.OUTPUT_TOKENS) == 0:
        del reading[names.INPUT_TOKENS], reading[names.OUTPUT_TOKENS]
    put_text(reading, names.RESPONSE_MODEL, getattr(last, "model_name", None))
    put_text(reading, names.RESPONSE_ID, getattr(last, "provider_response_id", None))
    put_finish(reading, getattr(last, "finish_reason", None))
    if not reading:
        return {}
    vendor = getattr(last, "provider_name", None)
    if isinstance(vendor, str) and vendor:
        reading[names.PROVIDER] = known(vendor)
    return {names.OPERATION: "chat", **reading}


_PYDANTIC_AI_COUNTS: Final = (
    ("input_tokens", names.INPUT_TOKENS),
    ("output_tokens", names.OUTPUT_TOKENS),
    ("cache_read_tokens", names.CACHE_READ_TOKENS),
    ("cache_write_tokens", names.CACHE_WRITE_TOKENS),
)


def wrapped_chunk(response: Any) -> Reading:
    """A chat completion chunk inside an event's ``data``, as Mistral's client streams it."""
    data = field(response, "data")
    return {} if data is None else chat_completion(data)


def litellm(response: Any) -> Reading:
    """A LiteLLM answer: OpenAI's form, and beside it the real provider and the price that LiteLLM worked out."""
    hidden = getattr(response, "_hidden_params", None)
    if not isinstance(hidden, dict):
        return {}
    reading = chat_completion(response)
    vendor, cost = hidden.get("custom_llm_provider"), hidden.get("response_cost")
    if isinstance(vendor, str) and vendor:
        reading[names.PROVIDER] = known(vendor)
    if type(cost) is float and cost > 0 and names.COST_AMOUNT not in reading:
        reading |= {names.COST_AMOUNT: cost, names.COST_CURRENCY: "USD", names.COST_SOURCE: "local"}
    return reading
