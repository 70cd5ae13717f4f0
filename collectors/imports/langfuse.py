"""Rows of Langfuse exports -> spans in Langfuse's own dialect, which the receiver reads.

Observations, traces and scores come from the API (camelCase, also nested: a trace with ``observations`` and
``scores``), from the exports of the UI and to blob storage (snake_case), as JSON, JSON Lines, CSV or Parquet. Inputs
and outputs are left out. Field names: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from driftbell.collectors.imports.spans import (
    OURS,
    BadRowError,
    digest,
    epoch,
    epoch_if,
    mapping,
    span_id,
    text,
    trace_id,
)
from driftbell.collectors.span import AttributeValue, Span
from driftbell.monitor import attributes as own

SCOPE = "langfuse-sdk"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_langfuse(fields: Mapping[str, Any]) -> bool:
    """Whether a row is an observation, a trace or a score of Langfuse."""
    names = {_snake(name) for name in fields}
    observation = {"id", "type", "start_time"} <= names and bool({"trace_id", "model", "level"} & names)
    score = {"id", "name", "value", "trace_id"} <= names
    trace = {"id", "timestamp"} <= names and bool({"session_id", "user_id", "observations", "html_path"} & names)
    return observation or score or trace


def spans(given: Mapping[str, Any]) -> Iterator[Span]:
    """The spans of one row; raises `BadRowError`."""
    fields = {_snake(name): value for name, value in given.items()}
    if "start_time" in fields:
        yield _observation(fields)
    elif "value" in fields or "string_value" in fields:
        yield _score(fields)
    elif "timestamp" in fields:
        yield _trace(fields)
        for name, read in (("observations", _observation), ("scores", _score)):
            for inner in fields.get(name) or ():
                if isinstance(inner, dict):  # elsewhere these are ids of rows of their own
                    yield read({**_of_trace(fields), **{_snake(key): value for key, value in inner.items()}})
    else:
        raise BadRowError("neither an observation, nor a trace, nor a score")


def _of_trace(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an observation inside a trace inherits."""
    return {
        "trace_id": fields.get("id"),
        "trace_name": fields.get("name"),
        "user_id": fields.get("user_id"),
        "session_id": fields.get("session_id"),
        "timestamp": fields.get("timestamp"),
    }


def _observation(fields: Mapping[str, Any]) -> Span:
    start = epoch(fields.get("start_time"), "start_time")
    end = epoch_if(fields.get("end_time"), "end_time")
    trace = trace_id(fields.get("trace_id"))
    parent = text(fields.get("parent_observation_id"))
    failed = text(fields.get("level")) == "ERROR"
    return Span(
        trace_id=trace,
        span_id=span_id(fields.get("id")),
        parent_id=span_id(parent) if parent else _root(trace),
        name=text(fields.get("name")) or "observation",
        start=start,
        end=max(start, start if end is None else end),
        status=2 if failed else 0,
        status_message=(text(fields.get("status_message")) or "") if failed else "",
        attributes={name: value for name, value in _attributes(fields).items() if value is not None},
        scope=SCOPE,
    )


def _attributes(fields: Mapping[str, Any]) -> dict[str, AttributeValue]:
    metadata = mapping(fields.get("metadata"))
    version = text(fields.get("prompt_version"))
    first = epoch_if(fields.get("completion_start_time"), "completion_start_time")
    return {
        "langfuse.observation.type": (text(fields.get("type")) or "").lower(),
        "langfuse.observation.model.name": text(fields.get("provided_model_name")) or text(fields.get("model")),
        "langfuse.observation.usage_details": _json(_usage(fields)),
        "langfuse.observation.cost_details": _json(_cost(fields)),
        "langfuse.observation.completion_start_time": None if first is None else str(fields["completion_start_time"]),
        "langfuse.observation.level": text(fields.get("level")),
        "langfuse.observation.prompt.name": text(fields.get("prompt_name")),
        "langfuse.observation.prompt.version": version and version.removesuffix(".0"),
        "langfuse.trace.name": text(fields.get("trace_name")),
        "langfuse.user.id": text(fields.get("user_id")),
        "langfuse.session.id": text(fields.get("session_id")),
        **{f"driftbell.{name}": text(metadata.get(name, metadata.get(f"driftbell.{name}"))) for name in OURS},
    }


def _usage(fields: Mapping[str, Any]) -> dict[str, int]:
    """Tokens per kind; an export of the UI has them in columns, older versions in ``usage``."""
    told = mapping(fields.get("usage_details")) or mapping(fields.get("usage"))
    found = {_snake(str(kind)): int(n) for kind, n in told.items() if isinstance(n, int | float) and n >= 0}
    for kind, names in (
        ("input", ("input_tokens", "input_usage", "prompt_tokens")),
        ("output", ("output_tokens", "output_usage", "completion_tokens")),
    ):
        columns = (fields.get(name, found.get(name)) for name in names)
        count = next((n for n in columns if isinstance(n, int | float) and not isinstance(n, bool)), None)
        if kind not in found and count is not None:
            found[kind] = int(count)
    return found


def _cost(fields: Mapping[str, Any]) -> dict[str, float]:
    told = mapping(fields.get("cost_details"))
    found = {str(kind): float(usd) for kind, usd in told.items() if isinstance(usd, int | float)}
    total = fields.get("total_cost", fields.get("calculated_total_cost"))
    if "total" not in found and isinstance(total, int | float) and total > 0:
        found["total"] = float(total)
    return found


def _trace(fields: Mapping[str, Any]) -> Span:
    at = epoch(fields.get("timestamp"), "timestamp")
    trace = trace_id(fields.get("id"))
    given = {
        "langfuse.trace.name": text(fields.get("name")),
        "langfuse.user.id": text(fields.get("user_id")),
        "langfuse.session.id": text(fields.get("session_id")),
    }
    attributes = {name: value for name, value in given.items() if value is not None}
    name = text(fields.get("name")) or "trace"
    return Span(trace, _root(trace), "", name, at, at, attributes=attributes, scope=SCOPE)


def _score(fields: Mapping[str, Any]) -> Span:
    """A score as an evaluation of the call; only scores from 0 to 1 can be compared over time."""
    value, name = fields.get("value"), text(fields.get("name"))
    if name is None:
        raise BadRowError("the score has no name")
    number = float(value) if isinstance(value, int | float) else None
    if number is not None and not 0 <= number <= 1:
        raise BadRowError(f"the score {name[:60]!r} is not from 0 to 1")
    label = text(value) if number is None else text(fields.get("string_value"))
    at = epoch(fields.get("timestamp") or fields.get("created_at"), "timestamp")
    call = text(fields.get("observation_id"))
    trace = trace_id(fields.get("trace_id"))
    given = {
        own.CALL_TRACE_ID: trace,
        own.CALL_SPAN_ID: span_id(call) if call else None,
        own.EVALUATION_NAME: name,
        own.EVALUATION_SCORE: number,
        own.EVALUATION_LABEL: label,
    }
    attributes = {key: each for key, each in given.items() if each is not None}
    ident = span_id(digest(f"score {fields.get('id')}", 8))
    return Span(trace, ident, "", own.EVALUATION_SPAN, at, at, attributes=attributes, scope=own.SCOPE)


def _root(trace: str) -> str:
    return digest(f"trace {trace}", 8)


def _json(given: dict[str, Any]) -> str | None:
    return json.dumps(given) if given else None


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower().replace(" ", "_")
