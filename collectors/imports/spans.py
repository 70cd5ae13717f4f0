"""What the readers of foreign exports share: ids, times and attribute values in the form of a span."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from driftbell.collectors.span import AttributeValue

_HEX = frozenset("0123456789abcdef")
MAX_DEPTH = 8
OURS = ("workflow", "segment", "risk_tier", "owner")
"""What metadata may say in the words of driftbell, with or without ``driftbell.`` before it."""


class BadRowError(ValueError):
    """A row that cannot be used; the message says why and holds nothing of it."""


def trace_id(given: object) -> str:
    """32 hex digits: the id itself if it is one, also as a UUID, else its digest."""
    return _id(given, 16, "trace id")


def span_id(given: object) -> str:
    """16 hex digits: the id itself if it is one, else its digest."""
    return _id(given, 8, "span id")


def digest(text: str, size: int) -> str:
    """A hex id of ``size`` bytes that is the same for the same text."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=size).hexdigest()


def _id(given: object, size: int, name: str) -> str:
    if not isinstance(given, str) or not given:
        raise BadRowError(f"the {name} is missing")
    plain = given.lower().replace("-", "") if size == 16 else given.lower()
    if len(plain) == 2 * size and _HEX.issuperset(plain) and plain.strip("0"):
        return plain
    return digest(given, size)


def epoch(given: object, name: str) -> float:
    """Epoch seconds of a time as exports write it: ISO 8601 (UTC unless it says otherwise), or a number of s, ms or ns.

    Raises `BadRowError`.
    """
    found = epoch_if(given, name)
    if found is None:
        raise BadRowError(f"{name} is missing")
    return found


def epoch_if(given: object, name: str) -> float | None:
    """Like `epoch`; None when there is no time."""
    if given is None or given == "" or given != given:  # NaN and NaT are not equal to themselves
        return None
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    if isinstance(given, int | float) and not isinstance(given, bool):
        return _scaled(float(given), name)
    try:
        found = datetime.fromisoformat(str(given).strip().replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRowError(f"{name} is no time") from None


def _scaled(number: float, name: str) -> float:
    """Seconds, whether the number counts seconds, milliseconds, microseconds or nanoseconds."""
    for unit in (1.0, 1e3, 1e6, 1e9):
        if 0 < number / unit < 1e11:
            return number / unit
    raise BadRowError(f"{name} is no time")


def text(given: object) -> str | None:
    """A text that is there, or None."""
    if given is None or isinstance(given, dict | list) or given != given:
        return None
    return str(given)[:400] or None


def mapping(given: object) -> Mapping[str, Any]:
    """An object, also one written as JSON text; empty when there is none."""
    if isinstance(given, str) and given.startswith("{"):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {}
    return given if isinstance(given, dict) else {}


def flat(given: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, AttributeValue]]:
    """The leaves of nested objects and lists under dotted names, as OpenInference writes them on spans."""
    items: Iterator[tuple[Any, Any]]
    if isinstance(given, Mapping):
        items = iter(given.items())
    elif isinstance(given, list) and any(isinstance(each, Mapping | list) for each in given):
        items = iter(enumerate(given))
    else:
        value = _value(given)
        if value is not None:
            yield name, value
        return
    if depth < MAX_DEPTH:
        for key, inner in items:
            yield from flat(inner, f"{name}.{key}" if name else str(key), depth + 1)


def _value(given: object) -> AttributeValue:
    if hasattr(given, "tolist"):  # an array of numpy
        given = given.tolist()
    if isinstance(given, datetime):
        return given.isoformat()
    if isinstance(given, float):
        return given if math.isfinite(given) else None
    if isinstance(given, list):
        return [each for each in (_value(each) for each in given) if each is not None]
    return given if isinstance(given, str | bool | int) else None
