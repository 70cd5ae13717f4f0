"""The named sections between the table and the details: one short paragraph each."""

from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.figure import Figure, Kind
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.recommend import Recommendation
from driftbell.alerts.weekly.score import scorecard
from driftbell.alerts.weekly.told import Change
from driftbell.alerts.weekly.weeks import at_in_week
from driftbell.alerts.weekly.words import cents, counted, label, lower, sentence, shown, value, verdict
from driftbell.alerts.wording import duration

CALM_KINDS: tuple[Kind, ...] = ("quality", "sources", "reliability")
GROUP_KINDS: tuple[Kind, ...] = ("money", "people")
MOST_QUIET = 8


@dataclass(frozen=True, slots=True)
class Section:
    """A named section of one or more lines; ``command`` recomputes its numbers."""

    name: str
    lines: tuple[str, ...]
    command: str


def sections(
    numbers: WeeklyNumbers, advice: Sequence[Recommendation], told: Sequence[Figure], lines: int
) -> list[Section]:
    """All sections that have something to say, each of at most ``lines`` lines and a word on what was cut.

    ``told`` are the figures of the table above, which need no second line.
    """
    several = len(numbers.workflows) > 1
    asked = {one.workflow for one in advice if one.is_decision}
    quiet = [plain(week.title, 40) for week in numbers.workflows if week.quiet and week.workflow not in asked]
    unseen = [f"{_named(week, several)}{note}" for week in numbers.workflows for note in week.unseen]
    found = [
        ("QUALITY", _of_kind(numbers, ("quality",), told, lines)),
        ("SOURCES", _of_kind(numbers, ("sources",), told, lines)),
        ("SPEED AND ERRORS", _of_kind(numbers, ("reliability",), told, lines)),
        ("BY GROUP", _groups(numbers, lines)),
        ("CHANGED", _changes(numbers, lines)),
        ("BUDGET", _budgets(numbers, lines)),
        ("INCIDENTS", _incidents(numbers)),
        ("ALERTS", scorecard(numbers)),
        ("AS USUAL", () if several else _calm(numbers.workflows, told)),
        ("QUIET", (f"{_list(quiet)}: same as usual",) if quiet and several else ()),
        ("NOT SEEN", _cut([*numbers.gaps, *_merged(unseen)], lines)),
    ]
    commands = {"INCIDENTS": "driftbell incidents --json", "ALERTS": "driftbell incidents --json"}
    return [Section(name, said, commands.get(name, numbers.command)) for name, said in found if said]


def _named(week: WorkflowWeek, several: bool) -> str:
    return f"{plain(week.title, 40)}: " if several else ""


def _cut(lines: Sequence[str], most: int) -> tuple[str, ...]:
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[:most], f"and {len(lines) - most} more, see the details")


def _list(names: Sequence[str]) -> str:
    text = ", ".join(names[:MOST_QUIET])
    return text if len(names) <= MOST_QUIET else f"{text} and {len(names) - MOST_QUIET} more"


def _of_kind(numbers: WeeklyNumbers, kinds: tuple[str, ...], told: Sequence[Figure], lines: int) -> tuple[str, ...]:
    several = len(numbers.workflows) > 1
    moved = [
        f"{_named(week, several)}{sentence(figure)}. {verdict(figure)}"
        for week in numbers.workflows
        for figure in week.moved
        if figure.measure.kind in kinds and figure not in told
    ]
    return _cut(moved, lines)


def _calm(weeks: Sequence[WorkflowWeek], told: Sequence[Figure]) -> tuple[str, ...]:
    """Good news in one line: what was looked at and stayed as usual."""
    known = [f for week in weeks for f in week.figures if f.measure.kind in CALM_KINDS and f not in told]
    calm = [figure for figure in known if figure.verdict == "Same"]
    scores = [figure for figure in calm if figure.measure.unit == "score"][:2]
    others = [figure for figure in calm if figure.measure.unit != "score"]
    texts = []
    for figure in [*scores, *others][:4]:
        of = f" ({counted(figure)})" if figure in scores else ""
        texts.append(f"{lower(label(figure))} {shown(figure)[0]}{of}")
    return (f"{', '.join(texts)}: no real change",) if texts else ()


def _groups(numbers: WeeklyNumbers, lines: int) -> tuple[str, ...]:
    """What only a segment or a risk tier shows, which the average would hide."""
    several = len(numbers.workflows) > 1
    found = [
        f"{_named(week, several)}{sentence(figure)}. {verdict(figure)}"
        for week in numbers.workflows
        for figure in week.moved
        if figure.only is not None and figure.measure.kind in GROUP_KINDS
    ]
    return _cut(found, lines)


def _changes(numbers: WeeklyNumbers, lines: int) -> tuple[str, ...]:
    several = len(numbers.workflows) > 1
    found = []
    for week in numbers.workflows:
        texts = [f"{at_in_week(c.at, week.week.zone, day=c.seen)} {c.what}{_effect(c)}" for c in week.changes]
        if several:
            found += [f"{_named(week, several)}{text}" for text in texts]
        elif texts:
            found.append("; ".join(_cut(texts, lines)))
    return _cut(found, lines)


def _effect(change: Change) -> str:
    if change.moved is None or change.unit is None:
        return ""
    before, after = value(change.before, change.unit), value(change.after, change.unit)
    return f" ({lower(change.moved)} {before} before, {after} after)"


def _budgets(numbers: WeeklyNumbers, lines: int) -> tuple[str, ...]:
    several = len(numbers.workflows) > 1
    found = []
    for week in numbers.workflows:
        budget = week.budget
        if budget is not None and budget.limit is not None:
            state = "over" if budget.over else "within"
            found.append(
                f"{_named(week, several)}{budget.month} so far {cents(budget.so_far)}, heading for "
                f"{cents(budget.forecast)}, {state} its {cents(budget.limit)}"
            )
    return _cut(found, lines)


def _incidents(numbers: WeeklyNumbers) -> tuple[str, ...]:
    """How many, how long and at what cost in all; each one stands in the details."""
    told = [one for week in numbers.workflows for one in week.told]
    if not told:
        return ("none",) if numbers.workflows else ()
    still = sum(one.still_open for one in told)
    cost = sum(one.extra_usd or 0.0 for one in told)
    longest = max((one.ended_at - one.started_at for one in told if one.ended_at is not None), default=None)
    over = len(told) - still
    after = "" if longest is None else f" after {'up to ' if over > 1 else ''}{duration(longest)}"
    states = [f"{still} still open"] * bool(still) + [f"{over} over{after}"] * bool(over)
    if len(told) in {still, over}:
        states = [f"{'all ' * (len(told) > 1)}{'still open' if still else f'over{after}'}"]
    return (f"{len(told)}, {', '.join(states)}" + (f", cost {cents(cost)}" if cost else ""),)


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
