"""Group: a workflow, one of its segments or risk tiers; its references and the tallies of the running bin."""

from dataclasses import dataclass, field

from driftbell.collectors.point import Point
from driftbell.detectors.baseline import Distribution, Share

GroupKey = tuple[str, str]
"""``(dimension, value)``: ``("workflow", "")``, ``("segment", "emea")``, ``("risk_tier", "high")``."""
WHOLE: GroupKey = ("workflow", "")
KNOWN_FROM = 30
"""Values that a reference must hold before anything is scored against it."""


@dataclass(slots=True)
class Tally:
    """Sums of one bin: values scored, their total score, and hits (of a rate, or beyond the usual tail)."""

    count: float = 0.0
    total: float = 0.0
    hits: float = 0.0


@dataclass(slots=True)
class Group:
    """References by measure (or ``measure|stratum``) and the tallies of the running bin.

    ``index`` maps a measure to the watches that test it.
    """

    key: GroupKey
    since: float
    shares: dict[str, Share] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)
    tally: dict[str, Tally] = field(default_factory=dict)
    index: dict[str, list[int]] = field(default_factory=dict)

    def take(self, point: Point) -> None:
        """Add a point of the running bin."""
        for name, (hits, trials) in point.rates.items():
            self._rate(name, hits, trials)
        if point.manual or point.calls:
            self._rate("manual", point.manual, point.manual + point.calls)
        for name, quantity in point.quantities.items():
            distribution = self.distributions.get(name)
            if distribution is None:
                distribution = self.distributions[name] = Distribution()
            if distribution.size < KNOWN_FROM:
                for index, n in quantity.buckets.items():
                    distribution.observe(index, n)
                continue
            tally = self.tally.get(name)
            if tally is None:
                tally = self.tally[name] = Tally()
            for index, n in quantity.buckets.items():
                distribution.observe(index, n)
                tally.count += n
                tally.total += n * distribution.score(index)
                if index >= distribution.tail_from:
                    tally.hits += n

    def _rate(self, name: str, hits: int, trials: int) -> None:
        share = self.shares.get(name)
        if share is None:
            share = self.shares[name] = Share()
        share.observe(hits, trials)
        if share.trials < KNOWN_FROM:
            return
        tally = self.tally.get(name)
        if tally is None:
            tally = self.tally[name] = Tally()
        tally.count += trials
        tally.hits += hits

    def strata(self, measure: str) -> list[str]:
        """Names under which a stratified measure is kept."""
        prefix = measure + "|"
        return sorted(name for name in self.distributions if name.startswith(prefix))

    def turn_day(self, distrusted: set[str]) -> None:
        """Let every reference learn, except of the ``distrusted`` measures."""
        for name, share in self.shares.items():
            share.turn_day(name not in distrusted)
        for name, distribution in self.distributions.items():
            distribution.turn_day(name.partition("|")[0] not in distrusted)
