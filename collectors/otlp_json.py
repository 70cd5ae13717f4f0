"""OTLP in JSON -> spans, log records and metrics.

The rules are those of OTLP/JSON: lowerCamelCase names only, hex ids, integer enums, 64-bit integers as string or
number, unknown names ignored, missing and ``null`` are the default.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from driftbell.collectors.otlp import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_EVENTS,
    MAX_GROUPS,
    MAX_LINKS,
    LogRecord,
    MalformedError,
    Refusal,
    RejectedError,
    TooManyError,
    checked_id,
    interval,
    is_sampled,
    optional_id,
    seconds,
)
from driftbell.collectors.span import AttributeValue, Span, SpanEvent

Object = dict[str, object]
MAX_VALUES = 6_000_000
"""Objects, lists and members of one body: a value may take two bytes there and a hundred here."""

_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def spans(body: bytes) -> Iterator[Span | Refusal]:
    """Each span, or the reason why it is rejected; raises `MalformedError`."""
    for of_resource in _objects(_parse(body), "resourceSpans"):
        resource = _attributes(_object(of_resource, "resource"))
        for of_scope in _objects(of_resource, "scopeSpans"):
            scope = _object(of_scope, "scope")
            name, version = _text(scope, "name"), _text(scope, "version")
            for item in _list(of_scope, "spans"):
                try:
                    yield _span(item, name, version, resource)
                except RejectedError as why:
                    yield Refusal(why, resource)


def logs(body: bytes) -> Iterator[LogRecord | Refusal]:
    """Each log record, or the reason why it is rejected; raises `MalformedError`."""
    for of_resource in _objects(_parse(body), "resourceLogs"):
        resource = _attributes(_object(of_resource, "resource"))
        for of_scope in _objects(of_resource, "scopeLogs"):
            scope = _object(of_scope, "scope")
            name, version = _text(scope, "name"), _text(scope, "version")
            for item in _list(of_scope, "logRecords"):
                try:
                    yield _log(item, name, version, resource)
                except RejectedError as why:
                    yield Refusal(why, resource)


def metrics(body: bytes) -> ExportMetricsServiceRequest:
    """The request as a message: metrics hold no ids but those of exemplars; raises `MalformedError`."""
    tree = _parse(body)
    for of_resource in _objects(tree, "resourceMetrics"):
        _objects(of_resource, "scopeMetrics")
    request = ExportMetricsServiceRequest()
    try:
        json_format.ParseDict(tree, request, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedError(f"the metrics cannot be read: {type(error).__name__}") from None
    return request


def _well_formed(body: bytes) -> str:
    """The text of a body without halves of surrogate pairs, which JSON can express and UTF-8 cannot."""
    text = body.decode("utf-8-sig", "replace")
    return _HALF.sub(r"\\ufffd", text) if "\\ud" in text or "\\uD" in text else text


def _parse(body: bytes) -> Object:
    if len(body) > MAX_VALUES and sum(map(body.count, (b"{", b"[", b","))) > MAX_VALUES:
        raise TooManyError(f"the body holds more than {MAX_VALUES} values")
    try:
        request = json.loads(_well_formed(body))
    except RecursionError:
        raise MalformedError("the JSON is nested too deeply") from None
    except ValueError:
        raise MalformedError("the body is not valid JSON") from None
    if not isinstance(request, dict):
        raise MalformedError("the body is not a JSON object")
    return request


def _list(parent: Object, name: str) -> list[object]:
    found = parent.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise MalformedError(f"{name} must be a list")
    return found


def _objects(parent: Object, name: str) -> list[Object]:
    found = _list(parent, name)
    if len(found) > MAX_GROUPS:
        raise TooManyError(f"the body holds more than {MAX_GROUPS} {name}")
    for item in found:
        if not isinstance(item, dict):
            raise MalformedError(f"{name} must hold objects")
    return found  # type: ignore[return-value]  # each was checked above


def _object(parent: Object, name: str) -> Object:
    found = parent.get(name)
    return found if isinstance(found, dict) else {}


def _text(parent: Object, name: str) -> str:
    found = parent.get(name)
    return found if isinstance(found, str) else ""


def _integer(parent: Object, name: str) -> int:
    """A 64-bit integer given as number or string; raises `RejectedError`."""
    found = parent.get(name)
    if found is None:
        return 0
    if isinstance(found, (str, int, float)) and not isinstance(found, bool) and len(str(found)[:40]) < 40:
        try:
            return int(found)
        except (ValueError, OverflowError):
            pass
    raise RejectedError(f"{name} must be an integer")


def _span(item: object, scope: str, version: str, resource: dict[str, AttributeValue]) -> Span:
    if not isinstance(item, dict):
        raise RejectedError("a span must be an object")
    start, end = interval(_integer(item, "startTimeUnixNano"), _integer(item, "endTimeUnixNano"))
    status = _object(item, "status")
    return Span(
        checked_id(_text(item, "traceId"), 32, "traceId"),
        checked_id(_text(item, "spanId"), 16, "spanId"),
        optional_id(_text(item, "parentSpanId"), 16),
        _text(item, "name"),
        start,
        end,
        _enum(item, "kind"),
        _enum(status, "code"),
        _text(status, "message"),
        _attributes(item),
        tuple(_event(event) for event in _items(item, "events")[:MAX_EVENTS] if isinstance(event, dict)),
        tuple(
            (_text(link, "traceId").lower(), _text(link, "spanId").lower())
            for link in _items(item, "links")[:MAX_LINKS]
            if isinstance(link, dict)
        ),
        scope,
        version,
        resource,
        is_sampled(_text(item, "traceState")),
    )


def _event(event: Object) -> SpanEvent:
    try:
        nanos = _integer(event, "timeUnixNano")
    except RejectedError:
        nanos = 0
    return SpanEvent(_text(event, "name"), seconds(min(max(nanos, 0), 1 << 64)), _attributes(event))


def _log(item: object, scope: str, version: str, resource: dict[str, AttributeValue]) -> LogRecord:
    if not isinstance(item, dict):
        raise RejectedError("a log record must be an object")
    nanos = _integer(item, "timeUnixNano") or _integer(item, "observedTimeUnixNano")
    if not 0 <= nanos < 1 << 64:
        raise RejectedError("a time is out of range")
    return LogRecord(
        _text(item, "eventName"),
        seconds(nanos),
        optional_id(_text(item, "traceId"), 32),
        optional_id(_text(item, "spanId"), 16),
        _enum(item, "severityNumber"),
        _value(item.get("body"), 0),
        _attributes(item),
        scope,
        version,
        resource,
    )


def _enum(parent: Object, name: str) -> int:
    found = parent.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 31 else 0


def _items(parent: Object, name: str) -> list[object]:
    found = parent.get(name)
    return found if isinstance(found, list) else []


def _attributes(parent: Object) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for pair in _items(parent, "attributes")[:MAX_ATTRIBUTES]:
        if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
            found[key] = _value(pair.get("value"), 0)
    return found


def _value(value: object, depth: int) -> AttributeValue:
    """An AnyValue; one that is not valid, or too deep, is ``None``."""
    if not isinstance(value, dict) or depth >= MAX_DEPTH:
        return None
    if isinstance(text := value.get("stringValue"), str):
        return text
    if isinstance(flag := value.get("boolValue"), bool):
        return flag
    if value.get("intValue") is not None:
        try:
            return _integer(value, "intValue")
        except RejectedError:
            return None
    if (number := value.get("doubleValue")) is not None:
        return _double(number)
    if isinstance(array := value.get("arrayValue"), dict):
        return [_value(member, depth + 1) for member in _items(array, "values")]
    if isinstance(pairs := value.get("kvlistValue"), dict):
        members = [pair for pair in _items(pairs, "values") if isinstance(pair, dict)]
        return {_text(pair, "key"): _value(pair.get("value"), depth + 1) for pair in members}
    if isinstance(encoded := value.get("bytesValue"), str):
        standard = encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4)
        try:
            return base64.b64decode(standard, validate=True)
        except (binascii.Error, ValueError):
            return None
    return None


def _double(number: object) -> float | None:
    """A double; proto3 JSON also writes it as a string, with ``NaN`` and ``Infinity`` among them."""
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        return None
    try:
        return float(number)
    except (ValueError, OverflowError):
        return None
