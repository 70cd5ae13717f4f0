"""The named sections between the table and the details."""

from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.score import scorecard
from driftbell.alerts.weekly.told import Change, Told
from driftbell.alerts.weekly.weeks import in_words
from driftbell.alerts.weekly.words import bare_title, cents, lower, sentence, value, verdict
from driftbell.alerts.wording import duration


@dataclass(frozen=True, slots=True)
class Section:
    """A named section of one or more lines; ``command`` recomputes its numbers."""

    name: str
    lines: tuple[str, ...]
    command: str | None = None


def sections(numbers: WeeklyNumbers, lines: int) -> list[Section]:
    """All sections, each of at most ``lines`` lines and a word on what was cut; some without any line."""
    several = len(numbers.workflows) > 1
    command = numbers.workflows[0].command if len(numbers.workflows) == 1 else None

    def of_kind(kinds: tuple[str, ...]) -> tuple[str, ...]:
        found = [
            f"{_named(week, several)}{sentence(figure)}. {verdict(figure)}"
            for week in numbers.workflows
            for figure in week.moved
            if figure.measure.kind in kinds
        ]
        return _cut(found, lines) or (() if several else _calm(numbers, kinds))

    changed = [
        f"{_named(week, several)}{_when(change.at, week, change.seen)} {change.what}{_effect(change)}"
        for week in numbers.workflows
        for change in week.changes
    ]
    quiet = [plain(week.title, 40) for week in numbers.workflows if week.quiet]
    unseen = [f"{_named(week, several)}{note}" for week in numbers.workflows for note in week.unseen]
    return [
        Section("QUALITY", of_kind(("quality",)), command),
        Section("SOURCES", of_kind(("sources",)), command),
        Section("SPEED AND ERRORS", of_kind(("reliability",)), command),
        Section("BY GROUP", _groups(numbers, several, lines), command),
        Section("CHANGED", _cut(changed, lines), command),
        Section("BUDGET", _budgets(numbers, several, lines), command),
        Section("INCIDENTS", _incidents(numbers, several, lines)),
        Section("ALERTS", scorecard(numbers), "driftbell incidents --json"),
        Section("QUIET", (f"{_list(quiet)}: same as usual",) if quiet and several else ()),
        Section("NOT SEEN", _cut([*numbers.gaps, *_merged(unseen)], lines), command),
    ]


def _named(week: WorkflowWeek, several: bool) -> str:
    return f"{plain(week.title, 40)}: " if several else ""


def _cut(lines: Sequence[str], most: int) -> tuple[str, ...]:
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[:most], f"and {len(lines) - most} more, see the details")


def _list(names: Sequence[str]) -> str:
    most = 8
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def _calm(numbers: WeeklyNumbers, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Good news in one line: what was looked at and stayed as usual."""
    figures = [figure for week in numbers.workflows for figure in week.figures if figure.measure.kind in kinds]
    known = [figure for figure in figures if figure.verdict == "Same"]
    scores = [figure for figure in known if figure.measure.unit == "score"] or known
    return (f"{sentence(scores[0])}: no real change",) if scores else ()


def _groups(numbers: WeeklyNumbers, several: bool, lines: int) -> tuple[str, ...]:
    """What only a segment or a risk tier shows, which the average would hide."""
    kinds = ("money", "people")
    found = [
        f"{_named(week, several)}{sentence(figure)}. {verdict(figure)}"
        for week in numbers.workflows
        for figure in week.moved
        if figure.only is not None and figure.measure.kind in kinds
    ]
    return _cut(found, lines)


def _when(at: float, week: WorkflowWeek, whole_day: bool) -> str:
    words = in_words(at, week.week.zone)
    return words[:-6] if whole_day else words


def _effect(change: Change) -> str:
    if change.moved is None or change.unit is None:
        return ""
    before, after = value(change.before, change.unit), value(change.after, change.unit)
    return f" ({lower(change.moved)}: {before} before, {after} after)"


def _budgets(numbers: WeeklyNumbers, several: bool, lines: int) -> tuple[str, ...]:
    found = []
    for week in numbers.workflows:
        budget = week.budget
        if budget is not None:
            state = "over" if budget.over else "within"
            found.append(
                f"{_named(week, several)}{budget.month} so far {cents(budget.so_far)}, heading for "
                f"{cents(budget.forecast)}, {state} its {cents(budget.limit)}"
            )
    return _cut(found, lines)


def _incidents(numbers: WeeklyNumbers, several: bool, lines: int) -> tuple[str, ...]:
    told = [(week, one) for week in numbers.workflows for one in week.told]
    if not told:
        return ("none",) if numbers.workflows else ()
    still = sum(one.still_open for _, one in told)
    cost = sum(one.extra_usd or 0.0 for _, one in told)
    first = f"{len(told)}, {f'{still} still open' if still else 'all over'}" + (f", cost {cents(cost)}" if cost else "")
    return (first, *_cut([f"{_named(week, several)}{_incident(one, week)}" for week, one in told], lines))


def _incident(told: Told, week: WorkflowWeek) -> str:
    length = "still open" if told.ended_at is None else f"lasted {duration(told.ended_at - told.started_at)}"
    cost = f", cost {cents(told.extra_usd)}" if told.extra_usd else ""
    return f"{bare_title(told)}, since {in_words(told.started_at, week.week.zone)}, {length}{cost}"


def _merged(notes: Sequence[str]) -> list[str]:
    """Notes that are alike but for the workflow, told once."""
    by_words: dict[str, list[str]] = {}
    for note in notes:
        name, colon, words = note.partition(": ")
        by_words.setdefault(words if colon else name, []).append(name if colon else "")
    return [
        words if names == [""] else f"{names[0]}: {words}" if len(names) == 1 else f"{len(names)} features: {words}"
        for words, names in by_words.items()
    ]
