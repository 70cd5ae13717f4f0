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
    """Sums of one bin for one measure, all strata together.

    ``count`` values were scored, with ``total`` score; ``hits`` of them were hits (of a rate) or lay beyond the usual
    tail, where ``expected`` were to be.
    """

    count: float = 0.0
    total: float = 0.0
    hits: float = 0.0
    expected: float = 0.0


@dataclass(slots=True)
class Group:
    """References by measure (or ``measure|stratum``) and the tallies of the running bin, by measure.

    ``index`` maps a measure to the watches that test it; ``seen`` is the start of the last bin with points.
    """

    key: GroupKey
    since: float
    seen: int = 0
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
            distribution.observe(quantity.buckets)
            if distribution.size < KNOWN_FROM:
                continue
            measure = name.partition("|")[0] if "|" in name else name
            tally = self.tally.get(measure)
            if tally is None:
                tally = self.tally[measure] = Tally()
            total, hits = distribution.total(quantity.buckets)
            tally.count += quantity.count
            tally.total += total
            tally.hits += hits
            tally.expected += quantity.count * distribution.tail_share

    def _rate(self, name: str, hits: int, trials: int) -> None:
        share = self.shares.get(name)
        if share is None:
            share = self.shares[name] = Share()
        share.today[0] += hits
        share.today[1] += trials
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
