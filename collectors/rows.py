"""Records as rows of the store, and back."""

import hashlib
import json
import struct
from collections.abc import Sequence
from operator import attrgetter

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker, Source

_NUMBERS = (
    *("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_usd"),
    *("latency_ms", "ttft_ms", "streamed", "attempts", "refused", "format_ok", "fallback", "citations"),
    *("retrieval_ms", "user_id", "session_id", "response_id"),
)
_FLAGS = ("streamed", "refused", "format_ok", "fallback")
_NAMES = (
    *("operation", "segment", "risk_tier", "owner", "release", "provider", "model", "prompt_name", "prompt_version"),
    *("usage_source", "cost_source", "price_version", "status", "error_type", "finish_reason", "dialect"),
)
_CALL_COLUMNS = (
    *("home", "workflow", "dimensions", "ts", *_NUMBERS),
    *("trace_id", "span_id", "sources", "attributes"),
)
_numbers = attrgetter(*_NUMBERS)
_names = attrgetter(*_NAMES)


def _insert(table: str, columns: Sequence[str], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CALL = _insert("calls", _CALL_COLUMNS)
INSERT_DIMENSIONS = _insert("dimensions", ("id", *_NAMES), "INSERT OR IGNORE")
SELECT_CALLS = (
    f"SELECT w.name, c.ts, {', '.join('d.' + n for n in _NAMES)}, {', '.join('c.' + n for n in _NUMBERS)}, "
    "c.trace_id, c.span_id, c.sources, c.attributes "
    "FROM calls c JOIN dimensions d ON d.id = c.dimensions JOIN workflows w ON w.id = c.workflow "
)

_JUDGEMENT = (
    *("segment", "risk_tier", "model", "prompt_version", "override", "edit_distance", "review_ms", "feedback"),
    *("evaluation", "score", "label", "outcome", "call_trace_id", "call_span_id", "response_id"),
)
INSERT_JUDGEMENT = _insert("judgements", ("id", "home", "ts", "workflow", *_JUDGEMENT), "INSERT OR REPLACE")
SELECT_JUDGEMENTS = (
    f"SELECT j.ts, w.name, {', '.join('j.' + n for n in _JUDGEMENT)}, coalesce(j.id, '') "
    "FROM judgements j LEFT JOIN workflows w ON w.id = j.workflow "
)
_judgement = attrgetter(*_JUDGEMENT)

_TASK = ("id", "home", "ts", "workflow", "segment", "risk_tier", "user_id")
INSERT_TASK = _insert("manual_tasks", _TASK, "INSERT OR REPLACE")
SELECT_TASKS = (
    "SELECT t.ts, w.name, t.segment, t.risk_tier, t.user_id, coalesce(t.id, '') "
    "FROM manual_tasks t JOIN workflows w ON w.id = t.workflow "
)
INSERT_MARKER = _insert("markers", ("id", "home", "ts", "workflow", "kind", "value", "text"), "INSERT OR REPLACE")
SELECT_MARKERS = "SELECT ts, kind, workflow, value, text, coalesce(id, '') FROM markers "

Row = tuple[object, ...]


def digest(text: str) -> int:
    """A 64-bit signed digest, the form in which the store keeps keys."""
    return int(struct.unpack(">q", hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())[0])


def trace_key(trace_id: str) -> int:
    """The last 64 bits of a hex trace id, signed (the first may be a timestamp or zero)."""
    low = int(trace_id[-16:], 16)
    return low - (1 << 64) if low >= 1 << 63 else low


def call_names(call: Call) -> tuple[str | None, ...]:
    """The repeating names of a call."""
    return _names(call)


def names_id(names: tuple[str | None, ...]) -> int:
    """The id under which ``names`` are kept."""
    return digest(json.dumps(names))


def call_row(call: Call, home: int | None, workflow: int, dimensions: int) -> Row:
    """The parameters of `INSERT_CALL`."""
    return (
        *(home, workflow, dimensions, call.ts),
        *_numbers(call),
        bytes.fromhex(call.trace_id),
        bytes.fromhex(call.span_id),
        None if call.sources is None else _dump([[s.id, s.score, s.age_days] for s in call.sources]),
        _dump(call.attributes) if call.attributes else None,
    )


def call_of(row: Row) -> Call:
    """Inverse of `call_row`, from a row of `SELECT_CALLS`."""
    workflow, ts, *rest = row
    fields: dict[str, object] = dict(zip(_NAMES + _NUMBERS, rest, strict=False))
    for flag in _FLAGS:
        if fields[flag] is not None:
            fields[flag] = bool(fields[flag])
    trace_id, span_id, sources, attributes = rest[-4:]
    if sources is not None:
        fields["sources"] = tuple(Source(*s) for s in json.loads(str(sources)))
    if attributes is not None:
        fields["attributes"] = json.loads(str(attributes))
    return Call(ts, workflow, trace_id=_hex(trace_id), span_id=_hex(span_id), **fields)  # type: ignore[arg-type]


def judgement_row(judgement: Judgement, home: int | None, workflow: int | None) -> Row:
    """The parameters of `INSERT_JUDGEMENT`."""
    return (judgement.id or None, home, judgement.ts, workflow, *_judgement(judgement))


def judgement_of(row: Row) -> Judgement:
    """A judgement from a row of `SELECT_JUDGEMENTS`."""
    return Judgement(*row)  # type: ignore[arg-type]  # columns in the order of the fields


def task_row(task: ManualTask, home: int | None, workflow: int) -> Row:
    """The parameters of `INSERT_TASK`."""
    return (task.id or None, home, task.ts, workflow, task.segment, task.risk_tier, task.user_id)


def task_of(row: Row) -> ManualTask:
    """A manual task from a row of `SELECT_TASKS`."""
    return ManualTask(*row)  # type: ignore[arg-type]  # columns in the order of the fields


def marker_row(marker: Marker, home: int | None) -> Row:
    """The parameters of `INSERT_MARKER`."""
    return (marker.id or None, home, marker.ts, marker.workflow, marker.kind, marker.value, marker.text)


def marker_of(row: Row) -> Marker:
    """A marker from a row of `SELECT_MARKERS`."""
    return Marker(*row)  # type: ignore[arg-type]  # columns in the order of the fields


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ""
