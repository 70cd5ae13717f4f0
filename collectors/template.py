"""Template: what all spans have in common that differ in nothing but ids, times and a few plain values.

The first span of its kind is read in full (see `dialects.read`), and a second time with every varying value changed:
only if the two readings differ in just these values does the kind become a template. A span that fits a template is
read by taking out its values, so what a span means is still decided in one place.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from driftbell.collectors import otlp_protobuf
from driftbell.collectors.block import BLOCK, fit, hashed, is_plain, is_some, signature
from driftbell.collectors.dialects.kinds import EVENT_NAMES, connects
from driftbell.collectors.dialects.read import read
from driftbell.collectors.dialects.timing import SLACK_S
from driftbell.collectors.dialects.usage import usage_objects
from driftbell.collectors.otlp import MalformedError, Refusal, RejectedError
from driftbell.collectors.part import Part
from driftbell.collectors.reports import is_report
from driftbell.collectors.rows import digest
from driftbell.collectors.shape import FIELDS, KEPT_FROM, PLACES, Shape, Value, shape_of, widened
from driftbell.collectors.span import AttributeValue, Span, service_of
from driftbell.collectors.wire import scoped_spans
from driftbell.monitor.attributes import DROPPED_SPANS

Values = Sequence[Any]
Filled = tuple["Template", bytes, bytes, bytes, int, int, Values]
"""A span that fits a template: trace, span and parent id, start and end (ns), and its values by place."""
CHECKED_AT = (64, 256, 1024, 4096)
"""Templates of one shape at which it is looked which attributes vary."""
GIVEN_UP_AT = 1024
WORTH = 4
"""Spans per template below which reading each in full is cheaper."""
MOST_TEMPLATES = 8192
MOST_FIXED_BYTES = 4096
NANO = 1e-9
_INPUT, _OUTPUT, _TOTAL = (PLACES[name] for name in ("input_tokens", "output_tokens", "total_tokens"))
_DETAILS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")
_CACHED, _WRITTEN, _REASONING = (PLACES[name] for name in _DETAILS)
"""Counts that change others, depending on how large these are."""
_USER, _TTFT_S, _TTFT_MS, _COST = (PLACES[name] for name in ("user_id", "ttft_s", "ttft_ms", "cost"))
_COST_FACTS = ("provider_cost", "reported_cost", "cost")
FEW = 8
"""Spans of one scope in a request up to which each is read by itself."""


@dataclass(slots=True, eq=False)
class Template:
    """``part`` is what its spans say, without ids and times and without the values in ``facts`` and ``kept``.

    ``facts`` are ``(place, fact)``, ``kept`` are ``(place, attribute)``. A span that is ``idle`` says nothing.
    ``number`` is its key in the store, ``said`` are the names of all facts that its spans state.
    """

    part: Part
    facts: tuple[tuple[int, str], ...]
    kept: tuple[tuple[int, str], ...]
    service: str
    idle: bool = False
    number: int = 0
    said: frozenset[str] = frozenset()

    def values(self, given: list[Value | None], start: int, end: int) -> Values | None:
        """What is given as it is to be stored; ``None`` if the values mean more than themselves."""
        tokens, output = given[_INPUT], given[_OUTPUT]
        cached = (given[_CACHED] or 0) + (given[_WRITTEN] or 0)  # type: ignore[operator]  # both are numbers
        if tokens is not None:
            if not tokens or cached > tokens:  # type: ignore[operator]
                return None
            if cached and given[_TOTAL] == tokens + cached + (output or 0):  # type: ignore[operator]
                return None
            if given[_REASONING] and given[_TOTAL] == tokens + (output or 0) + given[_REASONING]:  # type: ignore[operator]
                return None
        elif output is not None and not output:
            return None
        if given[_USER] is not None and not self.part.own:
            given[_USER] = hashed(given[_USER])
        first = given[_TTFT_S] if given[_TTFT_MS] is None else given[_TTFT_MS] / 1e3  # type: ignore[operator]
        if first is not None:
            if first > end * NANO - start * NANO + SLACK_S:  # type: ignore[operator]
                return None
            given[_TTFT_S if given[_TTFT_MS] is None else _TTFT_MS] = first * 1e3  # type: ignore[operator]
        return None if given[_COST] == 0 else given

    def text(self) -> str:
        """The template as the store keeps it."""
        part = self.part
        said = [part.name, part.kind, part.scope, part.service, part.dialect, part.own, part.failed, part.generation]
        return json.dumps([said, part.facts, part.extra, self.facts, self.kept], separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str) -> "Template":
        """Inverse of `text`; what is not kept is not needed to read stored spans again."""
        said, facts, extra, places, kept = json.loads(text)
        bare = Part("", "", "", said[0], 0.0, 0.0, *said[1:])
        part = replace(bare, facts=facts, extra=extra)
        return cls(part, tuple(map(tuple, places)), tuple(map(tuple, kept)), "")


def part_of(filled: Filled) -> Part:
    """The part that `read` would have made of the span."""
    template, trace_id, span_id, parent_id, start, end, values = filled
    proto = template.part
    extra = {**proto.extra, **{name: values[place] for place, name in template.kept}} if template.kept else proto.extra
    return Part(
        trace_id.hex(),
        span_id.hex(),
        parent_id.hex(),
        proto.name,
        start * NANO,
        end * NANO,
        proto.kind,
        proto.scope,
        proto.service,
        proto.dialect,
        proto.own,
        proto.failed,
        proto.generation,
        {**proto.facts, **{name: values[place] for place, name in template.facts}},
        None,
        extra,
    )


class Templates:
    """Reads the spans of requests, by templates where it can. May be used by several threads."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[bytes, bytes, int], list[Shape]] = {}
        self._learning = threading.Lock()
        self._count = 0

    def shapes(self) -> list[list[Shape]]:
        """The shapes seen so far, by resource, scope and number of attributes."""
        return list(self._shapes.values())

    def read(self, body: bytes) -> Iterator[Filled | Span | Refusal]:
        """What each span of an ExportTraceServiceRequest says, or the reason why it is rejected.

        A span that fits no template comes as it is. Raises `MalformedError`.
        """
        for resource, scope, spans in scoped_spans(body):
            _resource(resource), _scope(scope)  # both have to be valid
            for first in range(0, len(spans), BLOCK):
                messages = spans[first : first + BLOCK]
                fitted = self._fitted(resource, scope, messages)
                for message, filled in zip(messages, fitted, strict=True):
                    yield filled or self._one(resource, scope, message)

    def _fitted(self, resource: bytes, scope: bytes, messages: Sequence[Any]) -> Iterable[Filled | None]:
        """What those say that fit templates known by now."""
        if len(messages) < FEW:
            return repeat(None, len(messages))
        sizes = {len(message.attributes) for message in messages}
        known = {size: shapes for size in sizes if (shapes := self._shapes.get((resource, scope, size)))}
        return fit(known, messages) if known else repeat(None, len(messages))

    def _one(self, resource: bytes, scope: bytes, message: Any) -> Filled | Span | Refusal:
        return self._fitting(resource, scope, message) or self._unfitting(resource, scope, message)

    def _fitting(self, resource: bytes, scope: bytes, message: Any) -> Filled | None:
        if is_some(message):
            return None
        raws = list(message.attributes)
        trace, span, parent = message.trace_id, message.span_id, message.parent_span_id
        start, end = message.start_time_unix_nano, message.end_time_unix_nano
        for shape in self._shapes.get((resource, scope, len(raws)), ()):
            if shape.wild:
                continue
            key = (message.name, message.kind, message.status, signature(message), shape.fixed(raws))
            template = shape.templates.get(key)
            if template is None:
                continue
            shape.hits += 1
            given = shape.fill(raws)
            if given is None or not is_plain(trace, span, parent, start, end):
                return None
            values = template.values(given, start, end)
            return None if values is None else (template, trace, span, parent, start, end, values)
        return None

    def _unfitting(self, resource: bytes, scope: bytes, message: Any) -> Span | Refusal:
        """The span in full; a template for the next one of its kind is made if that can be."""
        try:
            whole = SpanMessage.FromString(message.SerializeToString())
        except DecodeError:
            raise MalformedError("the body is not a protobuf ExportTraceServiceRequest") from None
        try:
            span = otlp_protobuf.span_of(whole, *_scope(scope), _resource(resource))
        except RejectedError as why:
            return Refusal(why, _resource(resource))
        with self._learning:
            self._learn(resource, scope, message, span)
        return span

    def _learn(self, resource: bytes, scope: bytes, message: Any, span: Span) -> None:
        raws = list(message.attributes)
        keys = tuple(span.attributes)
        if len(keys) != len(raws):
            return
        shapes = self._shapes.setdefault((resource, scope, len(raws)), [])
        shape = next((one for one in shapes if one.keys == keys), None)
        if shape is None:
            shape = shape_of(keys, raws)
            shapes.append(shape)
        if shape.wild or sum(map(len, raws)) > MOST_FIXED_BYTES:
            return
        if len(shape.templates) in CHECKED_AT:
            wider = widened(shape, [key[-1] for key in shape.templates], raws)
            if wider is not None:
                shapes[shapes.index(shape)] = shape = wider
            elif len(shape.templates) >= GIVEN_UP_AT and shape.hits < WORTH * len(shape.templates):
                shape.give_up()
                return
        key = (message.name, message.kind, message.status, signature(message), shape.fixed(raws))
        if key in shape.templates or key[3] is True:
            return
        self._count += 1
        if self._count > MOST_TEMPLATES:
            self._shapes.clear()
            self._count = 0
        shape.templates[key] = _template(shape, raws, span)


def _template(shape: Shape, raws: Sequence[bytes], span: Span) -> Template | None:
    """The template of spans like this, if their varying values mean no more than themselves."""
    part = read(span)
    if is_report(span) or span.name in EVENT_NAMES or part.sources is not None or DROPPED_SPANS in span.attributes:
        return None
    given = shape.fill(raws)
    if given is None or next(usage_objects(span.attributes), None) is not None:
        return None
    stated = (given[_TTFT_S] is not None) + (given[_TTFT_MS] is not None)
    if stated != ("first_token_ms" in part.facts):
        return None
    facts = _fact_places(part, given)
    kept = tuple((KEPT_FROM + n, name) for n, name in enumerate(shape.kept) if name in part.extra)
    bare = replace(
        part,
        trace_id="",
        span_id="",
        parent_id="",
        start=0.0,
        end=0.0,
        facts={name: fact for name, fact in part.facts.items() if name not in {fact for _, fact in facts}},
        extra={name: value for name, value in part.extra.items() if name not in {name for _, name in kept}},
    )
    if any(name in bare.facts for name in ("user_id", "session_id", "first_token_ms", "asked", *_DETAILS)):
        return None
    idle = part.kind == "other" and not connects(span)
    template = Template(bare, facts, kept, service_of(span.resource), idle)
    template.number = digest(template.text())
    template.said = frozenset(part.facts)
    return template if _holds(template, shape, given, span) else None


def _fact_places(part: Part, given: Values) -> tuple[tuple[int, str], ...]:
    found: list[tuple[int, str]] = []
    for place, name in enumerate(FIELDS):
        fact: str | None = name
        if place in (_TTFT_S, _TTFT_MS):
            fact = "first_token_ms"
        elif place == _COST:
            fact = next((one for one in _COST_FACTS if one in part.facts), None)
        if given[place] is not None and fact in part.facts:
            found.append((place, fact))
    return tuple(found)


def _holds(template: Template, shape: Shape, given: list[Value | None], span: Span) -> bool:
    """Whether a span with other values and times says what the template says that it says."""
    other = _changed(given)
    start, end = round(span.start / NANO) + 7_000_000_000, round(span.end / NANO) + 14_000_000_000
    attributes: dict[str, AttributeValue] = dict(span.attributes)
    for column in shape.columns:
        key = shape.keys[column.at]
        attributes[key] = _other(span.attributes[key]) if column.place is None else other[column.place]
    values = template.values(list(other), start, end)
    if values is None:
        return False
    twin = replace(span, attributes=attributes, start=start * NANO, end=end * NANO, events=())
    ids = (bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), bytes.fromhex(span.parent_id))
    return read(twin) == part_of((template, *ids, start, end, values))


def _changed(given: Sequence[Value | None]) -> list[Value | None]:
    """Other values of the same types; token counts stay consistent with each other."""
    counts = {_INPUT: 977, _OUTPUT: 83, _CACHED: 11, _WRITTEN: 5, _TOTAL: 1061, _TTFT_S: 0.25, _TTFT_MS: 250.0}
    return [None if value is None else counts.get(place, _other(value)) for place, value in enumerate(given)]


def _other(value: object) -> Any:
    if isinstance(value, str):
        return f"{value[:40]}-other"
    return value + 3 if isinstance(value, int) else float(value) + 0.5  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def _resource(raw: bytes) -> dict[str, AttributeValue]:
    try:
        return otlp_protobuf.attributes_of(Resource.FromString(raw).attributes)
    except DecodeError:
        raise MalformedError("the resource is not valid") from None


@lru_cache(maxsize=1024)
def _scope(raw: bytes) -> tuple[str, str]:
    try:
        scope = InstrumentationScope.FromString(raw)
    except DecodeError:
        raise MalformedError("the scope is not valid") from None
    return scope.name, scope.version
