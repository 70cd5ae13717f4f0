"""OTLP request bodies -> spans, log records and counts of data points.

A body that cannot be decoded at all raises `MalformedError`; a single bad span or record is rejected and counted,
and the rest of the body is kept (OTLP partial success).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal, TypeVar

from driftbell.collectors import otlp_json, otlp_protobuf
from driftbell.collectors.measurement import Measurement, counted, measurements
from driftbell.collectors.otlp import LogRecord, MalformedError, Refusal, TooManyError
from driftbell.collectors.span import UNKNOWN, Span
from driftbell.collectors.template import Filled, Templates

__all__ = [
    "DecodedLogs",
    "DecodedMetrics",
    "DecodedTraces",
    "Encoding",
    "LogRecord",
    "MalformedError",
    "TooManyError",
    "decode_logs",
    "decode_metrics",
    "decode_traces",
    "read_traces",
]

Encoding = Literal["protobuf", "json"]
MAX_METRIC_NAMES = 1000
MAX_SERVICES = 500
MAX_ITEMS = 100_000
"""Spans or log records of one body; a small body can hold millions of them, each a thousand times as large here."""
_Item = TypeVar("_Item", Span, LogRecord, Filled | Span)


@dataclass(frozen=True, slots=True)
class DecodedTraces:
    """The good spans of a body, and how many were refused, by service, and why (first reason).

    ``filled`` are those that were read by a template, which then are not among ``spans``.
    """

    spans: list[Span]
    refused: Mapping[str, int] = field(default_factory=dict)
    error_message: str = ""
    filled: Sequence[Filled] = ()

    @property
    def rejected(self) -> int:
        """How many were refused in all."""
        return sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class DecodedLogs:
    """The good log records of a body, and how many were refused, by service, and why (first reason)."""

    records: list[LogRecord]
    refused: Mapping[str, int] = field(default_factory=dict)
    error_message: str = ""

    @property
    def rejected(self) -> int:
        """How many were refused in all."""
        return sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class DecodedMetrics:
    """How many data points a body holds, by metric name (at most `MAX_METRIC_NAMES`), and what they say of calls."""

    points: int
    names: Mapping[str, int] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    rejected: int = 0
    error_message: str = ""


def decode_traces(body: bytes, content_type: Encoding) -> DecodedTraces:
    """The spans of an ExportTraceServiceRequest; raises `MalformedError`."""
    return DecodedTraces(*_sorted_out(_codec(content_type).spans(body), "span"))


def read_traces(body: bytes, templates: Templates) -> DecodedTraces:
    """Like `decode_traces` of protobuf, with the spans that fit ``templates`` read already."""
    found: tuple[list[Filled | Span], Counter[str], str] = _sorted_out(templates.read(body), "span")
    items, refused, message = found
    filled = [item for item in items if type(item) is tuple]
    spans = [item for item in items if type(item) is Span] if len(filled) < len(items) else []
    return DecodedTraces(spans, refused, message, filled)


def decode_logs(body: bytes, content_type: Encoding) -> DecodedLogs:
    """The records of an ExportLogsServiceRequest; raises `MalformedError`."""
    return DecodedLogs(*_sorted_out(_codec(content_type).logs(body), "log record"))


def decode_metrics(body: bytes, content_type: Encoding) -> DecodedMetrics:
    """The data points of an ExportMetricsServiceRequest; raises `MalformedError`."""
    points = 0
    names: dict[str, int] = {}
    request = _codec(content_type).metrics(body)
    for name, count in counted(request):
        points += count
        if name in names or len(names) < MAX_METRIC_NAMES:
            names[name] = names.get(name, 0) + count
    return DecodedMetrics(points, names, tuple(measurements(request, UNKNOWN)))


def _codec(content_type: Encoding) -> ModuleType:
    return otlp_protobuf if content_type == "protobuf" else otlp_json


def _sorted_out(items: Iterable[_Item | Refusal], what: str) -> tuple[list[_Item], Counter[str], str]:
    """The good items, the number of rejected ones by service, and the first reason."""
    good: list[_Item] = []
    refused: Counter[str] = Counter()
    reason = ""
    for item in items:
        if isinstance(item, Refusal):
            reason = reason or item
            if len(refused) < MAX_SERVICES or item.service in refused:
                refused[item.service] += 1
            else:
                refused[UNKNOWN] += 1
        elif len(good) < MAX_ITEMS:
            good.append(item)
        else:
            raise TooManyError(f"the body holds more than {MAX_ITEMS} {what}s")
    rejected = refused.total()
    return good, refused, f"{rejected} {what}(s) rejected; first: {reason}" if rejected else ""
