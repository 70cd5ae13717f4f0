"""Tokens, model, finish reason and the like, read out of a provider's response by its shape.

No provider library is imported. A response may be an object of the provider's client, or the same thing as a dict.
What cannot be read stays None: missing is not zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.span import Attributes

_MAX_TOKENS: Final = 1 << 40
_MAX_TEXT: Final = 200


@dataclass(slots=True)
class Reading:
    """What a response told; ``None`` where it told nothing.

    ``input_tokens`` includes cached and cache-writing tokens, ``output_tokens`` includes reasoning tokens.
    """

    operation: str | None = None
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    refused: bool | None = None
    tool_calls: int | None = None
    citations: int | None = None
    cost_usd: float | None = None


def field(thing: Any, name: str) -> Any:
    """``thing.name`` or ``thing["name"]``; None when it is not there."""
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def count(thing: Any, name: str) -> int | None:
    """A token count; None for anything that is not a non-negative whole number."""
    value = field(thing, name)
    if type(value) is int and 0 <= value < _MAX_TOKENS:
        return value
    return int(value) if type(value) is float and 0 <= value < _MAX_TOKENS and value.is_integer() else None


def text(thing: Any, name: str) -> str | None:
    """A short text; None when there is none."""
    value = field(thing, name)
    return value[:_MAX_TEXT] if isinstance(value, str) and value else None


def read(response: Any) -> Reading | None:
    """What ``response`` tells, or None when it has no shape that we know."""
    if field(response, "choices") is not None:
        return _chat_completion(response)
    if field(response, "stop_reason") is not None:
        return _anthropic(response)
    return None


def _chat_completion(response: Any) -> Reading:
    usage, first = field(response, "usage"), _first(field(response, "choices"))
    message = field(first, "message")
    finish = text(first, "finish_reason")
    calls = field(message, "tool_calls")
    return Reading(
        operation="chat",
        model=text(response, "model"),
        response_id=text(response, "id"),
        finish_reason=finish,
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
        cached_tokens=count(field(usage, "prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=count(field(usage, "completion_tokens_details"), "reasoning_tokens"),
        refused=True if text(message, "refusal") or finish == "content_filter" else None,
        tool_calls=len(calls) if isinstance(calls, list) else None,
    )


def _anthropic(response: Any) -> Reading:
    usage = field(response, "usage")
    fresh = count(usage, "input_tokens")
    read_back, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    stop = text(response, "stop_reason")
    return Reading(
        operation="chat",
        provider="anthropic",
        model=text(response, "model"),
        response_id=text(response, "id"),
        finish_reason=stop,
        input_tokens=None if fresh is None else fresh + (read_back or 0) + (written or 0),
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=read_back,
        cache_write_tokens=written,
        refused=True if stop == "refusal" else None,
    )


def _first(items: Any) -> Any:
    return items[0] if isinstance(items, (list, tuple)) and items else None


def write(reading: Reading, attributes: Attributes) -> None:
    """Put what a reading knows under its attribute names. Tokens of several responses of one call add up."""
    for name, value in (
        (names.PROVIDER, reading.provider),
        (names.RESPONSE_MODEL, reading.model),
        (names.RESPONSE_ID, reading.response_id),
        (names.REFUSED, reading.refused),
        (names.CITATIONS, reading.citations),
    ):
        if value is not None:
            attributes[name] = value
    if reading.operation is not None:
        attributes[names.OPERATION] = reading.operation
    if reading.finish_reason is not None:
        attributes[names.FINISH_REASONS] = (reading.finish_reason,)
    for name, tokens in (
        (names.INPUT_TOKENS, reading.input_tokens),
        (names.OUTPUT_TOKENS, reading.output_tokens),
        (names.CACHE_READ_TOKENS, reading.cached_tokens),
        (names.CACHE_WRITE_TOKENS, reading.cache_write_tokens),
        (names.REASONING_TOKENS, reading.reasoning_tokens),
    ):
        if tokens is not None:
            attributes[name] = attributes.get(name, 0) + tokens


def read_into(response: Any, attributes: Attributes) -> None:
    """`read` and `write` in one. Never raises: a response is a foreign object and may do anything when read."""
    try:
        reading = read(response)
    except Exception as error:
        guard.voice.say("driftbell could not read a %s: %s", type(response).__qualname__, type(error).__qualname__)
        return
    if reading is not None:
        write(reading, attributes)
