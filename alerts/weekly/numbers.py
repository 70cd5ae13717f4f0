"""The numbers of one summary: pure, from points, markers and incidents to frozen records.

A week is a half-open local interval in the reader's zone. Each figure is compared with last week and with the four
weeks before; verdicts are given over all workflows of the summary at once, so that the share of wrong ones is held.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from driftbell.alerts.weekly.adding import tally
from driftbell.alerts.weekly.figure import Draft, Figure, Measure, measures_of
from driftbell.alerts.weekly.groups import few_people, groups_of, may_show_people
from driftbell.alerts.weekly.money import Budget, Money, budget_of, money_of
from driftbell.alerts.weekly.outcome import Outcome, outcome_of
from driftbell.alerts.weekly.ranking import worst_first
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings, WorkflowSettings
from driftbell.alerts.weekly.tally import Only, Series, WorkflowTally
from driftbell.alerts.weekly.told import Change, Told, changes_of
from driftbell.alerts.weekly.typical import percentiles, review_of
from driftbell.alerts.weekly.unseen import complete_weeks, unseen_of
from driftbell.alerts.weekly.verdict import Verdict, Worth, compare, discoveries, judge, weighed
from driftbell.alerts.weekly.weeks import USUAL_WEEKS, WEEK_DAYS, Days, Week
from driftbell.collectors.call import Marker
from driftbell.collectors.point import Point
from driftbell.collectors.sums import Stored
from driftbell.detectors.decomposition import UnitPrices

NO_DIRECTION: tuple[Verdict, str] = ("Same", "neither good nor bad")
"""The verdict of a figure that is told without judging it, such as the number of calls."""


@dataclass(frozen=True, slots=True)
class WorkflowWeek:
    """One workflow in one week. ``figures`` speak of the whole, ``groups`` of its segments and risk tiers."""

    workflow: str
    title: str
    owner: str | None
    week: Week
    settings: WorkflowSettings
    calls: int
    usual_calls: float | None
    figures: tuple[Figure, ...]
    groups: tuple[Figure, ...]
    outcome: str
    outcome_is: str
    money: Money
    budget: Budget | None
    slowest: tuple[float | None, float | None]
    """One answer in twenty took longer than this (ms): this week, usual."""
    told: tuple[Told, ...]
    changes: tuple[Change, ...]
    unseen: tuple[str, ...]
    few_people: bool
    daily_cost: tuple[float | None, ...]
    """Cost of the 35 days, None before the first data."""
    reader: str | None = None
    """The recipient over whose workflows the verdicts were given; None for everything."""

    def figure(self, name: str) -> Figure | None:
        """The figure of that name for the whole workflow; None when it was not observed."""
        return next((figure for figure in self.figures if figure.name == name), None)

    @property
    def moved(self) -> list[Figure]:
        """What changed: worse first, cost per outcome, then the farthest; groups where the whole did not move alike."""
        whole = [figure for figure in self.figures if figure.moved]
        named = {(figure.measure.name, figure.verdict) for figure in whole}
        groups = [
            figure for figure in self.groups if (figure.measure.name, figure.verdict) not in named and figure.moved
        ]
        first = "cost_per_outcome"
        return sorted(whole + groups, key=lambda f: (f.verdict != "Worse", f.name != first, -f.weight))

    @property
    def comparable(self) -> bool:
        """Whether anything is known of earlier weeks; else nobody can say that this one was as usual."""
        return any(figure.usual is not None for figure in (*self.figures, *self.groups))

    @property
    def quiet(self) -> bool:
        """Whether the week was as usual and nothing is open."""
        over = self.budget is not None and self.budget.over
        return self.comparable and not self.moved and not self.told and self.calls > 0 and not over

    @property
    def command(self) -> str:
        """What recomputes every number of this record."""
        return command_of(self.week, self.reader, self.workflow)


@dataclass(frozen=True, slots=True)
class WeeklyNumbers:
    """Everything of one recipient's week; ``compared`` counts the comparisons over which verdicts were given."""

    week: Week
    recipient: str
    workflows: tuple[WorkflowWeek, ...]
    compared: int
    gaps: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()
    """All incidents handed in for what the recipient reads, also those before the week."""
    promised_false_pages: float | None = None

    @property
    def command(self) -> str:
        """What recomputes every number of the summary."""
        return command_of(self.week, None if self.recipient == EVERYONE.name else self.recipient)

    def narrowed(self, pattern: str) -> "WeeklyNumbers":
        """The same verdicts, told of the workflows that ``pattern`` names and of no others."""
        kept = tuple(one for one in self.workflows if fnmatchcase(one.workflow, pattern))
        told = tuple(one for one in self.told if fnmatchcase(one.workflow, pattern))
        return replace(self, workflows=kept, told=told)


def command_of(week: Week, reader: str | None, workflow: str | None = None) -> str:
    """The command that computes the numbers of a week again, as JSON."""
    words = ["driftbell", "summary", "--week", week.name]
    if reader is not None:
        words += ["--recipient", shlex.quote(reader)]
    elif week.zone_name != "UTC":
        words += ["--zone", week.zone_name]
    if workflow is not None:
        words += ["--workflow", shlex.quote(workflow)]
    return " ".join([*words, "--format", "json"])


@dataclass(frozen=True, slots=True)
class Facts:
    """What besides the points a summary rests on. ``gaps`` are sentences about times that could not be watched."""

    markers: Sequence[Marker] = ()
    told: Sequence[Told] = ()
    gaps: Sequence[str] = ()
    prices: Mapping[str, UnitPrices] = field(default_factory=dict)
    promised_false_pages: float | None = None
    """The false-alarm budget: pages per workflow and month."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Who owns a workflow as its calls tell, where the settings do not."""


def weekly_numbers(
    points: Iterable[Point | Stored], week: Week, facts: Facts, settings: WeeklySettings, recipient: Recipient
) -> WeeklyNumbers:
    """The numbers of ``week`` for what ``recipient`` reads.

    ``points`` cover the five weeks of `Days`, in any order and of any width that does not straddle a local midnight,
    and after those of a workflow may come its days of the earlier weeks, in which histograms are not needed.
    A workflow without a single call in five weeks does not appear.
    """
    days = Days(week)
    tallies = tally(points, days, recipient)
    sheets = []
    for name, found in sorted(tallies.items()):
        chosen = settings.of(name)
        outcome = outcome_of(found, chosen)
        sheets.append(_Sheet(name, found, chosen, outcome, _drafts(found, outcome)))
    flat = [draft for sheet in sheets for draft in sheet.drafts if draft.measure.good]
    comparisons = weighed([draft.comparison for draft in flat])
    reader = None if recipient.name == EVERYONE.name else recipient.name
    judged = {
        id(draft): judge(comparison, real, draft.measure.good)
        for draft, comparison, real in zip(flat, comparisons, discoveries(comparisons), strict=True)
    }
    weeks = [_workflow_week(sheet, judged, days, facts, reader) for sheet in sheets]
    weeks.sort(key=worst_first)
    told = tuple(one for one in facts.told if recipient.reads(one.workflow))
    return WeeklyNumbers(
        week, recipient.name, tuple(weeks), len(flat), tuple(facts.gaps), told, facts.promised_false_pages
    )


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One workflow before the verdicts are given over all of them."""

    name: str
    found: WorkflowTally
    settings: WorkflowSettings
    outcome: Outcome
    drafts: list[Draft]


def _drafts(found: WorkflowTally, outcome: Outcome) -> list[Draft]:
    ratios = [week for week in range(USUAL_WEEKS) if sum(found.series("calls").hits[week * 7 : week * 7 + 7]) > 0]
    whole_weeks = complete_weeks(found)
    drafts = [_draft(_per_outcome(outcome), None, found, ratios, whole_weeks, outcome.coverage_moved)]
    groups = groups_of(found)
    for measure in measures_of(found):
        drafts.append(_draft(measure, None, found, ratios, whole_weeks))
        if measure.sliced:
            for only in groups:
                if measure.kind != "people" or may_show_people(found):
                    drafts.append(_draft(measure, only, found, ratios, whole_weeks))
    few = few_people(found)
    return [d for d in drafts if any(d.series.hits) and not (few and d.measure.kind == "people")]


def _per_outcome(outcome: Outcome) -> Measure:
    def take(found: WorkflowTally, only: Only | None) -> Series:
        return found.series("cost", only).over(outcome.count(found))

    return Measure("cost_per_outcome", f"Cost per {outcome.title}", "usd", "money", -1, Worth(0.05), take)


def _draft(
    measure: Measure,
    only: Only | None,
    found: WorkflowTally,
    ratios: list[int],
    whole_weeks: list[int],
    blind: bool = False,
) -> Draft:
    series = measure.take(found, only)
    weeks = whole_weeks if measure.weekly else ratios
    before = found.weeks_before(lambda of: measure.take(of, only))
    if measure.weekly:  # the first week may have begun before its first data
        before = [(amount, WEEK_DAYS) for amount, _ in before[1:]]
    share = measure.unit == "share"
    result = compare(series, measure.worth, share=share, weeks=weeks, least=measure.least, earlier=before)
    if blind:
        result = replace(result, spread=None, reason="outcomes were not reported as before")
    return Draft(measure, only, series, result)


def _finish(draft: Draft, judged: tuple[Verdict, str], whole_weeks: list[int]) -> Figure:
    comparison, measure = draft.comparison, draft.measure
    scale = float(WEEK_DAYS) if measure.weekly else 1.0
    verdict, reason = judged
    weeks: list[float | None] = []
    for week in range(USUAL_WEEKS + 1):
        hits, trials = draft.series.week(week)
        partial = measure.weekly and week not in (*whole_weeks, USUAL_WEEKS)
        weeks.append(None if partial or trials <= 0 else hits / trials * scale)
    of_cases = draft.series.week(USUAL_WEEKS)[0] if measure.unit == "share" else None
    usual = None if comparison.usual is None else comparison.usual * scale
    values = (weeks[USUAL_WEEKS], weeks[USUAL_WEEKS - 1], usual)
    return Figure(measure, draft.only, *values, comparison.cases, of_cases, tuple(weeks), verdict, reason)


def _by_traffic(figure: Figure, money: Money) -> Figure:
    """A bill that moved mostly with the number of calls is neither better nor worse."""
    share = money.bill.share("traffic") if money.bill is not None else None
    if figure.measure.name != "total_cost" or not figure.moved or share is None or share < 0.5:
        return figure
    return replace(figure, verdict="Same", reason="more calls" if (figure.difference or 0) > 0 else "fewer calls")


def _workflow_week(
    sheet: _Sheet, judged: Mapping[int, tuple[Verdict, str]], days: Days, facts: Facts, reader: str | None
) -> WorkflowWeek:
    name, found, outcome, settings = sheet.name, sheet.found, sheet.outcome, sheet.settings
    whole_weeks = complete_weeks(found)
    money = money_of(found, outcome, whole_weeks, facts.prices)
    figures = [_finish(draft, judged.get(id(draft), NO_DIRECTION), whole_weeks) for draft in sheet.drafts]
    whole = tuple(_by_traffic(figure, money) for figure in figures if figure.only is None)
    review = None if few_people(found) else review_of(found)
    if review is not None:
        whole = (*whole, review)
    cost, calls = found.series("cost"), found.series("calls")
    first = found.first
    told = tuple(one for one in facts.told if one.workflow == name and one.within(days.week))
    usual_calls = [calls.week(week)[0] for week in whole_weeks]
    return WorkflowWeek(
        workflow=name,
        title=settings.title or name,
        owner=settings.owner or facts.owners.get(name),
        week=days.week,
        settings=settings,
        calls=int(calls.week(USUAL_WEEKS)[0]),
        usual_calls=sum(usual_calls) / len(usual_calls) if usual_calls else None,
        figures=whole,
        groups=tuple(figure for figure in figures if figure.only is not None),
        outcome=outcome.title,
        outcome_is=outcome.definition,
        money=money,
        budget=budget_of(cost, days, first, settings.budget_per_month),
        slowest=_slowest(found),
        told=told,
        changes=changes_of(name, found, facts.markers, sheet.drafts, whole, days),
        unseen=unseen_of(found, outcome, days),
        few_people=few_people(found),
        daily_cost=tuple(None if day < first else cost.hits[day] for day in range(Days.count)),
        reader=reader,
    )


def _slowest(found: WorkflowTally) -> tuple[float | None, float | None]:
    this, _, usual = percentiles(found, "latency_ms", 0.95)
    return this, usual
