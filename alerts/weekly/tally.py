"""Points -> sums per local day and slice: the one pass over the data that every number rests on."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add, sub

from driftbell.alerts.weekly.weeks import EARLIER_WEEKS, WEEK_DAYS, Days
from driftbell.collectors.point import Point, PointKey, Quantity

MAX_NAMES = 200
"""Evaluations and outcomes kept per workflow; the rest is counted as left out."""
ENOUGH_PEOPLE = 10
"""Smaller groups are not shown; a point names at most its sixteen heaviest users, enough to tell ten."""

HISTOGRAMS = frozenset({"latency_ms", "review_ms"})
"""Quantities of which more than the mean is told."""
Slice = tuple[str | None, str | None]
CALLS, MANUAL = "calls", "manual"
"""Counts, whose trials are the days themselves."""


def _zeros(count: int) -> "array[float]":
    return array("d", bytes(8 * count))


@dataclass(slots=True)
class WorkflowTally:
    """Everything kept of one workflow.

    ``slices``: (segment, risk tier) -> measure -> hits or sums of the 35 days, then their trials or counts.
    """

    slices: "dict[Slice, dict[str, array[float]]]" = field(default_factory=dict)
    first: int = Days.count
    """The first day with any data."""
    cells: dict[tuple[int, str | None, str | None], Point] = field(default_factory=dict)
    """(week, segment, model) -> what the decomposition of cost needs; week 4 is the week itself."""
    histograms: dict[tuple[str, int], Quantity] = field(default_factory=dict)
    """(name, week) -> how the values of `HISTOGRAMS` lay."""
    people: dict[str | None, set[str]] = field(default_factory=dict)
    """Users of the week itself, in all (None) and by segment; at most twenty are held, and never shown."""
    versions: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    """(``prompt`` or ``model``, value) -> calls per day."""
    names: set[str] = field(default_factory=set)
    left_out: int = 0
    before: "WorkflowTally | None" = None
    """Only ``slices`` of the weeks before, with a week where the days stand, the oldest first; None without any."""

    def weeks_before(self, take: "Callable[[WorkflowTally], Series]") -> "list[tuple[float, float]]":
        """(hits, trials) of each earlier week, the oldest first, from the first one with any data on."""
        if self.before is None:
            return []
        series = take(self.before)
        return list(zip(series.hits, series.trials, strict=True))[self.before.first : EARLIER_WEEKS]

    def series(self, name: str, only: "Only | None" = None) -> "Series":
        """The measure by day, over all slices or those of one segment or tier."""
        rows = [
            measures[name]
            for place, measures in self.slices.items()
            if name in measures and (only is None or place[only.place] == only.value)
        ]
        if not rows:
            return Series()
        total = rows[0] if len(rows) == 1 else array("d", map(sum, zip(*rows, strict=True)))
        return Series(total[: Days.count], total[Days.count :])


@dataclass(frozen=True, slots=True)
class Only:
    """One segment (place 0) or one risk tier (place 1)."""

    place: int
    value: str

    @property
    def words(self) -> str:
        """``segment high-risk``."""
        return f"{('segment', 'risk tier')[self.place]} {self.value}"


class Series:
    """One measure by day of the five weeks: a ratio of ``hits`` to ``trials``."""

    __slots__ = ("hits", "trials")

    def __init__(self, hits: Sequence[float] | None = None, trials: Sequence[float] | None = None) -> None:
        self.hits = _zeros(Days.count) if hits is None else hits
        self.trials = _zeros(Days.count) if trials is None else trials

    def week(self, week: int) -> tuple[float, float]:
        """(hits, trials) of one week; 4 is the week itself, 3 the last, 0 the oldest."""
        days = slice(week * WEEK_DAYS, (week + 1) * WEEK_DAYS)
        return sum(self.hits[days]), sum(self.trials[days])

    def over(self, other: "Series") -> "Series":
        """The hits of this one over the hits of another."""
        return Series(self.hits, other.hits)

    def less(self, other: "Series") -> "Series":
        """The hits of this one without those of another, over the same trials."""
        return Series(array("d", map(sub, self.hits, other.hits)), self.trials)

    def plus(self, other: "Series") -> "Series":
        """Hits and trials of both."""
        return Series(array("d", map(add, self.hits, other.hits)), array("d", map(add, self.trials, other.trials)))


_MEANS = frozenset({"cost", "attempts", "input_tokens", "output_tokens", "latency_ms", "edit_distance", "source_age"})
_FOR_CELLS = ("cost", "attempts", "input_tokens", "cached_tokens", "output_tokens")
_OPEN_NAMES = ("eval.", "outcome.")


def tally(points: Iterable[Point], days: Days) -> dict[str, WorkflowTally]:
    """One pass over the points, each of which lies within one local day; points outside the weeks are skipped.

    Points of the earlier weeks count only after one of the five weeks of their workflow.
    """
    found: dict[str, WorkflowTally] = {}
    index_of: dict[int, int | None] = {}
    for point in points:
        minute = point.key.minute
        if minute not in index_of:
            index_of[minute] = days.index(minute)
        day = index_of[minute]
        workflow = found.get(point.key.workflow)
        if day is None:
            week = days.earlier_index(minute)
            if workflow is not None and week is not None:
                if workflow.before is None:
                    workflow.before = WorkflowTally(names=workflow.names)
                _sum_up(workflow.before, point, week)
            continue
        if workflow is None:
            workflow = found[point.key.workflow] = WorkflowTally()
        _sum_up(workflow, point, day)
        _count(workflow, point, day)
    return found


def _sum_up(workflow: WorkflowTally, point: Point, day: int) -> None:
    workflow.first = min(workflow.first, day)
    measures = workflow.slices.setdefault((point.key.segment, point.key.risk_tier), {})
    names, again = workflow.names, Days.count + day
    for name, amount, trials in _measures(point):
        row = measures.get(name)
        if row is None:
            if name not in names and name.startswith(_OPEN_NAMES) and not _kept(workflow, name):
                continue
            row = measures[name] = _zeros(2 * Days.count)
        row[day] += amount
        row[again] += trials


def _count(workflow: WorkflowTally, point: Point, day: int) -> None:
    key, week = point.key, day // WEEK_DAYS
    _add_cell(workflow, point, week)
    for name in HISTOGRAMS:
        quantity = point.quantities.get(name)
        if quantity is not None:
            workflow.histograms.setdefault((name, week), Quantity()).add(quantity)
    for kind, value in (("prompt", key.prompt_version), ("model", key.model)):
        if value is not None and point.calls and len(workflow.versions) < MAX_NAMES:
            by_day = workflow.versions.setdefault((kind, value), {})
            by_day[day] = by_day.get(day, 0) + point.calls
    if week == Days.count // WEEK_DAYS - 1:
        for group in (None, key.segment or ""):
            people = workflow.people.setdefault(group, set())
            if len(people) < 2 * ENOUGH_PEOPLE:
                people.update(point.users)


def _measures(point: Point) -> Iterator[tuple[str, float, float]]:
    yield CALLS, point.calls, 1
    if point.manual:
        yield MANUAL, point.manual, 1
    for name, (hits, trials) in point.rates.items():
        yield name, hits, trials
    for name, quantity in point.quantities.items():
        if name in _MEANS or name.startswith("eval."):
            yield name, quantity.total, quantity.count


def _kept(workflow: WorkflowTally, name: str) -> bool:
    if len(workflow.names) >= MAX_NAMES:
        workflow.left_out += 1
        return False
    workflow.names.add(name)
    return True


def _add_cell(workflow: WorkflowTally, point: Point, week: int) -> None:
    place = (week, point.key.segment, point.key.model)
    cell = workflow.cells.get(place)
    if cell is None:
        key = PointKey(week, point.key.workflow, point.key.segment, None, point.key.model, None)
        cell = workflow.cells[place] = Point(key)
    for name in _FOR_CELLS:
        quantity = point.quantities.get(name)
        if quantity is not None:
            mine = cell.quantities.get(name)
            if mine is None:
                mine = cell.quantities[name] = Quantity()
            mine.count += quantity.count
            mine.total += quantity.total
    priced = point.rates.get("unpriced")
    if priced is not None:
        row = cell.rates.setdefault("unpriced", [0, 0])
        row[0] += priced[0]
        row[1] += priced[1]
