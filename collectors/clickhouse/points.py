"""Points in ClickHouse: made anew from the records as on SQLite, an interval at a time.

All series of an interval are one row, so that an interval is replaced as a whole, and a replacement that is written
twice is one.
"""

import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from driftbell.collectors.clickhouse import records
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.slots import Slots
from driftbell.collectors.clickhouse.spread import apart, joined
from driftbell.collectors.pages import PointPage
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.refresh import DAY, HOUR, SERIES_LIMIT, SETTLE_S, WAIT_S
from driftbell.collectors.rollup import MINUTE, Rollup, minute_of
from driftbell.collectors.sums import Stored, names_of, read_stored
from driftbell.collectors.totals import Totals
from driftbell.collectors.workflows import OTHER

RESOLUTIONS = (MINUTE, HOUR, DAY)
_MARK = ("slot", "resolution", "workflow", "start", "times", "done", "first", "touched")
_POINT = ("resolution", "workflow", "start", "version", "series", "bodies", "spreads")
_MEASURED = (
    *("ts", "workflow", "segment", "risk_tier", "model", "prompt_version", "user_id", "status", "attempts", "fallback"),
    *("usage_source", "cost_usd", "input_tokens", "cached_tokens", "output_tokens", "dialect", "refused", "format_ok"),
    *("finish_reason", "ttft_ms", "latency_ms", "retrieval_ms", "citations", "sources"),
)
_IN = "workflow = {workflow:String} AND minute >= {from:Int64} AND ts >= {since:Float64} AND ts < {until:Float64} "
_BY_MINUTE = "SETTINGS use_skip_indexes_if_final = 1"
"""A minute is part of what a record is known by, so that an index of it never hides a newer version."""
Row = tuple[int, Sequence[str], Sequence[str], Sequence[str]]
"""Start, names of the series, their points and (of hours and days, if wanted) histograms, as they are stored."""
_FAR = 1e15
_NEVER = float("-inf")


class Mark(NamedTuple):
    """An interval that changed, the slots of its marks, and how often each was touched."""

    resolution: int
    workflow: str
    start: int
    slots: tuple[tuple[int, int], ...]


def mark(client: Client, changed: Iterable[tuple[int, str, int]], now: float) -> None:
    """Remember that the points of ``(resolution, workflow, start)`` no longer say what the records say."""
    slot = minute_of(now)
    client.insert("dirty", _MARK, [(slot, *item, 1, 0, now, now) for item in sorted(changed)])


def mark_minutes(client: Client, changed: Iterable[tuple[str, int]], now: float) -> None:
    """`mark` for ``(workflow, minute)``."""
    mark(client, [(MINUTE, workflow, start) for workflow, start in changed], now)


class Marks:
    """Finds what is due; remembers from which slot on it has to look."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._slots = Slots()

    def due(self, now: float, until: float, limit: int, mine: Callable[[str], bool]) -> list[Mark]:
        """What is to be rebuilt, finest and oldest first; every minute that starts before ``until`` is due."""
        query = (
            "SELECT resolution, workflow, start, groupArray((slot, t)) FROM ("
            "SELECT slot, resolution, workflow, start, sum(times) AS t, min(first) AS f, max(touched) AS q FROM dirty "
            "WHERE slot >= {slot:Int64} GROUP BY slot, resolution, workflow, start HAVING t > max(done)"
            ") GROUP BY resolution, workflow, start HAVING max(q) <= {now:Float64} - multiIf(" + _by(SETTLE_S) + ") "
            "OR min(f) <= {now:Float64} - multiIf(" + _by(WAIT_S) + ") "
            f"OR (resolution = {MINUTE} AND start < {{until:Float64}}) "
            f"OR (resolution = {HOUR} AND start + {HOUR} <= {{until:Float64}}) ORDER BY resolution, start, workflow"
        )
        given = {"slot": self._slots.first(now), "now": min(now, _FAR), "until": max(-_FAR, min(until, _FAR))}
        found = [Mark(r, w, s, tuple(map(tuple, slots))) for r, w, s, slots in self._client.query(query, given)]
        return [one for one in found if mine(one.workflow)][:limit]

    def settle(self, now: float) -> None:
        """Nothing at all is due: later marks have later slots, but for an insert that was slow to be seen."""
        left = self._client.query(
            "SELECT min(slot) FROM (SELECT slot FROM dirty WHERE slot >= {slot:Int64} "
            "GROUP BY slot, resolution, workflow, start HAVING sum(times) > max(done))",
            {"slot": self._slots.first(now)},
        )[0][0]
        self._slots.settle(now, left or None)

    def done(self, marks: Iterable[Mark]) -> None:
        """These were rebuilt as of when they were found."""
        rows = [
            (slot, one.resolution, one.workflow, one.start, 0, times, _FAR, -_FAR)
            for one in marks
            for slot, times in one.slots
        ]
        self._client.insert("dirty", _MARK, rows)


def _by(seconds: dict[int, float]) -> str:
    return ", ".join(f"resolution = {r}, {s}" for r, s in seconds.items()) + ", 0"


def recount(client: Client, workflow: str, since: float, until: float) -> list[Point]:
    """Minute points made from the records themselves."""
    return _rolled(client, _IN, window(workflow, since, until))


def recount_minutes(client: Client, minutes: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[Point]]:
    """`recount` of single ``(workflow, minute)``."""
    found: dict[tuple[str, int], list[Point]] = {place: [] for place in minutes}
    workflows, starts = [workflow for workflow, _ in minutes], [start for _, start in minutes]
    where = (
        "workflow IN {workflows:Array(String)} AND minute IN {starts:Array(Int64)} "
        "AND (toString(workflow), minute) IN (SELECT place.1, place.2 FROM (SELECT arrayJoin(arrayZip("
        "{workflows:Array(String)}, {starts:Array(Int64)})) AS place)) "
    )
    for point in _rolled(client, where, {"workflows": workflows, "starts": starts}):
        found[point.key.workflow, point.key.minute].append(point)
    return found


def _rolled(client: Client, where: str, given: dict[str, object]) -> list[Point]:
    collected = Rollup()
    for row in client.query(records.select("calls", _MEASURED) + f"WHERE {where} ORDER BY ts, key {_BY_MINUTE}", given):
        collected.call(records.measured_of(row))
    for row in client.query(records.select("judgements") + f"WHERE {where} ORDER BY ts, key {_BY_MINUTE}", given):
        collected.judgement(records.judgement_of(row))
    for row in client.query(records.select("manual_tasks") + f"WHERE {where} ORDER BY ts, key {_BY_MINUTE}", given):
        collected.manual_task(records.task_of(row))
    return collected.points()


def window(workflow: str, since: float, until: float) -> dict[str, object]:
    """The parameters of a question about a workflow in ``[since, until)``."""
    since, until = max(since, -_FAR), min(until, _FAR)
    return {"workflow": workflow, "from": minute_of(since), "since": since, "until": until}


IN_WINDOW = _IN


def replace_all(client: Client, made: Iterable[tuple[tuple[int, str, int], Sequence[Point]]], version: int) -> None:
    """Put points in the place of those of intervals."""
    rows = []
    for place, points in made:
        bodies: list[str] = [point.encode() for point in points]
        spreads: list[str] = []
        if place[0] != MINUTE and points:
            bodies, spreads = map(list, zip(*map(apart, bodies), strict=True))
        rows.append((*place, version, [json.dumps(point.key[2:]) for point in points], bodies, spreads))
    client.insert("points", _POINT, rows)


def load(client: Client, resolution: int, workflow: str, since: float, until: float) -> list[Point]:
    """Stored points of intervals that start in ``[since, until)``, by start."""
    return list(decoded(workflow, rows(client, resolution, [workflow], since, until)[workflow]))


def rows(
    client: Client, resolution: int, workflows: Sequence[str], since: float, until: float, spreads: bool = True
) -> dict[str, list[Row]]:
    """What is stored of some workflows, as it is stored, by start; of hours and days without ``spreads`` if so."""
    found: dict[str, list[Row]] = {workflow: [] for workflow in workflows}
    given = {**window("", since, until), "resolution": resolution, "workflows": list(workflows)}
    columns = "start, series, bodies" + (", spreads" if spreads and resolution != MINUTE else "")
    query = f"SELECT workflow, {columns} FROM points FINAL WHERE {_PLACES}ORDER BY workflow, start"
    for workflow, start, series, bodies, *more in client.query(query, given):
        found[workflow].append((start, series, bodies, more[0] if more else ()))
    return found


def decoded(workflow: str, held: Iterable[Row], histograms: Container[str] | None = None) -> Iterator[Point]:
    """The points in ``held``; only ``histograms`` (None: all) have their buckets."""
    for start, series, bodies, spreads in held:
        for names, body, spread in zip(series, bodies, spreads or [""] * len(bodies), strict=True):
            yield Point.read(PointKey(start, workflow, *names_of(names)), joined(body, spread), histograms)


def as_stored(workflow: str, held: Iterable[Row]) -> Iterator[Stored]:
    """What is in ``held``, to be added up."""
    for start, series, bodies, _ in held:
        for names, body in zip(series, bodies, strict=True):
            yield read_stored(PointKey(start, workflow, *names_of(names)), body)


def finer(
    client: Client, resolution: int, child: int, wanted: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], list[Point]]:
    """The points of ``child`` within intervals ``(workflow, start)`` of ``resolution``."""
    found: dict[tuple[str, int], list[Point]] = {place: [] for place in wanted}
    query = (
        "SELECT workflow, start, series, bodies, spreads FROM points FINAL WHERE resolution = {child:UInt32} "
        "AND workflow IN {workflows:Array(String)} AND start >= {first:Int64} AND start < {last:Int64} "
        "AND (toString(workflow), intDiv(start, {step:Int64}) * {step:Int64}) IN (SELECT place.1, place.2 FROM "
        "(SELECT arrayJoin(arrayZip({workflows:Array(String)}, {starts:Array(Int64)})) AS place)) ORDER BY start"
    )
    starts = [start for _, start in wanted]
    given = {"child": child, "step": resolution, "workflows": [workflow for workflow, _ in wanted], "starts": starts}
    given |= {"first": min(starts, default=0), "last": max(starts, default=0) + resolution}
    for workflow, start, *held in client.query(query, given) if wanted else ():
        found[workflow, start // resolution * resolution] += decoded(workflow, [(start, *held)])
    return found


_PLACE = (
    "resolution = {resolution:UInt32} AND workflow = {workflow:String} AND start >= {since:Float64} "
    "AND start < {until:Float64} "
)
_PLACES = _PLACE.replace("workflow = {workflow:String}", "workflow IN {workflows:Array(String)}")


def count(client: Client, resolution: int, workflow: str, since: float, until: float) -> int:
    """How many points are stored of intervals that start in ``[since, until)``."""
    query = "SELECT sum(length(series)) FROM points FINAL WHERE " + _PLACE
    return int(client.query(query, {"resolution": resolution, **window(workflow, since, until)})[0][0])


def page(client: Client, workflow: str, resolution: int, since: float, until: float, limit: int) -> PointPage:
    """The points of a workflow that start in ``[since, until)``, about ``limit`` of them in whole intervals."""
    given = {"resolution": resolution, **window(workflow, since, until)}
    sizes = client.query(
        "SELECT start, length(series) AS n FROM points FINAL WHERE " + _PLACE + "AND n > 0 ORDER BY start", given
    )
    held = 0
    for at, (start, size) in enumerate(sizes):
        if at and held + size > limit:
            return PointPage(load(client, resolution, workflow, since, start), start)
        held += size
    return PointPage(load(client, resolution, workflow, since, until), None)


def totals(
    client: Client, resolution: int, since: float, until: float, mine: Callable[[str], bool]
) -> Iterator[Totals]:
    """One `Totals` per workflow and interval that starts in ``[since, until)``, by workflow and start."""
    query = (
        "SELECT workflow, start, bodies FROM points FINAL WHERE resolution = {resolution:UInt32} "
        "AND start >= {since:Float64} AND start < {until:Float64} ORDER BY workflow, start"
    )
    given = window("", since, until)
    for workflow, start, bodies in client.query(query, {"resolution": resolution, **given}):
        if bodies and mine(workflow):
            one = Totals(workflow, start)
            for body in bodies:
                one.take(body)
            yield one


class SeriesLimit:
    """Adds up the series of a workflow beyond the limit; remembers those within it, once they are saved."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, set[str]] = {}
        self._new: list[tuple[str, str]] = []

    def bounded(self, workflow: str, points: Sequence[Point]) -> list[Point]:
        """``points`` of a minute with at most `driftbell.collectors.refresh.SERIES_LIMIT` names ever."""
        known = self._known[workflow]
        kept: dict[PointKey, Point] = {}
        for point in points:
            names = json.dumps(point.key[2:])
            key = point.key
            if names not in known:
                if len(known) < SERIES_LIMIT:
                    known.add(names)
                    self._new.append((workflow, names))
                else:
                    key = PointKey(*key[:2], OTHER, None, OTHER, OTHER)
            if key in kept:
                kept[key].add(point)
            else:
                kept[key] = point if key == point.key else _renamed(point, key)
        for point in kept.values():
            point.trim()
        return list(kept.values())

    def know(self, workflows: Iterable[str]) -> None:
        """Read what is known of ``workflows``, before `bounded` is asked about them."""
        unknown = sorted(set(workflows) - self._known.keys())
        if unknown:
            self._known.update({workflow: set() for workflow in unknown})
            query = "SELECT DISTINCT workflow, names FROM series WHERE workflow IN {workflows:Array(String)}"
            for workflow, names in self._client.query(query, {"workflows": unknown}):
                self._known[workflow].add(names)

    def save(self) -> None:
        """Write what is new."""
        self._client.insert("series", ("workflow", "names"), self._new)
        self._new = []


def names(client: Client, workflow: str) -> list[str]:
    """The combinations of names of a workflow, as JSON."""
    query = "SELECT DISTINCT names FROM series WHERE workflow = {workflow:String} ORDER BY names"
    return [name for (name,) in client.query(query, {"workflow": workflow})]


def _renamed(point: Point, key: PointKey) -> Point:
    renamed = Point(key)
    renamed.add(point)
    return renamed


def coarser(points: Collection[Point], start: int) -> list[Point]:
    """Points of a longer interval that starts at ``start``."""
    keyed: dict[PointKey, Point] = {}
    for point in points:
        key = point.key._replace(minute=start)
        if key not in keyed:
            keyed[key] = Point(key)
        keyed[key].add(point)
    for total in keyed.values():
        total.trim()
    return list(keyed.values())
