"""One round of rebuilding points from what was marked; every step may be repeated."""

from collections.abc import Callable, Mapping, Sequence

from driftbell.collectors.clickhouse import points, registry
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.points import Mark, Marks, SeriesLimit
from driftbell.collectors.point import Point
from driftbell.collectors.refresh import DAY, HOUR, leaves_hours
from driftbell.collectors.rollup import MINUTE

TOGETHER = 500
"""Intervals that are written together."""
Made = tuple[tuple[int, str, int], Sequence[Point]]
_PARENT = {MINUTE: HOUR, HOUR: DAY}
_CHILD = {HOUR: MINUTE, DAY: HOUR}


class Rebuilder:
    """Keeps the points of the workflows that are ``mine`` as the records are."""

    def __init__(self, client: Client, version: Callable[[float], int], mine: Callable[[str], bool]) -> None:
        self._client = client
        self._version = version
        self._mine = mine
        self._marks = Marks(client)
        self._limit = SeriesLimit(client)

    def step(self, now: float, until: float, limit: int, everything: bool = False) -> bool:
        """Rebuild up to ``limit`` intervals that are due, or ``everything`` that has changed; True if more may be."""
        due = self._marks.due(float("inf") if everything else now, until, limit, self._mine)
        if not due:
            self._marks.settle(now)
        more = len(due) >= limit or leaves_hours([(mark.resolution, mark.start) for mark in due], until)
        more = more or (everything and bool(due))
        purged = {name: known.minutes_purged for name, known in registry.load(self._client).items()} if due else {}
        while due:
            # An hour is made from minutes, so what is written together has one length.
            portion = [mark for mark in due[:TOGETHER] if mark.resolution == due[0].resolution]
            made = self._minutes(portion) if portion[0].resolution == MINUTE else self._longer(portion, purged)
            points.replace_all(self._client, made, self._version(now))
            parent = _PARENT.get(portion[0].resolution)
            if parent is not None:
                coarse = {(parent, mark.workflow, mark.start // parent * parent) for mark in portion}
                points.mark(self._client, coarse, now)
            self._marks.done(portion)
            due = due[len(portion) :]
        return more

    def _minutes(self, marks: Sequence[Mark]) -> list[Made]:
        found = points.recount_minutes(self._client, {(mark.workflow, mark.start) for mark in marks})
        self._limit.know(mark.workflow for mark in marks)
        made: list[Made] = [
            (mark[:3], self._limit.bounded(mark.workflow, found[mark.workflow, mark.start])) for mark in marks
        ]
        self._limit.save()
        return made

    def _longer(self, marks: Sequence[Mark], purged: Mapping[str, float | None]) -> list[Made]:
        resolution = marks[0].resolution
        whole = [mark for mark in marks if not self._lost(mark, purged)]
        wanted = [(mark.workflow, mark.start) for mark in whole]
        held = points.finer(self._client, resolution, _CHILD[resolution], wanted)
        for mark in marks:
            if self._lost(mark, purged):
                recounted = points.recount(self._client, mark.workflow, mark.start, mark.start + HOUR)
                held[mark.workflow, mark.start] = recounted
        return [(mark[:3], points.coarser(held[mark.workflow, mark.start], mark.start)) for mark in marks]

    def _lost(self, mark: Mark, purged: Mapping[str, float | None]) -> bool:
        """Whether minutes of an hour are forgotten, so that it is made from the calls."""
        floor = purged.get(mark.workflow)
        return mark.resolution == HOUR and floor is not None and mark.start < floor
