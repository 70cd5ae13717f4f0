"""Which addresses still want the weekly summary, and the link by which each of them leaves with one click (RFC 8058).

A link is a random token per recipient and address; the address itself is not stored. Leaving is a mark on its row and
can be taken back. The configuration says who is asked, this table who said no.
"""

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass

from sqlite_utils import Database

from driftbell.alerts.weekly.settings import WeeklySettings

PATH = "/act/unsubscribe"
"""Where the service takes a one-click request; below the pages that check the right to them themselves."""


def leave_address(page: str) -> str:
    """Where the summaries of the service at ``page`` are left; each mail adds a token of its own to it."""
    return page.rstrip("/") + PATH


@dataclass(frozen=True, slots=True)
class Reader:
    """What is known behind a link; ``left_at`` is None while the address gets the summary."""

    recipient: str
    left_at: float | None


def key_of(address: str) -> str:
    """What stands for an address in rows."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:32]


def token_for(tx: Database, recipient: str, address: str, now: float) -> str:
    """The token of an address, made at its first mail and the same ever after."""
    sql = "INSERT OR IGNORE INTO report_readers (token, recipient, address_key, created_at) VALUES (?, ?, ?, ?)"
    tx.execute(sql, [secrets.token_urlsafe(24), recipient, key_of(address), now])
    found = "SELECT token FROM report_readers WHERE recipient = ? AND address_key = ?"
    token: str = tx.execute(found, [recipient, key_of(address)]).fetchone()[0]
    return token


def reader(db: Database | sqlite3.Connection, token: str) -> Reader | None:
    """Who is behind a token; None for one that was never given."""
    row = db.execute("SELECT recipient, left_at FROM report_readers WHERE token = ?", [token]).fetchone()
    return None if row is None else Reader(row[0], row[1])


def leave(tx: Database, token: str, now: float) -> None:
    """Send no more summaries to the address of a token; a second time changes nothing."""
    tx.execute("UPDATE report_readers SET left_at = ? WHERE token = ? AND left_at IS NULL", [now, token])


def come_back(tx: Database, token: str) -> None:
    """Send summaries to the address of a token again."""
    tx.execute("UPDATE report_readers SET left_at = NULL WHERE token = ?", [token])


def remaining(db: Database | sqlite3.Connection, settings: WeeklySettings) -> WeeklySettings:
    """The settings without the addresses that left; a recipient of whom all left has none and is never due."""
    rows = db.execute("SELECT recipient, address_key FROM report_readers WHERE left_at IS NOT NULL").fetchall()
    gone = {(row[0], row[1]) for row in rows}
    if not gone:
        return settings
    kept = tuple(
        one.model_copy(update={"email": tuple(a for a in one.email if (one.name, key_of(a)) not in gone)})
        for one in settings.recipients
    )
    return settings.model_copy(update={"recipients": kept})
