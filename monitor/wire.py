"""Spans as OTLP protobuf bytes, written by hand: the generated classes cost six times the rest of a span.

Field numbers are those of opentelemetry-proto 1.x (trace.proto, common.proto, resource.proto). The output differs from
that of the generated encoder only in fields that hold their default value, which protobuf leaves out.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_MAX_CACHED: Final = 4096
_MAX_CACHED_LENGTH: Final = 64
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_FLOAT = struct.Struct("<d").pack
_FIXED64 = struct.Struct("<Q").pack
_FIXED32 = struct.Struct("<I").pack


def varint(number: int) -> bytes:
    """An unsigned 64-bit varint; negative numbers are sent as their two's complement."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_ONE_BYTE: Final = [bytes([n]) for n in range(0x80)]


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + varint(len(payload)) + payload


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace")) if text else b""


def value(given: Any) -> bytes:
    """An ``AnyValue``; raises `TypeError` for what OTLP has no value for."""
    kind = type(given)
    if kind is str:
        return _field(b"\x0a", given.encode("utf-8", "replace"))
    if kind is bool:
        return b"\x10\x01" if given else b"\x10\x00"
    if kind is int:
        if not -(1 << 63) <= given < 1 << 63:
            return value(str(given))
        return b"\x18" + varint(given)
    if kind is float:
        return b"\x21" + _FLOAT(given)
    if kind is bytes:
        return _field(b"\x3a", given)
    if isinstance(given, Mapping):
        return _field(b"\x32", b"".join(_field(b"\x0a", pair(str(k), v)) for k, v in given.items()))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return _field(b"\x2a", b"".join(_field(b"\x0a", value(item)) for item in given))
    if given is None:
        return b""
    for exact in (str, bool, int, float):
        if isinstance(given, exact):
            return value(exact(given))
    raise TypeError(f"no OTLP value for {kind.__name__}")


def pair(key: str, given: Any) -> bytes:
    """A ``KeyValue`` without its own tag and length."""
    if type(given) is str and len(given) <= _MAX_CACHED_LENGTH:
        return _short_pair(key, given)
    return _text(b"\x0a", key) + _field(b"\x12", value(given))


@lru_cache(maxsize=_MAX_CACHED)
def _short_pair(key: str, text: str) -> bytes:
    """The same workflow, model and segment come with every span; ids that never come again push out one another."""
    return _text(b"\x0a", key) + _field(b"\x12", value(text))


def attributes(tag: bytes, given: Mapping[str, Any] | None) -> bytes:
    """Repeated ``KeyValue`` fields under ``tag``."""
    if not given:
        return b""
    parts: list[bytes] = []
    for key, item in given.items():
        encoded = pair(key, item)
        parts += (tag, varint(len(encoded)), encoded)
    return b"".join(parts)


def span(given: ReadableSpan) -> bytes:
    """One ``Span`` message, without its own tag and length."""
    parent = given.parent
    context = given.get_span_context()
    if context is None:
        raise TypeError("a span without context")
    status = given.status
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
    ]
    if context.trace_state:
        parts.append(_text(b"\x1a", ",".join(f"{key}={item}" for key, item in context.trace_state.items())))
    if parent is not None:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
    parts += (
        _text(b"\x2a", given.name),
        b"\x30",
        _ONE_BYTE[given.kind.value + 1],
        b"\x39",
        _FIXED64(given.start_time or 0),
        b"\x41",
        _FIXED64(given.end_time or 0),
        attributes(b"\x4a", given.attributes),
    )
    if given.dropped_attributes:
        parts.append(b"\x50" + varint(given.dropped_attributes))
    parts += [_field(b"\x5a", _event(event)) for event in given.events]
    parts += [_field(b"\x6a", _link(link)) for link in given.links]
    code = status.status_code.value
    message = _text(b"\x12", status.description or "")
    parts.append(_field(b"\x7a", message + (b"\x18" + _ONE_BYTE[code] if code else b"")))
    parts += (
        b"\x85\x01",
        _FIXED32(_HAS_IS_REMOTE | _IS_REMOTE if parent is not None and parent.is_remote else _HAS_IS_REMOTE),
    )
    return b"".join(parts)


def _event(event: Any) -> bytes:
    time: bytes = b"\x09" + _FIXED64(event.timestamp)
    return time + _text(b"\x12", event.name) + attributes(b"\x1a", event.attributes)


def _link(link: Any) -> bytes:
    context = link.context
    flags = _HAS_IS_REMOTE | _IS_REMOTE if context.is_remote else _HAS_IS_REMOTE
    ids: bytes = b"\x0a\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big")
    return ids + attributes(b"\x22", link.attributes) + b"\x35" + _FIXED32(flags)


def request(resource: Resource, scope: InstrumentationScope, spans: Iterable[bytes]) -> bytes:
    """An ``ExportTraceServiceRequest`` of one resource and one scope."""
    about = _text(b"\x0a", scope.name) + _text(b"\x12", scope.version or "") + attributes(b"\x1a", scope.attributes)
    scoped = [_field(b"\x0a", about)]
    for encoded in spans:
        scoped += (b"\x12", varint(len(encoded)), encoded)
    scoped.append(_text(b"\x1a", scope.schema_url or ""))
    parts = _field(b"\x0a", attributes(b"\x0a", resource.attributes)) + _field(b"\x12", b"".join(scoped))
    return _field(b"\x0a", parts + _text(b"\x1a", resource.schema_url or ""))
