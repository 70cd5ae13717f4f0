"""How good the alarms themselves were: false pages promised and false pages counted."""

from driftbell.alerts.weekly.numbers import WeeklyNumbers

SCORE_DAYS = 28


def scorecard(numbers: WeeklyNumbers) -> tuple[str, ...]:
    """One line over the last four weeks; empty when nothing paged and nothing was promised."""
    since = numbers.week.end - SCORE_DAYS * 86_400
    pages = [told for told in numbers.told if told.severity == "page" and since <= told.opened_at < numbers.week.end]
    promised = numbers.promised_false_pages
    if not pages and promised is None:
        return ()
    judged = [told for told in pages if told.verdict is not None]
    false = sum(told.verdict == "false_alarm" for told in judged)
    line = (
        f"{len(pages)} page{'' if len(pages) == 1 else 's'} in four weeks, {len(judged)} acknowledged, {false} as false"
    )
    if promised is not None:
        line += f"; promised: at most {promised * len(numbers.workflows) * SCORE_DAYS / 30.4:.0f} false"
    return (line,)
