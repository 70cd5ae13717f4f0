"""Spans out of the table of the Collector's ClickHouse exporter, each part of the table once.

The table holds no time of insert. What is new is told by its parts: ClickHouse numbers the blocks that are inserted,
and a part knows the first and the last block in it, a merged part those of all that went into it. A part is read when
its blocks are not among those that were read, so late rows are found however late they come. What is read again,
because new rows were merged with old ones before a look, changes nothing: a span is the same span.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlite_utils import Database

from driftbell.collectors.batch import Batch
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.otlp import (
    MAX_ATTRIBUTES,
    MAX_EVENTS,
    MAX_LINKS,
    RejectedError,
    checked_id,
    interval,
    is_sampled,
    optional_id,
    seconds,
)
from driftbell.collectors.span import AttributeValue, Span, SpanEvent, service_of
from driftbell.collectors.store import Store

PAGE = 1000
"""Rows of a part that are read and stored together."""
PORTION = 50
"""Pages of one look; what is left waits for the next."""
MAX_SPAN_BYTES = 4 << 20
"""A span whose attributes are larger is refused, as the receiver refuses too large a body."""
KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
CODES = {"ok": 1, "error": 2}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_NEEDED = {
    "Timestamp": "DateTime64(9)",
    **dict.fromkeys(("TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "StatusCode"), "String"),
    **dict.fromkeys(("ResourceAttributes", "SpanAttributes"), "Map"),
    "Duration": "Int64",
    "Events.Attributes": "Array(Map",
}
_SCOPE, _SCOPE_VERSION = "otel.scope.name", "otel.scope.version"
Blocks = list[tuple[int, int]]
"""Numbers of blocks, first and last, in order and apart."""


class TableError(ValueError):
    """The table is not one of the Collector's exporter; the message says what to do."""


class _MergedError(Exception):
    """A part is gone; its rows are in another one, which the next look finds."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the table: the blocks ``first`` to ``last`` of a partition."""

    partition: str
    name: str
    first: int
    last: int


class ExportedSpans:
    """Hands on what is new in a table to a store. Where it is stands in the file of that store.

    Raises `TableError` for a table that cannot be read, `StoreUnavailableError` while ClickHouse does not answer.
    """

    def __init__(self, client: Client, table: str, store: Store, back_s: float, clock: Callable[[], float]) -> None:
        """``back_s``: how far back in time the first reading of the table goes, in seconds."""
        if not _NAME.fullmatch(table):
            raise TableError("the table must be a name of letters, digits and underscores")
        self._client, self._table, self._store, self._clock = client, table, store, clock
        self._reading = threading.Lock()
        self._query = _query(table, self._columns())
        self._page = (
            f"SELECT min(row), max(row), count() FROM (SELECT _part_offset AS row FROM `{table}` WHERE {_FROM} "
            f"ORDER BY row LIMIT {PAGE})"
        )
        self._since = self._begin(back_s)

    def read(self) -> bool:
        """Store up to `PORTION` pages of what is new; True when there is more."""
        with self._reading:
            return self._read()

    def _read(self) -> bool:
        left = PORTION
        for part in self._new_parts():
            offset: int | None = self._offset(part)
            while offset is not None:
                if not left:
                    return True
                left -= 1
                try:
                    offset = self._take(part, offset)
                except _MergedError:
                    return True
                self._save(part, offset)
        return False

    def _columns(self) -> Mapping[str, str]:
        query = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
        columns = dict(self._client.query(query, {"table": self._table}))
        if not columns:
            raise TableError(f"there is no table {self._table}: the Collector's exporter makes it when it starts")
        for name, kind in _NEEDED.items():
            if kind not in columns.get(name, ""):
                found = f"is {columns[name][:60]}" if name in columns else "is missing"
                raise TableError(
                    f"{self._table} is no table of the ClickHouse exporter with attributes as Map: {name} {found}"
                )
        return columns

    def _new_parts(self) -> Iterator[Part]:
        """Parts with blocks that were not read, but for days of which nothing is wanted."""
        query = (
            "SELECT partition_id, name, min_block_number, max_block_number FROM system.parts "
            "WHERE database = currentDatabase() AND table = {table:String} AND active "
            "AND (partition_id >= {first:String} OR length(partition_id) != 8) ORDER BY partition_id, min_block_number"
        )
        day = datetime.fromtimestamp(self._since / 1e9, UTC) - timedelta(days=1)
        given = {"table": self._table, "first": f"{day:%Y%m%d}"}
        parts = [Part(*row) for row in self._client.query(query, given)]
        partitions = {part.partition for part in parts}
        self._forget(partitions)
        read = {partition: self._blocks(partition) for partition in partitions}
        for part in parts:
            if not covered(read[part.partition], (part.first, part.last)):
                yield part

    def _take(self, part: Part, offset: int) -> int | None:
        """Store a page from the row ``offset`` on; the row after it, None at the end of the part.

        Raises `_MergedError` when the part was merged with others meanwhile, for then its rows are not found under it.
        """
        given = {"part": part.name, "from": offset, "since": self._since}
        first, last, rows = self._client.query(self._page, given)[0]
        found = self._client.query(self._query, {**given, "from": first, "until": last}) if rows else []
        spans, refused = [], Counter[str]()
        for row in found:
            try:
                spans.append(span_of(row))
            except RejectedError:
                refused[service_of(row[_RESOURCE])] += 1
        if spans or refused:
            self._store.append(Batch(spans, refused=refused))
        if not self._is_there(part):
            raise _MergedError
        return last + 1 if rows == PAGE else None

    def _is_there(self, part: Part) -> bool:
        """Whether a part has not been merged; one that was never comes back, so it was there all the time before."""
        query = (
            "SELECT count() FROM system.parts "
            "WHERE database = currentDatabase() AND table = {table:String} AND name = {name:String} AND active"
        )
        return bool(self._client.query(query, {"table": self._table, "name": part.name})[0][0])

    def _begin(self, back_s: float) -> int:
        """From which start of a span on (ns) the table is read: fixed when it is looked at for the first time."""
        kept = self._state("").get("since")
        if kept is None:
            kept = int((self._clock() - back_s) * 1e9)
            with self._store.write() as tx:
                _upsert(tx, self._table, "", {"since": kept})
        return int(kept)

    def _state(self, partition: str) -> dict[str, Any]:
        """What is known of a partition; of none, how far back the table is read."""
        query = "SELECT body FROM exported_tables WHERE name = ? AND partition = ?"
        found = self._store.read().execute(query, (self._table, partition)).fetchone()
        return {} if found is None else dict(json.loads(found[0]))

    def _blocks(self, partition: str) -> Blocks:
        return [(first, last) for first, last in self._state(partition).get("blocks", ())]

    def _offset(self, part: Part) -> int:
        state = self._state(part.partition)
        return int(state["offset"]) if state.get("part") == part.name else 0

    def _save(self, part: Part, offset: int | None) -> None:
        blocks = self._blocks(part.partition)
        if offset is None:
            blocks = joined([*blocks, (part.first, part.last)])
        with self._store.write() as tx:
            body = {"blocks": blocks, "part": "" if offset is None else part.name, "offset": offset or 0}
            _upsert(tx, self._table, part.partition, body)

    def _forget(self, partitions: set[str]) -> None:
        """Partitions that are gone will not come back with blocks of the same numbers."""
        query = "SELECT partition FROM exported_tables WHERE name = ?"
        held = {partition for (partition,) in self._store.read().execute(query, (self._table,))}
        for gone in held - partitions - {""}:
            with self._store.write() as tx:
                tx.execute("DELETE FROM exported_tables WHERE name = ? AND partition = ?", [self._table, gone])


def _upsert(tx: Database, table: str, partition: str, body: Mapping[str, object]) -> None:
    row = {"name": table, "partition": partition, "body": json.dumps(body)}
    tx.table("exported_tables").upsert(row, pk=("name", "partition"))


def joined(blocks: Iterable[tuple[int, int]]) -> Blocks:
    """The same blocks, those that touch or overlap as one."""
    found: Blocks = []
    for first, last in sorted(blocks):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def covered(blocks: Blocks, wanted: tuple[int, int]) -> bool:
    """Whether ``wanted`` are all among ``blocks``."""
    return any(first <= wanted[0] and wanted[1] <= last for first, last in blocks)


_RESOURCE = 9
_FROM = (
    "_part = {part:String} AND _part_offset >= {from:UInt64} AND Timestamp >= fromUnixTimestamp64Nano({since:Int64})"
)


def _query(table: str, columns: Mapping[str, str]) -> str:
    """What is asked of a part; columns that older versions of the exporter do not have are empty."""

    def if_there(name: str, otherwise: str = "''") -> str:
        return f"`{name}`" if name in columns else otherwise

    attributes = f"if(byteSize(SpanAttributes, `Events.Attributes`) > {MAX_SPAN_BYTES}, NULL, "
    return (
        "SELECT toUnixTimestamp64Nano(Timestamp), toInt64(Duration), TraceId, SpanId, ParentSpanId, "
        f"{if_there('TraceState')}, toString(SpanName), toString(SpanKind), toString({if_there('ServiceName')}), "
        f"ResourceAttributes, {if_there('ScopeName')}, {if_there('ScopeVersion')}, toString(StatusCode), "
        f"{if_there('StatusMessage')}, {attributes}toJSONString(SpanAttributes)), "
        "arrayMap(at -> toUnixTimestamp64Nano(at), `Events.Timestamp`), `Events.Name`, "
        f"{attributes}toJSONString(`Events.Attributes`)), {if_there('Links.TraceId', '[]')}, "
        f"{if_there('Links.SpanId', '[]')} FROM `{table}` WHERE {_FROM} AND _part_offset <= {{until:UInt64}}"
    )


def span_of(row: Sequence[Any]) -> Span:
    """A span from a row of the table; raises `RejectedError`."""
    start, duration, trace, span, parent, state, name, kind, service, resource, scope, version, code, message = row[:14]
    attributes, event_times, event_names, event_attributes, link_traces, link_spans = row[14:]
    if attributes is None or event_attributes is None:
        raise RejectedError(f"the attributes are larger than {MAX_SPAN_BYTES} bytes")
    began, ended = interval(start, start + max(duration, 0))
    said = _attributes(json.loads(attributes))
    # The exporter told the scope among the attributes before it had columns for it.
    told_scope, told_version = said.pop(_SCOPE, ""), said.pop(_SCOPE_VERSION, "")
    of_events = json.loads(event_attributes)[:MAX_EVENTS]
    return Span(
        checked_id(trace, 32, "TraceId"),
        checked_id(span, 16, "SpanId"),
        optional_id(parent, 16),
        name,
        began,
        ended,
        KINDS.get(_enum(kind, "span_kind_"), 0),
        CODES.get(_enum(code, "status_code_"), 0),
        message,
        said,
        tuple(
            SpanEvent(event, seconds(max(at, 0)), _attributes(given))
            for at, event, given in zip(event_times, event_names, of_events, strict=False)
        ),
        tuple(zip(map(str.lower, link_traces[:MAX_LINKS]), map(str.lower, link_spans[:MAX_LINKS]), strict=False)),
        scope or str(told_scope),
        version or str(told_version),
        {"service.name": service, **resource} if service else resource,
        is_sampled(state),
    )


def _enum(text: str, prefix: str) -> str:
    """``client`` of ``Client`` and of ``SPAN_KIND_CLIENT``, as older versions wrote it."""
    return text.lower().removeprefix(prefix)


def _attributes(told: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Attributes as they were written: all of them text, lists and objects as JSON.

    What is looked for is read from text as well as from a number, a flag or a list (`driftbell.collectors.dialects`).
    Nothing is made a number here, for a version ``14`` and a user ``42`` must stay text.
    """
    return dict(list(told.items())[:MAX_ATTRIBUTES])
