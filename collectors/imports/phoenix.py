"""Rows of Phoenix exports -> spans with OpenInference attributes, which the receiver reads.

``get_spans_dataframe`` of its client names columns ``context.span_id``, ``attributes.llm.model_name``, ...; its REST
API and ``get_spans`` nest ``context`` and keep ``attributes`` in one object. As Parquet, JSON Lines, JSON or CSV.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from driftbell.collectors.imports.spans import OURS, epoch, epoch_if, flat, mapping, span_id, text, trace_id
from driftbell.collectors.span import AttributeValue, Span

_PREFIX = "attributes."
_CONTENT = ("input.value", "output.value", ".content", "embedding.vector", ".text", "document.content")


def is_phoenix(fields: Mapping[str, Any]) -> bool:
    """Whether a row is a span of Phoenix."""
    return "span_kind" in fields and ("context.trace_id" in fields or "trace_id" in mapping(fields.get("context")))


def spans(fields: Mapping[str, Any]) -> Iterator[Span]:
    """The span of one row; raises `BadRowError`."""
    context = mapping(fields.get("context"))
    start = epoch(fields.get("start_time"), "start_time")
    end = epoch_if(fields.get("end_time"), "end_time")
    parent = text(fields.get("parent_id"))
    status = (text(fields.get("status_code")) or "").rpartition("_")[2].upper()
    attributes = dict(_attributes(fields))
    metadata = mapping(fields.get("attributes.metadata") or mapping(fields.get("attributes")).get("metadata"))
    for name in OURS:
        value = text(metadata.get(name, metadata.get(f"driftbell.{name}")))
        if value is not None:
            attributes.setdefault(f"driftbell.{name}", value)
    kind = text(fields.get("span_kind"))
    if kind is not None:
        attributes.setdefault("openinference.span.kind", kind.upper())
    yield Span(
        trace_id=trace_id(fields.get("context.trace_id") or context.get("trace_id")),
        span_id=span_id(fields.get("context.span_id") or context.get("span_id")),
        parent_id=span_id(parent) if parent else "",
        name=text(fields.get("name")) or "span",
        start=start,
        end=max(start, start if end is None else end),
        status={"OK": 1, "ERROR": 2}.get(status, 0),
        status_message=text(fields.get("status_message")) or "",
        attributes=attributes,
    )


def _attributes(fields: Mapping[str, Any]) -> Iterator[tuple[str, AttributeValue]]:
    """The attributes under their dotted names, without texts."""
    nested = flat(dict(mapping(fields.get("attributes"))))
    columns = (
        item
        for name, value in fields.items()
        if name.startswith(_PREFIX)
        for item in flat(mapping(value) or value, name.removeprefix(_PREFIX))
    )
    for each in (nested, columns):
        yield from ((name, value) for name, value in each if not name.endswith(_CONTENT))
