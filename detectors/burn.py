"""SLO burn rate: how fast the errors that an objective allows are being used up, over several pairs of windows.

The windows and factors are those of Google's SRE Workbook, chapter 5, for an objective over thirty days: 14.4 times too
fast over an hour (2 % of the allowance) and 6 times over six hours (5 %) page, as fast as all of it over three days
(10 %) is a ticket. The short window beside each makes the alarm end soon after the trouble.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator
from scipy.special import bdtrc

from driftbell.collectors.point import Point, bucket
from driftbell.detectors.finding import Bound, Cause, Finding
from driftbell.detectors.group import GroupKey
from driftbell.detectors.history import History
from driftbell.detectors.limit import BACK, CHANCE, FEWEST, Level
from driftbell.detectors.metrics import Metric, metric
from driftbell.detectors.scope import Scope, sides

BIN = 300
HOUR = 3600
DAY = 86400


@dataclass(frozen=True, slots=True)
class Pair:
    """A long and a short window (s), over both of which the allowance burns ``factor`` times too fast."""

    factor: float
    long: int
    short: int
    severity: Literal["page", "ticket"]


PAIRS = (
    Pair(14.4, HOUR, BIN, "page"),
    Pair(6.0, 6 * HOUR, 1800, "page"),
    Pair(1.0, 3 * DAY, 6 * HOUR, "ticket"),
)
FINE = 6 * HOUR
"""Bins are kept for so long, whole hours for the longest window."""


class Objective(Scope):
    """A share ``target`` of calls that is to be good: no hit of a rate, or a value on this side of above or below."""

    metric: str
    target: Annotated[float, Field(ge=0.5, lt=1)]
    above: Level | None = None
    below: Level | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if metric(name).kind == "total":
            raise ValueError(f"an objective is a share of good calls; {name} is a sum, see budgets and limits")
        return name

    @model_validator(mode="after")
    def _what_is_bad(self) -> Self:
        given = (self.above is not None) + (self.below is not None)
        if metric(self.metric).kind == "quantity" and given != 1:
            raise ValueError(f"say which values of {self.metric} are bad: either above or below")
        if metric(self.metric).kind == "rate" and given:
            raise ValueError(f"{self.metric} is a share; leave above and below out")
        return self

    @property
    def allowed(self) -> float:
        """The share of calls that may be bad."""
        return 1.0 - self.target

    @property
    def name(self) -> str:
        """What tells one objective from another."""
        bad = f" >{self.above:g}" if self.above is not None else f" <{self.below:g}" if self.below is not None else ""
        return f"{self.metric}{bad} {self.target:g}"


@dataclass(slots=True)
class BurnState:
    """Of one objective and group: ``(start, calls, bad)`` of the last bins and hours, and the alarm that is on."""

    born: int
    """Start of the first bin with calls: a window counts once it has been lived through."""
    bins: list[tuple[int, int, int]] = field(default_factory=list)
    hours: list[tuple[int, int, int]] = field(default_factory=list)
    pair: int | None = None
    since: float = 0.0


_STATES = TypeAdapter(list[tuple[GroupKey, BurnState]])


class BurnWatch:
    """One objective on one workflow."""

    def __init__(self, workflow: str, objective: Objective) -> None:
        self.workflow = workflow
        self.objective = objective
        self.metric: Metric = metric(objective.metric)
        self.states: dict[GroupKey, BurnState] = {}

    @property
    def name(self) -> str:
        """The rule's own name."""
        return self.objective.name + self.objective.where

    def step(self, start: int, points: Sequence[Point], ts: float, history: History) -> list[Finding]:  # noqa: ARG002
        """Take in the bin that starts at ``start``; findings are dated ``ts``."""
        found = self.objective.groups(points, self.states)
        for key in found:
            self.states.setdefault(key, BurnState(start))
        findings: list[Finding] = []
        for key, state in list(self.states.items()):
            calls, bad = self._count(found.get(key, ()))
            _add(state, start, calls, bad)
            if not state.hours and state.pair is None:
                del self.states[key]
            elif calls:
                findings += self._judge(key, state, start + BIN, ts)
        return findings

    def open(self, ts: float, transition: Literal["no_data", "cleared"]) -> list[Finding]:
        """A finding for every alarm that is on."""
        on = [(key, state) for key, state in self.states.items() if state.pair is not None]
        return [self._finding(key, state, PAIRS[state.pair or 0], ts, transition, None) for key, state in on]

    def dump(self) -> object:
        """The state as plain numbers."""
        return _STATES.dump_python(list(self.states.items()), mode="json")

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        self.states = dict(_STATES.validate_python(stored))

    def _count(self, points: Sequence[Point]) -> tuple[int, int]:
        calls = bad = 0
        for point in points:
            if self.metric.kind == "rate":
                hits, trials = self.metric.share(point)
                calls, bad = calls + trials, bad + hits
            elif (values := self.metric.values(point)) is not None:
                over, under = self.objective.above, self.objective.below
                calls += values.count
                if over is not None:
                    bad += sum(n for index, n in values.buckets.items() if index > bucket(over))
                elif under is not None:
                    bad += sum(n for index, n in values.buckets.items() if index < bucket(under))
        return calls, bad

    def _judge(self, key: GroupKey, state: BurnState, end: int, ts: float) -> list[Finding]:
        burning = next((i for i, pair in enumerate(PAIRS) if self._burns(state, pair, end, 1.0)), None)
        if burning is not None and (state.pair is None or burning < state.pair):
            if state.pair is None:
                state.since = float(end - PAIRS[burning].short)
            state.pair = burning
            pair = PAIRS[burning]
            return [self._finding(key, state, pair, ts, "fired", _within(state, end - pair.long, pair))]
        if state.pair is not None and not any(self._burns(state, pair, end, BACK) for pair in PAIRS):
            pair, state.pair = PAIRS[state.pair], None
            return [self._finding(key, state, pair, ts, "cleared", _within(state, end - pair.short, pair))]
        return []

    def _burns(self, state: BurnState, pair: Pair, end: int, scale: float) -> bool:
        """Whether both windows burn, and the long one holds more bad calls than chance would bring at the target."""
        if end - state.born < pair.long:
            return False
        rate = scale * pair.factor * self.objective.allowed
        for length in (pair.long, pair.short):
            calls, bad = _within(state, end - length, pair)
            if not calls or bad < rate * calls:
                return False
        calls, bad = _within(state, end - pair.long, pair)
        return calls >= FEWEST and bad > 0 and float(bdtrc(bad - 1, calls, self.objective.allowed)) < CHANCE

    def _finding(
        self,
        key: GroupKey,
        state: BurnState,
        pair: Pair,
        ts: float,
        transition: Literal["fired", "cleared", "no_data"],
        counts: tuple[int, int] | None,
    ) -> Finding:
        segment, tier = sides(key)
        calls, bad = counts or (0, 0)
        allowed = self.objective.allowed
        share = bad / calls if calls else None
        text = f"The target is {self.objective.target:.6g} good calls over thirty days."
        if share:
            text = (
                f"The bad calls that a target of {100 * self.objective.target:.6g}% allows for thirty days are used up "
                f"within {30 * allowed / share:.2g} days at this rate, {share / allowed:.2g} times too fast."
            )
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.workflow,
            family=self.metric.family,
            metric=self.metric.name,
            direction=1,
            unit="share",
            segment=segment,
            risk_tier=tier,
            observed=share,
            n=calls,
            started_at=state.since,
            severity=pair.severity,
            cause=Cause(text=text),
            bound=Bound(pair.factor * allowed, f"in {pair.long // HOUR} h"),
            measure=f"objective {self.name}",
            id=f"{self.workflow}/{key[0]}={key[1]}/objective {self.name}/{int(ts)}",
        )


def _add(state: BurnState, start: int, calls: int, bad: int) -> None:
    if calls:
        state.bins.append((start, calls, bad))
        hour = start // HOUR * HOUR
        if state.hours and state.hours[-1][0] == hour:
            _, n, b = state.hours[-1]
            state.hours[-1] = (hour, n + calls, b + bad)
        else:
            state.hours.append((hour, calls, bad))
    end = start + BIN
    while state.bins and state.bins[0][0] < end - FINE:
        del state.bins[0]
    while state.hours and state.hours[0][0] < end - PAIRS[-1].long:
        del state.hours[0]


def _within(state: BurnState, since: int, pair: Pair) -> tuple[int, int]:
    """``(calls, bad)`` since a time; of the longest windows by whole hours."""
    kept = state.hours if pair.long > FINE else state.bins
    counts = [(n, bad) for start, n, bad in kept if start >= since]
    return sum(n for n, _ in counts), sum(bad for _, bad in counts)
