"""The summaries that were frozen, for whoever shows them: a list of the weeks, and one week as data.

The page uses it like this: it lists `stored`, newest first, with a link per line; behind the link it shows
``load(store.read(), recipient, week)``, whose ``letter`` holds every line of the mail in order (headline, advice,
table, sections, details) and whose ``workflows`` hold the unrounded numbers with the command that recomputes each.
Where nothing was frozen, because nobody gets the mail, the page computes the last week itself:
``summarise(source, settings, EVERYONE, last_full_week(now)).data`` has the same form; it is not frozen and should
say so.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlite_utils import Database

from driftbell.alerts.weekly import periods
from driftbell.alerts.weekly.schedule import State, period_of
from driftbell.alerts.weekly.weeks import Week, week_named

MOST = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """One frozen summary. ``week`` is its ISO name; times are epoch seconds, ``sent_at`` None while it is not out."""

    recipient: str
    week: str
    subject: str
    state: State
    late: bool
    frozen_at: float
    sent_at: float | None


def stored(db: Database | sqlite3.Connection, recipient: str | None = None, limit: int = 200) -> list[Stored]:
    """Every frozen summary, or those of one recipient, the newest week first, at most ``limit`` (up to `MOST`)."""
    rows = db.execute(
        """SELECT recipient, period_start, subject, state, late, frozen_at, sent_at FROM report_periods
        WHERE report = ? AND frozen_at IS NOT NULL AND (? IS NULL OR recipient = ?)
        ORDER BY period_start DESC, recipient LIMIT ?""",
        [periods.REPORT, recipient, recipient, max(1, min(limit, MOST))],
    )
    return [
        Stored(name, Week(date.fromisoformat(monday)).name, subject, state, bool(late), frozen_at, sent_at)
        for name, monday, subject, state, late, frozen_at, sent_at in rows.fetchall()
    ]


def load(
    db: Database | sqlite3.Connection, recipient: str, week: str, workflow: str | None = None
) -> dict[str, Any] | None:
    """The frozen summary of a week such as ``2026-W46`` as data, in the form of `driftbell summary --format json`.

    With ``workflow`` its ``workflows`` hold that one only (none, if it is not in the summary); ``letter`` stays whole.
    None when that week was never frozen for that recipient. Raises ValueError for a week that is none.
    """
    kept = periods.frozen(db, recipient, period_of(week_named(week)))
    if kept is None:
        return None
    data: dict[str, Any] = json.loads(kept.numbers)
    if workflow is not None:
        data["workflows"] = [one for one in data["workflows"] if one["workflow"] == workflow]
    return data
