"""The table for those who own many workflows: the worst first, one row each, the quiet ones left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.numbers import WorkflowWeek
from driftbell.alerts.weekly.ranking import loudest
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.words import incident_words, label, shown, value, verdict

PORTFOLIO_ROWS = 15
COLUMNS = ("", "cost", "cost each", "usual", "what changed most")
RULE_WORDS = {
    "open_incident": "incident still open",
    "costly_incident": "incident, over now",
    "worse_figure": "got worse",
    "over_budget": "heading over its budget",
    "cannot_see": "? cost not known",
    "low_use": "hardly used",
    "unstable_quality": "unsteady review score",
    "above_worth": "costs more than its worth",
}
"""What stands in the row of a feature that needs a decision though no figure of it moved."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table at the top; ``mood`` is Better, Worse or empty."""

    cells: tuple[str, ...]
    mood: str = ""


def portfolio(
    every: Sequence[WorkflowWeek], loud: Sequence[WorkflowWeek], asked: Mapping[str, str], lines: int
) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    """Title, columns and rows. ``loud``: those of ``every`` that are not quiet; ``asked``: the rule of a decision."""
    kept = loud[: min(lines * 3, PORTFOLIO_ROWS)]
    cut = f" ({len(kept)} of {len(loud)} that were not quiet)" if len(kept) < len(loud) else ""
    rows = [_row(week, asked.get(week.workflow)) for week in kept]
    return f"Your AI features, worst first{cut}", COLUMNS, (*rows, *_together(every))


def _together(every: Sequence[WorkflowWeek]) -> list[Row]:
    """What all of them cost, quiet ones too, against what they usually cost where that is known of each."""
    totals = [figure for week in every if (figure := week.figure("total_cost")) is not None]
    this = [figure.this for figure in totals if figure.this is not None]
    usual = [figure.usual for figure in totals if figure.usual is not None]
    if not this:
        return []
    known = f"usually {value(sum(usual), 'usd')}" if len(usual) == len(this) else ""
    return [Row((f"All {len(every)} together", value(sum(this), "usd"), "-", "-", known))]


def _row(week: WorkflowWeek, rule: str | None) -> Row:
    total, each = week.figure("total_cost"), week.figure("cost_per_outcome")
    this, _, usual = shown(each) if each is not None else ("-", "-", "-")
    many = " per 1,000" if each is not None and label(each) != each.measure.label else ""
    what, mood = _what(week, rule)
    cost = value(total.this, "usd") if total is not None else "-"
    return Row((plain(week.title, 40), cost, this + many, usual, what), mood)


def _what(week: WorkflowWeek, rule: str | None) -> tuple[str, str]:
    """The last column and its mood; it never says that nothing changed where something is asked."""
    matter = loudest(week)
    if isinstance(matter, Told):
        bad = matter.still_open or rule == "costly_incident"
        if bad or rule is None:
            return f"incident: {incident_words(matter)}", "Worse" if bad else ""
    elif matter is not None:
        return f"{label(matter)} {verdict(matter)}", matter.verdict
    if rule is not None:
        return RULE_WORDS[rule], "Worse"
    if not week.calls:
        return "? no calls", ""
    if week.budget is not None and week.budget.over:
        return RULE_WORDS["over_budget"], "Worse"
    return "no change" if week.comparable else "? a first week", ""
