"""Money budgets: what a day or a month may cost, and whether a month is on its way beyond it.

Money spent is counted exactly, so a budget that is exceeded rings at once. A forecast adds to it the days that are
left, each as its kind (working day or weekend) cost lately, and rings only when the low end of its interval is beyond
the budget. What growth will bring is not guessed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, TypeAdapter, field_validator
from scipy.special import stdtrit

from driftbell.collectors.point import Point
from driftbell.detectors.finding import Bound, Cause, Finding, Interval
from driftbell.detectors.group import GroupKey
from driftbell.detectors.history import History
from driftbell.detectors.scope import Scope, sides

BIN = 300
KEPT_DAYS = 28
LEAST_DAYS = 7
"""Whole days of spending before a month is forecast."""
LEAST_FOR_KINDS = 14
"""Whole days from which working days and weekends are told apart."""
CLINGING, ALIKE_DAYS = 0.4, 5.0
"""Correlation of a day's spending with the day before that is assumed, and how many days' worth of evidence that is."""
COVERAGE = 0.8
"""Share of months that the interval is to hold; a tenth lies below it."""


class Budget(Scope):
    """``usd`` that what the scope names may cost ``per`` day or month, in local days of ``zone``."""

    usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    per: Literal["day", "month"]
    zone: str = "UTC"
    severity: Literal["page", "ticket", "info"] = "ticket"

    @field_validator("zone")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {name[:60]!r}; write a name such as Europe/Berlin") from None
        return name

    @property
    def name(self) -> str:
        """What tells one budget from another."""
        return f"${self.usd:g} a {self.per} {self.zone}"

    def day(self, ts: int) -> date:
        """The local day of a time."""
        return _day(ts, self.zone)

    def starts(self, day: date) -> float:
        """When the period that holds ``day`` began."""
        first = day.replace(day=1) if self.per == "month" else day
        return datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(self.zone)).timestamp()


@lru_cache(maxsize=4096)
def _day(ts: int, zone: str) -> date:
    return datetime.fromtimestamp(ts, UTC).astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a period will have cost in USD, with the interval that `COVERAGE` of such periods lie in."""

    usd: float
    low: float
    high: float


@dataclass(slots=True)
class BudgetState:
    """Of one budget and group: the running local day and what was spent on it and before it in the period.

    ``days`` are the last whole days ``(ordinal, USD)``; ``whole`` says that the running day was seen from its start.
    ``unpriced`` of ``calls`` of the period have no price, so that the true sum is higher.
    """

    day: int
    today: float = 0.0
    before: float = 0.0
    calls: int = 0
    unpriced: int = 0
    whole: bool = False
    days: list[tuple[int, float]] = field(default_factory=list)
    stage: Literal["forecast", "over"] | None = None
    since: float = 0.0


_STATES = TypeAdapter(list[tuple[GroupKey, BudgetState]])


class BudgetWatch:
    """One budget on one workflow."""

    def __init__(self, workflow: str, budget: Budget) -> None:
        self.workflow = workflow
        self.budget = budget
        self.states: dict[GroupKey, BudgetState] = {}

    @property
    def name(self) -> str:
        """The rule's own name."""
        return self.budget.name + self.budget.where

    def step(self, start: int, points: Sequence[Point], ts: float, history: History) -> list[Finding]:  # noqa: ARG002
        """Take in the bin that starts at ``start``; findings are dated ``ts``."""
        findings: list[Finding] = []
        today = self.budget.day(start)
        for key, state in list(self.states.items()):
            if state.day != today.toordinal():
                findings += self._turn(key, state, today, ts)
                if not any(usd for _, usd in state.days) and not state.before and len(state.days) == KEPT_DAYS:
                    del self.states[key]  # a segment that is no more
        for key, part in self.budget.groups(points, self.states).items():
            state = self.states.setdefault(key, BudgetState(today.toordinal()))
            for point in part:
                cost = point.quantities.get("cost")
                state.today += cost.total if cost is not None else 0.0
                missing, calls = point.rates.get("unpriced", (0, 0))
                state.unpriced, state.calls = state.unpriced + missing, state.calls + calls
            if state.stage != "over" and state.before + state.today > self.budget.usd:
                state.since = state.since if state.stage else self.budget.starts(today)
                state.stage = "over"
                findings.append(self._finding(key, state, ts, "fired"))
        return findings

    def open(self, ts: float, transition: Literal["no_data", "cleared"]) -> list[Finding]:  # noqa: ARG002
        """Nothing: money that was spent stays spent while no calls come."""
        return []

    def dump(self) -> object:
        """The state as plain numbers."""
        return _STATES.dump_python(list(self.states.items()), mode="json")

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        self.states = dict(_STATES.validate_python(stored))

    def _turn(self, key: GroupKey, state: BudgetState, today: date, ts: float) -> list[Finding]:
        """End the running day; a day without a call cost nothing. A new period begins with nothing spent."""
        ended = date.fromordinal(state.day)
        if state.whole:
            quiet = range(state.day + 1, min(today.toordinal(), state.day + KEPT_DAYS))
            state.days = [*state.days, (state.day, state.today), *((day, 0.0) for day in quiet)][-KEPT_DAYS:]
        state.before += state.today
        state.today, state.whole, state.day = 0.0, True, today.toordinal()
        findings: list[Finding] = []
        if self.budget.starts(today) != self.budget.starts(ended):
            if state.stage is not None:
                findings.append(self._finding(key, state, ts, "cleared"))
            state.before, state.stage, state.calls, state.unpriced = 0.0, None, 0, 0
        if self.budget.per == "month" and state.stage != "over":
            findings += self._look_ahead(key, state, today, ts)
        return findings

    def _look_ahead(self, key: GroupKey, state: BudgetState, today: date, ts: float) -> list[Finding]:
        following = today.replace(day=28) + timedelta(days=4)
        left = [today + timedelta(days=i) for i in range((following.replace(day=1) - today).days)]
        rest = forecast([(date.fromordinal(day), usd) for day, usd in state.days], left)
        if rest is None:
            return []
        spent = state.before
        whole = Forecast(spent + rest.usd, spent + rest.low, spent + rest.high)
        if state.stage is None and whole.low > self.budget.usd:
            state.stage, state.since = "forecast", self.budget.starts(today)
            return [self._finding(key, state, ts, "fired", whole)]
        if state.stage == "forecast" and whole.usd <= self.budget.usd:
            finding = self._finding(key, state, ts, "cleared", whole)
            state.stage = None
            return [finding]
        return []

    def _finding(
        self,
        key: GroupKey,
        state: BudgetState,
        ts: float,
        transition: Literal["fired", "cleared"],
        ahead: Forecast | None = None,
    ) -> Finding:
        segment, tier = sides(key)
        budget = self.budget
        period = "day" if budget.per == "day" else f"{date.fromordinal(state.day):%B}"
        text = f"The budget is ${budget.usd:,.2f} a {budget.per} ({budget.zone})."
        if ahead is not None:
            text += f" The {budget.per} is likely to end between ${ahead.low:,.2f} and ${ahead.high:,.2f}."
        if state.unpriced:
            text += f" {state.unpriced} of {state.calls} calls have no price and are not in the sum."
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.workflow,
            family="cost",
            metric="spend",
            direction=1,
            unit="usd",
            segment=segment,
            risk_tier=tier,
            observed=ahead.usd if ahead is not None else state.before + state.today,
            interval=Interval(ahead.low, ahead.high) if ahead is not None else None,
            n=state.calls,
            started_at=state.since,
            severity=budget.severity,
            cause=Cause(text=text),
            bound=Bound(budget.usd, f"forecast for {period}" if ahead is not None else f"of the {budget.per}"),
            measure=f"budget {self.name}",
            id=f"{self.workflow}/{key[0]}={key[1]}/budget {self.name}/{int(ts)}",
        )


def forecast(days: Sequence[tuple[date, float]], left: Sequence[date]) -> Forecast | None:
    """What the days ``left`` will cost together, from whole ``days`` before them; None with fewer than `LEAST_DAYS`.

    The mean of each kind of day. A dear day seldom comes alone: the residuals are taken as AR(1), whose correlation is
    estimated, corrected for its bias ``(1 + 3 phi) / n`` (Kendall 1954) and shrunk towards `CLINGING`. The interval
    holds the variance of a sum of such days, and that of the means that few and alike days leave.
    """
    n, ahead = len(days), len(left)
    if n < LEAST_DAYS:
        return None
    if not ahead:
        return Forecast(0.0, 0.0, 0.0)
    kinds = n >= LEAST_FOR_KINDS
    means = _means(days, kinds)
    expected = math.fsum(means[_kind(day, kinds)] for day in left)
    rests = [usd - means[_kind(day, kinds)] for day, usd in days]
    own = math.fsum(r * r for r in rests)
    next_to = math.fsum(a * b for a, b in pairwise(rests)) / own if own else 0.0
    phi = min(max((n * (next_to + (1 + 3 * next_to) / n) + ALIKE_DAYS * CLINGING) / (n + ALIKE_DAYS), 0.0), 0.9)
    crowd = (1 + phi) / (1 - phi)
    worth = max(n / crowd, len(means) + 1.5)  # so many days that do not know of each other
    variance = own / n * worth / (worth - len(means))
    error = math.sqrt(variance * (ahead * crowd + ahead * ahead / worth))
    margin = error * float(stdtrit(max(worth - len(means), 3.0), 0.5 + COVERAGE / 2))
    return Forecast(expected, max(expected - margin, 0.0), expected + margin)


def _means(days: Sequence[tuple[date, float]], kinds: bool) -> dict[bool, float]:
    sums: dict[bool, list[float]] = {}
    for day, usd in days:
        sums.setdefault(_kind(day, kinds), []).append(usd)
    return {kind: math.fsum(values) / len(values) for kind, values in sums.items()}


def _kind(day: date, kinds: bool) -> bool:
    """Whether a day is of the weekend; all are of one kind while they are too few."""
    return kinds and day.weekday() >= 5
