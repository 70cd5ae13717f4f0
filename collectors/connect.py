"""Which readings belong together: the traces of new spans, completed with what the store holds of them.

Two traces are connected when a span of one names the other or both carry the same link key (see `links`).
The common case, a trace that nothing stored refers to, costs no reading beyond two look-ups per group of requests.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from driftbell.collectors.chunk import unpack
from driftbell.collectors.links import DETAIL, LINK_LIMIT
from driftbell.collectors.reading import Reading, prevails
from driftbell.collectors.recent import Recent
from driftbell.collectors.rows import digest, signed, trace_key

NAMED_LIMIT = 256
"""Traces that may name one trace (judgements of its calls); later ones are stored but no longer joined."""
PART_LIMIT = 64
"""Chunks of one trace that are read back; an endless trace is no longer merged with its beginnings."""
LOAD_LIMIT, LOADED_PER_TRACE, LOADED_AT_MOST = 512, 2, 20_000
"""Chunks that are read back for one group of requests: so many, and more for each trace of which something came, as
parts that come late were stored together with others each."""


class Known(Protocol):
    """What is stored of earlier spans, in pieces (chunks) that have numbers."""

    def linked(self, exact: Collection[int], wide: Collection[int]) -> list[tuple[int, int]]:
        """The stored ``(key, trace)`` of the keys ``exact``, and of those that differ from ``wide`` in detail only."""
        ...

    def parts_of(self, traces: Collection[int]) -> dict[int, list[int]]:
        """By trace: the chunks that hold spans of it."""
        ...

    def readings(self, chunks: Sequence[int], traces: set[int]) -> Iterable[Reading]:
        """The readings of ``traces`` in ``chunks``."""
        ...


@dataclass(slots=True)
class Connected:
    """Traces that belong together, with their readings.

    ``whole`` are those of which the store knew something and all of it is in ``readings``; ``partial`` are those that
    are too long to be read back, so that ``readings`` holds only the end of them.
    """

    traces: set[int] = field(default_factory=set)
    readings: list[Reading] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)
    news: int = 0


@dataclass(slots=True)
class Connection:
    """The result of `connect`: what to interpret, what to store anew, and the links to remember."""

    groups: list[Connected] = field(default_factory=list)
    new: dict[int, list[Reading]] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)
    chunks: dict[int, list[int]] = field(default_factory=dict)
    """By trace: the chunks of the store that hold spans of it."""
    duplicates: list[Reading] = field(default_factory=list)


class _Graph:
    """Spans by trace, and the keys that tie traces together."""

    def __init__(self) -> None:
        self.readings: dict[int, dict[str, Reading]] = {}
        self.new: dict[int, dict[str, Reading]] = {}
        self.keys: dict[int, set[int]] = {}
        self.named: set[int] = set()
        self.wide: set[int] = set()
        self.voices: dict[int, set[int]] = {}
        """By key of a usage: the keys of the instrumentations that told of it."""
        self.voiced: set[int] = set()
        self.alone: set[int] = set()
        """Keys of usages that only one instrumentation told of when the store was asked."""
        self.chunks: dict[int, list[int]] = {}
        self.whole: set[int] = set()
        self.partial: set[int] = set()
        self.found: dict[int, list[int]] = {}
        self.duplicates: list[Reading] = []

    def arrive(self, reading: Reading, trace: int) -> None:
        """Take in a span that was received."""
        held = self.new.setdefault(trace, {})
        other = held.get(reading.span_id)
        if other is not None:
            self.duplicates.append(reading)
            if not prevails(reading, other):
                return
        held[reading.span_id] = reading
        self._hold(reading, trace)

    def recall(self, reading: Reading, trace: int) -> None:
        """Take in a span that was stored earlier."""
        arrived = self.new.get(trace, {})
        mine = arrived.get(reading.span_id)
        if mine is not None:
            if prevails(mine, reading):
                return
            self.duplicates.append(mine)
            del arrived[reading.span_id]
        other = self.readings.get(trace, {}).get(reading.span_id)
        if other is None or mine is not None or prevails(reading, other):
            self._hold(reading, trace)

    def _hold(self, reading: Reading, trace: int) -> None:
        self.readings.setdefault(trace, {})[reading.span_id] = reading
        for text in reading.keys:
            key = key_number(text)
            if text[0] == "t":
                self.named.add(key)
            elif text[0] in "ru":
                self.wide.add(key)
            elif text[0] == "v":
                self.voiced.add(key)
                self.voices.setdefault(key & ~DETAIL, set()).add(key)
            if key != trace:
                self.keys.setdefault(trace, set()).add(key)

    def limit(self, key: int) -> int:
        """How many traces may share ``key`` before it says nothing."""
        return NAMED_LIMIT if key in self.named or key in self.readings else LINK_LIMIT

    def ties(self, traces: Iterable[int]) -> set[int]:
        """The keys under which anything connected to ``traces`` is found."""
        return set(traces).union(*(self.keys.get(trace, ()) for trace in traces))


class _Stored:
    """`Known` of a SQLite file."""

    def __init__(self, db: sqlite3.Connection, recent: Recent) -> None:
        self._db = db
        self._recent = recent

    def linked(self, exact: Collection[int], wide: Collection[int]) -> list[tuple[int, int]]:
        return linked(self._db, self._recent, exact, wide)

    def parts_of(self, traces: Collection[int]) -> dict[int, list[int]]:
        return parts_of(self._db, self._recent, traces)

    def readings(self, chunks: Sequence[int], traces: set[int]) -> Iterable[Reading]:
        query = "SELECT data FROM chunks WHERE id IN (SELECT value FROM json_each(?))"
        for (data,) in self._db.execute(query, (json.dumps(chunks),)):
            yield from unpack(self._db, data, traces)


def connect(db: sqlite3.Connection, recent: Recent, readings: Iterable[Reading]) -> Connection:
    """Group ``readings`` with everything stored that belongs to them."""
    return connect_to(_Stored(db, recent), readings)


def connect_to(known: Known, readings: Iterable[Reading]) -> Connection:
    """`connect` for what is stored anywhere."""
    graph = _Graph()
    ids: dict[str, int] = {}
    for reading in readings:
        trace = ids.get(reading.trace_id)
        if trace is None:
            trace = ids[reading.trace_id] = trace_key(reading.trace_id)
        graph.arrive(reading, trace)
    _complete(known, graph)
    new = {trace: list(held.values()) for trace, held in graph.new.items() if held}
    links = [(key, trace) for trace in new for key in graph.keys.get(trace, ()) if key not in graph.wide]
    return Connection(_groups(graph), new, links, graph.chunks, graph.duplicates)


def _complete(known: Known, graph: _Graph) -> None:
    """Add the stored spans of everything that is connected to the graph, within the limits."""
    seen: set[int] = set()
    chunks_read: set[int] = set()
    arrived = set(graph.new)
    most = min(LOAD_LIMIT + LOADED_PER_TRACE * len(arrived), LOADED_AT_MOST)
    keys = graph.ties(graph.readings)
    while keys and len(chunks_read) < most:
        seen |= keys
        found = _linked(known, keys, graph)
        graph.found.update(found)
        traces = {t for group in found.values() for t in group}
        parts = known.parts_of(traces | {key for key in keys if key in graph.readings or key in graph.named})
        graph.chunks.update(parts)
        wanted = {c for held in parts.values() if len(held) <= PART_LIMIT for c in held}
        first = {c for trace in arrived & parts.keys() for c in parts[trace]}
        chunks = set(sorted(wanted, key=lambda c: (c not in first, c))[: most - len(chunks_read)])
        _fetch(known, graph, list(chunks), set(parts))
        chunks_read |= chunks
        for trace, held in parts.items():
            (graph.whole if chunks.issuperset(held) else graph.partial).add(trace)
        told_again = {key for key in graph.alone if len(graph.voices[key]) > 1}
        graph.alone -= told_again
        keys = (graph.ties(parts) - seen) | told_again


def _linked(known: Known, keys: set[int], graph: _Graph) -> dict[int, list[int]]:
    """The stored traces under each of ``keys``, without those that too many traces share or one voice alone told."""
    wide = keys & graph.wide
    exact = [key for key in keys - wide if key & ~DETAIL not in wide]
    found: dict[int, set[int]] = {}
    heard: dict[int, set[int]] = {}
    for key, trace in known.linked(exact, wide):
        for one in (key, key & ~DETAIL):
            if one in keys and (one == key or one in wide) and one not in graph.voiced:
                found.setdefault(one, set()).add(trace)
                if one in graph.voices:
                    heard.setdefault(one, set()).add(key)
    alone = {one for one in graph.voices.keys() & wide if len(graph.voices[one] | heard.get(one, set())) < 2}
    graph.alone |= alone
    return {key: list(traces) for key, traces in found.items() if key not in alone and len(traces) <= graph.limit(key)}


def linked(
    db: sqlite3.Connection, recent: Recent, exact: Collection[int], wide: Collection[int]
) -> list[tuple[int, int]]:
    """The stored ``(key, trace)`` of the keys ``exact``, and of those that differ from ``wide`` in detail only."""
    found = recent.linked(exact, wide)
    if exact:
        query = "SELECT key, trace FROM links WHERE key IN (SELECT value FROM json_each(?))"
        found += db.execute(query, (_list(exact),)).fetchall()
    if wide:
        query = (
            "SELECT l.key, l.trace FROM json_each(?) j CROSS JOIN links l "
            f"ON l.key > j.value AND l.key <= j.value + {DETAIL}"
        )
        found += db.execute(query, (_list(wide),)).fetchall()
    return found


def parts_of(db: sqlite3.Connection, recent: Recent, traces: Collection[int]) -> dict[int, list[int]]:
    """By trace: the chunks that hold spans of it."""
    rows = db.execute(
        "SELECT trace, chunk FROM parts WHERE trace IN (SELECT value FROM json_each(?)) AND chunk > 0",
        (_list(traces),),
    )
    found: dict[int, list[int]] = {}
    for trace, chunk in (*rows, *recent.parts_of(traces)):
        if chunk > 0:
            held = found.setdefault(trace, [])
            if chunk not in held:  # while keys move they are in both places
                held.append(chunk)
    return found


def _list(numbers: Iterable[int]) -> str:
    return orjson.dumps(list(numbers)).decode()


def _fetch(known: Known, graph: _Graph, chunks: Sequence[int], traces: set[int]) -> None:
    """Get the readings of ``traces`` out of ``chunks`` into the graph."""
    if chunks:
        for reading in known.readings(chunks, traces):
            graph.recall(reading, trace_key(reading.trace_id))


def gathered(db: sqlite3.Connection, trace: int) -> tuple[list[Reading], set[int]]:
    """What is stored of the spans of one trace, by end, and the traces that are tied to it (itself among them)."""
    return gathered_from(_Stored(db, Recent(db)), trace)


def gathered_from(known: Known, trace: int) -> tuple[list[Reading], set[int]]:
    """`gathered` for what is stored anywhere; of an endless trace no more than `PART_LIMIT` chunks are read."""
    graph = _Graph()
    _fetch(known, graph, sorted(known.parts_of([trace]).get(trace, ()))[:PART_LIMIT], {trace})
    tied = _linked(known, graph.ties([trace]), graph)
    readings = sorted(graph.readings.get(trace, {}).values(), key=lambda reading: (reading.end, reading.span_id))
    return readings, {trace}.union(*tied.values())


def _groups(graph: _Graph) -> list[Connected]:
    """Connected sets of traces that hold at least one new span."""
    parent = {trace: trace for trace in graph.readings}

    def root(trace: int) -> int:
        while parent[trace] != trace:
            parent[trace] = trace = parent[parent[trace]]
        return trace

    for key, traces in _sharing(graph).items():
        if key in graph.voiced or (key in graph.voices and len(graph.voices[key]) < 2):
            continue
        if len(traces) <= graph.limit(key) + 1:
            members = [trace for trace in traces if trace in parent]
            for other in members[1:]:
                parent[root(other)] = root(members[0])
    groups: dict[int, Connected] = {}
    for trace, held in graph.readings.items():
        group = groups.setdefault(root(trace), Connected())
        group.traces.add(trace)
        group.readings.extend(held.values())
        if trace in graph.partial:
            group.partial.add(trace)
        elif trace in graph.whole:
            group.whole.add(trace)
        group.news += len(graph.new.get(trace, ()))
    return [group for group in groups.values() if group.news]


def _sharing(graph: _Graph) -> dict[int, set[int]]:
    """The traces under each key that several of them share, or that is itself a trace."""
    holder: dict[int, int] = {}
    shared: dict[int, set[int]] = {}
    for trace, keys in graph.keys.items():
        for key in keys:
            first = holder.setdefault(key, trace)
            if first != trace or key in graph.readings:
                shared.setdefault(key, {first, key}).add(trace)
    for key, found in graph.found.items():
        shared.setdefault(key, {holder.get(key, key), key}).update(found)
    return shared


def link_numbers(reading: Reading) -> set[int]:
    """The keys under which the store finds the trace of a span."""
    numbers = {key_number(text) for text in reading.keys if text[0] not in "ru"}
    loose = {key_number(text) for text in reading.keys if text[0] in "ru"}
    return numbers | (loose - {number & ~DETAIL for number in numbers})


def key_number(text: str) -> int:
    """The number of a link key: that of the trace which it names outright, or what it states."""
    name = text[2:]
    if text[0] != "t":
        number = signed(int(name, 16))
        return number & ~DETAIL if text[0] in "ru" else number
    return trace_key(name) if _is_trace_id(name) else digest(text)


def _is_trace_id(text: str) -> bool:
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)
