"""Fixed limits: "p95 latency over 5 s", "error share over 2 %", "cost per call over $0.05", where somebody wants them.

A limit looks at the last ``for`` of a series, longer where that held fewer than `FEWEST` values. It rings only when the
level is beyond the limit for certain: with a share (or a percentile, which is the share of values beyond the limit)
when so many hits would come by chance in fewer than `CHANCE` of cases at the limit itself, by the exact binomial tail;
with a mean when it lies so many standard errors beyond. It is over once the level has come back by a tenth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator
from scipy.special import bdtrc, ndtri

from driftbell.collectors.point import Point, Quantity, bucket, bucket_middle
from driftbell.detectors.duration import Seconds
from driftbell.detectors.finding import Bound, Cause, Finding, Interval
from driftbell.detectors.group import GroupKey
from driftbell.detectors.history import History
from driftbell.detectors.measure import percentile
from driftbell.detectors.metrics import Metric, metric
from driftbell.detectors.scope import Scope, sides

BIN = 300
HOUR = 3600.0
FEWEST = 20
"""Values that a limit needs."""
FEWEST_FOR_MEAN = 30
"""Values from which a mean is taken to vary normally."""
CHANCE = 1e-3
"""How often chance alone may show so much at the limit itself."""
BEYOND = -float(ndtri(CHANCE))
"""The same in standard errors, 3.1."""
BACK = 0.9
"""A level is back when it has come this far back inside the limit."""
LONGEST = 86400.0
"""What a quiet series is looked at for, at most (s)."""
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

Level = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limit(Scope):
    """One fixed limit.

    ``metric`` is a name of the catalogue; exactly one of ``above`` and ``below`` is given, in the metric's unit (a
    share as 0..1, time in ms, money in USD, ``calls`` and ``spend`` per hour). ``of`` says what of a quantity is
    meant: the mean or a percentile.
    """

    metric: str
    above: Level | None = None
    below: Level | None = None
    of: Literal["mean", "p50", "p90", "p95", "p99"] = "mean"
    lasting: Seconds = Field(default=900.0, alias="for", ge=BIN, le=LONGEST)
    severity: Literal["page", "ticket", "info"] = "page"

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        metric(name)
        return name

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"the limit of {self.metric} needs either above or below")
        if self.of != "mean" and metric(self.metric).kind != "quantity":
            raise ValueError(f"{self.metric} has no percentiles; leave 'of' out")
        return self

    @property
    def value(self) -> float:
        """The limit itself."""
        return self.above if self.above is not None else self.below or 0.0

    @property
    def direction(self) -> Literal[1, -1]:
        """+1 where more is bad."""
        return 1 if self.above is not None else -1

    @property
    def name(self) -> str:
        """What tells one limit from another; part of the state and of the finding's ``measure``."""
        of = "" if self.of == "mean" else f" {self.of}"
        return f"{self.metric}{of} {'>' if self.direction > 0 else '<'} {self.value:g} for {self.lasting:g}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The level of a series over a window: what a person reads, and whether it is beyond the limit for certain."""

    level: float
    n: int
    beyond: bool
    back: bool
    interval: Interval | None = None


@dataclass(slots=True)
class LimitState:
    """Of one limit and group: the bins of its window ``(start, n, total, squares, hits)``, and its alarm."""

    born: int
    """Start of the first bin with data: nothing is judged before a whole window has passed."""
    bins: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    since: float | None = None
    """When the running alarm began; None while there is none."""


class LimitWatch:
    """One limit on one workflow."""

    def __init__(self, workflow: str, limit: Limit) -> None:
        self.workflow = workflow
        self.limit = limit
        self.metric: Metric = metric(limit.metric)
        self.states: dict[GroupKey, LimitState] = {}

    @property
    def name(self) -> str:
        """The rule's own name."""
        return self.limit.name + self.limit.where

    def step(self, start: int, points: Sequence[Point], ts: float, history: History) -> list[Finding]:
        """Take in the bin that starts at ``start``; findings are dated ``ts``."""
        found = self.limit.groups(points, self.states)
        findings: list[Finding] = []
        for key in found:
            if key not in self.states:
                self.states[key] = LimitState(start)
        for key, state in list(self.states.items()):
            self._observe(state, start, found.get(key, ()))
            if not state.bins and state.since is None and not self._counts_silence():
                del self.states[key]
            elif start + BIN - state.born >= self.limit.lasting and (key in found or self.metric.kind == "total"):
                findings += self._judge(key, state, start, ts, history)
        return findings

    def dump(self) -> object:
        """The state as plain numbers."""
        return _STATES.dump_python(list(self.states.items()), mode="json")

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        self.states = dict(_STATES.validate_python(stored))

    def _counts_silence(self) -> bool:
        """Whether nothing at all is below the limit too."""
        return self.metric.kind == "total" and self.limit.direction < 0

    def open(self, ts: float, transition: Literal["no_data", "cleared"]) -> list[Finding]:
        """A finding for every alarm that is on."""
        return [
            self._finding(key, state.since, ts, transition)
            for key, state in self.states.items()
            if state.since is not None
        ]

    def _observe(self, state: LimitState, start: int, points: Sequence[Point]) -> None:
        n = total = squares = hits = 0.0
        edge = bucket(self.limit.value)
        for point in points:
            if self.metric.kind == "rate":
                h, t = self.metric.share(point)
                n, hits = n + t, hits + h
            elif self.metric.name == "calls":
                n, total = n + point.calls, total + point.calls
            elif (values := self.metric.values(point)) is not None:
                n, total = n + values.count, total + values.total
                for index, count in values.buckets.items():
                    squares += count * bucket_middle(index) ** 2
                    hits += count if (index > edge if self.limit.direction > 0 else index < edge) else 0
        if n:
            state.bins.append((start, n, total, squares, hits))
        self._trim(state, start + BIN)

    def _trim(self, state: LimitState, end: int) -> None:
        """Keep the window, and of a quiet series what is needed for enough values."""
        least = 0 if self.metric.kind == "total" else self._fewest()
        held = sum(n for _, n, *_ in state.bins)
        while state.bins:
            begin, n = state.bins[0][:2]
            if begin >= end - self.limit.lasting or (held - n < least and begin >= end - LONGEST):
                break
            held -= n
            del state.bins[0]

    def _fewest(self) -> int:
        return FEWEST_FOR_MEAN if self.metric.kind == "quantity" and self.limit.of == "mean" else FEWEST

    def _judge(self, key: GroupKey, state: LimitState, start: int, ts: float, history: History) -> list[Finding]:
        reading = self._read(state)
        if reading is None:
            return []
        if state.since is None and reading.beyond:
            state.since = float(state.bins[0][0]) if state.bins else start + BIN - self.limit.lasting
            finding = self._finding(key, state.since, ts, "fired", reading)
            if self.limit.of == "mean":
                return [finding]
            values = self._values(key, history, state.since, start + BIN)
            return [replace(finding, observed=percentile(values, PERCENTILES[self.limit.of]))]
        if state.since is not None and reading.back:
            since, state.since = state.since, None
            return [self._finding(key, since, ts, "cleared", reading)]
        return []

    def _read(self, state: LimitState) -> Reading | None:
        n, total, squares, hits = (math.fsum(b[i] for b in state.bins) for i in (1, 2, 3, 4))
        limit, way = self.limit.value, self.limit.direction
        if self.metric.kind == "total":
            level = total / (self.limit.lasting / HOUR)
            return Reading(level, int(n), way * (level - limit) > 0, _back(level, limit, way))
        if n < self._fewest():
            return None
        if self.metric.kind == "rate":
            level = hits / n
            return Reading(level, int(n), _certain(hits, n, limit, way), _back(level, limit, way))
        if self.limit.of == "mean":
            level = total / n
            error = math.sqrt(max(squares / n - level * level, 0.0) / n)
            interval = Interval(level - 1.96 * error, level + 1.96 * error)
            beyond = way * (level - limit) > BEYOND * error
            return Reading(level, int(n), beyond, _back(level, limit, way), interval)
        allowed = 1 - PERCENTILES[self.limit.of] if way > 0 else PERCENTILES[self.limit.of]
        return Reading(hits / n, int(n), _certain(hits, n, allowed, 1), hits / n <= BACK * allowed)

    def _values(self, key: GroupKey, history: History, since: float, until: float) -> Quantity:
        """All values of the window, which only a finding needs."""
        merged = Quantity()
        points = history.points(self.workflow, since, until, "minute")
        for point in self.limit.groups(points, ()).get(key, ()):
            part = self.metric.values(point)
            if part is not None:
                merged.add(part)
        return merged

    def _finding(
        self,
        key: GroupKey,
        since: float | None,
        ts: float,
        transition: Literal["fired", "cleared", "no_data"],
        reading: Reading | None = None,
    ) -> Finding:
        segment, tier = sides(key)
        limit, percentile = self.limit, self.limit.of != "mean"
        of = limit.of if percentile else ""
        where = "over" if limit.direction > 0 else "under"
        observed = None if reading is None or percentile else reading.level
        text = f"The configured limit: {where} {_amount(limit.value, self.metric.unit)} for {limit.lasting / 60:g} min."
        if percentile and reading is not None:
            text += f" {reading.level:.1%} of {reading.n} values lie {where} it."
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.workflow,
            family=self.metric.family,
            metric=self.metric.name,
            direction=limit.direction,
            unit=self.metric.unit,
            segment=segment,
            risk_tier=tier,
            observed=observed,
            interval=reading.interval if reading is not None else None,
            n=reading.n if reading is not None else 0,
            started_at=since or ts,
            severity=limit.severity,
            cause=Cause(text=text),
            bound=Bound(limit.value, of),
            measure=f"limit {self.name}",
            id=f"{self.workflow}/{key[0]}={key[1]}/limit {self.name}/{int(ts)}",
        )


_STATES = TypeAdapter(list[tuple[GroupKey, LimitState]])


def _certain(hits: float, n: float, limit: float, way: int) -> bool:
    """Whether a share is beyond ``limit`` for certain: the exact binomial tail at the limit is below `CHANCE`."""
    if way < 0:
        hits, limit = n - hits, 1 - limit
    if hits <= n * limit:
        return False
    return limit <= 0 or float(bdtrc(hits - 1, int(n), min(limit, 1.0))) < CHANCE


def _back(level: float, limit: float, way: int) -> bool:
    return level <= BACK * limit if way > 0 else level >= limit / BACK


def _amount(value: float, unit: str) -> str:
    """A limit as people write it in this unit."""
    if unit == "share":
        return f"{100 * value:g}%"
    return f"${value:g}{unit[3:]}" if unit.startswith("usd") else f"{value:g} {unit}"
