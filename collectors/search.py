"""Finding calls: the newest that fit, a bounded number of them looked at, and a cursor to go on from."""

import heapq
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from driftbell.collectors import rows
from driftbell.collectors.call import Call
from driftbell.collectors.query import BadQueryError

EXAMINED = 20_000
"""Calls that one search looks at; a filter that fits almost none is then told how far back it got."""
PORTION = 500
_Place = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call must have; None takes everything. ``text`` is looked for in attributes without a known meaning."""

    since: float = float("-inf")
    until: float = float("inf")
    workflow: str | None = None
    segment: str | None = None
    risk_tier: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    status: str | None = None
    user_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Calls, the newest first. ``next`` is the cursor of what is older, None when there is nothing.

    ``looked_at`` calls were examined; when that was the limit, ``back_to`` is the time of the last one.
    """

    calls: tuple[Call, ...]
    next: str | None
    looked_at: int
    back_to: float | None = None


class Slice(NamedTuple):
    """Names under which calls of a workflow have come together."""

    segment: str | None
    risk_tier: str | None
    model: str | None
    prompt_version: str | None


def slices(db: sqlite3.Connection, workflow: str) -> list[Slice]:
    """The combinations of a workflow that points were made for (a bounded number)."""
    found = db.execute(
        "SELECT segment, risk_tier, model, prompt_version FROM series "
        "WHERE workflow = (SELECT id FROM workflows WHERE name = ?) ORDER BY 1, 2, 3, 4",
        (workflow,),
    )
    return [Slice(*names) for names in found]


def search(db: sqlite3.Connection, wanted: Wanted, limit: int, cursor: str | None, most: int = EXAMINED) -> Found:
    """At most ``limit`` calls; raises `BadQueryError` when the cursor is none of ours."""
    conditions, given = _conditions(wanted)
    places = _places(db, wanted, _place(cursor))
    calls: list[Call] = []
    looked_at, last = 0, None
    while looked_at < most:
        portion = list(islice(places, min(PORTION, most - looked_at)))
        if not portion:
            return Found(tuple(calls), None, looked_at)
        at = {row: (ts, row) for ts, row in portion}
        for row, call in _fetch(db, list(at), conditions, given):
            if len(calls) == limit:
                return Found(tuple(calls), _cursor(last), looked_at)
            calls.append(call)
            last = at[row]
        looked_at += len(portion)
        if len(calls) < limit:
            last = portion[-1]
    return Found(tuple(calls), _cursor(last), looked_at, None if last is None else last[0])


def _places(db: sqlite3.Connection, wanted: Wanted, after: _Place | None) -> Iterator[_Place]:
    """Times and rows of the calls of the wanted workflows, the newest first, read as far as they are asked for."""
    if wanted.workflow is not None:
        numbers = db.execute("SELECT id FROM workflows WHERE name = ?", (wanted.workflow,)).fetchall()
    else:
        query = "SELECT id FROM workflows WHERE newest_ts >= ? AND first_ts < ?"
        numbers = db.execute(query, (wanted.since, wanted.until)).fetchall()
    where, given = "workflow = ? AND ts >= ? AND ts < ?", [wanted.since, wanted.until]
    if after is not None:
        where += " AND (ts, id) < (?, ?) AND ts <= ?"
        given += [*after, after[0]]
    query = f"SELECT ts, id FROM calls WHERE {where} ORDER BY ts DESC, id DESC"
    return heapq.merge(*(db.execute(query, (number, *given)) for (number,) in numbers), reverse=True)


def _fetch(
    db: sqlite3.Connection, ids: list[int], conditions: list[str], given: list[object]
) -> list[tuple[int, Call]]:
    where = " AND ".join(["c.id IN (SELECT value FROM json_each(?))", *conditions])
    query = f"{rows.SELECT_CALLS.replace('SELECT ', 'SELECT c.id, ', 1)} WHERE {where} ORDER BY c.ts DESC, c.id DESC"
    found = db.execute(query, (json.dumps(ids), *given))
    return [(row[0], rows.call_of(row[1:])) for row in found]


def _conditions(wanted: Wanted) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    given: list[object] = []
    for column in ("segment", "risk_tier", "model", "prompt_version", "status"):
        value = getattr(wanted, column)
        if value is not None:
            conditions.append(f"d.{column} = ?")
            given.append(value)
    if wanted.user_id is not None:
        conditions.append("c.user_id = ?")
        given.append(wanted.user_id)
    if wanted.text is not None:
        conditions.append("a.text LIKE ? ESCAPE '\\'")
        escaped = json.dumps(wanted.text)[1:-1].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        given.append(f"%{escaped}%")
    return conditions, given


def _cursor(place: _Place | None) -> str | None:
    return None if place is None else f"{place[0]!r}~{place[1]}"


def _place(cursor: str | None) -> _Place | None:
    if cursor is None:
        return None
    try:
        ts, row = cursor.split("~")
        return float(ts), int(row)
    except ValueError:
        raise BadQueryError("cursor is not one that a previous page gave as next") from None
