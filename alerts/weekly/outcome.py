"""What counts as an outcome, the unit that cost is divided by."""

from collections.abc import Callable
from dataclasses import dataclass

from driftbell.alerts.weekly.figure import answered, used
from driftbell.alerts.weekly.settings import WorkflowSettings
from driftbell.alerts.weekly.tally import ENOUGH_PEOPLE, Series, WorkflowTally
from driftbell.alerts.weekly.weeks import USUAL_WEEKS

GOOD_OUTCOMES = ("resolved", "accepted", "success")
ENOUGH_COVERAGE = 0.5
"""Share of the answered calls that must have said how they ended, before that is divided by."""
MOVED_COVERAGE = 0.05
"""A change of coverage beyond this would move the cost per outcome by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``title`` (one of it), what is counted, and the counts by day over the answered calls that reported any."""

    title: str
    definition: str
    counted: Series
    count: Callable[[WorkflowTally], Series]
    """What made ``counted``; for other weeks of the same workflow."""
    reported: Series
    """Calls whose end was reported, over the answered calls."""

    @property
    def coverage(self) -> float | None:
        """Share of this week's answered calls whose end was reported; None without calls."""
        hits, trials = self.reported.week(USUAL_WEEKS)
        return min(hits / trials, 1.0) if trials else None

    @property
    def coverage_moved(self) -> bool:
        """Whether reporting itself changed against the usual weeks, so that a cost per outcome cannot be compared."""
        weeks = [self.reported.week(week) for week in range(USUAL_WEEKS)]
        hits, trials = (sum(week[i] for week in weeks) for i in (0, 1))
        now = self.coverage
        return now is not None and trials > 0 and abs(now - min(hits / trials, 1.0)) > MOVED_COVERAGE


def outcome_of(tally: WorkflowTally, settings: WorkflowSettings) -> Outcome:
    """The definition that fits: the configured outcomes, accepted suggestions, resolved cases, answered calls."""
    ok = answered(tally)
    every = Series()
    for name in tally.names:
        if name.startswith("outcome."):
            every = every.plus(tally.series(name))
    title = settings.outcome_title
    if settings.accepted_outcomes:
        chosen = settings.accepted_outcomes
        what = f"a call reported as {', '.join(chosen)}"
        return _outcome(title or "accepted outcome", what, tally, lambda of: _sum(of, chosen), every.over(ok))
    suggestions = used(tally, None)
    judged = Series(suggestions.trials)
    people = len(tally.people.get(None, ()))
    if _covers(judged, ok) and (people == 0 or people >= ENOUGH_PEOPLE):
        what = "a suggestion that staff used as it was"
        return _outcome(title or "accepted suggestion", what, tally, lambda of: used(of, None), judged.over(ok))
    if any(_sum(tally, GOOD_OUTCOMES).hits) and _covers(every, ok):
        reported = [name for name in GOOD_OUTCOMES if f"outcome.{name}" in tally.names]
        what = f"a call reported as {' or '.join(reported)}"
        return _outcome(title or f"{reported[0]} case", what, tally, lambda of: _sum(of, GOOD_OUTCOMES), every.over(ok))
    what = "a call that did not fail, as nobody reports how calls ended"
    return _outcome(title or "successful call", what, tally, answered, ok.over(ok))


def _outcome(
    title: str, what: str, tally: WorkflowTally, count: Callable[[WorkflowTally], Series], reported: Series
) -> Outcome:
    return Outcome(title, what, count(tally), count, reported)


def _sum(tally: WorkflowTally, names: tuple[str, ...]) -> Series:
    total = Series()
    for name in names:
        if f"outcome.{name}" in tally.names:
            total = total.plus(tally.series(f"outcome.{name}"))
    return total


def _covers(part: Series, whole: Series) -> bool:
    return sum(whole.hits) > 0 and sum(part.hits) >= ENOUGH_COVERAGE * sum(whole.hits)
