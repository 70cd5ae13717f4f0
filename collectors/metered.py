"""Metered: what metrics say of services that send no spans of calls, as increments, and as points.

A cumulative series becomes increments here; its last value is kept, so that a restart loses nothing. An increment
counts only if its interval ended before the first call that the service told of in a span: what spans tell is never
told twice. All of it is decided by the set of spans and increments, whatever their order of arrival.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from sqlite_utils import Database

from driftbell.collectors.call import Call
from driftbell.collectors.measurement import Amount, Measurement
from driftbell.collectors.metered_points import Increment, points_of
from driftbell.collectors.point import Point, bucket
from driftbell.collectors.pricing import PriceTable, price
from driftbell.collectors.rollup import minute_of

LONGEST_S = 900.0
"""An increment of a longer interval belongs to no minute, and is left out."""
MAX_SERIES = 50_000
"""Series whose last value is kept; further ones are left out until old ones are forgotten."""
FORGET_SERIES_S = 86_400.0
TABLES = (
    """CREATE TABLE meters (
        series INTEGER, start REAL, time REAL NOT NULL, count INTEGER, total REAL, buckets TEXT NOT NULL,
        PRIMARY KEY (series, start)) WITHOUT ROWID""",
    """CREATE TABLE metered (
        row INTEGER PRIMARY KEY, workflow INTEGER NOT NULL, ts REAL NOT NULL, service TEXT NOT NULL,
        scope TEXT NOT NULL, name TEXT NOT NULL, measure TEXT NOT NULL, segment TEXT, risk_tier TEXT, model TEXT,
        status TEXT NOT NULL, count INTEGER, total REAL, usd REAL, buckets TEXT NOT NULL)""",
    "CREATE INDEX metered_by_time ON metered (workflow, ts)",
    "CREATE INDEX metered_by_service ON metered (service, ts)",
    "CREATE TABLE traced (service TEXT PRIMARY KEY, first REAL NOT NULL, newest REAL NOT NULL) WITHOUT ROWID",
)
Minutes = set[tuple[int, int]]
"""Workflow number and start of each minute whose points change."""


def create_tables(db: Database) -> None:
    """Create the tables of this module."""
    for statement in TABLES:
        db.execute(statement)


class Span(NamedTuple):
    """When the calls of one service began that were told of in spans: the first and the newest (epoch s)."""

    first: float
    newest: float

    def and_also(self, other: "Span | None") -> "Span":
        """Both together."""
        return self if other is None else Span(min(self.first, other.first), max(self.newest, other.newest))


@dataclass(frozen=True, slots=True)
class _Held:
    time: float
    amount: Amount


def take(
    db: sqlite3.Connection, given: Iterable[Measurement], number: Callable[[str, float], int | None], prices: PriceTable
) -> Minutes:
    """Store what measurements add to what was known.

    ``number`` gives the number of a workflow that was active at a time; None when that is too long ago.
    """
    room = MAX_SERIES - int(db.execute("SELECT count(*) FROM meters").fetchone()[0])
    changed: Minutes = set()
    for said in sorted(given, key=lambda each: each.time):
        key = (said.series, 0.0 if said.delta else said.start)
        row = db.execute(
            "SELECT time, count, total, buckets FROM meters WHERE series = ? AND start = ?", key
        ).fetchone()
        if row is None and room <= 0:
            continue
        room -= row is None
        held = None if row is None else _Held(row[0], Amount(row[1], row[2], _numbers(row[3])))
        if held is not None and said.time <= held.time:
            continue
        db.execute(
            "INSERT OR REPLACE INTO meters VALUES (?, ?, ?, ?, ?, ?)",
            (*key, said.time, said.amount.count, said.amount.total, json.dumps(said.amount.buckets)),
        )
        added = increment(held, said)
        if added is not None and said.time <= _first_call(db, said.service):
            workflow = number(said.workflow, said.time)
            if workflow is not None:
                _insert(db, workflow, said, added, prices)
                changed.add((workflow, minute_of(said.time)))
    return changed


def increment(held: _Held | None, said: Measurement) -> Amount | None:
    """What ``said`` adds since ``held``, the one before it in its series; None if it adds nothing that has a time."""
    amount, since = said.amount, said.start
    if not said.delta and held is not None:
        amount, since = _difference(said.amount, held.amount), held.time
    elif said.delta and held is not None:
        since = max(said.start, held.time)
    placed = 0 < since <= said.time and said.time - since <= LONGEST_S
    return amount if placed and (amount.count or amount.total) else None


def _difference(now: Amount, before: Amount) -> Amount:
    """``now - before``; nothing if it went down, which a series with one start never does."""
    count = None if now.count is None or before.count is None else now.count - before.count
    total = None if now.total is None or before.total is None else now.total - before.total
    if (count or 0) < 0 or (total or 0) < 0:
        return Amount(0, None)
    buckets = {at: n - before.buckets.get(at, 0) for at, n in now.buckets.items() if n > before.buckets.get(at, 0)}
    return Amount(count, total, buckets)


def _first_call(db: sqlite3.Connection, service: str) -> float:
    row = db.execute("SELECT first FROM traced WHERE service = ?", (service,)).fetchone()
    return float("inf") if row is None else float(row[0])


def _insert(db: sqlite3.Connection, workflow: int, said: Measurement, added: Amount, prices: PriceTable) -> None:
    db.execute(
        "INSERT INTO metered VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(workflow, said.time, said.service, said.scope, said.name, said.measure, said.segment, said.risk_tier),
            *(
                said.model,
                said.status,
                added.count,
                added.total,
                _usd(said, added, prices),
                json.dumps(_settled(added)),
            ),
        ),
    )


def _settled(added: Amount) -> Mapping[int, int]:
    """The histogram with as many values as were counted; what no bucket holds lies at the mean."""
    if not added.count or added.total is None:
        return added.buckets
    missing = added.count - sum(added.buckets.values())
    if len(added.buckets) <= 1 or missing < 0:
        return {bucket(added.total / added.count): added.count}
    return {**added.buckets, **({bucket(added.total / added.count): missing} if missing else {})}


def _usd(said: Measurement, added: Amount, prices: PriceTable) -> float | None:
    """What these tokens cost, at the price of an average call; what was read from a cache costs less than nothing."""
    if said.measure not in ("input", "output", "cached") or not added.total:
        return None
    calls = added.count or 1
    tokens = round(added.total / calls)
    plain = Call(said.time, said.workflow, provider=said.provider, model=said.model, usage_source="provider")
    if said.measure == "output":
        cost = price(replace(plain, input_tokens=0, output_tokens=tokens), prices).cost_usd
        return None if cost is None else cost * calls
    given = price(replace(plain, input_tokens=tokens, output_tokens=0), prices).cost_usd
    if given is None or said.measure == "input":
        return None if given is None else given * calls
    cached = price(replace(plain, input_tokens=tokens, cached_tokens=tokens, output_tokens=0), prices).cost_usd
    return None if cached is None else (cached - given) * calls


def saw_calls(db: sqlite3.Connection, spans: Mapping[str, Span]) -> Minutes:
    """Remember that services told of calls in spans; takes back what their metrics said of the same time."""
    changed: Minutes = set()
    for service, span in spans.items():
        known = db.execute("SELECT first FROM traced WHERE service = ?", (service,)).fetchone()
        db.execute(
            "INSERT INTO traced VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
            "first = min(first, excluded.first), newest = max(newest, excluded.newest)",
            (service, *span),
        )
        if known is None or span.first < known[0]:
            where = "FROM metered WHERE service = ? AND ts > ?"
            rows = db.execute(f"SELECT DISTINCT workflow, ts {where}", (service, span.first))
            changed.update((workflow, minute_of(ts)) for workflow, ts in rows)
            db.execute(f"DELETE {where}", (service, span.first))
    return changed


def points(db: sqlite3.Connection, workflow: int, since: float, until: float) -> list[Point]:
    """Minute points of what metrics said in ``[since, until)``."""
    rows = db.execute(
        "SELECT ts, service, scope, name, measure, segment, risk_tier, model, status, count, total, usd, buckets "
        "FROM metered WHERE workflow = ? AND ts >= ? AND ts < ?",
        (workflow, since, until),
    ).fetchall()
    if not rows:
        return []
    (name,) = db.execute("SELECT name FROM workflows WHERE id = ?", (workflow,)).fetchone()
    found = [Increment(minute_of(ts), _numbers(text), *held) for ts, *held, text in rows]
    found.sort(key=lambda each: (each.minute, each.service, each.scope, each.name))
    made: list[Point] = []
    for (minute, _), of_service in groupby(found, key=lambda each: (each.minute, each.service)):
        made += points_of(minute, name, list(of_service))
    return made


def forget(db: sqlite3.Connection, workflow: int, before: float) -> None:
    """Forget the increments of a workflow before ``before``."""
    db.execute("DELETE FROM metered WHERE workflow = ? AND ts < ?", (workflow, before))


def forget_silent(db: sqlite3.Connection, now: float, kept: float) -> None:
    """Forget series that ended, and that a service told of calls in spans, when that was ``kept`` seconds ago."""
    db.execute("DELETE FROM meters WHERE time < ?", (now - FORGET_SERIES_S,))
    db.execute("DELETE FROM traced WHERE newest < ?", (now - kept,))


def _numbers(text: str) -> dict[int, int]:
    return {int(at): n for at, n in json.loads(text).items()}
