"""The outbox rows: written in the transaction that changed the incident, claimed by compare-and-set."""

import json
import sqlite3
from dataclasses import dataclass

from sqlite_utils import Database

from driftbell.alerts.message import Message, decode, encode

MAX_ERROR = 300


@dataclass(frozen=True, slots=True)
class Notification:
    """One event for one channel. ``ref`` is what the channel told us of the incident's first message there."""

    id: int
    channel: str
    first_due_at: float
    attempts: int
    reason: str
    message: Message
    ref: dict[str, str]


def enqueue(
    tx: Database, message: Message, channel: str, reason: str, now: float, *, due_at: float | None = None,
    withheld: bool = False,
) -> bool:  # fmt: skip
    """Write the row of (event, channel), due now or at ``due_at``; False when it is already there.

    ``withheld`` keeps a decision not to send, with its reason, where the others are.
    """
    cursor = tx.execute(
        """INSERT OR IGNORE INTO notifications
        (event_id, incident_id, transition, channel, reason, state, created_at, first_due_at, due_at, message)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            message.event_id,
            message.incident_id,
            message.transition,
            channel,
            reason,
            "withheld" if withheld else "pending",
            now,
            now if due_at is None else due_at,
            now if due_at is None else due_at,
            encode(message),
        ],
    )
    return cursor.rowcount == 1


def supersede(tx: Database, incident_id: str, channel: str, transition: str) -> None:
    """Drop what has not been tried yet and is overtaken: held openings by the end, waiting updates by the next one."""
    overtaken = {"resolved": ("opened", "updated", "unknown"), "updated": ("updated",)}.get(transition, ())
    if not overtaken:
        return
    marks = ",".join("?" * len(overtaken))
    tx.execute(
        f"""UPDATE notifications SET state = 'superseded', reason = reason || '; superseded by {transition}'
        WHERE incident_id = ? AND channel = ? AND state = 'pending' AND attempts = 0 AND transition IN ({marks})
        AND due_at > created_at""",
        [incident_id, channel, *overtaken],
    )


def told(tx: Database, incident_id: str) -> list[str]:
    """The channels that were told of the incident, or are about to be, in the order in which they were."""
    rows = tx.execute(
        """SELECT channel, min(id) AS first FROM notifications WHERE incident_id = ?
        AND state NOT IN ('withheld', 'superseded') GROUP BY channel ORDER BY first""",
        [incident_id],
    )
    return [str(row[0]) for row in rows]


def openings(tx: Database, channel: str, since: float) -> int:
    """How many incidents were opened on ``channel`` after ``since``."""
    row = tx.execute(
        """SELECT count(*) FROM notifications WHERE channel = ? AND transition = 'opened' AND created_at > ?
        AND state NOT IN ('withheld', 'superseded')""",
        [channel, since],
    ).fetchone()
    return int(row[0])


def claim(tx: Database, channel: str, claimant: str, now: float, lease: float) -> Notification | None:
    """Take the oldest due row of ``channel`` for ``lease`` seconds; None when nothing is due.

    A row waits while an earlier one of the same incident and channel is undelivered, so that order holds.
    A claim that ran out (its worker died) is taken again: the receiver sees the same event id twice.
    """
    row = tx.execute(
        """SELECT id FROM notifications AS n WHERE channel = ? AND due_at <= ?
        AND (state = 'pending' OR (state = 'attempting' AND claimed_until <= ?))
        AND NOT EXISTS (SELECT 1 FROM notifications AS e WHERE e.incident_id = n.incident_id
            AND e.channel = n.channel AND e.id < n.id AND e.state IN ('pending', 'attempting'))
        ORDER BY id LIMIT 1""",
        [channel, now, now],
    ).fetchone()
    if row is None:
        return None
    changed = tx.execute(
        """UPDATE notifications SET state = 'attempting', claim = ?, claimed_until = ?, attempts = attempts + 1
        WHERE id = ? AND (state = 'pending' OR (state = 'attempting' AND claimed_until <= ?))""",
        [claimant, now + lease, row[0], now],
    )
    return load(tx, int(row[0])) if changed.rowcount == 1 else None


def load(tx: Database, row_id: int) -> Notification:
    """The row ``row_id`` with the reference that its channel keeps for the incident."""
    row = next(iter(tx.query("SELECT * FROM notifications WHERE id = ?", [row_id])))
    return Notification(
        id=row_id,
        channel=row["channel"],
        first_due_at=row["first_due_at"],
        attempts=row["attempts"],
        reason=row["reason"],
        message=decode(row["message"]),
        ref=reference(tx, row["incident_id"], row["channel"]),
    )


def reference(tx: sqlite3.Connection | Database, incident_id: str, channel: str) -> dict[str, str]:
    """What ``channel`` told us when it took the incident's latest message; empty before the first."""
    row = tx.execute(
        """SELECT ref FROM notifications WHERE incident_id = ? AND channel = ? AND ref IS NOT NULL
        ORDER BY id DESC LIMIT 1""",
        [incident_id, channel],
    ).fetchone()
    return dict(json.loads(row[0])) if row else {}


def finish(tx: Database, row: Notification, claimant: str, now: float, ref: dict[str, str]) -> bool:
    """Mark ``row`` as sent; False when the claim was lost meanwhile."""
    cursor = tx.execute(
        """UPDATE notifications SET state = 'sent', sent_at = ?, error = NULL, ref = ?
        WHERE id = ? AND claim = ? AND state = 'attempting'""",
        [now, json.dumps(ref) if ref else None, row.id, claimant],
    )
    return cursor.rowcount == 1


def postpone(tx: Database, row: Notification, claimant: str, error: str, due_at: float | None) -> bool:
    """Note the failed attempt of ``row``; try again at ``due_at``, or never (None). False when the claim was lost."""
    cursor = tx.execute(
        """UPDATE notifications SET state = ?, due_at = coalesce(?, due_at), error = ?
        WHERE id = ? AND claim = ? AND state = 'attempting'""",
        ["failed" if due_at is None else "pending", due_at, error[:MAX_ERROR], row.id, claimant],
    )
    return cursor.rowcount == 1


def hold_back(tx: Database, channel: str, until: float) -> None:
    """Let every waiting row of ``channel`` wait until ``until``: its server asked for it."""
    tx.execute(
        "UPDATE notifications SET due_at = ? WHERE channel = ? AND state = 'pending' AND due_at < ?",
        [until, channel, until],
    )


def due_channels(tx: Database, now: float) -> list[str]:
    """The channels that have something to deliver at ``now``."""
    rows = tx.execute(
        """SELECT DISTINCT channel FROM notifications WHERE due_at <= ?
        AND (state = 'pending' OR (state = 'attempting' AND claimed_until <= ?)) ORDER BY channel""",
        [now, now],
    )
    return [str(row[0]) for row in rows]


def overdue(tx: Database, first_due_before: float) -> list[int]:
    """Undelivered rows that were first due before the given time and that no other channel has taken over."""
    rows = tx.execute(
        """SELECT id FROM notifications WHERE state IN ('pending', 'attempting') AND first_due_at <= ?
        AND failed_over = 0 ORDER BY id LIMIT 1000""",
        [first_due_before],
    )
    return [int(row[0]) for row in rows]


def hand_over(tx: Database, row: Notification, fallback: str | None, now: float) -> None:
    """Give the event of ``row`` to ``fallback`` too (None: there is no other), once."""
    tx.execute("UPDATE notifications SET failed_over = 1 WHERE id = ?", [row.id])
    if fallback is not None:
        enqueue(tx, row.message, fallback, f"fallback for {row.channel}; {row.reason}", now)
