"""Records as rows of the store, and back."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker, Source, Status, UsageSource

_NAMES = (
    *("operation", "segment", "risk_tier", "owner", "release", "provider", "model", "prompt_name", "prompt_version"),
    *("usage_source", "cost_source", "price_version", "status", "error_type", "finish_reason", "dialect"),
)
_CALL = [each.name for each in fields(Call)]
_APART = ("workflow", "sources", "trace_id", "span_id", "attributes")
_PLAIN = [name for name in _CALL if name not in _NAMES and name not in _APART]
CALL_COLUMNS = ("home", "workflow", "dimensions", "attributes", "sources", "trace_id", "span_id", *_PLAIN)
SPAN_ID = CALL_COLUMNS.index("span_id")
"""Where a row of a call has its span id."""
_SOURCES, _ATTRIBUTES = _CALL.index("sources"), _CALL.index("attributes")
_FLAGS = tuple(_CALL.index(name) for name in ("streamed", "refused", "format_ok", "fallback"))
_IDS = (_CALL.index("trace_id"), _CALL.index("span_id"))
MEASURED = (
    *("ts", "dimensions", "user_id", "attempts", "fallback", "cost_usd", "input_tokens", "cached_tokens"),
    *("output_tokens", "refused", "format_ok", "ttft_ms", "latency_ms", "retrieval_ms", "citations", "sources"),
)
DIMENSIONS = MEASURED.index("dimensions")
_plain = attrgetter(*_PLAIN)
_names = attrgetter(*_NAMES)


def _insert(table: str, columns: Sequence[str], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _select_calls(apart: dict[str, str]) -> str:
    columns = [apart.get(name) or f"{'d' if name in _NAMES else 'c'}.{name}" for name in _CALL]
    return (
        f"SELECT {', '.join(columns)} FROM calls c JOIN dimensions d ON d.id = c.dimensions "
        "JOIN workflows w ON w.id = c.workflow "
    )


INSERT_CALL = _insert("calls", CALL_COLUMNS)
RARE = frozenset(
    {"sources", "cache_write_tokens", "reasoning_tokens", "ttft_ms", "refused", "format_ok", "fallback", "citations"}
    | {"retrieval_ms"}
)
_COMMON = [at for at, name in enumerate(CALL_COLUMNS) if name not in RARE]
INSERT_COMMON_CALL = _insert("calls", [CALL_COLUMNS[at] for at in _COMMON])
"""`INSERT_CALL` for calls without any of the columns `RARE`, which takes two thirds of the time."""
common = itemgetter(*_COMMON)
"""The parameters of `INSERT_COMMON_CALL` from those of `INSERT_CALL`."""
INSERT_DIMENSIONS = _insert("dimensions", ("id", *_NAMES), "INSERT OR IGNORE")
INSERT_ATTRIBUTES = _insert("attributes", ("id", "text"), "INSERT OR IGNORE")
SELECT_CALLS = (
    _select_calls({"workflow": "w.name", "attributes": "a.text"}) + "LEFT JOIN attributes a ON a.id = c.attributes "
)
SELECT_MEASURED = f"SELECT {', '.join(MEASURED)} FROM calls "
"""What of a call the measures need beside `told_of`; a join would take as long again."""

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


class Measured(NamedTuple):
    """A call as far as measures are taken of it; the fields are those of `Call`."""

    ts: float
    workflow: str
    segment: str | None
    risk_tier: str | None
    model: str | None
    prompt_version: str | None
    user_id: str | None
    status: Status
    attempts: int
    fallback: bool | None
    usage_source: UsageSource
    cost_usd: float | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    dialect: str | None
    refused: bool | None
    format_ok: bool | None
    finish_reason: str | None
    ttft_ms: float | None
    latency_ms: float | None
    retrieval_ms: float | None
    citations: int | None
    sources: tuple[Source, ...] | None


class Told(NamedTuple):
    """The names of a call that measures depend on, as the store keeps them apart."""

    segment: str | None
    risk_tier: str | None
    model: str | None
    prompt_version: str | None
    status: Status
    usage_source: UsageSource
    dialect: str | None
    finish_reason: str | None


def told_of(db: sqlite3.Connection, calls: Sequence[tuple[Any, ...]]) -> dict[int, Told]:
    """The names of rows of `SELECT_MEASURED`, by the number of their dimensions."""
    query = f"SELECT id, {', '.join(Told._fields)} FROM dimensions WHERE id IN (SELECT value FROM json_each(?))"
    numbers = json.dumps(list({row[DIMENSIONS] for row in calls}))
    return {number: Told(*names) for number, *names in db.execute(query, (numbers,))}


def measured_of(row: tuple[Any, ...], workflow: str, told: Told) -> Measured:
    """A call from a row of `SELECT_MEASURED`."""
    given = dict(zip(MEASURED, row, strict=True))
    sources = given.pop("sources")
    del given["dimensions"]
    parsed = None if sources is None else tuple(Source(*source) for source in json.loads(sources))
    return Measured(workflow=workflow, sources=parsed, **given, **told._asdict())


def digest(text: str) -> int:
    """A 64-bit signed digest, the form in which the store keeps keys."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


def trace_key(trace_id: str) -> int:
    """The last 64 bits of a hex trace id, signed (the first may be a timestamp or zero)."""
    return signed(int(trace_id[-16:], 16))


def signed(number: int) -> int:
    """64 bits as a signed number, the form in which the store keeps keys."""
    return number - (1 << 64) if number >= 1 << 63 else number


def call_names(call: Call) -> tuple[str | None, ...]:
    """The repeating names of a call."""
    return _names(call)


def names_id(names: tuple[str | None, ...]) -> int:
    """The id under which ``names`` are kept."""
    return digest(json.dumps(names))


def attributes_text(attributes: dict[str, object]) -> str:
    """The attributes of a call as they are kept."""
    return _dump(attributes)


def call_row(call: Call, home: int | None, workflow: int, dimensions: int, attributes: int | None) -> Row:
    """The parameters of `INSERT_CALL`."""
    return (
        *(home, workflow, dimensions, attributes),
        None if call.sources is None else _dump([[s.id, s.score, s.age_days] for s in call.sources]),
        bytes.fromhex(call.trace_id),
        bytes.fromhex(call.span_id),
        *_plain(call),
    )


def call_of(row: Row) -> Call:
    """Inverse of `call_row`, from a row of `SELECT_CALLS`."""
    given: list[Any] = list(row)
    for at in _FLAGS:
        if given[at] is not None:
            given[at] = bool(given[at])
    for at in _IDS:
        given[at] = given[at].hex()
    if given[_SOURCES] is not None:
        given[_SOURCES] = tuple(Source(*source) for source in json.loads(given[_SOURCES]))
    given[_ATTRIBUTES] = {} if given[_ATTRIBUTES] is None else json.loads(given[_ATTRIBUTES])
    return Call(*given)


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
