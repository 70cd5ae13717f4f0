"""The keys by which stored spans are found, as long as they are new: kept in order of arrival and sorted in bulk later.

Keys are random numbers. Each that goes into a sorted table by itself changes a page of its own, and the store would
write twenty kilobytes for a span. So the keys of a transaction become one row of ``unsorted`` and are known in
memory; once there are many they move to ``links`` and ``parts`` in order, some with each transaction.
"""

import math
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from driftbell.collectors.links import DETAIL

MOVED_AT = 1 << 17
"""Keys that are held in order of arrival before they begin to move."""
MOVED_PER_KEY = 2
"""Keys that move while one comes, so that those of one generation have gone before the next is full."""
Pair = tuple[int, int]
"""For ``links`` a key and a trace; for ``parts`` a trace and a chunk, or the number of a call with a minus.

Calls of a trace that came whole have no number there: their chunk knows which calls were made with it."""
Pairs = NDArray[np.int64]
TABLES = ("links", "parts")
_LINKS, _PARTS = 0, 1


@dataclass(slots=True)
class _Generation:
    """What came up to the row ``upto`` of ``unsorted``.

    ``links`` are by key without detail, each with its pairs in a row, ``parts`` by trace, with one value or several;
    ``said`` are all of both.
    """

    links: dict[int, Sequence[int]] = field(default_factory=dict)
    parts: dict[int, int | tuple[int, ...]] = field(default_factory=dict)
    said: tuple[list[Pairs], list[Pairs]] = field(default_factory=lambda: ([], []))
    size: int = 0
    upto: int = 0

    def add(self, row: int, links: Sequence[Pair], parts: Sequence[Pair], blobs: Sequence[bytes]) -> None:
        held, by_trace = self.links, self.parts
        fresh = dict(zip([pair[0] & ~DETAIL for pair in links], links, strict=True))
        if len(fresh) == len(links) and held.keys().isdisjoint(fresh):
            held.update(fresh)
        else:
            for pair in links:
                key = pair[0] & ~DETAIL
                known = held.get(key)
                if known is None:
                    held[key] = pair
                elif isinstance(known, list):
                    known += pair
                else:
                    held[key] = [*known, *pair]
        once = dict(parts)
        if len(once) == len(parts) and by_trace.keys().isdisjoint(once):
            by_trace.update(once)
        else:
            for trace, value in parts:
                by_trace[trace] = (*_values(by_trace[trace]), value) if trace in by_trace else value
        for said, blob in zip(self.said, blobs, strict=True):
            said.append(_pairs(blob))
        self.size += len(links) + len(parts)
        self.upto = row


@dataclass(slots=True)
class _Moving:
    """The pairs of a generation in the order of each table, and how many of them have moved."""

    generation: _Generation
    pairs: tuple[Pairs, Pairs]
    done: int = 0

    def portion(self, most: int) -> Iterator[tuple[str, list[Pair]]]:
        """The next pairs, by table."""
        at = self.done
        for table, pairs in zip(TABLES, self.pairs, strict=True):
            some = pairs[max(at, 0) : max(at, 0) + most]
            if at < len(pairs) and len(some):
                yield table, _tuples(some)
                most -= len(some)
            at -= len(pairs)


class Recent:
    """The keys that are not sorted yet. What a transaction adds or moves counts only after `committed`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._young = _Generation()
        self._moving: _Moving | None = None
        self._added: tuple[int, Sequence[Pair], Sequence[Pair], Sequence[bytes]] | None = None
        self._moved = 0
        self._version = -1
        self.refresh(db)

    def refresh(self, db: sqlite3.Connection) -> None:
        """Read anew what is unsorted, if another process may have changed it or `forget` was called."""
        version = int(db.execute("PRAGMA data_version").fetchone()[0])
        if version == self._version:
            return
        self._version = version
        self._young, self._moving, self._added, self._moved = _Generation(), None, None, 0
        for row, *blobs in db.execute("SELECT id, links, parts FROM unsorted ORDER BY id"):
            links, parts = (_tuples(_pairs(blob)) for blob in blobs)
            self._young.add(row, links, parts, blobs)

    def forget(self) -> None:
        """What is in memory may not be what is stored: read it again."""
        self._version = -1

    def linked(self, exact: Collection[int], wide: Collection[int]) -> list[Pair]:
        """The ``(key, trace)`` of the keys ``exact``, and of those that differ from ``wide`` in detail only."""
        found: list[Pair] = []
        wanted = set(exact)
        for held in (generation.links for generation in self._generations()):
            for key in held.keys() & {key & ~DETAIL for key in wanted}:
                pairs = held[key]
                found += [(one, trace) for one, trace in zip(pairs[::2], pairs[1::2], strict=True) if one in wanted]
            for key in held.keys() & wide:
                pairs = held[key]
                found += [(one, trace) for one, trace in zip(pairs[::2], pairs[1::2], strict=True) if one != key]
        return found

    def parts_of(self, traces: Iterable[int]) -> list[Pair]:
        """The ``(trace, value)`` of ``traces``."""
        wanted = set(traces)
        found: list[Pair] = []
        for held in (generation.parts for generation in self._generations()):
            for trace in held.keys() & wanted:
                found += [(trace, value) for value in _values(held[trace])]
        return found

    def add(self, db: sqlite3.Connection, links: Sequence[Pair], parts: Sequence[Pair]) -> None:
        """Store new keys, and move some of the older ones, within the transaction of the caller."""
        if not links and not parts:
            return
        blobs = [array("q", chain.from_iterable(pairs)).tobytes() for pairs in (links, parts)]
        row = db.execute("INSERT INTO unsorted (links, parts) VALUES (?, ?)", blobs).lastrowid
        self._added = (row or 0, links, parts, blobs)
        if self._moving is None and self._young.size >= MOVED_AT:
            pairs = [np.concatenate(said) for said in self._young.said]
            ordered = [each[np.lexsort((each[:, 1], each[:, 0]))] for each in pairs]
            self._moving = _Moving(self._young, (ordered[_LINKS], ordered[_PARTS]))
            self._young = _Generation()
        if self._moving is not None:
            self._move(db, self._moving, MOVED_PER_KEY * (len(links) + len(parts)))

    def _move(self, db: sqlite3.Connection, moving: _Moving, most: int) -> None:
        self._moved = 0
        for table, pairs in moving.portion(most):
            db.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", pairs)
            self._moved += len(pairs)
        if moving.done + self._moved >= moving.generation.size:
            db.execute("DELETE FROM unsorted WHERE id <= ?", (moving.generation.upto,))

    def committed(self) -> None:
        """The transaction is durable."""
        if self._added is not None:
            self._young.add(*self._added)
            self._added = None
        if self._moving is not None:
            self._moving.done += self._moved
            self._moved = 0
            if self._moving.done >= self._moving.generation.size:
                self._moving = None

    def _generations(self) -> list[_Generation]:
        return [self._young] if self._moving is None else [self._moving.generation, self._young]


def settle(db: sqlite3.Connection, most: float = math.inf) -> bool:
    """Sort what is unsorted, oldest first and about ``most`` keys, within the caller's transaction; whether any was.

    A `Recent` has to be told (`Recent.forget`) before anything sorted is taken away.
    """
    pairs: tuple[list[Pair], list[Pair]] = ([], [])
    upto = None
    for upto, *blobs in db.execute("SELECT id, links, parts FROM unsorted ORDER BY id"):  # noqa: B007  # the last counts
        for held, blob in zip(pairs, blobs, strict=True):
            held += _tuples(_pairs(blob))
        if sum(map(len, pairs)) >= most:
            break
    for table, held in zip(TABLES, pairs, strict=True):
        db.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", sorted(held))
    db.execute("DELETE FROM unsorted WHERE id <= ?", (upto,))
    return upto is not None


def calls_of(db: sqlite3.Connection, traces: Collection[int], recent: Recent | None = None) -> list[int]:
    """The numbers of the calls that were made of ``traces``, and of others beside them: compare ``home`` as well.

    Without ``recent`` every key has to be sorted.
    """
    query = "SELECT chunk FROM parts WHERE trace IN (SELECT value FROM json_each(?))"
    held = [value for (value,) in db.execute(query, (_list(traces),))]
    if recent is not None:
        held += [value for _, value in recent.parts_of(traces)]
    chunks = {value for value in held if value > 0}
    query = (
        "SELECT calls_from, calls_until, more_from, more_until FROM chunks WHERE id IN (SELECT value FROM json_each(?))"
    )
    ranges = db.execute(query + " AND calls_from IS NOT NULL", (_list(chunks),))
    told = [number for first, end, more, last in ranges for number in chain(range(first, end), range(more, last))]
    return [-value for value in held if value < 0] + told


def _values(held: int | tuple[int, ...]) -> tuple[int, ...]:
    return (held,) if isinstance(held, int) else held


def _tuples(pairs: Pairs) -> list[Pair]:
    return list(zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True))


def _pairs(blob: bytes) -> Pairs:
    return np.frombuffer(blob, dtype=np.int64).reshape(-1, 2)


def _list(numbers: Iterable[int]) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"
