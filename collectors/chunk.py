"""Spans as compressed chunks: the form in which the store keeps what it received, to interpret it again.

A chunk holds some dozen spans. What spans of one sender share (scope and resource) is written once per chunk.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from driftbell.collectors.span import AttributeValue, Span, SpanEvent

CHUNK_SPANS = 32
"""Spans per chunk: reading one trace again costs the decoding of a chunk."""
_BYTES = "\x00bytes"


def pack(spans: Sequence[Span]) -> bytes:
    """``spans`` as one compressed chunk."""
    senders: dict[tuple[str, str, int], int] = {}
    shared: list[object] = []
    rows: list[object] = []
    for s in spans:
        sender = (s.scope, s.scope_version, id(s.resource))
        at = senders.get(sender)
        if at is None:
            at = senders[sender] = len(shared)
            shared.append((s.scope, s.scope_version, s.resource))
        row = [at, s.trace_id, s.span_id, s.parent_id, s.name, s.start, s.end, s.kind, s.status, s.status_message]
        row.append(s.attributes)
        row.append([(e.name, e.time, e.attributes) for e in s.events])
        row.append(s.links)
        rows.append(row)
    text = json.dumps((shared, rows), separators=(",", ":"), default=_plain, check_circular=False)
    return zlib.compress(text.encode(), 1)


def unpack(data: bytes) -> list[Span]:
    """Inverse of `pack`."""
    text = zlib.decompress(data)
    shared, rows = json.loads(text, object_hook=_revive if b'"\\u0000bytes"' in text else None)
    return [_span(shared, row) for row in rows]


def _span(shared: list[tuple[str, str, Mapping[str, AttributeValue]]], row: list[Any]) -> Span:
    at, *fields, events, links = row
    scope, version, resource = shared[at]
    held = tuple(SpanEvent(*event) for event in events)
    tied = tuple((trace, span) for trace, span in links)
    return Span(*[*fields, held, tied, scope, version, resource])


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a span cannot hold {type(value).__name__}")


def _revive(fields: dict[str, object]) -> object:
    held = fields.get(_BYTES)
    return base64.b64decode(held) if isinstance(held, str) and len(fields) == 1 else fields
