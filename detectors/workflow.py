"""The detector of one workflow: points of one bin in, alarms out. State is plain numbers."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from driftbell.collectors.point import Point
from driftbell.detectors import bypass, cost, instrument, quality, reliability, retrieval
from driftbell.detectors.baseline import Distribution, Residuals, Share
from driftbell.detectors.sequential import BLOCK, LAMBDAS, EDetectors
from driftbell.detectors.series import Series

BIN = 300
"""Seconds of event time that one step takes in."""
DAY = 86400
CATALOGUE = (
    *instrument.SERIES, *reliability.SERIES, *cost.SERIES, *quality.SERIES, *retrieval.SERIES, *bypass.SERIES,
)  # fmt: skip
FADE = 0.98
"""Per bin: the rest of a workflow is remembered for about four hours when a segment is compared with it."""
AT_REST = 1.5
"""Log evidence below which a series counts as undisturbed."""

GroupKey = tuple[str, str]
WHOLE: GroupKey = ("workflow", "")


@dataclass(slots=True)
class Tuning:
    """What the engine may be told; the defaults are the result of the benchmarks in docs/benchmarks.md."""

    wiggle: float = 1.0
    worth: float = 0.5
    learn_days: float = 5.0
    learn_calls: int = 200
    false_pages_per_month: float = 1.0
    settle: float = 72 * 3600.0
    max_segments: int = 40
    ease: float = 0.0


@dataclass(slots=True)
class Tally:
    """Sums of one bin for one measure of one group."""

    count: float = 0.0
    total: float = 0.0
    hits: float = 0.0


@dataclass(slots=True)
class Group:
    """A workflow, a segment or a risk tier: its references and the tallies of the running bin."""

    key: GroupKey
    since: float
    shares: dict[str, Share] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)
    tally: dict[str, Tally] = field(default_factory=dict)
    calls: int = 0

    def take(self, point: Point) -> None:
        """Add a point of the running bin."""
        self.calls += point.calls
        for name, (hits, trials) in point.rates.items():
            self._rate(name, hits, trials)
        if point.manual or point.calls:
            self._rate("manual", point.manual, point.manual + point.calls)
        for name, quantity in point.quantities.items():
            distribution = self.distributions.get(name)
            if distribution is None:
                distribution = self.distributions[name] = Distribution()
            tally = self.tally.get(name)
            if tally is None:
                tally = self.tally[name] = Tally()
            ready = distribution.size > 0
            for index, n in quantity.buckets.items():
                distribution.observe(index, n)
                if ready:
                    tally.count += n
                    tally.total += n * distribution.score(index)
                    if index >= distribution.tail_from:
                        tally.hits += n

    def _rate(self, name: str, hits: int, trials: int) -> None:
        share = self.shares.get(name)
        if share is None:
            share = self.shares[name] = Share()
        share.observe(hits, trials)
        tally = self.tally.get(name)
        if tally is None:
            tally = self.tally[name] = Tally()
        tally.count += trials
        tally.hits += hits


@dataclass(slots=True)
class Alarm:
    """A series that is beyond its threshold, from the step at which it crossed it until it is back."""

    since: float
    started_at: float
    shift: float
    recovery: float = 0.0
    worst: float = 0.0


@dataclass(slots=True)
class Watch:
    """One statistic of one group: where it stands in the arrays, its residuals and its running estimate."""

    group: GroupKey
    series: Series
    contrast: bool
    residuals: Residuals = field(default_factory=Residuals)
    block: tuple[float, float] = (0.0, 0.0)
    rest: tuple[float, float] = (0.0, 0.0)
    rested_at: float = 0.0
    since_rest: tuple[float, float] = (0.0, 0.0)
    suspect: bool = False
    offset: float = 0.0
    wiggle: float = 0.0
    delta: float = 0.0
    ready: bool = False
    alarm: Alarm | None = None
    shifts: list[float] = field(default_factory=list)


class WorkflowDetector:
    """Steps through the bins of one workflow in event time."""

    def __init__(self, workflow: str, tuning: Tuning) -> None:
        self.workflow = workflow
        self.tuning = tuning
        self.groups: dict[GroupKey, Group] = {}
        self.watches: list[Watch] = []
        self.index: dict[tuple[GroupKey, str, bool], int] = {}
        self.tests = EDetectors()
        self.block_start = -1
        self.day = -1
        self.first = 0.0
        self.log: list[tuple[float, str, str, float, float]] = []

    # -- one bin -------------------------------------------------------------------------------------------------

    def step(self, start: int, points: Iterable[Point]) -> list[int]:
        """Take in the points of ``[start, start + BIN)``; return the indices of the watches that crossed now."""
        if self.day < 0:
            self.first = float(start)
        day, block = start // DAY, start // BLOCK
        if block != self.block_start:
            self._turn_block(day, start)
        self._collect(start, points)
        fired = self._test(start)
        for group in self.groups.values():
            group.tally.clear()
            group.calls = 0
        return fired

    def _collect(self, start: int, points: Iterable[Point]) -> None:
        for point in points:
            for key in self._keys(point):
                group = self.groups.get(key)
                if group is None:
                    group = self.groups[key] = Group(key, float(start))
                group.take(point)

    def _keys(self, point: Point) -> Iterator[GroupKey]:
        yield WHOLE
        if point.key.segment is not None:
            yield ("segment", point.key.segment)
        if point.key.risk_tier is not None:
            yield ("risk_tier", point.key.risk_tier)

    # -- blocks and days -----------------------------------------------------------------------------------------

    def _turn_block(self, day: int, start: int) -> None:
        ended = self.block_start * BLOCK
        slot = slot_of(ended)
        if self.block_start >= 0:
            for watch in self.watches:
                n, residual = watch.block
                if n >= 1.0 and not watch.suspect and watch.alarm is None:
                    watch.residuals.add(slot, n, residual / n)
                watch.block = (0.0, 0.0)
        if day != self.day:
            self._turn_day()
            self.day = day
        self.block_start = start // BLOCK
        self.tests.new_block()
        if self.day >= 0:
            self._discover()
            evidence = self.tests.evidence()
            for i, watch in enumerate(self.watches):
                watch.suspect = bool(evidence[i] > 0.4 * self.threshold(watch))
                self._prepare(i, watch, slot_of(start), start)

    def _turn_day(self) -> None:
        distrusted: set[tuple[GroupKey, str]] = set()
        for watch in self.watches:
            if watch.alarm is not None or watch.suspect:
                distrusted.add((watch.group, watch.series.measure))
        for key, group in self.groups.items():
            for name, share in group.shares.items():
                share.turn_day((key, name) not in distrusted)
            for name, distribution in group.distributions.items():
                distribution.turn_day((key, name.partition("|")[0]) not in distrusted)

    def _discover(self) -> None:
        fresh: list[Watch] = []
        tiers = sum(key[0] == "risk_tier" for key in self.groups)
        for key, group in self.groups.items():
            if key[0] == "risk_tier" and tiers == 1:
                continue
            catalogue: list[Series] = list(CATALOGUE)
            catalogue += [quality.evaluation(n) for n in group.distributions if n.startswith("eval.")]
            for series in catalogue:
                known = group.shares if series.kind == "rate" else group.distributions
                if series.strata:
                    present = any(n.startswith(series.measure + "|") for n in known)
                else:
                    present = series.measure in known
                if not present:
                    continue
                variants = [False]
                if series.contrast and key[0] == "segment" and series.kind == "quantity":
                    variants.append(True)
                for contrast in variants:
                    name = (key, series.name, contrast)
                    if name not in self.index:
                        self.index[name] = len(self.watches) + len(fresh)
                        fresh.append(Watch(key, series, contrast))
        if fresh:
            self.tests.grow(len(fresh))
            self.watches.extend(fresh)

    def _prepare(self, i: int, watch: Watch, slot: int, start: int) -> None:
        """Set the coefficients of one series for the coming block."""
        group, series, tuning = self.groups[watch.group], watch.series, self.tuning
        t = self.tests
        watch.ready = False
        t.slope[i] = t.toll[i] = 0.0
        if start - group.since < tuning.learn_days * DAY or len(watch.residuals.blocks) < 6:
            return
        if series.kind != "quantity":
            level, _ = self._level(group, series)
            watch.residuals.scale = min(2.0 * math.sqrt(level / (1 - level)), 1.0)
        wiggle = watch.residuals.wiggle()
        offset = watch.residuals.offsets(wiggle).get(slot, 0.0)
        watch.wiggle, watch.offset = wiggle, offset
        t.wiggle2[i] = wiggle * wiggle
        if series.kind == "quantity":
            distributions = self._strata(group, series)
            size = sum(d.size for d in distributions)
            if size < tuning.learn_calls * 0.5:
                return
            big = max(distributions, key=lambda d: d.size)
            worth = abs(big.shift_score(series.worth))
            delta = tuning.worth * worth + tuning.wiggle * wiggle + 1.0 / math.sqrt(size)
            for k, lam in enumerate(LAMBDAS):
                t.slope[i, k] = series.direction * lam
                t.toll[i, k] = lam * lam / 2 + lam * (series.direction * offset + delta)
        else:
            level, size = self._level(group, series)
            if size < tuning.learn_calls:
                return
            spread = math.sqrt(level * (1 - level))
            worth = series.worth / spread
            delta = tuning.worth * worth + tuning.wiggle * wiggle + 1.0 / math.sqrt(size)
            usual = min(max(level + offset * spread, 0.1 / size), 0.98)
            null = min(usual + delta * spread, 0.98)
            for k, lam in enumerate(LAMBDAS):
                goal = min(null + lam * max(spread, math.sqrt(null * (1 - null))), 0.5 + null / 2)
                theta = math.log(goal / (1 - goal)) - math.log(null / (1 - null))
                t.slope[i, k] = theta
                t.toll[i, k] = math.log1p(null * math.expm1(theta))
        watch.delta = delta
        watch.ready = True

    def _strata(self, group: Group, series: Series) -> list[Distribution]:
        if not series.strata:
            return [group.distributions[series.measure]]
        prefix = series.measure + "|"
        return [d for n, d in group.distributions.items() if n.startswith(prefix)]

    def _level(self, group: Group, series: Series) -> tuple[float, float]:
        if series.kind == "rate":
            share = group.shares[series.measure]
            return share.level(), share.trials
        distributions = [d for d in self._strata(group, series) if d.size]
        size = sum(d.size for d in distributions)
        if not size:
            return 0.05, 0.0
        return max(sum(d.tail_share * d.size for d in distributions) / size, 0.002), size

    # -- testing -------------------------------------------------------------------------------------------------

    def _sums(self, watch: Watch) -> tuple[float, float, float]:
        """``(count, total for the test, total in standard deviations from the reference)`` of the bin."""
        group, series = self.groups[watch.group], watch.series
        if series.kind == "rate":
            tally = group.tally.get(series.measure)
            if tally is None or not tally.count or group.shares[series.measure].trials < 30:
                return 0.0, 0.0, 0.0
            level = group.shares[series.measure].level()
            spread = math.sqrt(level * (1 - level))
            return tally.count, tally.hits, (tally.hits - tally.count * level) / spread
        count = total = hits = expected = 0.0
        if series.strata:
            prefix = series.measure + "|"
            names = [n for n in group.tally if n.startswith(prefix)]
        else:
            names = [series.measure]
        for name in names:
            tally = group.tally.get(name)
            if tally is not None and group.distributions[name].size >= 30:
                count += tally.count
                total += tally.total
                hits += tally.hits
                expected += tally.count * group.distributions[name].tail_share
        if series.kind == "quantity":
            return count, total, total
        if not count:
            return 0.0, 0.0, 0.0
        level = max(expected / count, 0.002)
        return count, hits, (hits - expected) / math.sqrt(level * (1 - level))

    def _test(self, start: int) -> list[int]:
        m = len(self.watches)
        if not m:
            return []
        total, count, extra = np.zeros(m), np.zeros(m), np.zeros(m)
        plain: dict[tuple[GroupKey, str], tuple[float, float]] = {}
        whole: dict[str, tuple[float, float]] = {}
        shift: list[tuple[float, float]] = [(0.0, 0.0)] * m
        for i, watch in enumerate(self.watches):
            if watch.contrast:
                continue
            n, s, standard = self._sums(watch)
            if not n:
                continue
            count[i], total[i], shift[i] = n, s, (n, standard)
            watch.block = (watch.block[0] + n, watch.block[1] + standard)
            if watch.series.contrast and watch.group[0] == "segment":
                name = watch.series.name
                plain[(watch.group, name)] = (n, standard)
                a, b = whole.get(name, (0.0, 0.0))
                whole[name] = (a + n, b + standard)
        for i, watch in enumerate(self.watches):
            if watch.contrast:
                n, s, extra[i] = self._contrast(watch, plain, whole)
                count[i], total[i], shift[i] = n, s, (n, s)
                watch.block = (watch.block[0] + n, watch.block[1] + s)
        evidence = self.tests.step(total, count, extra)
        fired: list[int] = []
        for i, watch in enumerate(self.watches):
            n, standard = shift[i]
            if not n:
                continue
            log_e = float(evidence[i])
            if watch.alarm is not None:
                self._recover(i, watch, n, standard, start)
                continue
            if log_e < AT_REST:
                watch.rested_at = float(start + BIN)
                watch.since_rest = (0.0, 0.0)
                continue
            watch.since_rest = (watch.since_rest[0] + n, watch.since_rest[1] + standard - n * watch.offset)
            limit = self.threshold(watch)
            if log_e > 0.4 * limit:
                watch.suspect = True
            if log_e > limit and watch.ready:
                fired.append(i)
        return fired

    def _contrast(
        self,
        watch: Watch,
        plain: dict[tuple[GroupKey, str], tuple[float, float]],
        whole: dict[str, tuple[float, float]],
    ) -> tuple[float, float, float]:
        """``(count, total, extra variance)``: the segment's scores less the mean score of the rest of late."""
        name = watch.series.name
        n, standard = plain.get((watch.group, name), (0.0, 0.0))
        all_n, all_s = whole.get(name, (0.0, 0.0))
        rest_n, rest_s = watch.rest
        watch.rest = (rest_n * FADE + all_n - n, rest_s * FADE + all_s - standard)
        if not n or watch.rest[0] < 20:
            return 0.0, 0.0, 0.0
        return n, standard - n * watch.rest[1] / watch.rest[0], 1.0 / watch.rest[0]

    def threshold(self, watch: Watch) -> float:
        """Log evidence at which the series pages: its part of the workflow's budget of false pages."""
        per_month = 30 * DAY / BIN
        return math.log(max(len(self.watches), 50) * per_month / self.tuning.false_pages_per_month) - self.tuning.ease

    def raise_alarm(self, i: int, start: int) -> Alarm:
        """Put a watch into alarm: its baseline freezes until it is back."""
        watch = self.watches[i]
        n, total = watch.since_rest
        watch.alarm = Alarm(float(start + BIN), watch.rested_at, total / max(n, 1.0))
        group = self.groups[watch.group]
        share = group.shares.get(watch.series.measure) if watch.series.kind == "rate" else None
        if share is not None:
            share.held = (0, 0)
        for distribution in [] if share is not None else self._strata(group, watch.series):
            distribution.held = {}
        return watch.alarm

    def _recover(self, i: int, watch: Watch, n: float, standard: float, start: int) -> None:
        """Test that the level is back below half of the change; settle on a new normal after a stated time."""
        alarm = watch.alarm
        assert alarm is not None
        half = alarm.shift / 2
        lam = min(abs(half), 1.5)
        sign = 1.0 if alarm.shift > 0 else -1.0
        deviation = standard - n * (watch.offset + half)
        alarm.recovery = max(0.0, alarm.recovery + (-sign * deviation * lam - n * lam * lam / 2))
        settled = start - alarm.since > self.tuning.settle
        if alarm.recovery > 6.0 or settled:
            watch.alarm = None
            watch.rested_at, watch.since_rest = float(start + BIN), (0.0, 0.0)
            self.tests.rest(i)
            if settled:
                self._settle(watch)

    def _settle(self, watch: Watch) -> None:
        group = self.groups[watch.group]
        watch.residuals.blocks.clear()
        if watch.series.kind == "rate":
            group.shares[watch.series.measure].relearn()
        else:
            for distribution in self._strata(group, watch.series):
                distribution.relearn()


def slot_of(start: int) -> int:
    """Quarter of the UTC day, plus 4 at weekends (epoch day 0 was a Thursday)."""
    weekend = ((start // DAY) + 3) % 7 >= 5
    return (start % DAY) // BLOCK + (4 if weekend else 0)
