"""What the two encodings of OTLP share: errors, limits, identities and times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from driftbell.collectors.span import AttributeValue, service_of

MAX_DEPTH = 16
"""Attribute values nested deeper than this are cut off (``None``)."""
MAX_ATTRIBUTES = 1024
MAX_EVENTS = 1024
MAX_LINKS = 128
MAX_TRACE_STATE = 512
MAX_GROUPS = 20_000
"""Resources, or scopes of one resource, in one body; an empty one takes two bytes there and a hundred here."""
_NANO = 1e-9
_HEX = frozenset("0123456789abcdef")


class MalformedError(ValueError):
    """The whole body cannot be decoded; the message says why and holds nothing of the body."""


class TooManyError(MalformedError):
    """The body holds more spans, groups or values than are taken at a time; smaller requests are the remedy."""


class RejectedError(ValueError):
    """One span or record cannot be used; the rest of the body can."""


class Refusal(str):
    """Why one span or record is refused; ``service`` is the name of the one that sent it."""

    service: str

    def __new__(cls, why: object, resource: Mapping[str, AttributeValue]) -> Self:
        """Refused because of ``why``, from the service with these attributes."""
        made = super().__new__(cls, why)
        made.service = service_of(resource)
        return made


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One OTLP log record; ids are lower-case hex or ``""``; ``time`` is epoch seconds."""

    name: str
    time: float
    trace_id: str = ""
    span_id: str = ""
    severity: int = 0
    body: AttributeValue = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    scope: str = ""
    scope_version: str = ""
    resource: Mapping[str, AttributeValue] = field(default_factory=dict)


def checked_id(text: str, length: int, name: str) -> str:
    """``text`` in lower case if it is a non-zero hex id of ``length`` digits; raises `RejectedError`."""
    lower = text.lower()
    if len(lower) != length or not _HEX.issuperset(lower):
        raise RejectedError(f"{name} must be {length} hex digits")
    if lower.strip("0") == "":
        raise RejectedError(f"{name} must not be zero")
    return lower


def optional_id(text: str, length: int) -> str:
    """Like `checked_id`, but an id that is absent, zero or wrong is ``""``."""
    try:
        return checked_id(text, length, "id")
    except RejectedError:
        return ""


def interval(start_nanos: int, end_nanos: int) -> tuple[float, float]:
    """Start and end in epoch seconds; a missing one equals the other; raises `RejectedError` if both are."""
    if start_nanos < 0 or end_nanos < 0 or max(start_nanos, end_nanos) >= 1 << 64:
        raise RejectedError("a time is out of range")
    if not start_nanos and not end_nanos:
        raise RejectedError("the span has no time")
    start = (start_nanos or end_nanos) * _NANO
    return start, max(start, end_nanos * _NANO)


def is_sampled(trace_state: str) -> bool:
    """Whether a span stands for others that were left out: ``ot=th:…`` in its W3C trace state, other than zero."""
    if "th:" not in trace_state[:MAX_TRACE_STATE]:
        return False
    for member in trace_state[:MAX_TRACE_STATE].split(","):
        vendor, _, said = member.strip().partition("=")
        if vendor == "ot":
            return any(field.startswith("th:") and field[3:].strip("0") != "" for field in said.split(";"))
    return False


def seconds(nanos: int) -> float:
    """Nanoseconds since the epoch as seconds."""
    return nanos * _NANO
