"""Copying what one SQLite file holds into ClickHouse, in portions that may be repeated.

Rows are known by what they are, so that a portion that is copied twice is there once; how far it got is told in
ClickHouse, and copying again goes on from there.
"""

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from driftbell.collectors import rows
from driftbell.collectors.call import Call
from driftbell.collectors.chunk import text_of, unpack
from driftbell.collectors.clickhouse import points, records, registry
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.records import Kind, Place, Record
from driftbell.collectors.clickhouse.registry import Known
from driftbell.collectors.connect import link_numbers
from driftbell.collectors.links import DETAIL
from driftbell.collectors.reading import Reading
from driftbell.collectors.refresh import DAY, HOUR, load
from driftbell.collectors.rollup import MINUTE, minute_of
from driftbell.collectors.workflows import Workflow

PORTION = 5000
CHUNKS = 200
INTERVALS = 500
VERSION = 1
"""What is copied gives way to whatever is told later."""
FINISHED = "copied"
_RESOLUTIONS = (MINUTE, HOUR, DAY)
_SELECT = {
    "calls": rows.SELECT_CALLS.replace("SELECT ", "SELECT c.id, c.home, ", 1) + "WHERE c.id > ? ORDER BY c.id LIMIT ?",
    "judgements": rows.SELECT_JUDGEMENTS.replace("SELECT ", "SELECT j.row, j.home, ", 1)
    + "WHERE j.row > ? ORDER BY j.row LIMIT ?",
    "manual_tasks": rows.SELECT_TASKS.replace("SELECT ", "SELECT t.row, t.home, ", 1)
    + "WHERE t.row > ? ORDER BY t.row LIMIT ?",
    "markers": rows.SELECT_MARKERS.replace("SELECT ", "SELECT row, home, ", 1) + "WHERE row > ? ORDER BY row LIMIT ?",
}
_STARTS = "SELECT DISTINCT start FROM points WHERE resolution = ? AND workflow = ? AND start > ? ORDER BY 1 LIMIT ?"
_READ: dict[str, Callable[[Any], Record]] = {
    "calls": rows.call_of,
    "judgements": rows.judgement_of,
    "manual_tasks": rows.task_of,
    "markers": rows.marker_of,
}
_KINDS: tuple[Kind, ...] = ("calls", "judgements", "manual_tasks", "markers")


@dataclass(frozen=True, slots=True)
class Copied:
    """``done`` of ``total`` rows of what is called ``name``."""

    name: str
    done: int
    total: int


class Copier:
    """Copies from the file behind ``db`` (all of whose points are up to date) to ``client``."""

    def __init__(self, db: sqlite3.Connection, client: Client, now: float) -> None:
        self._db = db
        self._client = client
        self._now = now

    @property
    def begun(self) -> bool:
        """Whether a copy into this database was begun before."""
        return bool(self._client.query("SELECT 1 FROM progress WHERE startsWith(name, 'copied') LIMIT 1"))

    def run(self) -> Iterator[Copied]:
        """Copy everything that is not copied yet; raises `StoreUnavailableError`."""
        self._mark(f"{FINISHED}/begun", 1.0)
        yield from self._spans()
        for kind in _KINDS:
            yield from self._records(kind)
        yield from self._points()
        self._small()
        self._mark(FINISHED, self._now)

    def _spans(self) -> Iterator[Copied]:
        total, last = self._size("chunks"), self._position("chunks")
        query = "SELECT id, received, data FROM chunks WHERE id > ? ORDER BY id LIMIT ?"
        while found := self._db.execute(query, (last, CHUNKS)).fetchall():
            held: dict[tuple[int, float], list[Reading]] = defaultdict(list)
            for _, received, data in found:
                for reading in unpack(self._db, data):
                    held[rows.trace_key(reading.trace_id), received].append(reading)
            links = {
                (key, trace, at) for (trace, at), readings in held.items() for r in readings for key in link_numbers(r)
            }
            tied = [(key & ~DETAIL, key, trace, at) for key, trace, at in sorted(links)]
            texts = [(trace, at, text_of(readings)) for (trace, at), readings in held.items()]
            self._client.insert("links", ("base", "key", "trace", "received"), tied)
            parts = [(trace, rows.digest(text), at, "", text) for trace, at, text in texts]
            self._client.insert("spans", ("trace", "part", "received", "service", "data"), parts)
            last = self._mark("chunks", found[-1][0])
            yield Copied("spans", self._size("chunks", last), total)

    def _records(self, kind: Kind) -> Iterator[Copied]:
        total, last = self._size(kind), self._position(kind)
        while found := self._db.execute(_SELECT[kind], (last, PORTION)).fetchall():
            given, told = [], []
            for number, home, *row in found:
                record = _READ[kind](row)
                place, at = _place(kind, number, home, record)
                given.append(records.row_of(place, record, at, record.ts, VERSION))
                if at:
                    told.append((at, kind, place.workflow, place.minute, place.key, record.ts))
            self._client.insert("told", ("home", "kind", "workflow", "minute", "key", "received"), told)
            self._client.insert(kind, records.columns(kind), given)
            last = self._mark(kind, found[-1][0])
            yield Copied(kind, self._size(kind, last), total)

    def _points(self) -> Iterator[Copied]:
        pairs = [
            (r, *each) for r in _RESOLUTIONS for each in self._db.execute("SELECT id, name FROM workflows ORDER BY id")
        ]
        for at, (resolution, number, name) in enumerate(pairs, 1):
            last = self._position(f"points/{resolution}/{name}")
            while starts := self._db.execute(_STARTS, (resolution, number, last, INTERVALS)).fetchall():
                until = starts[-1][0]
                made: dict[int, list[Any]] = {start: [] for (start,) in starts}
                for point in load(self._db, resolution, number, starts[0][0], until + 1):
                    made[point.key.minute].append(point)
                placed = [((resolution, name, start), found) for start, found in made.items()]
                points.replace_all(self._client, placed, VERSION)
                last = self._mark(f"points/{resolution}/{name}", until)
            yield Copied("points", at, len(pairs))

    def _small(self) -> None:
        """Workflows, names of series, first appearances and trust."""
        known = self._db.execute(
            "SELECT name, owner, risk_tier, first_ts, newest_ts, received, calls_purged, minutes_purged FROM workflows"
        )
        registry.save_all(self._client, [Known(Workflow(*row[:6]), *row[6:]) for row in known], VERSION)
        names = self._db.execute(
            "SELECT w.name, s.segment, s.risk_tier, s.model, s.prompt_version "
            "FROM series s JOIN workflows w ON w.id = s.workflow"
        )
        self._client.insert("series", ("workflow", "names"), [(name, json.dumps(slice_)) for name, *slice_ in names])
        firsts = self._db.execute(
            "SELECT w.name, f.kind, f.value, f.ts FROM firsts f JOIN workflows w ON w.id = f.workflow"
        )
        self._client.insert("firsts", ("workflow", "kind", "value", "ts"), firsts.fetchall())
        trust = self._db.execute("SELECT minute, service, counter, value, 0, minute FROM trust")
        columns = ("minute", "service", "counter", "value", "portion", "received")
        self._client.insert("trust", columns, trust.fetchall())

    def _size(self, table: str, last: float | None = None) -> int:
        key = "id" if table in {"chunks", "calls"} else "row"
        query = f"SELECT count(*) FROM {table} WHERE {key} <= ?"
        return int(self._db.execute(query, (math.inf if last is None else last,)).fetchone()[0])

    def _position(self, name: str) -> float:
        given = {"name": f"{FINISHED}/{name}"}
        found = self._client.query("SELECT max(at), count() FROM progress WHERE name = {name:String}", given)
        return float(found[0][0]) if found[0][1] else -1.0

    def _mark(self, name: str, at: float) -> float:
        full = name if name.startswith(FINISHED) else f"{FINISHED}/{name}"
        self._client.insert("progress", ("name", "at"), [(full, float(at))])
        return at


def _place(kind: Kind, number: int, home: int | None, record: Record) -> tuple[Place, int]:
    """Where a row is kept, and the trace it was read from (0: none), as `interpret` would have it."""
    name = f"{record.trace_id}{record.span_id}" if isinstance(record, Call) else record.id
    key = rows.digest(name or f"{kind} {number}")
    at = 0 if home is None else rows.trace_key(record.trace_id) if isinstance(record, Call) else home
    return Place(kind, record.workflow or records.NOWHERE, minute_of(record.ts), key), at


def differences(named: Sequence[str], one: Any, other: Any) -> list[str]:
    """What two stores tell differently about the workflows ``named``, in sentences; at most ten."""
    found: list[str] = []
    for workflow in named:
        for what, ask in _QUESTIONS.items():
            first, second = ask(one, workflow), ask(other, workflow)
            if first != second:
                found.append(f"{workflow}: {what} {first} here, {second} in ClickHouse")
    return found[:10]


_EVER = (-1e12, 1e12)
_QUESTIONS: dict[str, Callable[[Any, str], object]] = {
    "judgements": lambda store, name: len(store.judgements(name, *_EVER)),
    "manual tasks": lambda store, name: len(store.manual_tasks(name, *_EVER)),
    "minutes": lambda store, name: store.held(name, *_EVER, "minute"),
    "hours": lambda store, name: store.held(name, *_EVER, "hour"),
    "days": lambda store, name: store.held(name, *_EVER, "day"),
}
