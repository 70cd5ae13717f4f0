"""Keeping: the original spans of chosen workflows, as they came, with all that they hold.

A request is taken apart by workflow, and only the traces that name a chosen one are kept: in an attribute of one of
their spans in this request, or of their resource. Everything else of the request is not kept.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.batch import Body
from driftbell.monitor.attributes import WORKFLOW

LABELS = (
    *(WORKFLOW, "gen_ai.workflow.name", "traceloop.workflow.name", "ai.telemetry.functionId", "langfuse.trace.name"),
    "service.name",
)
"""Attributes that name the workflow of a trace, in order of precedence."""
MAX_WORKFLOWS = 50
"""Workflows that one request is taken apart for; the traces of further ones are not kept."""


class _Item(NamedTuple):
    """One span or log record: where it stands, its trace, and the workflows that it may belong to."""

    place: tuple[int, int, int]
    trace: str
    names: list[str | None]


def kept_bodies(signal: str, encoding: str, body: bytes, patterns: Sequence[str]) -> tuple[Body, ...]:
    """What is to be kept of an uncompressed request for workflows that fit ``patterns`` (``claims-*``), by workflow.

    With the pattern ``*`` it is the whole request, byte by byte, of no workflow in particular.
    """
    if "*" in patterns:
        return (Body(signal, encoding, gzip.compress(body, 1)),)
    if encoding == "protobuf":
        request: Any = (ExportTraceServiceRequest if signal == "traces" else ExportLogsServiceRequest).FromString(body)
        items, part = _protobuf_items(request, signal), _protobuf_part
    else:
        request = json.loads(body)
        items, part = _json_items(request, signal), _json_part
    places = _places(items, lambda name: any(fnmatchcase(name, pattern) for pattern in patterns))
    return tuple(
        Body(signal, encoding, gzip.compress(part(request, signal, chosen), 1), workflow)
        for workflow, chosen in list(places.items())[:MAX_WORKFLOWS]
    )


def _places(items: Iterable[_Item], chosen: Callable[[str], bool]) -> dict[str, set[tuple[int, int, int]]]:
    """Where the spans of each chosen workflow stand: all those of a trace of which one names it."""
    by_trace: dict[object, list[_Item]] = defaultdict(list)
    for item in items:
        by_trace[item.trace or item.place].append(item)
    found: dict[str, set[tuple[int, int, int]]] = defaultdict(set)
    for held in by_trace.values():
        ranked = [name for rank in range(len(LABELS)) for item in held if (name := item.names[rank]) is not None]
        workflow = next((name for name in ranked if chosen(name)), None)
        if workflow is not None:
            found[workflow] |= {item.place for item in held}
    return found


def _names(own: Mapping[str, str], resource: Mapping[str, str]) -> list[str | None]:
    return [own.get(label) or resource.get(label) for label in LABELS]


def _protobuf_items(request: Any, signal: str) -> Iterator[_Item]:
    groups, scopes, records = _PROTOBUF_FIELDS[signal]
    for g, group in enumerate(getattr(request, groups)):
        resource = _texts((a.key, a.value.string_value) for a in group.resource.attributes)
        for s, scope in enumerate(getattr(group, scopes)):
            for r, record in enumerate(getattr(scope, records)):
                own = _texts((a.key, a.value.string_value) for a in record.attributes)
                yield _Item((g, s, r), record.trace_id.hex(), _names(own, resource))


def _protobuf_part(request: Any, signal: str, places: set[tuple[int, int, int]]) -> bytes:
    """The request with nothing but what stands at ``places``."""
    groups, scopes, records = _PROTOBUF_FIELDS[signal]
    part = type(request)()
    part.CopyFrom(request)
    for g, group in reversed(list(enumerate(getattr(part, groups)))):
        for s, scope in reversed(list(enumerate(getattr(group, scopes)))):
            held = getattr(scope, records)
            kept = [record for r, record in enumerate(held) if (g, s, r) in places]
            del held[:]
            held.extend(kept)
            if not kept:
                del getattr(group, scopes)[s]
        if not getattr(group, scopes):
            del getattr(part, groups)[g]
    return bytes(part.SerializeToString())


def _json_items(request: Any, signal: str) -> Iterator[_Item]:
    groups, scopes, records = _JSON_FIELDS[signal]
    for g, group in enumerate(_list(request, groups)):
        resource = _json_texts(group.get("resource"))
        for s, scope in enumerate(_list(group, scopes)):
            for r, record in enumerate(_list(scope, records)):
                trace = record.get("traceId") if isinstance(record, dict) else None
                own = _json_texts(record)
                yield _Item((g, s, r), trace.lower() if isinstance(trace, str) else "", _names(own, resource))


def _json_part(request: Any, signal: str, places: set[tuple[int, int, int]]) -> bytes:
    """The request with nothing but what stands at ``places``."""
    groups, scopes, records = _JSON_FIELDS[signal]
    made = []
    for g, group in enumerate(_list(request, groups)):
        inner = []
        for s, scope in enumerate(_list(group, scopes)):
            kept = [record for r, record in enumerate(_list(scope, records)) if (g, s, r) in places]
            if kept:
                inner.append({**scope, records: kept})
        if inner:
            made.append({**group, scopes: inner})
    return json.dumps({**request, groups: made}).encode()


def _list(parent: Any, name: str) -> list[Any]:
    return parent.get(name) or []


def _json_texts(parent: Any) -> dict[str, str]:
    pairs = parent.get("attributes") if isinstance(parent, dict) else None
    held = [pair for pair in pairs if isinstance(pair, dict)] if isinstance(pairs, list) else []
    values = ((pair.get("key"), pair.get("value")) for pair in held)
    return _texts((key, value.get("stringValue")) for key, value in values if isinstance(value, dict))


def _texts(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    return {key: value for key, value in pairs if key in LABELS and isinstance(value, str) and value}


_PROTOBUF_FIELDS = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
}
_JSON_FIELDS = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
