"""Which figures a summary looks at, how each is taken from the tally, and which direction is good."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import add
from typing import Literal

from driftbell.alerts.weekly.tally import Only, Series, WorkflowTally
from driftbell.alerts.weekly.verdict import ENOUGH_CASES, Comparison, Verdict, Worth

Unit = Literal["usd", "share", "score", "ms", "days", "calls"]
Kind = Literal["money", "people", "quality", "sources", "reliability", "traffic"]
Take = Callable[[WorkflowTally, Only | None], Series]


@dataclass(frozen=True, slots=True)
class Measure:
    """How one figure is taken. ``good``: +1 more is better, -1 less is, 0 neither.

    ``weekly`` marks a sum per week (its series counts days as trials) against a ratio. ``sliced`` measures are also
    looked at by segment and risk tier, so that an average hides no group.
    """

    name: str
    label: str
    unit: Unit
    kind: Kind
    good: int
    worth: Worth
    take: Take
    weekly: bool = False
    sliced: bool = False
    least: int = ENOUGH_CASES


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the summary with its two comparisons. ``only`` says for which segment or tier it holds.

    ``weeks`` are the values of the five weeks, the oldest first; None where there was nothing. ``cases`` is what
    the week's value rests on (calls, judgements, outcomes); ``hits`` of them for a share.
    """

    measure: Measure
    only: Only | None
    this: float | None
    last: float | None
    usual: float | None
    cases: float
    hits: float | None
    weeks: tuple[float | None, ...]
    verdict: Verdict
    reason: str

    @property
    def name(self) -> str:
        """Name in the JSON form: ``error`` or ``error@segment high-risk``."""
        return self.measure.name + (f"@{self.only.words}" if self.only else "")

    @property
    def difference(self) -> float | None:
        """This week minus usual."""
        return self.this - self.usual if self.this is not None and self.usual is not None else None

    @property
    def relative(self) -> float | None:
        """The difference as a share of usual; None when usual is zero or unknown."""
        difference = self.difference
        return difference / self.usual if difference is not None and self.usual else None

    @property
    def moved(self) -> bool:
        """Whether there is something to tell."""
        return self.verdict in ("Better", "Worse")

    @property
    def weight(self) -> float:
        """How far it moved, in units of the smallest change worth telling; 0.0 when it did not."""
        if not self.moved or self.difference is None or self.usual is None:
            return 0.0
        worth = self.measure.worth.of(self.usual)
        return abs(self.difference) / worth if worth else 0.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A figure whose verdict waits for all the others."""

    measure: Measure
    only: Only | None
    series: Series
    comparison: Comparison


def rate(name: str) -> Take:
    """The share of hits among trials."""
    return lambda tally, only: tally.series(name, only)


def per_day(name: str) -> Take:
    """A sum per day, with every day as one trial."""
    return lambda tally, only: Series(tally.series(name, only).hits, [1.0] * 35)


def used(tally: WorkflowTally, only: Only | None) -> Series:
    """Suggestions taken over as they were, of those that were judged."""
    changed_or_not = tally.series("override", only)
    return Series(changed_or_not.trials, changed_or_not.trials).less(changed_or_not)


def changed(tally: WorkflowTally, only: Only | None) -> Series:
    """Suggestions edited before use, of those that were judged."""
    return tally.series("override", only).less(tally.series("rejected", only))


def worked_around(tally: WorkflowTally, only: Only | None) -> Series:
    """Tasks done without the AI, of those and the answered calls together; nothing where none was ever reported."""
    manual = tally.series("manual", only).hits
    if not any(manual):
        return Series()
    return Series(manual, list(map(add, manual, answered(tally, only).hits)))


def answered(tally: WorkflowTally, only: Only | None = None) -> Series:
    """Calls that did not fail, over all calls."""
    failed = tally.series("error", only)
    return Series(failed.trials, failed.trials).less(failed)


_MONEY, _PEOPLE, _RARE, _MEAN = Worth(0.05), Worth(0.05, 0.01), Worth(0.20, 0.005), Worth(0.10)
MEASURES: tuple[Measure, ...] = (
    Measure("total_cost", "Total cost", "usd", "money", -1, _MONEY, per_day("cost"), weekly=True, least=0),
    Measure("cost_per_call", "Cost per call", "usd", "money", -1, _MONEY, rate("cost"), sliced=True),
    Measure("calls", "Calls", "calls", "traffic", 0, _MEAN, per_day("calls"), weekly=True, least=0),
    Measure("used_as_suggested", "Used as suggested", "share", "people", 1, _PEOPLE, used, sliced=True),
    Measure("changed_by_staff", "Changed by staff", "share", "people", -1, _PEOPLE, changed),
    Measure("thrown_away", "Thrown away or redone", "share", "people", -1, _PEOPLE, rate("rejected")),
    Measure("worked_around", "Worked around the AI", "share", "people", -1, _PEOPLE, worked_around, sliced=True),
    Measure("edit_distance", "How much was changed", "share", "people", -1, Worth(0.1, 0.02), rate("edit_distance")),
    Measure("feedback_negative", "Thumbs down", "share", "quality", -1, _RARE, rate("feedback_negative")),
    Measure("escalated", "Escalated to a person", "share", "quality", -1, _RARE, rate("escalated")),
    Measure("refused", "Refused to answer", "share", "quality", -1, _RARE, rate("refused")),
    Measure("format_failed", "Unreadable answers", "share", "quality", -1, _RARE, rate("format_failed")),
    Measure("truncated", "Answers cut off", "share", "quality", -1, _RARE, rate("truncated")),
    Measure("no_sources", "No document found", "share", "sources", -1, _RARE, rate("no_sources"), sliced=True),
    Measure("uncited", "Answers without a citation", "share", "sources", -1, _RARE, rate("uncited")),
    Measure("source_age", "Age of documents used", "days", "sources", -1, _MEAN, rate("source_age")),
    Measure("error", "Failed calls", "share", "reliability", -1, _RARE, rate("error"), sliced=True),
    Measure("latency_ms", "Average wait", "ms", "reliability", -1, _MEAN, rate("latency_ms")),
)


def measures_of(tally: WorkflowTally) -> Iterator[Measure]:
    """The measures that may exist for a workflow: the fixed ones and one per evaluation."""
    yield from MEASURES
    for name in sorted(tally.names):
        if name.startswith("eval."):
            label = f"Review score “{name.removeprefix('eval.')[:40]}”"
            yield Measure(name, label, "score", "quality", 1, Worth(0.0, 0.02), rate(name), sliced=True)
