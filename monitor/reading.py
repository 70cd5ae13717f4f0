"""Reading fields of client objects and dicts alike, and putting on a reading only what is believable."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from driftbell.monitor import attributes as names
from driftbell.monitor.vendor import of_answer

Reading = dict[str, Any]
"""What a response told: attribute name to value. What it did not tell is absent."""
Reader = Callable[[Any], Reading]
"""Reads one shape; empty for a response of another shape."""

_MAX_TOKENS: Final = 1 << 40
_MAX_TEXT: Final = 200


def getter(thing: Any) -> Callable[[Any, str, Any], Any]:
    """How to read a field of ``thing``: by key for a dict, by attribute for anything else."""
    return dict.get if isinstance(thing, dict) else getattr


def field(thing: Any, name: str) -> Any:
    """A field of an object or a dict; None when it is not there."""
    return dict.get(thing, name) if isinstance(thing, dict) else getattr(thing, name, None)


def items(thing: Any, name: str) -> list[Any] | tuple[Any, ...]:
    """A field that holds a list; empty when it holds none. Nothing else is iterated: it might never end."""
    found = field(thing, name)
    return found if type(found) is list or type(found) is tuple else ()


def put_number_of(reading: Reading, name: str, things: Any) -> None:
    """How many things a list holds, if it is one that holds any."""
    if type(things) in (list, tuple) and things:
        reading[name] = len(things)


def held(thing: Any) -> Mapping[str, Any]:
    """The fields that an object or a dict really holds; for those that most classes lack.

    Asking a pydantic object for a missing one by attribute costs more than all the rest.
    """
    if isinstance(thing, dict):
        return thing
    fields = getattr(thing, "__dict__", None)
    if type(fields) is not dict:
        return {}
    more = getattr(thing, "__pydantic_extra__", None)
    return {**more, **fields} if more and type(more) is dict else fields


def count(value: Any) -> int | None:
    """A token count; None for anything that is not a whole number of a believable size."""
    if type(value) is int:
        return value if 0 <= value < _MAX_TOKENS else None
    if type(value) is float and 0 <= value < _MAX_TOKENS and value.is_integer():
        return int(value)
    return None


def put_text(reading: Reading, name: str, value: Any) -> None:
    """A short text, if it is one."""
    if type(value) is str and value:
        reading[name] = value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT]


def put_count(reading: Reading, name: str, value: Any) -> None:
    """A token count, if it is one."""
    if type(value) is int and 0 <= value < _MAX_TOKENS:  # `count`, without the price of calling it
        reading[name] = value
    elif value is not None and (tokens := count(value)) is not None:
        reading[name] = tokens


def put_finish(reading: Reading, value: Any) -> None:
    """The finish reason; enumerations (Google) are read by their name."""
    if value is None:
        return
    if type(value) is not str:
        value = getattr(value, "value" if isinstance(value, str) else "name", None)
    if type(value) is str and value:
        reading[names.FINISH_REASONS] = (value[:_MAX_TEXT],)
        if value.lower() in _REFUSING:
            reading[names.REFUSED] = True


_REFUSING: Final = frozenset(
    (
        "refusal",
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "safety",
        "prohibited_content",
        "blocklist",
        "spii",
        "error_toxic",
    )
)
"""Finish reasons that say that the model, or the provider for it, declined to answer."""


def put_provider(reading: Reading, response: Any) -> None:
    """Who answered: told by the client library, else by the name of the model."""
    provider = of_answer(type(response).__module__, reading.get(names.RESPONSE_MODEL))
    if provider is not None:
        reading[names.PROVIDER] = provider


def put_total(reading: Reading, fresh: Any, cached: Any, written: Any) -> None:
    """Input tokens of providers that count cached tokens apart."""
    new = count(fresh)
    if new is None:
        return
    put_count(reading, names.CACHE_READ_TOKENS, cached)
    put_count(reading, names.CACHE_WRITE_TOKENS, written)
    reading[names.INPUT_TOKENS] = (
        new + reading.get(names.CACHE_READ_TOKENS, 0) + reading.get(names.CACHE_WRITE_TOKENS, 0)
    )
