"""The content of one summary, section by section, the same for text, HTML, JSON and the page.

At most `MAX_WORDS` words stand before the details: sections are cut to fewer lines until they fit, and say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.details import Detail, detail_of
from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.headline import headline, subject
from driftbell.alerts.weekly.numbers import WeeklyNumbers, WorkflowWeek
from driftbell.alerts.weekly.recommend import Recommendation, recommend
from driftbell.alerts.weekly.sections import Section, sections
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.alerts.weekly.weeks import in_words
from driftbell.alerts.weekly.words import label as figure_label
from driftbell.alerts.weekly.words import shown, value, verdict

MAX_WORDS = 350
MAX_DETAILS = 12
PORTFOLIO_ROWS = 15
FIVE = ("total_cost", "cost_per_outcome", "used_as_suggested", "changed_by_staff", "worked_around")
INSTEAD = ("cost_per_call", "error", "latency_ms", "feedback_negative", "no_sources")
"""What fills the five numbers where nobody reports what staff did."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table at the top; ``mood`` is Better, Worse or empty."""

    cells: tuple[str, ...]
    mood: str = ""


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
    decisions = sum(one.is_decision for one in advice)
    for lines in (5, 3, 2, 1):
        letter = _letter(numbers, settings, advice, decisions, late_since, lines)
        if words_before_details(letter) <= MAX_WORDS:
            break
    return letter


def words_before_details(letter: Letter) -> int:
    """How many words a reader meets before the details."""
    texts = [letter.headline, letter.late or "", *letter.columns]
    texts += [f"{one.verb} {one.text} {one.note}" for one in letter.advice]
    texts += [cell for row in letter.rows for cell in row.cells]
    texts += [f"{section.name} {' '.join(section.lines)}" for section in letter.sections]
    return sum(len(text.split()) for text in texts)


def _letter(
    numbers: WeeklyNumbers,
    settings: WeeklySettings,
    advice: Sequence[Recommendation],
    decisions: int,
    late_since: float | None,
    lines: int,
) -> Letter:
    week, several = numbers.week, len(numbers.workflows) > 1
    titles = {one.workflow: one.title for one in numbers.workflows}
    table_title, columns, rows = _portfolio(numbers, lines) if several else _five(numbers)
    late = None if late_since is None else f"This summary is late: it was due {in_words(late_since, week.zone)}."
    zone = "" if week.zone_name == "UTC" else f" --zone {week.zone_name}"
    return Letter(
        subject=subject(numbers, decisions),
        period=f"{week.label}, Mon-Sun, {week.zone_name}",
        headline=headline(numbers, decisions),
        late=late,
        advice=tuple(_advice(one, titles[one.workflow]) for one in advice),
        table_title=table_title,
        columns=columns,
        widths=(22, 14, 17, 17, 30) if several else (27, 17, 17, 16, 23),
        rows=rows,
        sections=tuple(section for section in sections(numbers, lines) if section.lines),
        details=tuple(detail_of(one) for one in numbers.workflows if not (several and one.quiet))[:MAX_DETAILS],
        all_details=len([one for one in numbers.workflows if not (several and one.quiet)]),
        footer=_footer(numbers),
        bars=_bars(numbers),
        bars_title="Cost per day, five weeks",
        command=f"driftbell summary --week {week.name}{zone} --format json",
        page=settings.page,
        unsubscribe=settings.unsubscribe,
        decisions=decisions,
    )


def _advice(one: Recommendation, title: str) -> Advice:
    owner = f"Owner: {plain(one.owner, 60)}. " if one.owner else ""
    return Advice(one.verb, f"{plain(title, 60)}: {one.text}", f"{owner}({one.sure})", one.command)


def _five(numbers: WeeklyNumbers) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    columns = ("", "this week", "last week", "usual", "")
    if not numbers.workflows:
        return "The week", columns, ()
    week = numbers.workflows[0]
    names = [name for name in (*FIVE, *INSTEAD) if week.figure(name) is not None][: len(FIVE)]
    figures = [figure for name in names if (figure := week.figure(name)) is not None]
    return "The week", columns, tuple(_row(figure) for figure in figures)


def _row(figure: Figure) -> Row:
    note = verdict(figure)
    if figure.measure.name == "worked_around" and figure.moved and figure.hits is not None:
        note += f", {figure.hits:,.0f} of {figure.cases:,.0f} tasks"
    return Row((figure_label(figure), *shown(figure), note), figure.verdict if figure.moved else "")


def _portfolio(numbers: WeeklyNumbers, lines: int) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    columns = ("", "cost", "each", "usual", "what changed most")
    loud = [week for week in numbers.workflows if not week.quiet]
    kept = loud[: min(lines * 3, PORTFOLIO_ROWS)]
    cut = f" ({len(kept)} of {len(loud)} that were not quiet)" if len(kept) < len(loud) else ""
    return f"Your AI features, worst first{cut}", columns, tuple(_portfolio_row(week) for week in kept)


def _portfolio_row(week: WorkflowWeek) -> Row:
    total, each = week.figure("total_cost"), week.figure("cost_per_outcome")
    this, _, usual = shown(each) if each is not None else ("-", "-", "-")
    many = " per 1,000" if each is not None and figure_label(each) != each.measure.label else ""
    moved = week.moved
    what, mood = "nothing", ""
    if moved:
        figure = moved[0]
        what, mood = f"{verdict(figure)} {figure_label(figure)}", figure.verdict
    elif any(told.still_open for told in week.told):
        what, mood = "incident open", "Worse"
    elif not week.calls:
        what = "? no calls"
    cost = value(total.this, "usd") if total is not None else "-"
    return Row((plain(week.title, 40), cost, this + many, usual, what), mood)


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
