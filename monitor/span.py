"""The span of a call: an OpenTelemetry span that does its work when it is read, not when it is written.

It is an API ``Span`` (so that spans of any other instrumentation become its children) and an SDK ``ReadableSpan`` (so
that any span processor and exporter can take it), but it cleans, copies and locks nothing while the call runs.
"""

from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from types import MappingProxyType
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from driftbell.monitor.privacy import Privacy

SAMPLED: Final = 0x01
_UNSET: Final = Status(StatusCode.UNSET)
_PLAIN: Final = frozenset((str, int, float, bool))
_NO_STATE: Final = TraceState()

Attributes = dict[str, Any]
Later = Callable[[Attributes], None]
"""Work that completes the attributes off the call path, just before the span leaves the process."""


class Sink(Protocol):
    """Where an ended span goes."""

    resource: Resource
    scope: InstrumentationScope
    max_attributes: int
    max_length: int
    privacy: Privacy

    def ended(self, span: "DriftbellSpan") -> None:
        """Take an ended, sampled span. Must not block and must not raise."""


class DriftbellSpan(trace.Span, ReadableSpan):
    """One span. After `end` nothing changes it any more, except the deferred work of `complete`."""

    _kind = SpanKind.INTERNAL
    _status = _UNSET
    _instrumentation_info = None
    _end_time: int | None = None
    _attributes: Attributes
    _state: TraceState | None = None
    _later: list[Later] | None = None
    _extra_events: list[Event] | None = None
    _extra_links: list[Link] | None = None
    _made_context: SpanContext | None = None
    _dropped_attributes = 0

    def __init__(
        self,
        sink: Sink,
        name: str,
        trace_id: int,
        span_id: int,
        flags: int,
        parent: trace.Span | None,
        attributes: Attributes,
        start_time: int | None = None,
    ) -> None:
        # ReadableSpan's own constructor is skipped on purpose: it would store the same fields at twice the price.
        self.sink = sink
        self._name = name
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self._parent_span = parent
        self._attributes = attributes
        self.start_ns = self._start_time = start_time or time_ns()

    # --- reading (ReadableSpan)

    @property
    def _context(self) -> SpanContext:  # type: ignore[override]  # made when asked for
        made = self._made_context
        if made is None:
            state = self._state if self._state is not None else _NO_STATE
            made = SpanContext(self.trace_id, self.span_id, False, TraceFlags(self.flags), state)
            self._made_context = made
        return made

    @property
    def _parent(self) -> SpanContext | None:  # type: ignore[override]  # made when asked for
        parent = self._parent_span
        return None if parent is None else parent.get_span_context()

    @property
    def _resource(self) -> Resource:  # type: ignore[override]  # made when asked for
        return self.sink.resource

    @property
    def _instrumentation_scope(self) -> InstrumentationScope:  # type: ignore[override]  # made when asked for
        return self.sink.scope

    @property
    def _events(self) -> Sequence[Event]:  # type: ignore[override]  # made when asked for
        return self._extra_events or ()

    @property
    def _links(self) -> Sequence[Link]:  # type: ignore[override]  # made when asked for
        return self._extra_links or ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes as they are now, read-only."""
        return MappingProxyType(self._attributes)

    @property
    def dropped_attributes(self) -> int:
        """Attributes left out because the span was full or they had no OTLP type."""
        return self._dropped_attributes

    @property
    def dropped_events(self) -> int:
        """Always 0: events are refused, not dropped."""
        return 0

    @property
    def dropped_links(self) -> int:
        """Always 0."""
        return 0

    def get_span_context(self) -> SpanContext:
        """The ids that children and links refer to."""
        return self._context

    # --- writing (API Span)

    def is_recording(self) -> bool:
        """False when the span is not sampled or has ended."""
        return self._end_time is None and bool(self.flags & SAMPLED)

    def set_attribute(self, key: str, value: Any) -> None:
        """Keep ``value`` under ``key``; what OTLP cannot carry is counted and left out. Never raises."""
        if self._end_time is not None:
            return
        attributes = self._attributes
        kept = value if type(value) in _PLAIN else plain(value)
        if type(key) is not str:
            key = plain(key)
        if kept is None or type(key) is not str or not key:
            self._dropped_attributes += 1
            return
        if type(kept) is str and len(kept) > self.sink.max_length:
            kept = kept[: self.sink.max_length]
        if key not in attributes and len(attributes) >= self.sink.max_attributes:
            self._dropped_attributes += 1
            return
        attributes[key] = kept

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """`set_attribute` for each pair."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Keep an event; those past the first `MAX_EVENTS` are left out."""
        if self._end_time is None and len(self._events) < MAX_EVENTS:
            kept = {key: clean for key, value in (attributes or {}).items() if (clean := plain(value)) is not None}
            self._extra_events = [*self._events, Event(name, kept, timestamp)]

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Keep a link to another span."""
        if self._end_time is None and len(self._links) < MAX_EVENTS:
            self._extra_links = [*self._links, Link(context, attributes)]

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if self._end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:  # noqa: ARG002
        """Set the status. A description is not kept: it tends to be an exception's text, which may quote a prompt."""
        code = status.status_code if isinstance(status, Status) else status
        if self._end_time is None and code is not StatusCode.UNSET and self._status.status_code is not StatusCode.OK:
            self._status = _STATUS[code]

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,  # noqa: ARG002
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002
    ) -> None:
        """Keep the exception's class. Its message and stack trace stay here: they may quote a prompt."""
        self.add_event("exception", {"exception.type": type(exception).__qualname__}, timestamp)

    def live_attributes(self) -> Attributes:
        """The attributes themselves, for our own readers, which write only plain values; a copy after the end."""
        return self._attributes if self._end_time is None else self._attributes.copy()

    def later(self, work: Later) -> None:
        """Have ``work`` complete the attributes after the end, off the call path."""
        if self._later is None:
            self._later = [work]
        else:
            self._later.append(work)

    def end(self, end_time: int | None = None) -> None:
        """End the span, once, and hand it on if it is sampled."""
        if self._end_time is None:
            self._end_time = end_time or time_ns()
            if self.flags & SAMPLED:
                self.sink.ended(self)

    def _stop_clock(self) -> None:
        """End the span without handing it on; `hand_over` follows."""
        if self._end_time is None:
            self._end_time = time_ns()

    def hand_over(self) -> None:
        """Hand on a span whose clock was stopped."""
        if self.flags & SAMPLED:
            self.sink.ended(self)

    def complete(self, last: Later | None) -> None:
        """Run the deferred work, each piece once, then ``last``. Called by the sink, before the span is read."""
        works, self._later = self._later, None
        for work in works or ():
            work(self._attributes)
        if last is not None:
            last(self._attributes)

    def tell(self, extra: Mapping[str, Any]) -> None:
        """Add what the sink itself has to say, after the end."""
        self._attributes.update(extra)


MAX_EVENTS: Final = 32
_STATUS: Final = {code: Status(code) for code in StatusCode}


def plain(value: Any) -> Any:
    """``value`` as a type that OTLP has an attribute for, or None. Runs no code of the value but its iteration."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (list, tuple):
        items = [item for item in value[:MAX_ITEMS] if type(item) in _PLAIN]
        return tuple(items) if items and all(type(item) is type(items[0]) for item in items) else None
    for exact, read in _EXACT:
        if issubclass(kind, exact):
            return read(value)
    return None


MAX_ITEMS: Final = 128
_EXACT: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
"""How the value of an enumeration or another subclass is read without running its own code."""
