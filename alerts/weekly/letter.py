"""The content of one summary, section by section, the same for text, HTML, JSON and the page.

At most `MAX_WORDS` words stand before the details: sections are cut to fewer lines until they fit, and say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.details import Detail, detail_of
from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.headline import decisions, explained, headline, subject
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.portfolio import Row, portfolio
from driftbell.alerts.weekly.readers import leave_address
from driftbell.alerts.weekly.recommend import Recommendation, recommend
from driftbell.alerts.weekly.sections import Section, sections
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.alerts.weekly.weeks import in_words
from driftbell.alerts.weekly.words import capital, shown, verdict
from driftbell.alerts.weekly.words import label as figure_label

MAX_WORDS = 350
MAX_DETAILS = 12
FIVE = ("total_cost", "cost_per_outcome", "used_as_suggested", "changed_by_staff", "worked_around")
INSTEAD = ("cost_per_call", "error", "latency_ms", "feedback_negative", "no_sources")
"""What fills the five numbers where nobody reports what staff did."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation as printed."""

    verb: str
    text: str
    note: str
    command: str


@dataclass(frozen=True, slots=True)
class Letter:
    """All that the mail says. ``bars`` are daily costs (None: not watched), the last seven the week itself."""

    subject: str
    period: str
    headline: str
    why: str
    """What the change in the headline is made of; may be empty."""
    late: str | None
    advice: tuple[Advice, ...]
    table_title: str
    columns: tuple[str, ...]
    widths: tuple[int, ...]
    """Widths of the columns in percent."""
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    details: tuple[Detail, ...]
    all_details: int
    footer: tuple[str, ...]
    bars: tuple[float | None, ...]
    bars_title: str
    command: str
    page: str | None
    unsubscribe: str | None
    decisions: int


def compose(numbers: WeeklyNumbers, settings: WeeklySettings, late_since: float | None = None) -> Letter:
    """The letter for these numbers; ``late_since`` is when it should have been sent, if it is late."""
    advice = recommend(numbers)
    for lines in (4, 3, 2, 1):
        letter = _letter(numbers, settings, advice, late_since, lines)
        if words_before_details(letter) <= MAX_WORDS:
            break
    return letter


def words_before_details(letter: Letter) -> int:
    """How many words a reader meets before the details."""
    texts = [letter.headline, letter.why, letter.late or "", *letter.columns]
    texts += [f"{one.verb} {one.text} {one.note}" for one in letter.advice]
    texts += [cell for row in letter.rows for cell in row.cells]
    texts += [f"{section.name} {' '.join(section.lines)}" for section in letter.sections]
    return sum(len(text.split()) for text in texts)


def _letter(
    numbers: WeeklyNumbers,
    settings: WeeklySettings,
    advice: Sequence[Recommendation],
    late_since: float | None,
    lines: int,
) -> Letter:
    week, several = numbers.week, len(numbers.workflows) > 1
    titles = {one.workflow: one.title for one in numbers.workflows}
    asked = {one.workflow: one.rule for one in reversed(advice) if one.is_decision}
    loud = [one for one in numbers.workflows if not several or not one.quiet or one.workflow in asked]
    five = [] if several or not loud else _five(loud[0])
    table_title, columns, rows = portfolio(numbers.workflows, loud, asked, lines) if several else _week_table(five)
    late = None if late_since is None else f"This summary is late: it was due {in_words(late_since, week.zone)}."
    return Letter(
        subject=subject(numbers, advice),
        period=f"{week.label}, Mon-Sun, {week.zone_name}",
        headline=headline(numbers, advice),
        why="" if several or not loud else explained(loud[0]),
        late=late,
        advice=tuple(_advice(one, titles[one.workflow] if several else None) for one in advice),
        table_title=table_title,
        columns=columns,
        widths=(24, 13, 17, 14, 32) if several else (30, 15, 15, 15, 25),
        rows=rows,
        sections=tuple(sections(numbers, advice, five, lines)),
        details=tuple(detail_of(one) for one in loud)[:MAX_DETAILS],
        all_details=len(loud),
        footer=_footer(numbers),
        bars=_bars(numbers),
        bars_title="Cost per day, five weeks",
        command=numbers.command,
        page=settings.page,
        unsubscribe=settings.unsubscribe or (leave_address(settings.page) if settings.page else None),
        decisions=decisions(advice),
    )


def _advice(one: Recommendation, title: str | None) -> Advice:
    owner = f"Owner: {plain(one.owner, 60)}" if one.owner else "Owner: not named"
    text = capital(one.text) if title is None else f"{plain(title, 60)}: {one.text}"
    return Advice(one.verb, text, f"{owner} ({one.sure})", one.command)


def _five(week: WorkflowWeek) -> list[Figure]:
    names = [name for name in (*FIVE, *INSTEAD) if week.figure(name) is not None][: len(FIVE)]
    return [figure for name in names if (figure := week.figure(name)) is not None]


def _week_table(five: Sequence[Figure]) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    rows = [
        Row((figure_label(figure), *shown(figure), verdict(figure)), figure.verdict if figure.moved else "")
        for figure in five
    ]
    return "The week", ("", "this week", "last week", "usual", ""), tuple(rows)


def _bars(numbers: WeeklyNumbers) -> tuple[float | None, ...]:
    columns = list(zip(*(week.daily_cost for week in numbers.workflows), strict=True))
    return tuple(None if all(c is None for c in column) else sum(c or 0.0 for c in column) for column in columns)


def _footer(numbers: WeeklyNumbers) -> tuple[str, ...]:
    few = [week for week in numbers.workflows if week.few_people]
    notes = [
        "Usual is the mean of the four weeks before. Better and Worse are said only beyond the usual ups and downs "
        f"of those weeks; at most about 1 in 20 of the changes told is chance ({numbers.compared:,} comparisons made).",
    ]
    outcomes = {week.outcome: week.outcome_is for week in numbers.workflows}
    notes += [f"“{plain(title, 40)}” means {counted}." for title, counted in list(outcomes.items())[:4]]
    if few:
        notes.append("Where fewer than ten people use a feature, what they did with it is not shown.")
    return tuple(notes)
