"""What the store answers: calls in pages, sums of usage, judgements, manual tasks and markers."""

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from driftbell.collectors import rows
from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.firsts import load_firsts

GROUPINGS = {
    "workflow": "w.name",
    **{
        name: f"d.{name}"
        for name in (
            *("segment", "risk_tier", "owner", "release", "provider", "model", "operation", "prompt_name"),
            *("prompt_version", "status", "error_type", "usage_source", "cost_source", "dialect"),
        )
    },
}
"""What usage can be grouped by, and where it is kept."""
_Position = tuple[float, bytes, bytes]
_order = attrgetter("ts", "trace_id", "span_id")


class BadQueryError(ValueError):
    """The question cannot be answered as it was put; the message says what to change."""


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls in order of time, and the cursor of the next page (None at the end)."""

    calls: tuple[Call, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the calls of one group; a sum with no known member is None. ``cost_usd`` leaves out unpriced calls."""

    group: dict[str, str | None]
    calls: int
    errors: int
    attempts: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    unpriced_calls: int


def call_page(
    db: sqlite3.Connection, workflow: str | None, since: float, until: float, limit: int, cursor: str | None
) -> CallPage:
    """At most ``limit`` calls that ended in ``[since, until)``, after ``cursor``."""
    after = _position(cursor)
    names = [workflow] if workflow is not None else [name for (name,) in db.execute("SELECT name FROM workflows")]
    streams = [_calls(db, name, since, until, after, limit + 1) for name in names]
    found = tuple(islice(heapq.merge(*streams, key=_order), limit + 1))
    if len(found) <= limit:
        return CallPage(found, None)
    last = found[limit - 1]
    return CallPage(found[:limit], f"{last.ts!r}~{last.trace_id}~{last.span_id}")


def _calls(
    db: sqlite3.Connection, workflow: str, since: float, until: float, after: _Position | None, limit: int
) -> Iterator[Call]:
    where = "WHERE c.workflow = (SELECT id FROM workflows WHERE name = ?) AND c.ts >= ? AND c.ts < ? "
    given: list[object] = [workflow, since, until]
    if after is not None:
        where += "AND c.ts >= ? AND (c.ts, c.trace_id, c.span_id) > (?, ?, ?) "
        given += [after[0], *after]
    query = f"{rows.SELECT_CALLS} {where} ORDER BY c.ts, c.trace_id, c.span_id LIMIT ?"
    return map(rows.call_of, db.execute(query, (*given, limit)).fetchall())


def _position(cursor: str | None) -> _Position | None:
    if cursor is None:
        return None
    try:
        ts, trace_id, span_id = cursor.split("~")
        return float(ts), bytes.fromhex(trace_id), bytes.fromhex(span_id)
    except ValueError:
        raise BadQueryError("cursor is not one that a previous page gave as next") from None


def usage(db: sqlite3.Connection, group_by: Sequence[str], since: float, until: float) -> list[Usage]:
    """Usage of the calls that ended in ``[since, until)``, most calls first."""
    unknown = [name for name in group_by if name not in GROUPINGS]
    if unknown:
        raise BadQueryError(f"cannot group by {unknown[0][:40]!r}; use any of {', '.join(GROUPINGS)}")
    names = list(dict.fromkeys(group_by))
    columns = "".join(f"{GROUPINGS[name]}, " for name in names)
    grouping = "GROUP BY " + ", ".join(str(i + 1) for i in range(len(names))) if names else ""
    # Summed by what is stored before names are looked up; CROSS keeps workflows outside, so that the index is used.
    found = db.execute(
        "WITH sums AS (SELECT c.workflow, c.dimensions, count(*) AS calls, sum(c.attempts) AS attempts, "
        "sum(c.input_tokens) AS given, sum(c.cached_tokens) AS cached, sum(c.output_tokens) AS made, "
        "sum(c.cost_usd) AS cost, sum(c.cost_usd IS NULL) AS unpriced "
        "FROM workflows w CROSS JOIN calls c ON c.workflow = w.id WHERE c.ts >= ? AND c.ts < ? GROUP BY 1, 2) "
        f"SELECT {columns} sum(calls), sum(calls * (d.status IN ('error', 'timeout', 'rate_limited'))), sum(attempts), "
        "sum(given), sum(cached), sum(made), sum(cost), sum(unpriced) "
        "FROM sums s JOIN workflows w ON w.id = s.workflow JOIN dimensions d ON d.id = s.dimensions "
        f"{grouping} HAVING sum(calls) > 0 ORDER BY sum(calls) DESC, 1",
        (since, until),
    )
    size = len(names)
    return [Usage(dict(zip(names, row[:size], strict=True)), *row[size:]) for row in found]


def judgements(db: sqlite3.Connection, workflow: str, since: float, until: float) -> list[Judgement]:
    """The judgements of a workflow that were given in ``[since, until)``, by time."""
    query = rows.SELECT_JUDGEMENTS + "WHERE w.name = ? AND j.ts >= ? AND j.ts < ? ORDER BY j.ts, j.id"
    return list(map(rows.judgement_of, db.execute(query, (workflow, since, until))))


def manual_tasks(db: sqlite3.Connection, workflow: str, since: float, until: float) -> list[ManualTask]:
    """The tasks of a workflow that were done without the AI in ``[since, until)``, by time."""
    query = rows.SELECT_TASKS + "WHERE w.name = ? AND t.ts >= ? AND t.ts < ? ORDER BY t.ts, t.id"
    return list(map(rows.task_of, db.execute(query, (workflow, since, until))))


def markers(db: sqlite3.Connection, workflow: str | None, since: float, until: float) -> list[Marker]:
    """The markers in ``[since, until)``, by time; with a workflow, those of it and those of no workflow.

    A value that appears in the calls for the first time is a marker too, unless the same was announced.
    """
    query = rows.SELECT_MARKERS + (
        "WHERE ts >= ? AND ts < ? AND (?3 IS NULL OR workflow IS NULL OR workflow = ?3) ORDER BY ts, row"
    )
    sent = list(map(rows.marker_of, db.execute(query, (since, until, workflow))))
    announced = {(marker.kind, marker.workflow, marker.value) for marker in sent}
    seen = [m for m in load_firsts(db, workflow, since, until) if (m.kind, m.workflow, m.value) not in announced]
    return sorted([*sent, *seen], key=lambda marker: (marker.ts, marker.id))
