"""The table of the Collector's ClickHouse exporter, and rows as that writes them: every attribute as text."""

import base64
import json
import math

COLUMNS = (
    *("Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName"),
    *("ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage"),
    *("Events.Timestamp", "Events.Name", "Events.Attributes"),
    *("Links.TraceId", "Links.SpanId", "Links.TraceState", "Links.Attributes"),
)
_MAP = "Map(LowCardinality(String), String)"
_INDICES = (
    "INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1, "
    "INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1, "
    "INDEX idx_duration Duration TYPE minmax GRANULARITY 1"
)
KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
CODES = ("Unset", "Ok", "Error")


def create(client, table="otel_traces", attributes=_MAP):
    """The table as version 0.120 and later of the exporter makes it."""
    client.command(
        f"CREATE TABLE {table} (Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)), TraceId String, SpanId String, "
        "ParentSpanId String, TraceState String, SpanName LowCardinality(String), SpanKind LowCardinality(String), "
        f"ServiceName LowCardinality(String), ResourceAttributes {attributes}, ScopeName String, ScopeVersion String, "
        f"SpanAttributes {attributes}, Duration UInt64, StatusCode LowCardinality(String), StatusMessage String, "
        f"Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes {attributes}), "
        f"Links Nested (TraceId String, SpanId String, TraceState String, Attributes {attributes})"
        f"{', ' + _INDICES if attributes == _MAP else ''}) ENGINE = MergeTree PARTITION BY toDate(Timestamp) "
        "ORDER BY (ServiceName, SpanName, toDateTime(Timestamp)) SETTINGS ttl_only_drop_parts = 1"
    )


def export(client, spans, table="otel_traces"):
    """Insert spans as one batch of the exporter."""
    client.insert(table, COLUMNS, [row_of(span) for span in spans])


def row_of(span):
    """A span as a row."""
    service = span.resource.get("service.name")
    start = round(span.start * 1e9)
    return (
        *(start, span.trace_id, span.span_id, span.parent_id, "ot=th:8" if span.sampled else "", span.name),
        *(KINDS[span.kind] if span.kind < len(KINDS) else "", service if isinstance(service, str) else ""),
        *(texts(span.resource), span.scope, span.scope_version, texts(span.attributes)),
        *(round(span.end * 1e9) - start, CODES[span.status] if span.status < len(CODES) else "", span.status_message),
        *([round(e.time * 1e9) for e in span.events], [e.name for e in span.events]),
        [texts(event.attributes) for event in span.events],
        *([trace for trace, _ in span.links], [one for _, one in span.links]),
        *(["" for _ in span.links], [{} for _ in span.links]),
    )


def texts(attributes):
    """Attributes as the exporter writes them."""
    return {name: text_of(value) for name, value in attributes.items()}


def text_of(value):
    """A value as the Collector's ``AsString`` writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def number(value):
    """A double as JSON of Go writes it: without ``.0``."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value) if math.isfinite(value) else "json: unsupported value"
