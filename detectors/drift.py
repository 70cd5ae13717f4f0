"""Slow drift: a change that no day shows, found by comparing the last week with a frozen reference of four weeks.

Once a day each series' last seven days, which hold every weekday once, are compared with what four weeks before them
were when the reference was frozen; a reference does not follow, so a slow ramp cannot teach it. How much a week varies
by itself comes from the days within those weeks (weekdays removed) and from the weeks themselves, pooled as variances
of 8 and 3 degrees of freedom (a moderated t statistic: Smyth, Statistical Applications in Genetics 3, 2004), but never
less than the weeks show. A ticket needs the whole smallest change worth a page, and chance below the share of the
budget that all comparisons of a month have together.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from pydantic import TypeAdapter
from scipy.special import stdtr, stdtrit

from driftbell.collectors.point import ZERO_BUCKET, Point, bucket_middle
from driftbell.detectors.attribution import Evidence, explain
from driftbell.detectors.episode import explains
from driftbell.detectors.finding import Cause, Finding, Interval
from driftbell.detectors.group import WHOLE, GroupKey
from driftbell.detectors.history import History
from driftbell.detectors.measure import quantity
from driftbell.detectors.metrics import EVALUATION, SERIES
from driftbell.detectors.quality import evaluation
from driftbell.detectors.scope import MAX_GROUPS, sides
from driftbell.detectors.series import Series
from driftbell.detectors.verdict import Verdict
from driftbell.detectors.workflow import WorkflowDetector, series_named

HOUR, DAY = 3600, 86400
WEEK, WEEKS = 7, 4
EARLIEST = 6
"""Hour (UTC) from which yesterday counts as complete; each workflow has an hour of its own from then on."""
FEWEST = 50
"""Values that each week must hold."""
SHARE = 0.2
"""Part of the budget of false pages that all comparisons of a workflow share."""
DAYS_WEIGHT = 8.0
"""Degrees of freedom granted to what days tell of the variation."""
SETTLED = 14
"""Days after which a drift that was told is the new reference."""
KNOWN = 3
"""Days in alarm after which the sequential test has told of a new level."""
BACK = 0.5
"""Part of the smallest change worth a page below which a drift is over."""
LOOKED_BACK = 8
"""Weeks over which the beginning of a drift is looked for."""

Row = tuple[float, float]
"""``(sum, number)`` of the values of a day or week."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Four weeks frozen at the end of day ``until``: level, the variance of a week's level, and its freedom."""

    level: float
    variance: float
    freedom: float
    number: float
    """Values in a usual week."""
    until: int


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the last week lies from the reference: in the units of the level, with the chance of so much."""

    difference: float
    error: float
    chance: float
    freedom: float
    number: float


@dataclass(slots=True)
class Drifting:
    """A drift that was told: of which group, since when, and on which day it was told."""

    group: GroupKey
    started_at: float
    told: int
    segment: str | None


@dataclass(slots=True)
class DriftState:
    """References by ``(group, series)``, drifts by series, and the days ``(first, last)`` of a metric's alarms."""

    since: int | None = None
    day: int = -1
    references: dict[tuple[GroupKey, str], Reference] = field(default_factory=dict)
    drifting: dict[str, Drifting] = field(default_factory=dict)
    alarms: dict[str, tuple[int, int]] = field(default_factory=dict)


class DriftWatch:
    """Looks at the weeks of one workflow once a day."""

    def __init__(self, engine: WorkflowDetector) -> None:
        self.engine = engine
        self.workflow = engine.workflow
        self.state = DriftState()
        self._hour = EARLIEST + zlib.crc32(engine.workflow.encode()) % (24 - EARLIEST)

    @property
    def name(self) -> str:
        """The rule's own name."""
        return "weeks"

    def step(self, start: int, points: Sequence[Point], ts: float, history: History) -> list[Finding]:
        """Take in the bin that starts at ``start``; findings are dated ``ts``."""
        state, day = self.state, start // DAY
        if state.since is None:
            if points:
                state.since = day + 1
            return []
        for episode in self.engine.episodes:
            for i in episode.watches:
                metric = self.engine.watches[i].series.metric
                first, last = state.alarms.get(metric, (day, day))
                state.alarms[metric] = (first if last >= day - 1 else day, day)
        if day == state.day or start % DAY < self._hour * HOUR:
            return []
        state.day = day
        if day - state.since < (WEEKS + 1) * WEEK:
            return []
        return self._look(day, ts, history)

    def open(self, ts: float, transition: Literal["no_data", "cleared"]) -> list[Finding]:
        """A finding for every drift that was told."""
        return [self._plain(name, drift, ts, transition) for name, drift in self.state.drifting.items()]

    def join(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings of the sequential tests; one of a metric whose drift was told began with it."""
        joined = []
        for finding in findings:
            for name, drift in self.state.drifting.items():
                series = series_named(name)
                same = (series.metric, series.direction) == (finding.metric, finding.direction)
                if same and finding.transition == "fired" and drift.segment in (None, finding.segment):
                    finding = replace(finding, started_at=min(drift.started_at, finding.started_at))
            joined.append(finding)
        return joined

    def accept(self, verdict: Verdict) -> None:
        """Take the last week as the reference of what a person called the new normal, at the next look."""
        if verdict.verdict != "new_normal":
            return
        for metric, _, _, way in verdict.series:
            for name, drift in self.state.drifting.items():
                if (series_named(name).metric, series_named(name).direction) == (metric, way):
                    drift.told = -SETTLED

    def dump(self) -> object:
        """The state as plain numbers."""
        state = self.state
        return {
            "since": state.since,
            "day": state.day,
            "references": _REFERENCES.dump_python(list(state.references.items()), mode="json"),
            "drifting": _DRIFTING.dump_python(state.drifting, mode="json"),
            "alarms": {metric: list(days) for metric, days in state.alarms.items()},
        }

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        assert isinstance(stored, dict)
        references = dict(_REFERENCES.validate_python(stored["references"]))
        alarms = {metric: (first, last) for metric, (first, last) in stored["alarms"].items()}
        drifting = _DRIFTING.validate_python(stored["drifting"])
        self.state = DriftState(stored["since"], stored["day"], references, drifting, alarms)

    def _look(self, day: int, ts: float, history: History) -> list[Finding]:
        """Compare the last week; once a week also freeze references for what has none."""
        state = self.state
        assert state.since is not None
        week = _sums(history.points(self.workflow, (day - WEEK) * DAY, day * DAY, "day"))
        if (day - state.since) % WEEK == 0:
            self._freeze(day, week, history)
        shifts: dict[str, dict[GroupKey, Shift]] = {}
        for (key, name), reference in state.references.items():
            row = _row(week.get(key), series_named(name))
            if row is None or row[1] < FEWEST:
                continue
            shifts.setdefault(name, {})[key] = _shift(reference, row)
        self._forget_alarms(day, week)
        limit = SHARE * self.engine.settings.false_pages_per_month / (30 * max(len(state.references), 50))
        findings: list[Finding] = []
        for name, found in shifts.items():
            series = series_named(name)
            if series.metric not in state.alarms:
                findings += self._judge(name, found, week, limit, day, ts, history)
        return findings

    def _judge(
        self,
        name: str,
        shifts: dict[GroupKey, Shift],
        week: dict[GroupKey, Point],
        limit: float,
        day: int,
        ts: float,
        history: History,
    ) -> list[Finding]:
        series, drift = series_named(name), self.state.drifting.get(name)
        worth = self._worth(series)
        if drift is not None:
            shift = shifts.get(drift.group)
            over = shift is not None and series.direction * shift.difference < BACK * worth
            if over or day - drift.told >= SETTLED:
                if not over:
                    self._renew({name}, week, day)
                del self.state.drifting[name]
                return [self._plain(name, drift, ts, "cleared")]
            return []
        beyond = {
            key: shift
            for key, shift in shifts.items()
            if series.direction * shift.difference >= worth and shift.chance < limit
        }
        if not beyond:
            return []
        key = WHOLE if WHOLE in beyond else min(beyond, key=lambda key: (beyond[key].chance, key))
        return [self._tell(name, key, beyond[key], day, ts, history)]

    def _worth(self, series: Series) -> float:
        """The smallest change worth telling, in the units of the level."""
        worth = self.engine.settings.worth.get(series.metric, series.worth) if series.leads else series.worth
        if series.kind == "rate":
            return worth
        return abs(math.log2(worth))

    def _tell(self, name: str, key: GroupKey, shift: Shift, day: int, ts: float, history: History) -> Finding:
        series, reference = series_named(name), self.state.references[key, name]
        begin = self._began(series, key, shift, reference, day, history)
        before = history.points(self.workflow, (begin - WEEK) * DAY, begin * DAY, "day")
        after = history.points(self.workflow, (day - WEEK) * DAY, day * DAY, "day")
        markers = history.markers(self.workflow, (begin - WEEK) * DAY, day * DAY)
        segment, _ = sides(key)
        change = explain(series, Evidence(before, after, begin * DAY, markers), segment)
        kin = [
            (d.started_at, series_named(other).metric) for other, d in self.state.drifting.items() if _kin(other, name)
        ]
        started_at, related = min(kin, default=(float(begin * DAY), None))
        drift = self.state.drifting[name] = Drifting(key, started_at, day, change.segment or segment)
        observed = change.after.shown if change.after is not None else None
        margin = shift.error * float(stdtrit(shift.freedom, 0.975))
        log = series.kind != "rate"
        usual = interval = None
        if observed is not None:
            usual = observed / 2**shift.difference if log else observed - shift.difference
            low, high = (observed / 2**margin, observed * 2**margin) if log else (observed - margin, observed + margin)
            interval = Interval(low, high)
        text = "No single day shows it: the last week differs from the weeks before by more than weeks vary."
        cause = change.cause if change.cause.keys else Cause(text="Cause not found.")
        return replace(
            self._plain(name, drift, ts, "fired"),
            observed=observed,
            usual=usual,
            interval=interval,
            n=int(shift.number),
            log_evidence=-math.log(max(shift.chance, 1e-300)),
            cause=replace(cause, text=f"{text} {cause.text}"),
            related=() if related is None else (related,),
            calls_per_hour=shift.number / (WEEK * 24),
        )

    def _began(
        self, series: Series, key: GroupKey, shift: Shift, reference: Reference, day: int, history: History
    ) -> int:
        """The first day of the weeks in a row that show a quarter of the drift, after the reference was frozen."""
        begin = day - WEEK
        for back in range(2, LOOKED_BACK + 1):
            first = day - back * WEEK
            points = history.points(self.workflow, first * DAY, (first + WEEK) * DAY, "day")
            row = _row(_sums(points).get(key), series)
            if first < reference.until or row is None or not row[1]:
                break
            if series.direction * (row[0] / row[1] - reference.level) < 0.25 * abs(shift.difference):
                break
            begin = first
        return begin

    def _let_go(self, alive: set[GroupKey]) -> None:
        """Forget the references of groups that had no call for five weeks."""
        told = {drift.group for drift in self.state.drifting.values()}
        references = self.state.references
        self.state.references = {place: references[place] for place in references if place[0] in alive | told}

    def _freeze(self, day: int, week: dict[GroupKey, Point], history: History) -> None:
        """Make a reference, of the four weeks before the last, of every series that has none and enough values."""
        first = day - (WEEKS + 1) * WEEK
        days = [
            _sums(history.points(self.workflow, at * DAY, (at + 1) * DAY, "day")) for at in range(first, day - WEEK)
        ]
        groups = dict.fromkeys(key for one in days for key in one)
        self._let_go({*groups, *week})
        for key in groups:
            for series in _present(one[key] for one in days if key in one):
                place = (key, series.name)
                if place in self.state.references:
                    continue
                reference = _reference([_row(one.get(key), series) for one in days], series.kind == "rate", day - WEEK)
                if reference is not None:
                    self.state.references[place] = reference

    def _forget_alarms(self, day: int, week: dict[GroupKey, Point]) -> None:
        """A week after an alarm its metric is compared again; when the alarm had lasted, with the level after it."""
        for metric, (first, last) in list(self.state.alarms.items()):
            if day - last > WEEK:
                if last - first >= KNOWN - 1:
                    self._renew(
                        {name for _, name in self.state.references if series_named(name).metric == metric}, week, day
                    )
                del self.state.alarms[metric]

    def _renew(self, names: set[str], week: dict[GroupKey, Point], day: int) -> None:
        """Take the last week as the level of series; how much they vary stays known."""
        for (key, name), reference in self.state.references.items():
            row = _row(week.get(key), series_named(name)) if name in names else None
            if row is not None and row[1] >= FEWEST:
                self.state.references[key, name] = replace(reference, level=row[0] / row[1], until=day)

    def _plain(
        self, name: str, drift: Drifting, ts: float, transition: Literal["fired", "cleared", "no_data"]
    ) -> Finding:
        series = series_named(name)
        _, tier = sides(drift.group)
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.workflow,
            family=series.family,
            metric=series.metric,
            direction=series.direction,
            unit=series.unit,
            segment=drift.segment,
            risk_tier=tier,
            started_at=drift.started_at,
            severity="ticket",
            measure=f"drift {series.name}",
            id=f"{self.workflow}/{drift.group[0]}={drift.group[1]}/drift {series.name}/{int(ts)}",
        )


_REFERENCES = TypeAdapter(list[tuple[tuple[GroupKey, str], Reference]])
_DRIFTING = TypeAdapter(dict[str, Drifting])


def _kin(one: str, other: str) -> bool:
    """Whether one of two series explains the other: their drifts are one."""
    a, b = series_named(one).metric, series_named(other).metric
    return a == b or explains(a, b) or explains(b, a)


def _present(points: Iterable[Point]) -> list[Series]:
    """The series that can be read off points."""
    rates: set[str] = {"manual"}
    quantities: set[str] = set()
    for point in points:
        rates.update(point.rates)
        quantities.update(name.partition("|")[0] for name in point.quantities)
    kept = [s for s in SERIES if s.kind != "tail" and s.measure in (rates if s.kind == "rate" else quantities)]
    return kept + [evaluation(name) for name in sorted(quantities) if name.startswith(EVALUATION)]


def _sums(points: Iterable[Point]) -> dict[GroupKey, Point]:
    """The points of some days by group; the workflow first."""
    found: dict[GroupKey, Point] = {}
    for point in points:
        keys: list[GroupKey] = [WHOLE]
        if point.key.segment is not None:
            keys.append(("segment", point.key.segment))
        if point.key.risk_tier is not None:
            keys.append(("risk_tier", point.key.risk_tier))
        for key in keys:
            if key not in found:
                if len(found) >= MAX_GROUPS:
                    continue
                found[key] = Point(point.key)
            found[key].add(point)
    return found


def _row(point: Point | None, series: Series) -> Row | None:
    """Sum and number of a series: hits of trials, or the base-2 logarithms of values above zero."""
    if point is None:
        return None
    if series.kind == "rate":
        hits, trials = (
            (point.manual, point.manual + point.calls)
            if series.measure == "manual"
            else point.rates.get(series.measure, (0, 0))
        )
        return float(hits), float(trials)
    total = number = 0.0
    for index, n in quantity([point], series).buckets.items():
        if index != ZERO_BUCKET:
            total += n * math.log2(bucket_middle(index))
            number += n
    return total, number


def _reference(rows: Sequence[Row | None], share: bool, until: int) -> Reference | None:
    """The reference of 28 days; None while a week has too few values."""
    table = np.array([row or (0.0, 0.0) for row in rows]).reshape(WEEKS, WEEK, 2)
    total, number = table[:, :, 0], table[:, :, 1]
    by_week = number.sum(axis=1)
    if by_week.min() < FEWEST:
        return None
    level = float(total.sum() / number.sum())
    usual = float(by_week.mean())
    weeks = float((by_week * (total.sum(axis=1) / by_week - level) ** 2).sum() / usual / (WEEKS - 1))
    rests = np.where(number > 0, total - level * number, np.nan)
    seen = (number > 0).sum(axis=0)
    free = int(np.maximum(seen - 1, 0).sum())
    away = rests - np.where(seen > 0, np.nansum(rests, axis=0) / np.maximum(seen, 1), 0.0)
    days = float(WEEK * np.nansum(away**2) / free / usual**2) if free else 0.0
    if share:
        smoothed = (level * number.sum() + 1) / (number.sum() + 2)
        days = max(days, smoothed * (1 - smoothed) / usual)
    a, b = (WEEKS - 1) * weeks, DAYS_WEIGHT * days
    if a + b <= 0:
        return Reference(level, 0.0, DAYS_WEIGHT, usual, until)
    part = a / (a + b)
    freedom = 1 / (part**2 / (WEEKS - 1) + (1 - part) ** 2 / DAYS_WEIGHT)
    return Reference(level, max(weeks, (a + b) / (WEEKS - 1 + DAYS_WEIGHT)), freedom, usual, until)


def _shift(reference: Reference, row: Row) -> Shift:
    total, number = row
    difference = total / number - reference.level
    variance = reference.variance * (max(1.0, reference.number / number) + 1 / WEEKS)
    if variance <= 0:
        return Shift(difference, 0.0, 1.0 if not difference else 0.0, reference.freedom, number)
    error = math.sqrt(variance)
    chance = 2 * float(stdtr(reference.freedom, -abs(difference) / error))
    return Shift(difference, error, chance, reference.freedom, number)
