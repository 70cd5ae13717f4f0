"""Alarms about the summaries themselves: one that is not out in time becomes an incident of ours."""

from collections.abc import Sequence
from typing import Literal

from sqlite_utils import Database

from driftbell.alerts.cycle import OURSELVES
from driftbell.alerts.history import listed
from driftbell.alerts.incident import apply
from driftbell.alerts.settings import AlertSettings
from driftbell.alerts.weekly.schedule import Overdue
from driftbell.detectors.finding import Cause, Finding

METRIC = "weekly_summary"


def sound(tx: Database, late: Sequence[Overdue], now: float, config: AlertSettings) -> None:
    """Open an incident per recipient whose summary is overdue, and end those whose summary is out or overtaken."""
    ours = [i for i in listed(tx, "open") if i.workflow == OURSELVES and i.lead.metric == METRIC and i.holds("firing")]
    reported = {incident.lead.segment for incident in ours}
    waiting = {one.recipient for one in late}
    fired = [_finding(one.recipient, "fired", now, _why(one)) for one in late if one.recipient not in reported]
    over = [_finding(name, "cleared", now, "It is out.") for name in reported - waiting if name is not None]
    if fired or over:
        apply(tx, [*fired, *over], now, config)


def _finding(recipient: str, transition: Literal["fired", "cleared"], now: float, text: str) -> Finding:
    return Finding(
        ts=now,
        transition=transition,
        workflow=OURSELVES,
        family="instrument",
        metric=METRIC,
        direction=1,
        unit="summaries",
        segment=recipient,
        severity="ticket",
        started_at=now,
        n=1,
        cause=Cause(keys={"recipient": recipient}, text=text),
    )


def _why(late: Overdue) -> str:
    if late.state == "uncertain":
        return f"Nobody knows whether the summary of the week of {late.period} went out; it is not sent twice."
    return f"The summary of the week of {late.period} is not out."
