"""The detector of one workflow: points of one bin in, watches that crossed or came back out."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from driftbell.collectors.point import Point, PointKey, merge
from driftbell.detectors import bypass, cost, instrument, quality, reliability, retrieval
from driftbell.detectors.baseline import DECAY
from driftbell.detectors.churn import make_room
from driftbell.detectors.episode import Episode
from driftbell.detectors.group import WHOLE, Group, GroupKey
from driftbell.detectors.season import HOUR, Seasons
from driftbell.detectors.sequential import BLOCK, EDetectors, Floats
from driftbell.detectors.series import Series
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.terms import Terms
from driftbell.detectors.volume import Volume, VolumeAlarm
from driftbell.detectors.watch import Alarm, Watch

BIN = 300
"""Seconds of event time that one step takes in."""
DAY = 86400
CATALOGUE: tuple[Series, ...] = (
    *instrument.SERIES,
    *reliability.SERIES,
    *cost.SERIES,
    *quality.SERIES,
    *retrieval.SERIES,
    *bypass.SERIES,
)
FADE = 0.98
"""Per bin: the rest of a workflow is remembered for about four hours when a segment is compared with it."""
SPREADS = 0.25
"""How far apart two segments may drift, relative to a move that they share."""
SUSPECT = 0.4
"""Part of the threshold from which a series is under suspicion and teaches its baseline nothing."""
MATTERS = 0.6
"""Part of the smallest change worth a page that must show on average since the onset: a ramp starts from nothing."""
LEAST_BLOCKS = 6
MOST_HELD = 12
"""Blocks under suspicion that are kept: three days."""
RECURS = 12 * 3600
"""What a quantity did for so long (s) at most, and then no more, may be its season: it is learned."""
SLACK = 5.0
"""How many times rarer false alarms are than the bound of the test says, measured on unchanged streams
(``bench/noise.py``): the tolerance is rarely used up, and the statistics of a workflow move together."""
DOUBT = 0.6
"""Standard errors of the reference that are granted to it."""


@dataclass(slots=True)
class Step:
    """What one bin brought: indices of watches that crossed their threshold, came back, or settled as normal."""

    fired: list[int] = field(default_factory=list)
    cleared: list[tuple[int, Alarm]] = field(default_factory=list)
    volume: VolumeAlarm | None = None
    volume_over: VolumeAlarm | None = None

    @property
    def happened(self) -> bool:
        """Whether there is anything to report."""
        return bool(self.fired or self.cleared or self.volume or self.volume_over)


class WorkflowDetector:
    """Steps through the bins of one workflow in event time. Its state is plain numbers (see `detectors.state`)."""

    def __init__(self, workflow: str, settings: DetectorSettings) -> None:
        self.workflow = workflow
        self.settings = settings
        self.groups: dict[GroupKey, Group] = {}
        self.tiers: dict[str, None] = {}
        self.distrusted: set[str] = set()
        self.watches: list[Watch] = []
        self.index: dict[tuple[GroupKey, str, bool], int] = {}
        self.tests = EDetectors()
        self.seasons = Seasons()
        self.terms = Terms()
        self.volume = Volume()
        self.episodes: list[Episode] = []
        self.block = -1
        self.day = -1
        self.hour = -1

    def step(self, start: int, points: Iterable[Point]) -> Step:
        """Take in the points of ``[start, start + BIN)``; bins must come in order, without gaps."""
        if start // BLOCK != self.block:
            self._turn_block(start)
        if start // HOUR != self.hour:
            self._turn_hour(start)
        whole = Point(PointKey(start, self.workflow, None, None, None, None))
        for key, part in self._parts(points):
            if key == WHOLE:
                whole = part
            group = self.groups.get(key)
            if group is None:
                if len(self.groups) >= self.settings.max_segments and not make_room(self, start):
                    continue
                group = self.groups[key] = Group(key, float(start))
            group.seen = start
            group.take(part)
        done = self._test(start)
        before = self.volume.alarm
        done.volume = self.volume.step(start, whole.calls, whole.users)
        if before is not None and self.volume.alarm is not before:
            done.volume_over = before
        for group in self.groups.values():
            group.tally.clear()
        return done

    def _parts(self, points: Iterable[Point]) -> Iterator[tuple[GroupKey, Point]]:
        """The points of a bin summed per group; the workflow first, from the sums of its segments."""
        segments: dict[str | None, list[Point]] = {}
        tiers: dict[str, list[Point]] = {}
        for point in points:
            segments.setdefault(point.key.segment, []).append(point)
            if point.key.risk_tier is not None:
                tiers.setdefault(point.key.risk_tier, []).append(point)
        for tier in tiers if len(self.tiers) < 2 else ():
            self.tiers[tier] = None
        sums = {segment: merged(members) for segment, members in segments.items()}
        if sums:
            yield WHOLE, merged(list(sums.values()))
        for segment, part in sums.items():
            if segment is not None:
                yield ("segment", segment), part
        if len(self.tiers) > 1:  # a single tier is the workflow itself
            for tier, members in tiers.items():
                yield ("risk_tier", tier), merged(members)

    def _turn_block(self, start: int) -> None:
        """End a block of six hours: learn its season; learn references at midnight; prepare the tests of the next."""
        day = start // DAY
        if self.block >= 0:
            broken = self.distrusted | {watch.series.measure for watch in self.watches if watch.alarm is not None}
            calm = [not (w.suspect or w.alarm is not None or w.spoiled(broken)) for w in self.watches]
            for i, held in self.seasons.learn(self.block * BLOCK, np.array(calm, bool)).items():
                watch = self.watches[i]
                watch.held = [] if watch.spoiled(broken) else [*watch.held, held][-MOST_HELD:]
        turned = day != self.day
        if turned:
            # Of one measure all groups learn or none: references of different age would look like a contrast.
            distrusted = self.distrusted | {w.series.measure for w in self.watches if w.alarm is not None or w.suspect}
            for group in self.groups.values():
                group.turn_day(distrusted)
            self.distrusted = set()
            self.day = day
        self.block = start // BLOCK
        self.tests.new_block()
        self._discover()
        evidence = self.tests.evidence()
        limit = self.threshold()
        for i, watch in enumerate(self.watches):
            watch.suspect = bool(evidence[i] > SUSPECT * limit)
            if not watch.suspect and watch.alarm is None:
                for held in watch.held:
                    self.seasons.learn_late(i, held)
                watch.held = []
        wander = self.seasons.wander()
        self._learn_crowds(turned)
        for i, watch in enumerate(self.watches):
            self._prepare(i, watch, start, float(wander[i]), turned)

    def _discover(self) -> None:
        """Begin to watch every series that has shown itself."""
        fresh: list[Watch] = []
        for key, group in self.groups.items():
            for series in (*CATALOGUE, *(quality.evaluation(n) for n in group.distributions if n[:5] == "eval.")):
                if series.kind == "rate":
                    present = series.measure in group.shares
                else:
                    present = (
                        bool(group.strata(series.measure)) if series.strata else series.measure in group.distributions
                    )
                contrasts = (False, True) if series.contrast and key[0] == "segment" else (False,)
                for contrast in contrasts if present else ():
                    watch = Watch(key, series, contrast)
                    if watch.name in self.index:
                        continue
                    self.index[watch.name] = i = len(self.watches) + len(fresh)
                    group.index.setdefault(series.measure, []).append(i)
                    fresh.append(watch)
        if fresh:
            self.tests.grow(len(fresh))
            self.seasons.grow(len(fresh))
            self.terms.grow(len(fresh))
            self.watches.extend(fresh)

    def _learn_crowds(self, turned: bool) -> None:
        """Set the design effects, and forget a little of them every day."""
        near = np.array([square / total for square, total in (watch.crowd for watch in self.watches)])
        self.tests.crowd = self.seasons.crowd(np.maximum(near, 1.0))
        for watch in self.watches if turned else ():
            watch.crowd = (watch.crowd[0] * DECAY, watch.crowd[1] * DECAY)

    def _prepare(self, i: int, watch: Watch, start: int, wander: float, turned: bool) -> None:
        """Set what the tests of one series go by in the coming block; they take it up at the next hour."""
        group, series, terms = self.groups[watch.group], watch.series, self.terms
        watch.ready = False
        terms.ready[i] = 0.0
        level, size = watch.known(group)
        if series.kind != "quantity" and turned:
            self.seasons.scale[i] = min(2.0 * math.sqrt(level / (1 - level)), 1.0)
        if start - group.since < self.settings.learn_days * DAY or self.seasons.blocks[i] < LEAST_BLOCKS:
            return
        if size < self.settings.learn_calls * (0.5 if series.kind == "quantity" else 1.0):
            return
        doubt = self.settings.wiggle * wander
        worth = self.settings.worth.get(series.metric, series.worth) if series.leads else series.worth
        terms.direction[i] = series.direction
        if series.kind == "quantity":
            biggest = max(watch.distributions(group), key=lambda d: d.size)
            watch.worth = abs(biggest.shift_score(worth))
            terms.delta[i] = self.settings.tolerance * watch.worth + doubt + DOUBT / math.sqrt(size)
        else:
            spread = math.sqrt(level * (1 - level))
            watch.worth = worth / spread
            of_share = group.shares[series.measure].doubt(DOUBT) / spread if series.kind == "rate" else None
            doubt += DOUBT / math.sqrt(size) if of_share is None else of_share
            terms.level[i], terms.spread[i], terms.least[i] = level, spread, 0.1 / size
            terms.delta[i] = self.settings.tolerance * worth + doubt * spread
        terms.ready[i] = 1.0 if series.kind == "quantity" else 2.0
        watch.ready = True

    def renew(self, i: int, start: int) -> None:
        """Begin the test of a series anew at ``start``, after its reference was replaced."""
        watch = self.watches[i]
        watch.alarm, watch.suspect = None, False
        self.tests.rest(i, start)
        self._prepare(i, watch, start, float(self.seasons.wander()[i]), False)
        self.terms.set(self.tests)

    def _turn_hour(self, start: int) -> None:
        """Follow the season into the coming hour."""
        self.hour = start // HOUR
        terms, seasons = self.terms, self.seasons
        terms.begin, terms.end = seasons.ahead(start)
        terms.set(self.tests)
        # The correlation of blocks is known well enough only where every call has a value of its own.
        kinship = np.where(terms.ready == 1, seasons.kinship(), 1.0)
        self.tests.wiggle2 = seasons.wander() ** 2 * kinship

    def _test(self, start: int) -> Step:
        """Score the bin and step the tests."""
        done = Step()
        m = len(self.watches)
        total, count, extra, residual = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
        moved: dict[int, tuple[float, float]] = {}
        self._plain(total, count, moved)
        self._contrasts(total, count, extra, moved)
        if not moved:
            return done
        offset = self.terms.offset(start, BIN)
        scores, apart = np.zeros(m), np.zeros(m)
        for i, (n, away) in moved.items():
            watch = self.watches[i]
            scores[i], apart[i] = n, away
            residual[i] = away - n * offset[i]
            if watch.series.kind == "quantity":
                total[i] -= n * offset[i]
            if watch.alarm is not None:
                settled = start - watch.alarm.fired_at > self.settings.settle_hours * 3600
                usual = None if watch.series.kind == "quantity" else watch.known(self.groups[watch.group])[0]
                if watch.alarm.recovers(n, float(residual[i]), usual) or settled:
                    done.cleared.append((i, watch.alarm))
                    self._end_alarm(i, start, settled)
        self.seasons.take(start, scores, apart)
        evidence = self.tests.step(total, count, extra, residual, float(start + BIN))
        limit = self.threshold()
        self._crowd(moved, residual, evidence > SUSPECT * limit)
        for i in np.flatnonzero(evidence > SUSPECT * limit).tolist():
            watch = self.watches[i]
            watch.suspect = True
            if i in moved and watch.alarm is None and watch.ready and evidence[i] > limit and self._matters(i):
                done.fired.append(i)
        return done

    def _crowd(self, moved: dict[int, tuple[float, float]], residual: Floats, stirred: NDArray[np.bool_]) -> None:
        """Learn how far the scores of one bin stray together: of shares, if they are not ``stirred`` by it."""
        wander = self.seasons.wander()
        for i, (n, _) in moved.items():
            watch = self.watches[i]
            if watch.alarm is None and not watch.suspect and not (stirred[i] and watch.series.kind == "rate"):
                square, size = watch.crowd
                # What the level moves by itself is no crowd.
                watch.crowd = (square + residual[i] ** 2 - (n * wander[i]) ** 2, size + n)

    def _matters(self, i: int) -> bool:
        """Whether the change since its onset is large enough for a page."""
        watch = self.watches[i]
        _, n, shift = self.tests.change(i)
        return n > 0 and watch.series.direction * shift >= MATTERS * watch.worth

    def _plain(self, total: Floats, count: Floats, moved: dict[int, tuple[float, float]]) -> None:
        for group in self.groups.values():
            for measure in group.tally:
                for i in group.index.get(measure, ()):
                    watch = self.watches[i]
                    if watch.contrast:
                        continue
                    n, s, residual = watch.sums(group)
                    if n:
                        count[i], total[i] = n, s
                        moved[i] = (n, residual)

    def _contrasts(self, total: Floats, count: Floats, extra: Floats, moved: dict[int, tuple[float, float]]) -> None:
        """Each segment's scores less the mean score of the other segments over the last hours."""
        whole: dict[str, tuple[float, float]] = {}
        for i, (n, residual) in moved.items():
            watch = self.watches[i]
            if watch.series.contrast and watch.group[0] == "segment":
                a, b = whole.get(watch.series.name, (0.0, 0.0))
                whole[watch.series.name] = (a + n, b + residual)
        if not whole:
            return
        for i, watch in enumerate(self.watches):
            if not watch.contrast or watch.series.name not in whole:
                continue
            all_n, all_residual = whole[watch.series.name]
            n, residual = moved.get(self.index[(watch.group, watch.series.name, False)], (0.0, 0.0))
            a, b = watch.rest
            watch.rest = rest = (a * FADE + all_n - n, b * FADE + all_residual - residual)
            if n and rest[0] >= 20:
                common = rest[1] / rest[0]
                difference = residual - n * common
                count[i], total[i], extra[i] = n, difference, 1.0 / rest[0] + (SPREADS * common) ** 2
                moved[i] = (n, difference)

    def threshold(self) -> float:
        """Log evidence at which a series pages: its equal part of the workflow's budget of false pages."""
        steps = 30 * DAY / BIN
        return math.log(max(len(self.watches), 50) * steps / self.settings.false_pages_per_month / SLACK)

    def raise_alarm(self, i: int, start: int) -> Alarm:
        """Put a watch into alarm: what it saw since yesterday is not learned."""
        watch = self.watches[i]
        self.distrusted.add(watch.series.measure)
        onset, _, shift = self.tests.change(i)
        least = 0.5 * watch.worth * watch.series.direction
        shift = max(shift, least) if watch.series.direction > 0 else min(shift, least)
        watch.alarm = Alarm(float(start + BIN), onset, shift, segment=watch.segment)
        group = self.groups[watch.group]
        if watch.series.kind == "rate":
            group.shares[watch.series.measure].held = (0, 0)
        else:
            for distribution in watch.distributions(group):
                distribution.held = {}
        return watch.alarm

    def _end_alarm(self, i: int, start: int, settled: bool) -> None:
        watch = self.watches[i]
        assert watch.alarm is not None
        if settled:
            watch.held = []
        elif watch.series.kind == "rate":
            watch.held = []
            self.distrusted.add(watch.series.measure)  # until midnight: the day holds a part of the incident
        elif watch.series.kind == "tail" or start - watch.alarm.fired_at > RECURS:
            watch.drop()
        watch.alarm = None
        self.tests.rest(i, start + BIN)
        if not settled:
            return
        group = self.groups[watch.group]
        self.seasons.forget(i)
        if watch.series.kind == "rate":
            group.shares[watch.series.measure].relearn()
        else:
            for distribution in watch.distributions(group):
                distribution.relearn()


_BY_NAME = {series.name: series for series in CATALOGUE}


def series_named(name: str) -> Series:
    """The series of a stored name: one of the catalogue, or that of an evaluation."""
    return _BY_NAME.get(name) or quality.evaluation(name.rsplit(":", 2)[0])


def merged(points: list[Point]) -> Point:
    """The sum of ``points``, or the only one itself (which is not to be changed then)."""
    return points[0] if len(points) == 1 else merge(points, points[0].key)
