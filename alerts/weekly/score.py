"""How good the alarms themselves were: false pages promised, and false pages as people judged them."""

from dataclasses import dataclass

from driftbell.alerts.weekly.numbers import WeeklyNumbers

SCORE_DAYS = 28
DAYS_PER_MONTH = 30.44
"""A mean month, by which the budget of false pages per month is cut to the days that are counted."""


@dataclass(frozen=True, slots=True)
class Score:
    """Pages of the last `SCORE_DAYS` days. ``judged``: acknowledged with a verdict; ``false``: as a false alarm.

    ``promised`` false pages at most, over all workflows of the summary; None where no budget is known.
    """

    pages: int
    judged: int
    false: int
    promised: float | None


def score_of(numbers: WeeklyNumbers) -> Score:
    """Count the pages of the four weeks that end with the week."""
    since = numbers.week.end - SCORE_DAYS * 86_400
    pages = [told for told in numbers.told if told.severity == "page" and since <= told.opened_at < numbers.week.end]
    judged = [told for told in pages if told.verdict is not None]
    each = numbers.promised_false_pages
    promised = None if each is None else each * len(numbers.workflows) * SCORE_DAYS / DAYS_PER_MONTH
    return Score(len(pages), len(judged), sum(told.verdict == "false_alarm" for told in judged), promised)


def scorecard(numbers: WeeklyNumbers) -> tuple[str, ...]:
    """One line over the last four weeks; empty when nothing paged."""
    score = score_of(numbers)
    if not score.pages:
        return ()
    judged = f"{score.judged} acknowledged, {score.false or 'none'} as false"
    if not score.judged:
        judged = "none acknowledged, so nobody knows how many were false"
    line = f"{score.pages} page{'' if score.pages == 1 else 's'} in four weeks, {judged}"
    each = numbers.promised_false_pages
    if each is None or score.promised is None:
        return (line,)
    kept = "more than promised" if score.false > score.promised else "promised"
    many = f" per feature, so about {score.promised:.0f}" if len(numbers.workflows) > 1 else ""
    return (f"{line} ({kept}: at most {each:g} a month{many})",)
