"""Replay: call records through rollup and detectors in event time, on the code path of the live service."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from driftbell.collectors.call import Call, Marker
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.records import Record
from driftbell.collectors.rollup import Rollup
from driftbell.collectors.trust import TrustPoint
from driftbell.detectors.finding import Finding
from driftbell.detectors.report import LONGEST, REFERENCE
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.station import Station
from driftbell.detectors.workflow import BIN

HOUR, DAY = 3600, 86400
KEPT = LONGEST + REFERENCE + DAY
DAYS_KEPT = 70 * DAY
"""What the comparison of weeks looks back on."""
LATENESS = 6 * HOUR
"""Records may be this far out of order; one that is later is counted and left out."""
LONGEST_GAP = 60 * DAY
"""A longer gap is skipped, not lived through: one stray time stamp costs nothing."""
LONGEST_END = 2 * DAY
"""A workflow that fell silent before the end of the file is followed for this long."""


@dataclass(slots=True)
class Memory:
    """The points of one workflow that a finding may look back on: what the store is for the live service."""

    fine: deque[Point] = field(default_factory=deque)
    hours: dict[PointKey, Point] = field(default_factory=dict)
    days: dict[PointKey, Point] = field(default_factory=dict)

    def add(self, points: Iterable[Point]) -> None:
        """Remember the points of a bin."""
        for point in points:
            self.fine.append(point)
            key = point.key._replace(minute=point.key.minute // HOUR * HOUR)
            hour = self.hours.get(key)
            if hour is None:
                hour = self.hours[key] = Point(key)
            hour.add(point)

    def end_day(self, end: int) -> None:
        """Sum the hours of the day that ended at ``end``."""
        for key, hour in self.hours.items():
            if end - DAY <= key.minute < end:
                day = key._replace(minute=end - DAY)
                if day not in self.days:
                    self.days[day] = Point(day)
                self.days[day].add(hour)
        for key in [key for key in self.days if key.minute < end - DAYS_KEPT]:
            del self.days[key]

    def forget(self, before: int) -> None:
        """Drop what no finding can look back on."""
        while self.fine and self.fine[0].key.minute < before + REFERENCE:
            self.fine.popleft()
        for key in [key for key in self.hours if key.minute < before]:
            del self.hours[key]

    def points(
        self,
        workflow: str,  # noqa: ARG002  # one memory holds one workflow
        since: float,
        until: float,
        resolution: Literal["minute", "hour", "day"] = "minute",
    ) -> list[Point]:
        """Points that start in ``[since, until)``."""
        if resolution == "minute":
            return [point for point in self.fine if since <= point.key.minute < until]
        kept = self.hours if resolution == "hour" else self.days
        return [point for key, point in kept.items() if since <= key.minute < until]

    def bins(self, workflow: str, since: float, until: float, length: int) -> dict[int, list[Point]]:
        """The minutes of ``[since, until)``, which are those of `Station.step`."""
        found: dict[int, list[Point]] = {}
        for point in self.points(workflow, since, until):
            found.setdefault(point.key.minute // length * length, []).append(point)
        return found

    def markers(self, workflow: str | None = None, since: float = 0.0, until: float = 0.0) -> list[Marker]:  # noqa: ARG002
        """None: call records carry no markers."""
        return []

    def trust(self, since: float, until: float) -> list[TrustPoint]:  # noqa: ARG002
        """None: call records were received once and are all there."""
        return []


@dataclass(slots=True)
class _Lane:
    """One workflow in a replay: its station, its points and the bin that comes next."""

    station: Station
    memory: Memory = field(default_factory=Memory)
    next_bin: int | None = None
    newest: float = 0.0
    waiting: dict[int, Rollup] = field(default_factory=dict)


class Replay:
    """Takes records in event-time order and yields findings as the live service would have had them."""

    def __init__(self, settings: DetectorSettings, price: Callable[[Call], Call]) -> None:
        self.settings = settings
        self.price = price
        self.too_late = 0
        self._lanes: dict[str, _Lane] = {}

    def take(self, record: Record) -> list[Finding]:
        """Take in one record; the findings of every bin that it completes."""
        lane = self._lane(record)
        begin = int(record.ts // BIN) * BIN
        if lane.next_bin is None:
            lane.next_bin = begin
        if begin < lane.next_bin:
            self.too_late += 1
            return []
        rollup = lane.waiting.get(begin)
        if rollup is None:
            rollup = lane.waiting[begin] = Rollup()
        if record.call is not None:
            rollup.call(self.price(record.call))
        for judgement in record.judgements:
            rollup.judgement(judgement)
        if record.manual_task is not None:
            rollup.manual_task(record.manual_task)
        if record.ts <= lane.newest:
            return []
        lane.newest = record.ts
        due = int((record.ts - max(self.settings.grace, LATENESS)) // BIN) * BIN
        return self._advance(lane, due) if due > lane.next_bin else []

    def finish(self) -> Iterator[Finding]:
        """The findings of what is still waiting, up to the newest record of all."""
        newest = max((lane.newest for lane in self._lanes.values()), default=0.0)
        for lane in self._lanes.values():
            end = min(newest, lane.newest + LONGEST_END)
            yield from self._advance(lane, int(end // BIN) * BIN + BIN)

    def _lane(self, record: Record) -> _Lane:
        about = record.call or record.manual_task
        assert about is not None
        lane = self._lanes.get(about.workflow)
        if lane is None:
            lane = self._lanes[about.workflow] = _Lane(Station(about.workflow, self.settings))
        return lane

    def _advance(self, lane: _Lane, due: int) -> list[Finding]:
        """Live through the bins before ``due``, but not through a gap of months."""
        findings: list[Finding] = []
        assert lane.next_bin is not None
        while due - lane.next_bin > LONGEST_GAP:
            nearest = min((begin for begin in lane.waiting if begin < due), default=due)
            if nearest - lane.next_bin > LONGEST_GAP:
                lane.next_bin = nearest
            else:
                findings += self._live(lane, nearest + BIN)
        return findings + self._live(lane, due)

    def _live(self, lane: _Lane, until: int) -> list[Finding]:
        findings: list[Finding] = []
        assert lane.next_bin is not None
        for begin in range(lane.next_bin, until, BIN):
            rollup = lane.waiting.pop(begin, None)
            points = rollup.points() if rollup is not None else []
            lane.memory.add(points)
            findings += lane.station.step(begin, points, lane.memory)
            if (begin + BIN) % DAY == 0:
                lane.memory.end_day(begin + BIN)
                lane.memory.forget(begin + BIN - KEPT)
        lane.next_bin = until
        return findings
