"""FIX, STOP or KEEP: at most three recommendations, each by a rule with a name.

A recommendation says who should act, what it is worth in money or people, and how sure it is. Causes are called
likely only when the incident's own test said so; everything else happened at the same time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.ranking import LEAST_USD, extra_usd
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.words import bare_title, cents, lower, one_in, sentence, value
from driftbell.alerts.wording import percent

Verb = Literal["FIX", "STOP", "KEEP"]
MOST = 3
FAMILY_KIND = {
    "cost": "money",
    "quality": "quality",
    "retrieval": "sources",
    "bypass": "people",
    "reliability": "reliability",
}
QUALITY_BAND = 0.04
"""A review score this far (0..1) from the middle of its five weeks makes a week unstable."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One line of advice. ``usd_per_week`` orders and is printed where known; ``rule`` names what produced it."""

    verb: Verb
    rule: str
    workflow: str
    text: str
    owner: str | None
    sure: str
    command: str
    weight: float
    usd_per_week: float | None = None
    cases: float | None = None
    """How many cases more or fewer than usual, where no money is known."""

    @property
    def is_decision(self) -> bool:
        """Whether the owner has to decide something; to keep going needs no decision."""
        return self.verb != "KEEP"


Rule = Callable[[WorkflowWeek], Iterator[Recommendation]]


def recommend(numbers: WeeklyNumbers) -> tuple[Recommendation, ...]:
    """The most important recommendations, one per workflow and rule: what its owner asked to stop comes first."""
    found = [one for week in numbers.workflows for rule in RULES for one in rule(week)]
    rank = {"STOP": 0, "FIX": 1, "KEEP": 2}
    found.sort(key=lambda one: (rank[one.verb], -one.weight, -(one.usd_per_week or 0.0), one.workflow))
    chosen: list[Recommendation] = []
    for one in found:
        again = any(other.workflow == one.workflow and other.verb != one.verb for other in chosen)
        if len(chosen) < MOST and not (one.verb == "KEEP" and again):
            chosen.append(one)
    order = {"FIX": 0, "KEEP": 2, "STOP": 1}
    return tuple(sorted(chosen, key=lambda one: order[one.verb]))


def open_incident(week: WorkflowWeek) -> Iterator[Recommendation]:
    """An incident that is still open is fixed first."""
    for told in week.told:
        if told.still_open and told.verdict != "false_alarm":
            cost = f", {cents(told.extra_usd)} so far" if told.extra_usd else ""
            text = f"{bare_title(told)}, still open{cost}.{_cause(told)}"
            yield _advice(week, "FIX", "open_incident", text, _sure(told), 1000, told.extra_usd, told)


def costly_incident(week: WorkflowWeek) -> Iterator[Recommendation]:
    """What an incident cost is told while its cause may come back."""
    for told in week.told:
        if _may_come_back(told):
            cost = cents(told.extra_usd or 0)
            text = f"{bare_title(told)}, over now, cost {cost}.{_cause(told)} See that it does not come back."
            yield _advice(week, "FIX", "costly_incident", text, _sure(told), 100, told.extra_usd, told)


def worse_figure(week: WorkflowWeek) -> Iterator[Recommendation]:
    """The figure of each kind that got worse most, unless an incident above already tells of it."""
    told = {FAMILY_KIND.get(one.family) for one in week.told if one.still_open or _may_come_back(one)}
    for figure in week.moved:
        if figure.verdict != "Worse" or figure.measure.kind in told or figure.measure.name == "total_cost":
            continue
        when = _at_the_same_time(week, figure)
        usd = extra_usd(figure)
        if usd is not None and usd < LEAST_USD:
            continue
        cases = _more_cases(figure)
        told.add(figure.measure.kind)
        text = f"{sentence(figure, last_week=False)}{_effect(usd, cases)}.{when or ' Find out why.'}"
        sure = "measured; cause not proven" if when else "measured; cause not known"
        yield _advice(week, "FIX", "worse_figure", text, sure, figure.weight, usd, cases=cases)


def over_budget(week: WorkflowWeek) -> Iterator[Recommendation]:
    """The month will end above its budget."""
    budget = week.budget
    if budget is not None and budget.limit is not None and budget.over:
        text = (
            f"{budget.month} is at {cents(budget.so_far)} and heads for {cents(budget.forecast)}, "
            f"over its budget of {cents(budget.limit)}."
        )
        over = (budget.forecast - budget.limit) / 4.35  # weeks a month
        yield _advice(week, "FIX", "over_budget", text, "forecast: days to come like those of this week", 50, over)


def cannot_see(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Too much of the workflow cannot be judged: measuring it is the decision."""
    figure = week.figure("cost_per_outcome")
    if figure is None and week.calls:
        text = "its cost is not known, so nobody can say what an outcome costs. Set prices or report the cost."
        yield _advice(week, "FIX", "cannot_see", text, "counted", 1)
    elif figure is not None and figure.reason == "outcomes were not reported as before":
        text = "outcomes are not reported as before, so their cost cannot be compared. Restore the reports."
        yield _advice(week, "FIX", "cannot_see", text, "counted", 20)


def low_use(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Configured: hardly anyone uses it."""
    around, limit = week.figure("worked_around"), week.settings.stop.low_use
    if limit is not None and around is not None and around.this is not None and 1 - around.this < limit:
        text = (
            f"used in {percent(1 - around.this)} of the eligible work{one_in(1 - around.this)}; your limit is "
            f"{percent(limit)}.{_price_tag(week)}"
        )
        yield _advice(week, "STOP", "low_use", text, "counted; the limit is yours", 100, _spent(week))


def unstable_quality(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Configured: its review scores do not hold still."""
    limit = week.settings.stop.unstable_quality_weeks
    for figure in week.figures if limit is not None else ():
        known = [score for score in figure.weeks if score is not None]
        if figure.measure.unit != "score" or len(known) < 3:
            continue
        outside = sum(abs(score - median(known)) > QUALITY_BAND for score in known)
        if limit is not None and outside >= limit:
            text = (
                f"{lower(figure.measure.label)} went from {value(max(known), 'score')} to {value(min(known), 'score')} "
                f"within five weeks; {outside} weeks lay apart from the others.{_price_tag(week)}"
            )
            yield _advice(week, "STOP", "unstable_quality", text, "measured; the limit is yours", 90, _spent(week))
            return


def above_worth(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Configured: an outcome has cost more than it is worth, week after week."""
    limit, worth = week.settings.stop.above_worth_weeks, week.settings.worth_per_outcome
    figure = week.figure("cost_per_outcome")
    if limit is None or worth is None or figure is None:
        return
    latest = figure.weeks[-limit:]
    if all(cost is not None and cost > worth for cost in latest):
        span = "this week" if limit == 1 else f"{limit} weeks in a row"
        text = (
            f"each {week.outcome} cost {value(figure.this, 'usd')}, above its worth of {cents(worth)}, {span}. "
            "Keep only if it earns that."
        )
        yield _advice(week, "STOP", "above_worth", text, "counted; the worth is yours", 95, _spent(week))


def better(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Something got better and nothing worse."""
    moved = week.moved
    good = [figure for figure in moved if figure.verdict == "Better"]
    if good and len(good) == len(moved) and not any(told.still_open for told in week.told):
        yield _advice(week, "KEEP", "better", f"{sentence(good[0])}. Nothing got worse.", "measured", good[0].weight)


def earns_its_cost(week: WorkflowWeek) -> Iterator[Recommendation]:
    """Configured worth: every known week stayed below it."""
    worth, figure = week.settings.worth_per_outcome, week.figure("cost_per_outcome")
    known = [cost for cost in figure.weeks if cost is not None] if figure else []
    if worth is None or figure is None or figure.this is None or len(known) < 2 or max(known) > worth:
        return
    gain = (worth - figure.this) * figure.cases
    cost = value(figure.this, "usd")
    text = f"each {week.outcome} cost {cost} and is worth {cents(worth)}: {cents(gain)} to the good this week."
    yield _advice(week, "KEEP", "earns_its_cost", text, "counted; the worth is yours", 1, gain)


RULES: tuple[Rule, ...] = (
    open_incident,
    costly_incident,
    worse_figure,
    over_budget,
    cannot_see,
    low_use,
    unstable_quality,
    above_worth,
    better,
    earns_its_cost,
)


def _advice(
    week: WorkflowWeek,
    verb: Verb,
    rule: str,
    text: str,
    sure: str,
    weight: float,
    usd: float | None = None,
    told: Told | None = None,
    cases: float | None = None,
) -> Recommendation:
    owner = (told.owner if told else None) or week.owner
    command = told.command if told else week.command
    return Recommendation(verb, rule, week.workflow, text, owner, sure, command, weight, usd, cases)


def _may_come_back(told: Told) -> bool:
    """Whether an incident that is over cost enough to act on, has a cause, and nobody said that it was none."""
    if told.still_open or told.verdict in {"false_alarm", "new_normal"}:
        return False
    return (told.extra_usd or 0.0) >= LEAST_USD and bool(told.cause) and told.confidence != "unknown"


def _cause(told: Told) -> str:
    if not told.cause or told.confidence == "unknown":
        return ""
    return f" {told.cause.rstrip('.')}."


def _sure(told: Told) -> str:
    words = {"likely": "likely cause", "possible": "possible cause, not proven", "unknown": "cause not found"}
    return words[told.confidence]


def _at_the_same_time(week: WorkflowWeek, figure: Figure) -> str:
    for change in week.changes:
        if change.moved == figure.measure.label:
            return f" At the same time: {change.what}."
    return ""


def _more_cases(figure: Figure) -> float | None:
    """How many cases of the week lie beyond the usual share; negative where there are fewer."""
    if figure.measure.unit != "share" or figure.difference is None or figure.hits is None:
        return None
    return figure.difference * figure.cases


def _effect(usd: float | None, cases: float | None) -> str:
    if usd:
        return f", {cents(usd)} more this week"
    if cases is None or abs(cases) < 1:
        return ""
    return f", some {abs(cases):,.0f} {'more' if cases > 0 else 'fewer'} than usual"


def _spent(week: WorkflowWeek) -> float | None:
    figure = week.figure("total_cost")
    return figure.this if figure else None


def _price_tag(week: WorkflowWeek) -> str:
    spent, each = week.figure("total_cost"), week.figure("cost_per_outcome")
    if spent is None or spent.this is None:
        return ""
    per = f", {cents(each.this)} per {week.outcome}" if each is not None and each.this is not None else ""
    return f" {cents(spent.this)} a week{per}."
