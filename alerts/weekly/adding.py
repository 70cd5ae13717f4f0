"""Points -> tallies: the one pass over the data that every number rests on.

Nothing is added up point by point. Each pair that a point holds, hits and trials or a sum and a count, is put into a
row together with its column, which the names in the point tell; the columns of a workflow are then added up at once.
"""

from array import array
from collections.abc import Iterable
from itertools import chain, groupby
from operator import add

import numpy as np
from numpy.typing import NDArray

from driftbell.alerts.weekly.settings import Recipient
from driftbell.alerts.weekly.tally import CALLS, ENOUGH_PEOPLE, HISTOGRAMS, MANUAL, MAX_NAMES, WorkflowTally
from driftbell.alerts.weekly.weeks import WEEK_DAYS, Days
from driftbell.collectors.point import Point, PointKey, Quantity
from driftbell.collectors.sums import Stored, stored_of

_MEANS = frozenset({"cost", "attempts", "input_tokens", "output_tokens", "latency_ms", "edit_distance", "source_age"})
_FOR_CELLS = frozenset({"cost", "attempts", "input_tokens", "cached_tokens", "output_tokens"})
_SUMMED = _MEANS | _FOR_CELLS
_ONLY_FOR_CELLS = _FOR_CELLS - _MEANS
_UNPRICED = "unpriced"
_OPEN_NAMES = ("eval.", "outcome.")
_LEFT_OUT = -1
_WEEKS = Days.count // WEEK_DAYS
_Group = tuple[str | None, str | None, str | None]
"""Segment, risk tier and model."""
_Shape = tuple[list[int], list[str]]
"""Columns of the pairs that are taken of a point, and which of its quantities these are."""
MAX_SHAPES = 1000
"""Combinations of names in the points of a workflow that are remembered."""


def tally(points: Iterable[Point | Stored], days: Days, recipient: Recipient) -> dict[str, WorkflowTally]:
    """One pass over the points, each of which lies within one local day; points outside the weeks are skipped.

    Points of the earlier weeks count only after one of the five weeks of their workflow.
    """
    found: dict[str, WorkflowTally] = {}
    days_of: dict[int, int | None] = {}
    for name, given in groupby(points, lambda point: point.key.workflow):
        if not recipient.reads(name):
            continue
        workflow = found.get(name) or WorkflowTally()
        now, before = _Rows(workflow), _Rows(workflow.before or WorkflowTally(names=workflow.names))
        for point in given:
            one = stored_of(point) if isinstance(point, Point) else point
            start = one.key.minute
            if start not in days_of:
                days_of[start] = days.index(start)
            day = days_of[start]
            if day is not None:
                now.take(one, day)
                now.take_buckets(one, day // WEEK_DAYS)
                _count(workflow, one, day)
            elif (now.points or name in found) and (week := days.earlier_index(start)) is not None:
                before.take(one, week)
        if now.points:
            found[name] = workflow
            now.settle()
            now.settle_buckets()
            now.settle_cells()
        if before.points:
            workflow.before = before.tally
            before.settle()
    return found


def _count(workflow: WorkflowTally, point: Stored, day: int) -> None:
    """What is no sum of a measure: versions and models in use, and people."""
    key, week = point.key, day // WEEK_DAYS
    for kind, value in (("prompt", key.prompt_version), ("model", key.model)):
        if value is not None and point.calls and len(workflow.versions) < MAX_NAMES:
            by_day = workflow.versions.setdefault((kind, value), {})
            by_day[day] = by_day.get(day, 0) + point.calls
    if week == _WEEKS - 1:
        for group in (None, key.segment or ""):
            people = workflow.people.setdefault(group, set())
            if len(people) < 2 * ENOUGH_PEOPLE:
                people.update(point.users)


class _Columns(dict[str, int]):
    """Name of a measure -> its column, of one group; what is not looked at is left out."""

    def __init__(self, tally: WorkflowTally, taken: list[tuple[_Group, str]], group: _Group, rates: bool) -> None:
        self._tally, self._taken, self._group, self._rates = tally, taken, group, rates

    def __missing__(self, name: str) -> int:
        column = self[name] = len(self._taken) if self._wanted(name) else _LEFT_OUT
        if column != _LEFT_OUT:
            self._taken.append((self._group, name))
        return column

    def _wanted(self, name: str) -> bool:
        names = self._tally.names
        if not name.startswith(_OPEN_NAMES):
            return self._rates or name in _SUMMED
        if name in names:
            return True
        if len(names) >= MAX_NAMES:
            self._tally.left_out += 1
            return False
        names.add(name)
        return True


def _shape_of(of_rates: _Columns, of_quantities: _Columns, rates: Iterable[str], quantities: Iterable[str]) -> _Shape:
    at = [of_rates[name] for name in (CALLS, MANUAL, *rates)]
    summed = [name for name in quantities if of_quantities[name] != _LEFT_OUT]
    return [*at, *(of_quantities[name] for name in summed)], summed


class _Rows:
    """Pairs of the points of one workflow, until they are settled into its tally."""

    def __init__(self, tally: WorkflowTally) -> None:
        self.tally = tally
        self.points = 0
        self._taken: list[tuple[_Group, str]] = []
        self._columns: dict[_Group, tuple[_Columns, _Columns]] = {}
        self._shapes: dict[tuple[object, ...], _Shape] = {}
        self._pairs: list[float] = []
        self._at: list[int] = []
        self._days: list[int] = []
        self._sizes: list[int] = []
        self._buckets: dict[tuple[str, int], list[float]] = {}
        self._sums: NDArray[np.float64] = np.zeros((0, 2, Days.count))

    def take(self, point: Stored, day: int) -> None:
        """Put what ``point`` says of ``day`` (of the weeks before: a week) into the rows."""
        key, rates, quantities = point.key, point.rates, point.quantities
        group = (key.segment, key.risk_tier, key.model)
        columns = self._columns.get(group)
        if columns is None:
            of_rates, of_quantities = (_Columns(self.tally, self._taken, group, yes) for yes in (True, False))
            columns = self._columns[group] = (of_rates, of_quantities)
        names = (group, *rates, None, *quantities)
        shape = self._shapes.get(names)
        if shape is None:
            shape = _shape_of(*columns, rates, quantities)
            if len(self._shapes) < MAX_SHAPES:
                self._shapes[names] = shape
        at, summed = shape
        self._at += at
        pairs = self._pairs
        pairs += (point.calls, 1.0, point.manual, 1.0)
        pairs += chain.from_iterable(rates.values())
        for name in summed:
            pairs += quantities[name][1::-1]
        self._days.append(day)
        self._sizes.append(len(at))
        self.points += 1

    def take_buckets(self, point: Stored, week: int) -> None:
        """Put how the values of ``point`` lay into the rows."""
        for name in HISTOGRAMS:
            cells = point.quantities.get(name)
            if cells is not None:
                self._buckets.setdefault((name, week), []).extend(cells[2:])

    def settle(self) -> None:
        """Add the rows up into slices."""
        pairs, at = np.array(self._pairs, float).reshape(-1, 2), np.array(self._at)
        place = at * Days.count + np.repeat(self._days, self._sizes)
        kept = at != _LEFT_OUT
        count = len(self._taken) * Days.count
        sums = [np.bincount(place[kept], pairs[kept, i], count).reshape(-1, Days.count) for i in (0, 1)]
        self._sums = np.stack(sums, axis=1)
        self.tally.first = min(self.tally.first, *self._days)
        for ((segment, risk_tier, _), name), sums_of in zip(self._taken, self._sums, strict=True):
            if name in _ONLY_FOR_CELLS:
                continue
            measures = self.tally.slices.setdefault((segment, risk_tier), {})
            row, held = array("d", sums_of.tobytes()), measures.get(name)
            measures[name] = row if held is None else array("d", map(add, held, row))

    def settle_buckets(self) -> None:
        """Add up how the values of the five weeks lay."""
        for place, flat in self._buckets.items():
            rows = np.array(flat, int).reshape(-1, 2)
            lowest = rows[:, 0].min(initial=0)
            counts = np.bincount(rows[:, 0] - lowest, rows[:, 1])
            found = np.flatnonzero(counts)
            buckets = dict(zip((found + lowest).tolist(), counts[found].astype(int).tolist(), strict=True))
            held = self.tally.histograms.setdefault(place, Quantity())
            held.add(Quantity(int(rows[:, 1].sum()), 0.0, buckets))

    def settle_cells(self) -> None:
        """Take what the decomposition of cost needs from the sums, by week."""
        by_week = self._sums.reshape(-1, 2, _WEEKS, WEEK_DAYS).sum(axis=3).transpose(0, 2, 1).tolist()
        for ((segment, _, model), name), weeks in zip(self._taken, by_week, strict=True):
            if name not in _FOR_CELLS and name != _UNPRICED:
                continue
            for week, (amount, trials) in enumerate(weeks):
                if trials:
                    cell = self._cell(week, segment, model)
                    if name == _UNPRICED:
                        hits, asked = cell.rates.get(_UNPRICED, (0, 0))
                        cell.rates[_UNPRICED] = [hits + int(amount), asked + int(trials)]
                    else:
                        held = cell.quantities.get(name)
                        if held is None:
                            cell.quantities[name] = Quantity(int(trials), amount)
                        else:
                            held.count, held.total = held.count + int(trials), held.total + amount

    def _cell(self, week: int, segment: str | None, model: str | None) -> Point:
        cells, place = self.tally.cells, (week, segment, model)
        if place not in cells:
            cells[place] = Point(PointKey(week, "", segment, None, model, None))
        return cells[place]
