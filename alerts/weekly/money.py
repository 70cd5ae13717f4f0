"""What the money did: the exact parts of its change, the budget of the month, the bill at ten times the volume."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, replace

from driftbell.alerts.weekly.outcome import Outcome
from driftbell.alerts.weekly.tally import Series, WorkflowTally
from driftbell.alerts.weekly.weeks import MONTHS, USUAL_WEEKS, WEEK_DAYS, Days
from driftbell.collectors.point import Point
from driftbell.detectors.decomposition import Cell, CellKey, Decomposition, UnitPrices, cells_of, decompose

GROWTH = 10


@dataclass(frozen=True, slots=True)
class Money:
    """``per_outcome`` and ``bill`` split this week's change against usual; None when a side is missing.

    ``ten_times`` is the week's bill at ten times the volume, if the price per call stays; None without cost.
    """

    per_outcome: Decomposition | None
    bill: Decomposition | None
    ten_times: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """Cost of the month in which the week ends, and where it will end if the days stay like this week's."""

    month: str
    so_far: float
    forecast: float
    limit: float | None
    since_day: int
    """First day of the month that was watched."""

    @property
    def over(self) -> bool:
        """Whether the forecast is above the budget; never without one."""
        return self.limit is not None and self.forecast > self.limit


def money_of(found: WorkflowTally, outcome: Outcome, whole_weeks: list[int], prices: Mapping[str, UnitPrices]) -> Money:
    """The parts of the change of cost per outcome (all usual weeks pooled) and of the bill (their mean)."""
    this = _cells(found, [USUAL_WEEKS], prices)
    usual_weeks = list(range(USUAL_WEEKS))
    counts = (sum(outcome.counted.week(week)[0] for week in usual_weeks), outcome.counted.week(USUAL_WEEKS)[0])
    per_outcome = decompose(_cells(found, usual_weeks, prices), this, "outcome", counts) if min(counts) > 0 else None
    mean = {key: _scaled(cell, 1 / len(whole_weeks)) for key, cell in _cells(found, whole_weeks, prices).items()}
    bill = decompose(mean, this, "total") if mean else None
    spent = sum(cell.cost_usd for cell in this.values())
    return Money(per_outcome, bill, spent * GROWTH if this else None)


def _cells(found: WorkflowTally, weeks: list[int], prices: Mapping[str, UnitPrices]) -> dict[CellKey, Cell]:
    points: list[Point] = [point for (week, _, _), point in found.cells.items() if week in weeks]
    return cells_of(points, prices)


def _scaled(cell: Cell, by: float) -> Cell:
    return replace(
        cell,
        calls=cell.calls * by,
        cost_usd=cell.cost_usd * by,
        attempts=cell.attempts * by,
        input_tokens=cell.input_tokens * by,
        cached_tokens=cell.cached_tokens * by,
        output_tokens=cell.output_tokens * by,
    )


def budget_of(cost: Series, days: Days, first: int, limit: float | None) -> Budget | None:
    """Month to date and its forecast: each day still to come costs what its weekday cost this week.

    None while no cost is known.
    """
    if not any(cost.hits):
        return None
    sunday = days.dates[-1]
    in_month = [i for i, day in enumerate(days.dates) if (day.year, day.month) == (sunday.year, sunday.month)]
    so_far = sum(cost.hits[i] for i in in_month)
    week = cost.hits[USUAL_WEEKS * WEEK_DAYS :]
    left = calendar.monthrange(sunday.year, sunday.month)[1] - sunday.day
    forecast = so_far + sum(week[i % WEEK_DAYS] for i in range(left))
    watched = max(in_month[0], first)
    return Budget(MONTHS[sunday.month - 1], so_far, forecast, limit, days.dates[watched].day)
