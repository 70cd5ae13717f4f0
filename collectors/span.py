"""Span: one OTLP span as received, before any meaning is given to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from driftbell.collectors.dialects.values import printable

AttributeValue = str | bool | int | float | bytes | list["AttributeValue"] | dict[str, "AttributeValue"] | None


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened during a span, at ``time`` (epoch seconds)."""

    name: str
    time: float
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A span with lower-case hex ids; ``parent_id`` is ``""`` for a root.

    Times are epoch seconds. ``status`` is the OTLP status code: 0 unset, 1 ok, 2 error. ``resource`` holds the
    attributes of the emitting service. ``(trace_id, span_id)`` is the identity of the span. ``sampled`` tells that it
    stands for others that were not sent.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: float
    end: float
    kind: int = 0
    status: int = 0
    status_message: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    scope: str = ""
    scope_version: str = ""
    resource: Mapping[str, AttributeValue] = field(default_factory=dict)
    sampled: bool = False


UNKNOWN = "(unknown)"
"""The service of spans that do not name one, and of what could not be decoded."""


def service_of(resource: Mapping[str, AttributeValue]) -> str:
    """The name of the service with these resource attributes."""
    name = resource.get("service.name")
    return (printable(name[:200]) if isinstance(name, str) else "") or UNKNOWN
