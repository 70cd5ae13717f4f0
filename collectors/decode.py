"""OTLP request bodies -> spans, log records and counts of data points.

A body that cannot be decoded at all raises `MalformedError`; a single bad span or record is rejected and counted,
and the rest of the body is kept (OTLP partial success).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from driftbell.collectors.span import AttributeValue, Span

Encoding = Literal["protobuf", "json"]


class MalformedError(ValueError):
    """The whole body cannot be decoded; the message says why and holds nothing of the body."""


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


@dataclass(frozen=True, slots=True)
class DecodedTraces:
    """The good spans of a body, and how many were rejected and why (first reason)."""

    spans: list[Span]
    rejected: int = 0
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class DecodedLogs:
    """The good log records of a body, and how many were rejected and why (first reason)."""

    records: list[LogRecord]
    rejected: int = 0
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class DecodedMetrics:
    """How many data points a body holds, by metric name (at most 1000 names)."""

    points: int
    names: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0
    error_message: str = ""


def decode_traces(body: bytes, content_type: Encoding) -> DecodedTraces:
    """The spans of an ExportTraceServiceRequest; raises `MalformedError`."""
    raise NotImplementedError


def decode_logs(body: bytes, content_type: Encoding) -> DecodedLogs:
    """The records of an ExportLogsServiceRequest; raises `MalformedError`."""
    raise NotImplementedError


def decode_metrics(body: bytes, content_type: Encoding) -> DecodedMetrics:
    """The data points of an ExportMetricsServiceRequest, counted; raises `MalformedError`."""
    raise NotImplementedError
