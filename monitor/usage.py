"""Tokens, model, finish reason and the like, read out of a provider's response by its shape.

No provider library is imported. Shapes are told apart by the fields they have, so a client that we have never seen but
that speaks a known dialect is read as well. Token counts are normalised to the OpenTelemetry meaning: input includes
cached and cache-writing tokens, output includes reasoning tokens. What a response did not tell is absent, never 0.
"""

from collections.abc import Iterable, Reversible
from itertools import chain
from typing import Any, Final

from driftbell.monitor import attributes as names
from driftbell.monitor import framework_shapes, guard, openai_shapes, vendor_shapes
from driftbell.monitor.reading import Reader, Reading, held

_MAX_KNOWN: Final = 1000
_MAX_LOOKED_INTO: Final = 4
_ADDING: Final = frozenset(
    (
        names.INPUT_TOKENS,
        names.OUTPUT_TOKENS,
        names.CACHE_READ_TOKENS,
        names.CACHE_WRITE_TOKENS,
        names.REASONING_TOKENS,
        names.COST_AMOUNT,
    )
)

READERS: Final[tuple[Reader, ...]] = (
    framework_shapes.litellm,
    openai_shapes.chat_completion,
    openai_shapes.openai_response,
    vendor_shapes.anthropic,
    framework_shapes.langchain,
    vendor_shapes.gemini,
    vendor_shapes.bedrock,
    openai_shapes.embeddings,
    vendor_shapes.cohere,
    framework_shapes.wrapped_chunk,
    framework_shapes.pydantic_ai,
)
"""In the order in which they are tried. Each takes only its own shape, so the order decides speed, not meaning."""

_known: dict[type, Reader] = {}
"""The reader that last made sense of a response of this type: most applications see one or two types."""


def read(response: Any) -> Reading:
    """What ``response`` tells; empty when it has no shape that we know. May raise what the response raises."""
    kind = type(response)
    known = _known.get(kind)
    if known is not None:
        reading = known(response)
        if reading:
            return reading
    elif response is None or kind in _NOT_RESPONSES:
        return {}
    if _is_silent(response):
        return {}
    for reader in READERS:
        reading = reader(response)
        if reading:
            if len(_known) < _MAX_KNOWN:
                _known[kind] = reader
            return reading
    return _inside(response)


def _is_silent(chunk: Any) -> bool:
    kind = held(chunk).get("type")
    return type(kind) is str and (kind in _SILENT or kind.endswith(".delta"))


_NOT_RESPONSES: Final = frozenset((str, bytes, int, float, bool))


def _inside(response: Any) -> Reading:
    """A response that is carried in a tuple, or beside its parsed form under ``raw``."""
    if type(response) is tuple:
        for item in response[:_MAX_LOOKED_INTO]:
            if type(item) is not tuple and (reading := read(item)):
                return reading
        return {}
    raw = response.get("raw") if type(response) is dict else getattr(response, "raw", None)
    if raw is None or raw is response or type(raw) is tuple:
        return {}
    for reader in READERS:
        if reading := reader(raw):
            return reading
    return {}


def read_stream(first: Iterable[Any], last: Reversible[Any]) -> Reading:
    """What the kept chunks of a stream tell together: the ``last`` ones from the end until enough is known, then the
    ``first`` ones if something is missing.

    Providers send running totals, so of two counts the larger is right.
    """
    merged: Reading = {}
    for chunk in chain(reversed(last), first):
        reading = read(chunk)
        if merged:
            for name in _ADDING:
                if name in reading and merged.get(name, 0) > reading[name]:
                    reading[name] = merged[name]
            reading = {**merged, **reading}
        merged = reading
        if all(map(merged.__contains__, _COMPLETE)):
            break
    return merged


_COMPLETE: Final = (
    names.FINISH_REASONS,
    names.INPUT_TOKENS,
    names.OUTPUT_TOKENS,
    names.RESPONSE_MODEL,
    names.RESPONSE_ID,
)
_SILENT: Final = frozenset(
    (
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_stop",
        "ping",
        "text",
        "content-delta",
    )
)
"""Events that never tell anything but text; trying every shape on each of them would cost more than the call."""


def add(reading: Reading, attributes: dict[str, Any]) -> None:
    """Put a reading on a call. Tokens and cost of several responses of one call add up."""
    if names.INPUT_TOKENS in attributes or names.OUTPUT_TOKENS in attributes:
        for name in _ADDING:
            if name in reading and name in attributes:
                reading[name] += attributes[name]
    attributes.update(reading)


def read_into(response: Any, attributes: dict[str, Any]) -> None:
    """`read` and `add`. Never raises: a response is a foreign object and may do anything when it is read."""
    try:
        reading = read(response)
    except Exception as error:
        guard.voice.say("driftbell could not read a %s: %s", type(response).__qualname__, type(error).__qualname__)
        return
    if reading:
        add(reading, attributes)
