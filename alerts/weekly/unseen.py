"""What the numbers of a workflow leave out: unknown prices and outcomes, silent days, a short history."""

from driftbell.alerts.weekly.outcome import Outcome
from driftbell.alerts.weekly.tally import WorkflowTally
from driftbell.alerts.weekly.weeks import DAYS_SHORT, MONTHS, USUAL_WEEKS, WEEK_DAYS, Days
from driftbell.alerts.wording import percent


def complete_weeks(found: WorkflowTally) -> list[int]:
    """The usual weeks that lie wholly after the first data; only they can be summed."""
    return [week for week in range(USUAL_WEEKS) if week * WEEK_DAYS >= found.first]


def unseen_of(found: WorkflowTally, outcome: Outcome, days: Days) -> tuple[str, ...]:
    """What the summary could not look at, in short sentences."""
    first = found.first
    notes = []
    for name, words in (
        ("unpriced", "of calls have no known price and are left out"),
        ("usage_missing", "of calls told no token counts"),
    ):
        hits, trials = found.series(name).week(USUAL_WEEKS)
        if hits and trials:
            notes.append(f"{percent(hits / trials)} {words}")
    coverage = outcome.coverage
    if coverage is not None and coverage < 0.995:
        notes.append(f"{percent(1 - coverage)} of calls had no outcome recorded")
    calls = found.series("calls").hits
    busy = [sum(calls[week * 7 + i] > 0 for week in range(USUAL_WEEKS)) for i in range(WEEK_DAYS)]
    silent = [i for i in range(WEEK_DAYS) if not calls[28 + i] and busy[i] >= 2 and 28 + i >= first]
    if silent:
        names = ", ".join(DAYS_SHORT[i] for i in silent)
        notes.append(f"no calls at all on {names}")
    if len(complete_weeks(found)) < USUAL_WEEKS:
        start = days.dates[first]
        notes.append(
            f"watched only since {start.day} {MONTHS[start.month - 1]}, so “usual” rests on fewer than four weeks"
        )
    if found.left_out:
        notes.append("more kinds of outcomes or evaluations than are kept; the rest is left out")
    return tuple(notes)
