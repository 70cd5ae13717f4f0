"""Measurement: one data point of a metric that speaks of LLM calls, in canonical terms.

Which metrics are understood is the table `MEASURES`; what an emitter adds to a name (units, dimensions) is read like
the attributes of a span. Histograms of any kind become log-bucket histograms (see `point`).
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from driftbell.collectors.call import Status
from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.vocabulary import error_status, model_name, operation_kind, provider_of
from driftbell.collectors.otlp import seconds
from driftbell.collectors.otlp_protobuf import attributes_of
from driftbell.collectors.point import LARGEST, bucket
from driftbell.collectors.span import AttributeValue

Measure = Literal["duration", "input", "output", "cached", "first_token", "cost"]
MEASURES: dict[str, tuple[Measure | None, float]] = {
    "gen_ai.client.operation.duration": ("duration", 1e3),
    "gen_ai.client.inference.duration": ("duration", 1e3),
    "gen_ai.client.token.usage": (None, 1.0),
    "gen_ai.client.inference.operation.input_tokens": ("input", 1.0),
    "gen_ai.client.inference.operation.output_tokens": ("output", 1.0),
    "gen_ai.client.inference.usage.input_tokens": ("input", 1.0),
    "gen_ai.client.inference.usage.output_tokens": ("output", 1.0),
    "gen_ai.client.inference.usage.cache_read.input_tokens": ("cached", 1.0),
    "gen_ai.client.operation.time_to_first_chunk": ("first_token", 1e3),
    "gen_ai.client.inference.time_to_first_chunk": ("first_token", 1e3),
    "gen_ai.server.time_to_first_token": ("first_token", 1e3),
    "gen_ai.usage.cost": ("cost", 1.0),
    "operation.cost": ("cost", 1.0),
}
"""Metric -> measure (None: by its token type) and factor to milliseconds, tokens or USD."""
_TOKEN_TYPES: dict[str, Measure] = {
    "input": "input",
    "prompt": "input",
    "output": "output",
    "completion": "output",
}
_WORKFLOW = ("driftbell.workflow", "gen_ai.workflow.name", "traceloop.workflow.name", "ai.telemetry.functionId")
MAX_MEASUREMENTS = 10_000
"""Data points of one body that are understood; further ones are left out."""
MAX_BUCKETS = 2000


@dataclass(frozen=True, slots=True)
class Amount:
    """How many values there were, their sum (None when that is not told), and a log-bucket histogram of them.

    A plain counter tells the sum only: its ``count`` is None.
    """

    count: int | None
    total: float | None
    buckets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a metric said at ``time`` (epoch s) of the interval that began at ``start`` (0 when that is not told).

    ``delta`` tells whether ``amount`` is of the interval since the last measurement of the ``series``, or of all time
    since ``start``.
    """

    series: int
    service: str
    workflow: str
    scope: str
    name: str
    measure: Measure
    start: float
    time: float
    delta: bool
    amount: Amount
    segment: str | None = None
    risk_tier: str | None = None
    provider: str | None = None
    model: str | None = None
    status: Status = "ok"


def measurements(request: ExportMetricsServiceRequest, unknown: str) -> Iterator[Measurement]:
    """What a request says of calls; ``unknown`` stands for a service without a name."""
    left = MAX_MEASUREMENTS
    for of_resource in request.resource_metrics:
        resource = attributes_of(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                if metric.name not in MEASURES:
                    continue
                for point, amount, delta in _points(metric):
                    found = _measurement(metric.name, point, amount, delta, of_scope.scope.name, resource, unknown)
                    if found is not None and left > 0:
                        left -= 1
                        yield found


def counted(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, int]]:
    """Each metric with the number of its data points."""
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                kind: str | None = metric.WhichOneof("data")
                yield metric.name, len(getattr(metric, kind).data_points) if kind else 0


def _points(metric: Metric) -> Iterator[tuple[Any, Amount, bool]]:
    """The data points that can be read, each with its values and whether they are those of its interval alone."""
    kind: str | None = metric.WhichOneof("data")
    read = None if kind is None else _READERS.get(kind)
    if kind is None or read is None:
        return
    held = getattr(metric, kind)
    delta = held.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    for point in held.data_points:
        amount = read(point, MEASURES[metric.name][1])
        if amount is not None and point.time_unix_nano:
            yield point, amount, delta


def _measurement(
    name: str, point: Any, amount: Amount, delta: bool, scope: str, resource: Mapping[str, AttributeValue], unknown: str
) -> Measurement | None:
    given = attributes_of(point.attributes)
    measure = MEASURES[name][0]
    if measure is None:
        measure = _TOKEN_TYPES.get(values.text(given.get("gen_ai.token.type")) or "")
    operation = values.text(given.get("gen_ai.operation.name"))
    if measure is None or (operation is not None and operation_kind(operation) not in ("llm", "embedding")):
        return None
    service = values.text(resource.get("service.name")) or unknown
    model = _first(given, "gen_ai.response.model", "gen_ai.request.model")
    error = values.text(given.get("error.type"))
    return Measurement(
        series=_series(resource, scope, name, given),
        service=service[:200],
        workflow=_first(given, *_WORKFLOW) or _first(resource, *_WORKFLOW) or service,
        scope=scope[:200],
        name=name,
        measure=measure,
        start=seconds(point.start_time_unix_nano),
        time=seconds(point.time_unix_nano),
        delta=delta,
        amount=amount,
        segment=_first(given, "driftbell.segment") or _first(resource, "driftbell.segment"),
        risk_tier=_first(given, "driftbell.risk_tier") or _first(resource, "driftbell.risk_tier"),
        provider=provider_of(_first(given, "gen_ai.provider.name", "gen_ai.system"), model),
        model=None if model is None else model_name(model),
        status="ok" if error is None else error_status(error, None),
    )


def _first(given: Mapping[str, AttributeValue], *names: str) -> str | None:
    return next((found for name in names if (found := values.text(given.get(name))) is not None), None)


def _series(resource: Mapping[str, AttributeValue], scope: str, name: str, given: Mapping[str, AttributeValue]) -> int:
    text = json.dumps([resource, scope, name, given], sort_keys=True, default=repr)
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _counter(point: Any, factor: float) -> Amount | None:
    total = point.as_double if point.HasField("as_double") else float(point.as_int)
    return Amount(None, total * factor) if 0 <= total < LARGEST else None


def _explicit(point: Any, factor: float) -> Amount | None:
    """A bucket stands for its geometric middle; the first begins at zero and the last has no end."""
    bounds = list(point.explicit_bounds)
    values_at: list[tuple[float, int]] = []
    for at, count in enumerate(point.bucket_counts[: len(bounds) + 1]):
        low = bounds[at - 1] if at else 0.0
        high = bounds[at] if at < len(bounds) else 2 * low
        if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high):
            return None
        values_at.append((math.sqrt(low * high) if low else high / 2, count))
    return _histogram(point, factor, values_at)


def _exponential(point: Any, factor: float) -> Amount | None:
    """Bucket ``i`` of scale ``s`` holds values up to ``2 ** ((i + 1) / 2 ** s)``."""
    width = 2.0 ** -max(min(point.scale, 20), -10)
    values_at = [(0.0, point.zero_count)]
    for at, count in enumerate(point.positive.bucket_counts[:MAX_BUCKETS]):
        exponent = (point.positive.offset + at + 0.5) * width
        if abs(exponent) > 500:
            return None
        values_at.append((2.0**exponent, count))
    return _histogram(point, factor, values_at)


def _histogram(point: Any, factor: float, values_at: Iterable[tuple[float, int]]) -> Amount | None:
    if point.count >= 1 << 53:
        return None
    total = point.sum * factor if point.HasField("sum") and 0 <= point.sum < LARGEST else None
    found: dict[int, int] = {}
    for value, count in values_at:
        if count >= 1 << 53:
            return None
        if count:
            at = bucket(min(value * factor, LARGEST))
            found[at] = found.get(at, 0) + count
    return Amount(point.count, total, found)


_READERS: dict[str, Callable[[Any, float], Amount | None]] = {
    "sum": _counter,
    "histogram": _explicit,
    "exponential_histogram": _exponential,
}
