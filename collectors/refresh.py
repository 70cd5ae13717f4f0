"""Points made anew from the records: minutes from calls, hours from minutes, days from hours.

Ingest only marks what has changed. A marked minute is rebuilt once it has been quiet for a while (or has waited long
enough), so that a busy minute is read about once; rebuilding makes any late change exact.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence

from driftbell.collectors import metered, rows
from driftbell.collectors.point import Point, PointKey, merge
from driftbell.collectors.press import press, release
from driftbell.collectors.rollup import MINUTE, Rollup
from driftbell.collectors.tally import tally
from driftbell.collectors.workflows import OTHER

HOUR = 3600
DAY = 86400
SETTLE_S = {MINUTE: 5.0, HOUR: 120.0, DAY: 600.0}
"""A changed interval is rebuilt when nothing touched it for this long ..."""
WAIT_S = {MINUTE: 75.0, HOUR: 900.0, DAY: 3600.0}
"""... or when it has waited this long."""
SERIES_LIMIT = 500
"""Combinations of segment, risk tier, model and prompt version per workflow; more are one series, `OTHER`."""
_PARENT = {MINUTE: HOUR, HOUR: DAY}
_CHILD = {HOUR: MINUTE, DAY: HOUR}
_OTHERS = (OTHER, None, OTHER, OTHER)
PORTION = 2400
"""Calls that are counted in one step, some 20 ms: whoever waits for a commit waits that long at most."""
Steps = Generator[None, None, list[Point]]
Due = tuple[int, int, int, int]
"""Resolution, workflow, start, and how often it was touched (to tell whether it was touched again meanwhile)."""


def due(db: sqlite3.Connection, now: float, until: float, limit: int) -> list[Due]:
    """What is to be rebuilt at ``now``, finest and oldest first.

    Every minute that starts before ``until`` is due, and every hour that ends by then: a backlog is told its causes
    from the hours before, as they would have been there if it had come in time.
    """
    found: list[Due] = []
    over = {MINUTE: until, HOUR: until - HOUR + 1, DAY: float("-inf")}
    for resolution in (MINUTE, HOUR, DAY):
        quiet, waited = now - SETTLE_S[resolution], now - WAIT_S[resolution]
        found += db.execute(
            "SELECT resolution, workflow, start, times FROM dirty WHERE resolution = ? "
            "AND (touched <= ? OR first <= ? OR start < ?) ORDER BY start LIMIT ?",
            (resolution, quiet, waited, over[resolution], limit - len(found)),
        ).fetchall()
    return found


def leaves_hours(items: Iterable[tuple[int, int]], until: float) -> bool:
    """Whether rebuilding ``(resolution, start)`` makes an hour due that ends by ``until``."""
    return any(r == MINUTE and start // HOUR * HOUR + HOUR <= until for r, start in items)


def changed(db: sqlite3.Connection, limit: int) -> list[Due]:
    """Like `due`, with everything that has changed."""
    query = "SELECT resolution, workflow, start, times FROM dirty ORDER BY resolution, start LIMIT ?"
    return db.execute(query, (limit,)).fetchall()


def rebuild(db: sqlite3.Connection, item: Due) -> Steps:
    """The points of one interval as the records, or the finer points, have them now; made in steps."""
    resolution, workflow, start, _ = item
    if resolution == MINUTE:
        return (yield from recounting(db, workflow, start, start + MINUTE))
    end = start + resolution
    if resolution == HOUR and start < _purged(db, workflow):
        held = yield from recounting(db, workflow, start, end)
    else:
        held = load(db, _CHILD[resolution], workflow, start, end)
    return list(_coarser(held, start))


def replace(db: sqlite3.Connection, item: Due, points: Sequence[Point], now: float) -> None:
    """Put ``points`` in the place of those of the interval, unless it was touched again; in a transaction."""
    resolution, workflow, start, times = item
    done = db.execute(
        "DELETE FROM dirty WHERE resolution = ? AND workflow = ? AND start = ? AND times = ?",
        (resolution, workflow, start, times),
    )
    if not done.rowcount:
        return
    place = (resolution, workflow, start)
    db.execute("DELETE FROM points WHERE resolution = ? AND workflow = ? AND start = ?", place)
    bounded = points if resolution != MINUTE else _bounded(db, workflow, points)
    db.executemany(
        "INSERT INTO points (resolution, workflow, start, segment, risk_tier, model, prompt_version, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(*place, *point.key[2:], press(point.encode())) for point in bounded],
    )
    parent = _PARENT.get(resolution)
    if parent is not None:
        mark(db, [(parent, workflow, start // parent * parent)], now)


def mark(db: sqlite3.Connection, changed: Iterable[tuple[int, int, int]], now: float) -> None:
    """Remember that the points of ``(resolution, workflow, start)`` no longer say what the records say."""
    db.executemany(
        "INSERT INTO dirty VALUES (?, ?, ?, ?, ?, 1) "
        "ON CONFLICT DO UPDATE SET touched = excluded.touched, times = times + 1",
        [(*item, now, now) for item in changed],
    )


def load(db: sqlite3.Connection, resolution: int, workflow: int, since: float, until: float) -> list[Point]:
    """Stored points of intervals that start in ``[since, until)``, by start."""
    name = _name(db, workflow)
    found = db.execute(
        "SELECT start, segment, risk_tier, model, prompt_version, body FROM points "
        "WHERE resolution = ? AND workflow = ? AND start >= ? AND start < ? ORDER BY start, row",
        (resolution, workflow, since, until),
    )
    return [Point.decode(PointKey(start, name, *names), release(body)) for start, *names, body in found]


def recount(db: sqlite3.Connection, workflow: int, since: float, until: float) -> list[Point]:
    """Minute points made from the records themselves, every series under its own name."""
    steps = recounting(db, workflow, since, until)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)


def recounting(db: sqlite3.Connection, workflow: int, since: float, until: float) -> Steps:
    """`recount` in steps of `PORTION` calls."""
    window = (workflow, since, until)
    collected = Rollup()
    calls = db.execute(rows.SELECT_MEASURED + "WHERE workflow = ? AND ts >= ? AND ts < ?", window)
    name = _name(db, workflow)
    while portion := calls.fetchmany(PORTION):
        tally(collected, name, portion, rows.told_of(db, portion))
        yield
    for row in db.execute(rows.SELECT_JUDGEMENTS + "WHERE j.workflow = ? AND j.ts >= ? AND j.ts < ?", window):
        collected.judgement(rows.judgement_of(row))
    for row in db.execute(rows.SELECT_TASKS + "WHERE t.workflow = ? AND t.ts >= ? AND t.ts < ?", window):
        collected.manual_task(rows.task_of(row))
    for point in metered.points(db, workflow, since, until):
        collected.metered(point)
    return collected.points()


def _bounded(db: sqlite3.Connection, workflow: int, points: Sequence[Point]) -> list[Point]:
    """``points`` with the series beyond the limit added up as one; remembers the new series."""
    query = "SELECT segment, risk_tier, model, prompt_version FROM series WHERE workflow = ?"
    known = set(db.execute(query, (workflow,)))
    kept: dict[PointKey, list[Point]] = {}
    for point in points:
        names = tuple(point.key[2:])
        key = point.key
        if names not in known:
            if len(known) < SERIES_LIMIT:
                known.add(names)
                db.execute("INSERT INTO series VALUES (NULL, ?, ?, ?, ?, ?)", (workflow, *names))
            else:
                key = PointKey(*point.key[:2], *_OTHERS)
        kept.setdefault(key, []).append(point)
    return [_sum(group, key) for key, group in kept.items()]


def _coarser(points: Iterable[Point], start: int) -> Iterator[Point]:
    keyed: dict[PointKey, list[Point]] = {}
    for point in points:
        keyed.setdefault(point.key._replace(minute=start), []).append(point)
    for key, group in keyed.items():
        yield _sum(group, key)


def _sum(points: Sequence[Point], key: PointKey) -> Point:
    if len(points) == 1 and points[0].key == key:
        return points[0]
    total = merge(points, key)
    total.trim()
    return total


def _purged(db: sqlite3.Connection, workflow: int) -> float:
    row = db.execute("SELECT minutes_purged FROM workflows WHERE id = ?", (workflow,)).fetchone()
    return float("-inf") if row is None or row[0] is None else float(row[0])


def _name(db: sqlite3.Connection, workflow: int) -> str:
    return str(db.execute("SELECT name FROM workflows WHERE id = ?", (workflow,)).fetchone()[0])
