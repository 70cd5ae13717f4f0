"""The details of one workflow: every figure, the parts of its cost, its groups."""

from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.headline import cost_parts
from driftbell.alerts.weekly.numbers import WorkflowWeek
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.weeks import in_words
from driftbell.alerts.weekly.words import bare_title, cents, counted, label, lower, shown, value, verdict, why_not
from driftbell.alerts.wording import duration

ALWAYS = (
    "total_cost",
    "calls",
    "cost_per_outcome",
    "used_as_suggested",
    "changed_by_staff",
    "worked_around",
    "review_ms",
    "error",
    "latency_ms",
)
MAX_FIGURES = 24
MAX_GROUP_ROWS = 8
MAX_INCIDENTS = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One figure as printed: label, this, last, usual, verdict."""

    cells: tuple[str, ...]
    mood: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One workflow; ``notes`` are single sentences, ``command`` recomputes all of it."""

    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    command: str


def detail_of(week: WorkflowWeek) -> Detail:
    """Everything about one workflow that fits into a mail; the command tells the rest."""
    groups = sorted(week.groups, key=lambda figure: (not figure.moved, -figure.weight))
    shown_groups = _distinct([figure for figure in groups if figure.moved])
    told = [figure for figure in week.figures if figure.name in ALWAYS or figure.verdict != "Same"]
    figures = [*told[:MAX_FIGURES], *shown_groups[:MAX_GROUP_ROWS]]
    calm = [figure for figure in week.figures if figure not in told]
    return Detail(plain(week.title, 60), tuple(map(_line, figures)), tuple(_notes(week, calm)), week.command)


def _incident(told: Told, week: WorkflowWeek) -> str:
    length = "still open" if told.ended_at is None else f"lasted {duration(told.ended_at - told.started_at)}"
    cost = f", cost {cents(told.extra_usd)}" if told.extra_usd else ""
    since = in_words(told.started_at, week.week.zone)
    return f"{bare_title(told)}, since {since}, {length}{cost} ({told.command})"


def _failures(week: WorkflowWeek) -> list[str]:
    """Failed calls of each risk tier and segment, so that none hides behind the average."""
    found = [f for f in week.groups if f.measure.name == "error" and f.only is not None]
    texts = []
    for place, title in ((1, "risk tier"), (0, "segment")):
        ones = [f for f in found if f.only is not None and f.only.place == place]
        if ones:
            told = ", ".join(f"{plain(f.only.value, 30) if f.only else ''} {shown(f)[0]}" for f in ones)
            texts.append(f"Failed calls by {title}: {told}.")
    return texts


def _distinct(groups: list[Figure]) -> list[Figure]:
    """Without the tiers that hold exactly the calls of a segment."""
    seen: set[tuple[str, float, float | None]] = set()
    kept = []
    for figure in groups:
        same = (figure.measure.name, figure.cases, figure.this)
        if same not in seen:
            kept.append(figure)
        seen.add(same)
    return kept


def _line(figure: Figure) -> Line:
    reason = verdict(figure)
    if figure.verdict == "Cannot tell" and figure.measure.good:
        reason += f": {why_not(figure)}"
    if cases := counted(figure):
        reason += f" ({cases})"
    return Line((label(figure), *shown(figure), reason), figure.verdict if figure.moved else "")


def _notes(week: WorkflowWeek, calm: list[Figure]) -> list[str]:
    notes = [f"“{plain(week.outcome, 40)}” means {week.outcome_is}."]
    if calm:
        notes.append("As usual: " + ", ".join(f"{lower(label(f))} {shown(f)[0]}" for f in calm) + ".")
    whole, parts = cost_parts(week)
    if parts:
        told = ", ".join(f"{'+' if part.units > 0 else ''}{part.amount} {part.words}" for part in parts)
        notes.append(f"The change of {whole} in cost per {week.outcome} is exactly: {told}.")
        if week.money.per_outcome is not None and week.money.per_outcome.assumed_prices:
            notes.append("List prices are not known here, so the split between input, output and cache is an estimate.")
    notes += _failures(week)
    notes += [f"Incident: {_incident(told, week)}." for told in week.told[:MAX_INCIDENTS]]
    slow, usual = week.slowest
    if slow is not None:
        before = "" if usual is None else f" (usual {value(usual, 'ms')})"
        notes.append(f"1 answer in 20 took longer than {value(slow, 'ms')}{before}.")
    if week.money.ten_times is not None:
        notes.append(
            f"At ten times the volume a week would cost about {cents(week.money.ten_times)} at today's cost per call."
        )
    budget = week.budget
    if budget is not None:
        of = f", budget {cents(budget.limit)}" if budget.limit is not None else ""
        since = "" if budget.since_day == 1 else f" (watched since {budget.since_day} {budget.month.partition(' ')[0]})"
        notes.append(f"{budget.month} so far {cents(budget.so_far)}{since}, heading for {cents(budget.forecast)}{of}.")
    if week.few_people:
        notes.append("Fewer than ten people used it, so what they did with it is not shown.")
    return notes
