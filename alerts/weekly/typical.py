"""What lies in the middle or near the end: percentiles of waiting and of review time, read from the histograms."""

from driftbell.alerts.weekly.figure import Figure, Measure, rate
from driftbell.alerts.weekly.tally import WorkflowTally
from driftbell.alerts.weekly.verdict import Worth
from driftbell.alerts.weekly.weeks import USUAL_WEEKS
from driftbell.collectors.point import Quantity, bucket_middle

REVIEW = Measure(
    "review_ms", "Typical time to review a suggestion", "ms", "people", 0, Worth(0.10), rate("review_ms"), least=30
)
"""Neither good nor bad: a quick review may be a good suggestion, or one that nobody read."""


def percentiles(found: WorkflowTally, name: str, share: float) -> tuple[float | None, float | None, float | None]:
    """The value that ``share`` of all stay below, to 4.5 %: this week, last week, the usual weeks together."""
    weeks = [found.histograms.get((name, week), Quantity()) for week in range(USUAL_WEEKS + 1)]
    usual = Quantity()
    for week in weeks[:USUAL_WEEKS]:
        usual.add(week)
    return _percentile(weeks[-1], share), _percentile(weeks[-2], share), _percentile(usual, share)


def review_of(found: WorkflowTally) -> Figure | None:
    """The median time that staff took to review a suggestion; None where fewer than 30 of the week's are known."""
    week = found.histograms.get(("review_ms", USUAL_WEEKS), Quantity())
    if week.count < REVIEW.least:
        return None
    middle = percentiles(found, "review_ms", 0.5)
    weeks = (found.histograms.get(("review_ms", i), Quantity()) for i in range(USUAL_WEEKS + 1))
    all_weeks = tuple(_percentile(one, 0.5) for one in weeks)
    return Figure(REVIEW, None, *middle, week.count, None, all_weeks, "Same", "neither good nor bad")


def _percentile(quantity: Quantity, share: float) -> float | None:
    below = 0
    for index, count in sorted(quantity.buckets.items()):
        below += count
        if below >= share * quantity.count:
            return bucket_middle(index)
    return None
