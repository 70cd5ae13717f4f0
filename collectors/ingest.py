"""One group of requests into the store: connect, interpret, and write in one transaction."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from driftbell.collectors import rows
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.collectors.chunk import CHUNK_READINGS, pack
from driftbell.collectors.connect import Connection, connect
from driftbell.collectors.firsts import First, firsts_of, save_firsts
from driftbell.collectors.merge import Interpreted, combine
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.reading import Reading, reading_of
from driftbell.collectors.refresh import mark
from driftbell.collectors.rollup import MINUTE, minute_of
from driftbell.collectors.trust import UNKNOWN, Counters, count_calls, count_span, save_counters, service_of
from driftbell.collectors.workflows import Workflows

DIMENSIONS_REMEMBERED = 20_000
_NEVER, _FOREVER = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch with its spans read, which needs no lock."""

    batch: Batch
    readings: Sequence[Reading]
    counters: Counters


def prepare(batch: Batch, now: float) -> Prepared:
    """Read the spans of a batch that was received at ``now``."""
    counters: Counters = Counter()
    if batch.rejected:
        counters[batch.service or UNKNOWN, "rejected"] = batch.rejected
    services: dict[int, str] = {}
    readings = []
    for span in batch.spans:
        service = services.get(id(span.resource))
        if service is None:
            service = services[id(span.resource)] = service_of(span)
        count_span(counters, span, service, now)
        reading = reading_of(span, service)
        if reading is not None:
            readings.append(reading)
    return Prepared(replace(batch, spans=()), readings, counters)


@dataclass(slots=True)
class Rows:
    """Parameters of the statements of one transaction."""

    calls: list[rows.Row] = field(default_factory=list)
    dimensions: dict[int, tuple[str | None, ...]] = field(default_factory=dict)
    attributes: dict[int, str] = field(default_factory=dict)
    judgements: list[rows.Row] = field(default_factory=list)
    manual_tasks: list[rows.Row] = field(default_factory=list)
    markers: list[rows.Row] = field(default_factory=list)
    dirty: set[tuple[int, int]] = field(default_factory=set)
    firsts: list[First] = field(default_factory=list)
    noted: dict[tuple[int, int], float] = field(default_factory=dict)
    too_old: int = 0


class Ingest:
    """Writes groups of batches through one connection; the caller holds the lock of the writer."""

    def __init__(self, db: sqlite3.Connection, prices: PriceTable, workflows: Workflows) -> None:
        self.db = db
        self.prices = prices
        self._workflows = workflows
        self._known_dimensions: set[int] = set()
        self._known_attributes: set[int] = set()
        self._noted: dict[tuple[int, int], float] = {}
        self.totals: Counters = Counter()
        self._dimension_ids: dict[tuple[str | None, ...], int] = {}

    def write(self, prepared: Sequence[Prepared], now: float) -> None:
        """Store what was prepared in one transaction at ``now``; raises what SQLite raises, with nothing kept."""
        try:
            readings = [reading for one in prepared for reading in one.readings]
            connection = connect(self.db, readings) if readings else Connection()
            batches = [one.batch for one in prepared]
            counters: Counters = Counter()
            for one in prepared:
                counters.update(one.counters)
            new = Rows()
            for batch in batches:
                self._add(new, batch, None)
            for group in connection.groups:
                said = combine(group.readings, self.prices)
                self._add(new, said, min(group.traces))
                count_calls(counters, group, said.calls)
            for reading in connection.duplicates:
                counters[reading.service or UNKNOWN, "duplicated"] += 1
            counters[UNKNOWN, "too_old"] += new.too_old
            self.db.execute("BEGIN IMMEDIATE")
            self._write(batches, connection, new, now)
            counters = +counters
            save_counters(self.db, counters, now)
            self.db.execute("COMMIT")
        except BaseException:
            self._workflows.forget()
            if self.db.in_transaction:
                self.db.rollback()
            raise
        self._workflows.committed()
        self._known_dimensions.update(new.dimensions)
        if len(self._known_attributes) >= DIMENSIONS_REMEMBERED:
            self._known_attributes.clear()
        self._known_attributes.update(new.attributes)
        self._noted.update(new.noted)
        self.totals.update(counters)

    def forget_names(self) -> None:
        """Dimensions and attributes may have been deleted: write them again when they are next needed."""
        self._known_dimensions.clear()
        self._known_attributes.clear()

    def _add(self, new: Rows, said: Batch | Interpreted, home: int | None) -> None:
        """Turn records into rows. ``home`` is one of the connected traces that they were read from."""
        for call in said.calls:
            number = self._workflows.number(call.workflow)
            if call.ts < self._workflows.floors.get(number, _NEVER):
                new.too_old += 1
                continue
            self._workflows.saw_call(number, call)
            dimensions = self._dimensions(new, rows.call_names(call))
            self._first(new, number, dimensions, call)
            at = home if home is None else rows.trace_key(call.trace_id)
            new.calls.append(rows.call_row(call, at, number, dimensions, self._attributes(new, call)))
            new.dirty.add((number, minute_of(call.ts)))
        for judgement in said.judgements:
            if judgement.workflow is None:
                new.judgements.append(rows.judgement_row(judgement, home, None))
                continue
            number = self._workflows.number(judgement.workflow)
            self._workflows.saw(number, judgement.ts)
            new.dirty.add((number, minute_of(judgement.ts)))
            new.judgements.append(rows.judgement_row(judgement, home, number))
        for task in said.manual_tasks:
            number = self._workflows.number(task.workflow)
            self._workflows.saw(number, task.ts)
            new.dirty.add((number, minute_of(task.ts)))
            new.manual_tasks.append(rows.task_row(task, home, number))
        new.markers.extend(rows.marker_row(marker, home) for marker in said.markers)

    def _first(self, new: Rows, workflow: int, dimensions: int, call: Call) -> None:
        """Note values that may be new; what was noted is looked at again only for an earlier call."""
        key = (workflow, dimensions)
        if call.ts < self._noted.get(key, _FOREVER):
            new.firsts.extend(firsts_of(workflow, call))
            new.noted[key] = min(call.ts, new.noted.get(key, _FOREVER))

    def _dimensions(self, new: Rows, names: tuple[str | None, ...]) -> int:
        number = self._dimension_ids.get(names)
        if number is None:
            if len(self._dimension_ids) >= DIMENSIONS_REMEMBERED:
                self._dimension_ids.clear()
                self._known_dimensions.clear()
                self._noted.clear()
            number = self._dimension_ids[names] = rows.names_id(names)
        if number not in self._known_dimensions:
            new.dimensions[number] = names
        return number

    def _attributes(self, new: Rows, call: Call) -> int | None:
        if not call.attributes:
            return None
        number = rows.digest(repr(call.attributes))
        if number not in self._known_attributes:
            new.attributes[number] = rows.attributes_text(call)
        return number

    def _write(self, batches: Sequence[Batch], connection: Connection, new: Rows, now: float) -> None:
        db = self.db
        self._remove(connection, new)
        _write_chunks(db, connection, now)
        db.executemany(rows.INSERT_DIMENSIONS, [(number, *names) for number, names in new.dimensions.items()])
        db.executemany(rows.INSERT_ATTRIBUTES, list(new.attributes.items()))
        db.executemany(rows.INSERT_CALL, new.calls)
        db.executemany(rows.INSERT_JUDGEMENT, new.judgements)
        db.executemany(rows.INSERT_TASK, new.manual_tasks)
        db.executemany(rows.INSERT_MARKER, new.markers)
        bodies = [(now, b.body.signal, b.body.encoding, b.body.data) for b in batches if b.body is not None]
        db.executemany("INSERT INTO bodies (received, signal, encoding, data) VALUES (?, ?, ?, ?)", bodies)
        mark(db, [(MINUTE, workflow, start) for workflow, start in new.dirty], now)
        self._workflows.save(db, now)
        save_firsts(db, new.firsts)

    def _remove(self, connection: Connection, new: Rows) -> None:
        """Take away what was read from the same traces before, now that more is known of them."""
        whole = json.dumps([trace for group in connection.groups for trace in group.whole])
        if whole != "[]":
            for table in ("calls", "judgements", "manual_tasks"):
                where = f"FROM {table} WHERE home IN (SELECT value FROM json_each(?))"
                new.dirty.update(_minutes(self.db, f"SELECT workflow, ts {where} AND workflow IS NOT NULL", whole))
                self.db.execute(f"DELETE {where}", (whole,))
            self.db.execute("DELETE FROM markers WHERE home IN (SELECT value FROM json_each(?))", (whole,))
        partial = {trace for group in connection.groups for trace in group.partial}
        if partial:
            again = [(row[0], row[rows.SPAN_ID]) for row in new.calls if row[0] in partial]
            self.db.executemany("DELETE FROM calls WHERE home = ? AND span_id = ?", again)


def _minutes(db: sqlite3.Connection, query: str, traces: str) -> set[tuple[int, int]]:
    return {(workflow, minute_of(ts)) for workflow, ts in db.execute(query, (traces,))}


def _write_chunks(db: sqlite3.Connection, connection: Connection, now: float) -> None:
    parts: list[tuple[int, int]] = []
    for traces in _portions(connection.new):
        readings = [reading for trace in traces for reading in connection.new[trace]]
        cursor = db.execute(
            "INSERT INTO chunks (received, spans, data) VALUES (?, ?, ?)", (now, len(readings), pack(readings))
        )
        chunk = cursor.lastrowid or 0
        parts.extend((trace, chunk) for trace in traces)
    db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", sorted(parts))
    db.executemany("INSERT OR IGNORE INTO links VALUES (?, ?)", sorted(connection.links))


def _portions(new: dict[int, list[Reading]]) -> Iterator[list[int]]:
    """The new traces in portions of about `CHUNK_READINGS` readings; a trace is not divided."""
    portion: list[int] = []
    held = 0
    for trace, readings in new.items():
        portion.append(trace)
        held += len(readings)
        if held >= CHUNK_READINGS:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
