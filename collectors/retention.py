"""Forgetting: what is older than the policy says, and what belongs to one user."""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from driftbell.collectors import metered
from driftbell.collectors.chunk import pack, unpack
from driftbell.collectors.connect import link_numbers
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.press import press, release
from driftbell.collectors.recent import calls_of, settle
from driftbell.collectors.refresh import DAY, HOUR, mark
from driftbell.collectors.rollup import MINUTE, minute_of
from driftbell.collectors.rows import trace_key

TRACES = 500
PORTION = 64
"""Chunks that one transaction forgets, so that writers never wait long."""
READ = 500
"""Chunks that are read at most to see which keys of a trace are still needed."""
TEMPLATE_SLACK = 2.0
"""Days that templates outlive the calls, for it is noted once a day that they are used."""
STRIPPED = 20_000
"""Points that one transaction looks through for a user."""
_IN = "IN (SELECT value FROM json_each(?))"
_HOME = f"home {_IN.replace('?', '?1')}"
_OTHERS = f"{_HOME} AND ?2 IS NOT NULL"
_RECORDS = {
    "calls": f"{_HOME} AND id {_IN.replace('?', '?2')}",
    "judgements": _OTHERS,
    "manual_tasks": _OTHERS,
    "markers": _OTHERS,
}
"""By table: what of it was made of the traces in a list, whose calls are among those in a second."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How many days each kind of data is kept.

    Calls go with the spans that they were read from, by time of receipt; points by the time of their workflow's
    newest event, so that history that was loaded later is not forgotten at once. Hours outlive calls, and minutes do
    not, because a late call is added to its hour from the calls.
    """

    calls: float = 30.0
    bodies: float = 2.0
    minutes: float = 3.0
    hours: float = 100.0
    days: float = 800.0
    trust: float = 30.0

    workflows: tuple[tuple[str, "RetentionPolicy"], ...] = ()
    """Policies of their own for workflows that fit a pattern (``claims-*``); the first that fits counts."""

    def __post_init__(self) -> None:
        if not self.minutes <= self.calls <= self.hours <= self.days:
            raise ValueError("retention must grow from minutes to calls to hours to days")

    def of(self, workflow: str | None) -> "RetentionPolicy":
        """The policy for a workflow; None stands for what belongs to none in particular."""
        name = workflow or ""
        return next((policy for pattern, policy in self.workflows if fnmatchcase(name, pattern)), self)

    @property
    def longest(self) -> float:
        """Days that the calls of any workflow are kept."""
        return max([self.calls, *(policy.calls for _, policy in self.workflows)])


def forget_chunks(db: sqlite3.Connection, cutoff: float) -> int:
    """Forget one portion of the spans received before ``cutoff``, with their calls; how many chunks it was."""
    found = db.execute("SELECT id, data FROM chunks WHERE received < ? ORDER BY id LIMIT ?", (cutoff, PORTION))
    chunks = found.fetchall()
    if chunks:
        settle(db)
    gone: set[int] = set()
    links: set[tuple[int, int]] = set()
    parts: list[tuple[int, int]] = []
    for chunk, data in chunks:
        traces = set()
        for reading in unpack(db, data):
            trace = trace_key(reading.trace_id)
            traces.add(trace)
            links.update((key, trace) for key in link_numbers(reading))
        parts += [(trace, chunk) for trace in traces]
        gone |= traces
    calls = _list(calls_of(db, gone))
    db.executemany("DELETE FROM parts WHERE trace = ? AND chunk = ?", parts)
    query = f"SELECT trace FROM parts WHERE trace {_IN} AND chunk > 0"
    left = {trace for (trace,) in db.execute(query, (_list(gone),))}
    gone -= left
    _raise_floor(db, gone, calls, cutoff)
    for table, where in _RECORDS.items():
        db.execute(f"DELETE FROM {table} WHERE {where}", (_list(gone), calls))
    found_by = f"INSERT OR IGNORE INTO parts SELECT home, -id FROM calls WHERE {_RECORDS['calls']}"
    db.execute(found_by, (_list(left), calls))  # their chunk will be gone
    db.execute(f"DELETE FROM parts WHERE trace {_IN}", (_list(gone),))
    kept = _links_of(db, left)
    useless = [link for link in links if link[1] in gone or (kept is not None and link not in kept)]
    db.executemany("DELETE FROM links WHERE key = ? AND trace = ?", useless)
    db.execute(f"DELETE FROM chunks WHERE id {_IN}", (_list(chunk for chunk, _ in chunks),))
    return len(chunks)


def _links_of(db: sqlite3.Connection, traces: set[int]) -> set[tuple[int, int]] | None:
    """The keys of what is left of ``traces``; ``None`` where that is too much to be read."""
    query = f"SELECT DISTINCT chunk FROM parts WHERE trace {_IN} AND chunk > 0 LIMIT {READ + 1}"
    chunks = [chunk for (chunk,) in db.execute(query, (_list(traces),))]
    if len(chunks) > READ:
        return None
    found: set[tuple[int, int]] = set()
    for (data,) in db.execute(f"SELECT data FROM chunks WHERE id {_IN}", (_list(chunks),)).fetchall():
        for reading in unpack(db, data, traces):
            trace = trace_key(reading.trace_id)
            found.update((key, trace) for key in link_numbers(reading))
    return found


def forget_early(db: sqlite3.Connection, now: float, policy: RetentionPolicy) -> int:
    """Forget one portion of the calls that are kept for less time than others; how many traces it was.

    A trace goes as a whole, with the calls of other workflows in it.
    """
    for number, name, newest in db.execute("SELECT id, name, newest_ts FROM workflows").fetchall():
        own = policy.of(name).calls
        if own >= policy.longest:
            continue
        cutoff = min(now, newest) - own * DAY
        query = "SELECT DISTINCT home FROM calls WHERE workflow = ? AND ts < ? AND home IS NOT NULL LIMIT ?"
        traces = {home for (home,) in db.execute(query, (number, cutoff, TRACES))}
        if traces:
            settle(db)
            _raise_floor(db, traces, _list(calls_of(db, traces)), cutoff)
            _forget_traces(db, traces, bodies=False)
            return len(traces)
    return 0


def _raise_floor(db: sqlite3.Connection, traces: Iterable[int], calls: str, cutoff: float) -> None:
    """Nothing that ended in an hour of which calls are gone can be taken any more: it could not be counted right."""
    query = f"SELECT workflow, max(ts) FROM calls WHERE {_RECORDS['calls']} GROUP BY workflow"
    for workflow, newest in db.execute(query, (_list(traces), calls)).fetchall():
        floor = math.ceil(min(newest, cutoff) / HOUR) * HOUR
        db.execute(
            "UPDATE workflows SET calls_purged = max(coalesce(calls_purged, ?1), ?1) WHERE id = ?2", (floor, workflow)
        )


def oldest_minute(latest: float, own: RetentionPolicy, name: str, evaluated: Mapping[str, float] | None) -> float:
    """Start of the oldest minute that is kept of a workflow whose newest event is ``latest`` (epoch s).

    What nobody has evaluated yet stays, as long as hours do. ``evaluated`` says up to where each workflow was; None
    when nobody evaluates here.
    """
    reached = math.inf if evaluated is None else evaluated.get(name, -math.inf)
    return max(min(latest - own.minutes * DAY, reached), latest - own.hours * DAY)


def forget_rest(
    db: sqlite3.Connection, now: float, policy: RetentionPolicy, evaluated: Mapping[str, float] | None = None
) -> None:
    """Forget points, bodies, counters and imported records that are too old at ``now``."""
    for workflow, name, newest in db.execute("SELECT id, name, newest_ts FROM workflows").fetchall():
        latest, own = min(now, newest), policy.of(name)
        minute = oldest_minute(latest, own, name, evaluated)
        oldest = {MINUTE: minute, HOUR: latest - own.hours * DAY, DAY: latest - own.days * DAY}
        for resolution, start in oldest.items():
            db.execute(
                "DELETE FROM points WHERE resolution = ? AND workflow = ? AND start < ?", (resolution, workflow, start)
            )
        floor = math.ceil(minute / HOUR) * HOUR
        db.execute(
            "UPDATE workflows SET minutes_purged = max(coalesce(minutes_purged, ?1), ?1) WHERE id = ?2",
            (floor, workflow),
        )
        metered.forget(db, workflow, latest - own.calls * DAY)
        for table in ("calls", "judgements", "manual_tasks"):
            db.execute(
                f"DELETE FROM {table} WHERE home IS NULL AND workflow = ? AND ts < ?",
                (workflow, latest - own.calls * DAY),
            )
    for (kept,) in db.execute("SELECT DISTINCT workflow FROM bodies").fetchall():
        cutoff = now - policy.of(kept).bodies * DAY
        db.execute("DELETE FROM bodies WHERE workflow IS ? AND received < ?", (kept, cutoff))
    db.execute("DELETE FROM templates WHERE used < ?", (now - (policy.longest + TEMPLATE_SLACK) * DAY,))
    db.execute("DELETE FROM trust WHERE minute < ?", (now - policy.trust * DAY,))
    metered.forget_silent(db, now, policy.longest * DAY)
    _forget_names(db)


def forget_user(db: sqlite3.Connection, user: str, now: float, names: bool = True) -> int:
    """Forget every call, task and span of the user with this hash; how many calls and tasks it was.

    Without ``names``, what their calls alone were labelled with stays until the next `forget_rest`.
    """
    calls = db.execute("SELECT home, workflow, ts FROM calls WHERE user_id = ?", (user,)).fetchall()
    tasks = db.execute("SELECT home, workflow, ts FROM manual_tasks WHERE user_id = ?", (user,)).fetchall()
    records = calls + tasks
    traces = {home for home, _, _ in records if home is not None}
    changed = {(MINUTE, workflow, minute_of(ts)) for _, workflow, ts in records}
    changed |= _forget_traces(db, traces)
    for table in ("calls", "manual_tasks"):
        db.execute(f"DELETE FROM {table} WHERE user_id = ?", (user,))
    mark(db, changed, now)
    if names:
        _forget_names(db)
    return len(records)


def _forget_names(db: sqlite3.Connection) -> None:
    """Forget the dimensions and attributes that no call has any more."""
    db.execute("DELETE FROM dimensions WHERE id NOT IN (SELECT dimensions FROM calls)")
    db.execute("DELETE FROM attributes WHERE id NOT IN (SELECT attributes FROM calls WHERE attributes IS NOT NULL)")


def _forget_traces(db: sqlite3.Connection, traces: set[int], bodies: bool = True) -> set[tuple[int, int, int]]:
    """Forget whole traces, and all ``bodies`` that came with them; the minutes that change by it."""
    settle(db)
    calls = _list(calls_of(db, traces))
    query = f"SELECT DISTINCT c.id, c.received, c.data FROM parts p JOIN chunks c ON c.id = p.chunk WHERE p.trace {_IN}"
    for chunk, received, data in db.execute(query, (_list(traces),)).fetchall():
        readings = unpack(db, data)
        kept = [reading for reading in readings if trace_key(reading.trace_id) not in traces]
        for reading in readings:
            trace = trace_key(reading.trace_id)
            if trace in traces:
                links = [(key, trace) for key in link_numbers(reading)]
                db.executemany("DELETE FROM links WHERE key = ? AND trace = ?", links)
        if kept:
            db.execute("UPDATE chunks SET data = ?, spans = ? WHERE id = ?", (pack(kept), len(kept), chunk))
        else:
            db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
        if bodies:
            db.execute("DELETE FROM bodies WHERE received = ?", (received,))
    changed: set[tuple[int, int, int]] = set()
    for table, where in _RECORDS.items():
        if table != "markers":
            query = f"SELECT workflow, ts FROM {table} WHERE {where} AND workflow IS NOT NULL"
            changed |= {(MINUTE, workflow, minute_of(ts)) for workflow, ts in db.execute(query, (_list(traces), calls))}
        db.execute(f"DELETE FROM {table} WHERE {where}", (_list(traces), calls))
    db.execute(f"DELETE FROM parts WHERE trace {_IN}", (_list(traces),))
    return changed


def strip_points(db: sqlite3.Connection, user: str, after: int) -> int | None:
    """Take the user out of a portion of the points beyond row ``after``; the last row, None at the end.

    Also points that can no longer be made anew name the heaviest users.
    """
    rows = db.execute("SELECT row, body FROM points WHERE row > ? ORDER BY row LIMIT ?", (after, STRIPPED)).fetchall()
    named = json.dumps(user)
    for row, body in rows:
        text = release(body)
        if named in text:
            point = Point.decode(PointKey(0, "", None, None, None, None), text)
            point.users.pop(user, None)
            db.execute("UPDATE points SET body = ? WHERE row = ?", (press(point.encode()), row))
    return rows[-1][0] if len(rows) == STRIPPED else None


def _list(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))
