"""The rows of sent and unsent summaries: who claimed which period, and the frozen letter itself.

Every step is one compare-and-set, so two processes, or one that died half-way, cannot send a period twice:
claimed -> frozen -> sent. What each address got stands in rows of its own (`driftbell.alerts.weekly.deliveries`); a
period is ``uncertain`` when all of them are over and of one nobody knows whether its mail went out.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils import Database

from driftbell.alerts.weekly.render import Rendered
from driftbell.alerts.weekly.schedule import Known, State

REPORT = "weekly"
LEASE = 900.0
"""Seconds for which a claim holds; also the pause before a failed sending is tried again."""
KEEP = 60
"""Periods kept per recipient."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A summary as it was or will be sent; ``numbers`` is the JSON form."""

    recipient: str
    period: str
    rendered: Rendered
    numbers: str
    frozen_at: float


def known(db: Database | sqlite3.Connection) -> Known:
    """The state of every period on record."""
    states: dict[str, dict[str, State]] = {}
    rows = db.execute("SELECT recipient, period_start, state FROM report_periods WHERE report = ?", [REPORT])
    for recipient, period, state in rows.fetchall():
        states.setdefault(recipient, {})[period] = state
    return states


def enrol(tx: Database, recipient: str, period: str, now: float) -> None:
    """Note that ``recipient`` gets what comes after ``period``."""
    sql = """INSERT OR IGNORE INTO report_periods (report, recipient, period_start, state, claimed_at)
        VALUES (?, ?, ?, 'enrolled', ?)"""
    tx.execute(sql, [REPORT, recipient, period, now])


def claim(tx: Database, recipient: str, period: str, now: float, due_at: float) -> bool:
    """Whether this caller may work on the period now: nobody else did, or their lease is over."""
    fields = "(report, recipient, period_start, state, claimed_at, due_at, lease)"
    insert = f"INSERT OR IGNORE INTO report_periods {fields} VALUES (?, ?, ?, 'claimed', ?, ?, ?)"
    if _changed(tx, insert, [REPORT, recipient, period, now, due_at, now + LEASE]):
        return True
    again = f"""UPDATE report_periods SET lease = ?, claimed_at = ?
        WHERE {_ROW} AND state IN ('claimed', 'frozen') AND lease < ?"""
    return _changed(tx, again, [now + LEASE, now, REPORT, recipient, period, now]) == 1


def freeze(tx: Database, frozen: Frozen, *, late: bool) -> None:
    """Keep the letter of a claimed period; one that is frozen already stays as it is."""
    sql = f"""UPDATE report_periods SET state = 'frozen', subject = ?, text = ?, html = ?, numbers = ?, frozen_at = ?,
        late = ? WHERE {_ROW} AND state = 'claimed'"""
    letter = frozen.rendered
    what = [letter.subject, letter.text, letter.html, frozen.numbers, frozen.frozen_at, int(late)]
    tx.execute(sql, [*what, REPORT, frozen.recipient, frozen.period])


def frozen(db: Database | sqlite3.Connection, recipient: str, period: str) -> Frozen | None:
    """The stored letter, None when it was never frozen."""
    sql = f"SELECT subject, text, html, numbers, frozen_at FROM report_periods WHERE {_ROW}"
    row = db.execute(sql, [REPORT, recipient, period]).fetchone()
    if row is None or row[4] is None:
        return None
    return Frozen(recipient, period, Rendered(row[0], row[1], row[2]), row[3], row[4])


def renew(tx: Database, recipient: str, period: str, now: float) -> None:
    """Hold the claim while there is sending to do."""
    tx.execute(f"UPDATE report_periods SET lease = ? WHERE {_ROW}", [now + LEASE, REPORT, recipient, period])


def settle(tx: Database, recipient: str, period: str, state: State, now: float, error: str | None = None) -> None:
    """Note how sending ended: ``sent``, ``uncertain``, or still ``frozen``, to be tried again after the lease."""
    sql = f"""UPDATE report_periods SET state = ?, error = ?, sent_at = ?, lease = ?, attempts = attempts + 1
        WHERE {_ROW} AND state = 'frozen'"""
    sent_at = now if state == "sent" else None
    tx.execute(sql, [state, error, sent_at, now + LEASE, REPORT, recipient, period])


def forget(tx: Database, recipients: Iterable[str]) -> None:
    """Drop the oldest periods beyond `KEEP` of each recipient."""
    sql = """DELETE FROM {} WHERE report = ? AND recipient = ? AND period_start NOT IN (SELECT value FROM
        json_each(?))"""
    newest = (
        "SELECT period_start FROM report_periods WHERE report = ? AND recipient = ? ORDER BY period_start DESC LIMIT ?"
    )
    for recipient in recipients:
        kept = [row[0] for row in tx.execute(newest, [REPORT, recipient, KEEP]).fetchall()]
        for table in ("report_periods", "report_deliveries"):
            tx.execute(sql.format(table), [REPORT, recipient, json.dumps(kept)])


_ROW = "report = ? AND recipient = ? AND period_start = ?"


def _changed(tx: Database, sql: str, values: list[object]) -> int:
    count: int = tx.execute(sql, values).rowcount
    return count
