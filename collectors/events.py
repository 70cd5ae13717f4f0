"""Log records that speak of calls -> spans without length, so that they are stored and interpreted like any other."""

import hashlib
import json

from driftbell.collectors.dialects.kinds import EVENT_NAMES
from driftbell.collectors.otlp import LogRecord
from driftbell.collectors.reports import REPORT_NAMES
from driftbell.collectors.span import AttributeValue, Span

_BODY_FIELDS = ("finish_reason",)
"""Members of the body that older conventions used where newer ones have attributes."""


def event_span(record: LogRecord) -> Span | None:
    """A log record as a zero-length child of the span it speaks of, or ``None`` when it says nothing of a call.

    Its id is a digest of the record, so one that is sent twice is one. A record that names no trace gets one of its
    own; it can still be joined by the response id that it carries.
    """
    name = record.name or record.attributes.get("event.name")
    if not isinstance(name, str) or (name not in EVENT_NAMES and name not in REPORT_NAMES) or record.time <= 0:
        return None
    if name in EVENT_NAMES and not record.span_id:
        return None
    attributes = dict(record.attributes)
    if isinstance(record.body, dict):
        attributes = {**{field: record.body[field] for field in _BODY_FIELDS if field in record.body}, **attributes}
    digest = _digest(record, name, attributes)
    return Span(
        trace_id=record.trace_id or digest[16:48],
        span_id=digest[:16],
        parent_id=record.span_id if record.trace_id else "",
        name=name,
        start=record.time,
        end=record.time,
        attributes=attributes,
        scope=record.scope,
        scope_version=record.scope_version,
        resource=record.resource,
    )


def _digest(record: LogRecord, name: str, attributes: dict[str, AttributeValue]) -> str:
    said = [name, record.time, record.trace_id, record.span_id, attributes]
    text = json.dumps(said, sort_keys=True, default=repr, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=24).hexdigest()
