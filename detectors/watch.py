"""Watch: one statistic of one group, with what is known of its residuals and its present state."""

import math
from dataclasses import dataclass, field

from driftbell.detectors.baseline import Distribution
from driftbell.detectors.group import Group, GroupKey
from driftbell.detectors.season import Held
from driftbell.detectors.series import Series

CROWD_PRIOR = 300.0
"""Calls' worth of "independent" with which the design effect of a series begins."""
WEEK = 7 * 86400
RECOVERED = 8.0
"""Log evidence for "back below half of the change" at which an alarm ends."""


@dataclass(slots=True)
class Alarm:
    """A series beyond its threshold, from the bin in which it crossed it until it is back.

    ``segment`` is the one under which the change was reported, which the attribution decides.
    """

    fired_at: float
    started_at: float
    shift: float
    recovery: float = 0.0
    segment: str | None = None

    def recovers(self, n: float, deviation: float, usual: float | None) -> bool:
        """Take in ``n`` scores with total ``deviation`` from the usual level; True once the level is back.

        The log likelihood ratio of "as usual" against "still half of the change", never below zero: of a rate with
        ``usual`` share Bernoulli, of a quantity (None) Gaussian.
        """
        half = self.shift / 2
        if usual is None:
            rate = min(abs(half), 1.0)
            sign = 1.0 if self.shift > 0 else -1.0
            gain = -sign * (deviation - n * half) * rate - n * rate * rate / 2
        else:
            spread = math.sqrt(usual * (1 - usual))
            bad = min(max(usual + half * spread, 1.5 * usual), 0.5 + usual / 2)
            hits = min(max(deviation * spread + n * usual, 0.0), n)
            gain = hits * math.log(usual / bad) + (n - hits) * math.log((1 - usual) / (1 - bad))
        self.recovery = max(0.0, self.recovery + gain)
        return self.recovery > RECOVERED


@dataclass(slots=True)
class Watch:
    """One statistic of one group.

    ``crowd`` are the decayed sums ``(squared residuals of bins, n)``, whose ratio is 1 for independent calls; ``rest``
    are those of the other segments, for a contrast. ``worth`` is the smallest change worth a page, in standard
    deviations of one score; ``ready`` says that the series may page. ``held`` are blocks under suspicion, which
    the season learns once the suspicion has gone, and ``dropped`` those of the last alarm, which it did not learn.
    """

    group: GroupKey
    series: Series
    contrast: bool
    crowd: tuple[float, float] = (CROWD_PRIOR, CROWD_PRIOR)
    rest: tuple[float, float] = (0.0, 0.0)
    suspect: bool = False
    worth: float = 0.0
    ready: bool = False
    held: list[Held] = field(default_factory=list)
    dropped: list[Held] = field(default_factory=list)
    alarm: Alarm | None = None

    def spoiled(self, broken: set[str]) -> bool:
        """Whether the block is no example of what is usual: in no group, of a share that rang in one."""
        return self.series.kind == "rate" and self.series.measure in broken

    def drop(self) -> None:
        """After an alarm of days: hold on to what came at the same time of the week before, and drop the rest."""
        again = {start for start, _, _ in self.held} & {start + WEEK for start, _, _ in self.dropped}
        recurring = [block for block in self.dropped if block[0] + WEEK in again]
        recurring += [block for block in self.held if block[0] in again]
        self.dropped, self.held = self.held, recurring

    @property
    def name(self) -> tuple[GroupKey, str, bool]:
        """Unique within a workflow."""
        return (self.group, self.series.name, self.contrast)

    @property
    def segment(self) -> str | None:
        """The segment that the watch speaks of, if it is one."""
        return self.group[1] if self.group[0] == "segment" else None

    @property
    def risk_tier(self) -> str | None:
        """The risk tier that the watch speaks of, if it is one."""
        return self.group[1] if self.group[0] == "risk_tier" else None

    def known(self, group: Group) -> tuple[float, float]:
        """``(level, size)`` of the reference of a rate or tail; the level of a quantity means nothing."""
        series = self.series
        if series.kind == "rate":
            share = group.shares[series.measure]
            return share.level(), share.trials
        parts = [d for d in self.distributions(group) if d.size]
        size = sum(d.size for d in parts)
        if not size:
            return 0.05, 0.0
        return max(sum(d.tail_share * d.size for d in parts) / size, 0.002), size

    def distributions(self, group: Group) -> list[Distribution]:
        """The references of a quantity or tail, one per stratum."""
        measure = self.series.measure
        names = group.strata(measure) if self.series.strata else [measure]
        return [group.distributions[name] for name in names if name in group.distributions]

    def sums(self, group: Group) -> tuple[float, float, float]:
        """``(count, total for the test, total residual in standard deviations)`` of the running bin."""
        series = self.series
        tally = group.tally[series.measure]
        if series.kind == "quantity":
            return tally.count, tally.total, tally.total
        if series.kind == "rate":
            level = group.shares[series.measure].level()
            return tally.count, tally.hits, (tally.hits - tally.count * level) / math.sqrt(level * (1 - level))
        level = max(tally.expected / tally.count, 0.002)
        return tally.count, tally.hits, (tally.hits - tally.expected) / math.sqrt(level * (1 - level))
