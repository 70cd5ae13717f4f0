"""What is kept of a workflow: sums per local day and slice, on which every number rests."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import add, sub

import numpy as np

from driftbell.alerts.weekly.weeks import EARLIER_WEEKS, WEEK_DAYS, Days
from driftbell.collectors.point import Point, Quantity
from driftbell.collectors.sums import SPREADS

MAX_NAMES = 200
"""Evaluations and outcomes kept per workflow; the rest is counted as left out."""
ENOUGH_PEOPLE = 10
"""Smaller groups are not shown; a point names at most its sixteen heaviest users, enough to tell ten."""

HISTOGRAMS = SPREADS
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

    _made: "dict[tuple[str, Only | None], Series]" = field(default_factory=dict, repr=False, compare=False)

    def series(self, name: str, only: "Only | None" = None) -> "Series":
        """The measure by day, over all slices or those of one segment or tier."""
        known = self._made.get((name, only))
        if known is None:
            known = self._made[name, only] = self._series(name, only)
        return known

    def _series(self, name: str, only: "Only | None") -> "Series":
        rows = [
            measures[name]
            for place, measures in self.slices.items()
            if name in measures and (only is None or place[only.place] == only.value)
        ]
        if not rows:
            return Series()
        total = rows[0] if len(rows) == 1 else array("d", np.sum(rows, axis=0).tobytes())
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

    __slots__ = ("_weeks", "hits", "trials")

    def __init__(self, hits: Sequence[float] | None = None, trials: Sequence[float] | None = None) -> None:
        self.hits = _zeros(Days.count) if hits is None else hits
        self.trials = _zeros(Days.count) if trials is None else trials
        self._weeks: tuple[tuple[float, float], ...] | None = None

    def week(self, week: int) -> tuple[float, float]:
        """(hits, trials) of one week; 4 is the week itself, 3 the last, 0 the oldest."""
        if self._weeks is None:
            weeks = [slice(first, first + WEEK_DAYS) for first in range(0, Days.count, WEEK_DAYS)]
            self._weeks = tuple((sum(self.hits[days]), sum(self.trials[days])) for days in weeks)
        return self._weeks[week]

    def over(self, other: "Series") -> "Series":
        """The hits of this one over the hits of another."""
        return Series(self.hits, other.hits)

    def less(self, other: "Series") -> "Series":
        """The hits of this one without those of another, over the same trials."""
        return Series(array("d", map(sub, self.hits, other.hits)), self.trials)

    def plus(self, other: "Series") -> "Series":
        """Hits and trials of both."""
        return Series(array("d", map(add, self.hits, other.hits)), array("d", map(add, self.trials, other.trials)))
