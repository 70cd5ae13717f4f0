"""One row per address of a period: pending -> attempting -> sent.

A row found ``attempting`` after its lease was being sent when its process died; nobody knows whether the mail went out,
so it becomes ``uncertain`` and is not repeated. All other addresses are served as if nothing had happened.
"""

import sqlite3
from typing import Literal

from sqlite_utils import Database

from driftbell.alerts.weekly.periods import LEASE, REPORT

Outcome = Literal["pending", "sent", "uncertain"]
"""How a sending ended; ``pending`` is tried again. What is ``sent`` or ``uncertain`` is over."""
_ROW = "report = ? AND recipient = ? AND period_start = ? AND address_key = ?"


def expire(tx: Database, now: float) -> None:
    """Mark as uncertain what was being sent when its process died."""
    tx.execute(
        "UPDATE report_deliveries SET state = 'uncertain', error = 'interrupted' "
        "WHERE state = 'attempting' AND lease < ?",
        [now],
    )


def attempt(tx: Database, recipient: str, period: str, key: str, now: float) -> bool:
    """Note that sending to an address begins; False when it is over, or someone else is at it."""
    place = [REPORT, recipient, period, key]
    tx.execute(
        "INSERT OR IGNORE INTO report_deliveries (report, recipient, period_start, address_key, state) "
        "VALUES (?, ?, ?, ?, 'pending')",
        place,
    )
    changed: int = tx.execute(
        f"UPDATE report_deliveries SET state = 'attempting', attempts = attempts + 1, lease = ? "
        f"WHERE {_ROW} AND state = 'pending'",
        [now + LEASE, *place],
    ).rowcount
    return changed == 1


def settle(
    tx: Database, recipient: str, period: str, key: str, state: Outcome, now: float, error: str | None = None
) -> None:
    """Note how sending to an address ended."""
    tx.execute(
        f"UPDATE report_deliveries SET state = ?, error = ?, sent_at = ? WHERE {_ROW} AND state = 'attempting'",
        [state, error, now if state == "sent" else None, REPORT, recipient, period, key],
    )


def states(db: Database | sqlite3.Connection, recipient: str, period: str) -> dict[str, str]:
    """The state of each address of a period that was ever tried, by the address' key."""
    sql = "SELECT address_key, state FROM report_deliveries WHERE report = ? AND recipient = ? AND period_start = ?"
    return dict(db.execute(sql, [REPORT, recipient, period]).fetchall())
