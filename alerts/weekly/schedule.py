"""When a summary is due: pure decisions, the clock passed in. A period is claimed by its name, so it is sent once.

A scheduler may wake this as often as it likes, late or twice: only the period and what is known of it decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal

from driftbell.alerts.weekly.settings import Recipient, WeeklySettings
from driftbell.alerts.weekly.weeks import HOUR, WEEKDAYS, Week, last_full_week, local_midnight

State = Literal["enrolled", "claimed", "frozen", "sent", "uncertain"]
"""``enrolled``: the period before the recipient was known, never sent. ``uncertain``: perhaps sent, never repeated."""
Known = Mapping[str, Mapping[str, State]]
"""recipient -> period -> state."""
OVER: tuple[State, ...] = ("enrolled", "sent", "uncertain")


@dataclass(frozen=True, slots=True)
class Due:
    """One summary to send: ``at`` is its hour; ``late`` whether that is long past."""

    recipient: Recipient
    week: Week
    at: float
    late: bool


@dataclass(frozen=True, slots=True)
class Overdue:
    """A summary that should have been sent and was not, or perhaps was not; for an alarm about ourselves."""

    recipient: str
    period: str
    at: float
    state: State | None


def period_of(week: Week) -> str:
    """The name under which a period is claimed: its local Monday, so that a new zone does not make a new period."""
    return week.monday.isoformat()


def send_moment(week: Week, recipient: Recipient, wait_hours: float) -> float:
    """When the summary of ``week`` is due: the recipient's day and hour after it, but not before late data had time."""
    offset = WEEKDAYS.index(recipient.day)
    day = week.monday + timedelta(days=7 + offset)
    # An hour that the clocks skip is taken as the one after it; one that comes twice is its first.
    chosen = datetime.combine(day, time(recipient.hour), week.zone).timestamp()
    return max(chosen, local_midnight(week.monday + timedelta(days=7), week.zone) + wait_hours * HOUR)


def latest_period(now: float, recipient: Recipient, wait_hours: float) -> tuple[Week, float]:
    """The newest week whose hour has come, and that hour."""
    week = last_full_week(now, recipient.zone)
    while (at := send_moment(week, recipient, wait_hours)) > now:
        week = week.earlier(1)
    return week, at


def newcomers(now: float, settings: WeeklySettings, known: Known) -> list[tuple[Recipient, Week]]:
    """Recipients of whom nothing is known yet, with the period to enrol: they get what comes after it."""
    new = (r for r in settings.recipients if r.email and not known.get(r.name))
    return [(recipient, latest_period(now, recipient, settings.wait_hours)[0]) for recipient in new]


def due_periods(now: float, settings: WeeklySettings, known: Known) -> list[Due]:
    """What to send now, at most one summary per recipient: after a long downtime only the newest is caught up."""
    due = []
    for recipient in settings.recipients:
        states = known.get(recipient.name)
        if not recipient.email or not states:
            continue
        week, at = latest_period(now, recipient, settings.wait_hours)
        state = states.get(period_of(week))
        # A change of the day or hour of sending can make an older period the latest: it stays unsent.
        if state not in OVER and period_of(week) >= max(states):
            due.append(Due(recipient, week, at, now > at + settings.late_hours * HOUR))
    return due


def overdue(now: float, settings: WeeklySettings, known: Known) -> list[Overdue]:
    """Summaries that are not out though their hour is long past."""
    found = []
    for recipient in settings.recipients:
        states = known.get(recipient.name)
        if not recipient.email or not states:
            continue
        week, at = latest_period(now, recipient, settings.wait_hours)
        state = states.get(period_of(week))
        if state == "uncertain" or (state not in OVER and now >= at + settings.overdue_hours * HOUR):
            found.append(Overdue(recipient.name, period_of(week), at, state))
    return found
