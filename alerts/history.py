"""Incidents, their events and silences as rows: loading what a cycle needs, saving what it changed."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils import Database

from driftbell.alerts.record import Incident, decode, encode
from driftbell.alerts.routing import Silence

CLOSED_KEPT = 30 * 86_400.0
"""How long the series of an incident that a person closed may go on firing without a new incident."""
MAX_LISTED = 500
LOOK_BACK = 8


def save(tx: Database, incident: Incident) -> None:
    """Insert or replace the row of ``incident``."""
    ack = incident.ack
    tx.execute(
        """INSERT OR REPLACE INTO incidents (id, workflow, family, state, severity, owner, opened_at, resolved_at,
        resolved_by, verdict, verdict_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            incident.id,
            incident.workflow,
            incident.family,
            incident.state,
            incident.severity,
            incident.lead.owner,
            incident.opened_at,
            incident.resolved_at,
            incident.resolved_by,
            ack.verdict if ack else None,
            ack.at if ack else None,
            encode(incident),
        ],
    )


Reader = sqlite3.Connection | Database
"""Where rows are read: a read connection of the store, or the transaction at hand."""


def get(db: Reader, incident_id: str) -> Incident | None:
    """The incident ``incident_id``, or None."""
    row = db.execute("SELECT body FROM incidents WHERE id = ?", [incident_id]).fetchone()
    return decode(row[0]) if row else None


def listed(db: Reader, state: str, limit: int = 200, before: float | None = None) -> list[Incident]:
    """Incidents with ``state`` ``open`` (everything not resolved), ``resolved`` or ``all``, the newest first."""
    where = {"open": "state != 'resolved'", "resolved": "state = 'resolved'", "all": "1"}[state]
    sql = f"SELECT body FROM incidents WHERE {where} AND opened_at < ? ORDER BY opened_at DESC, id LIMIT ?"
    rows = db.execute(sql, [float("inf") if before is None else before, limit])
    return [decode(row[0]) for row in rows]


def between(
    db: Reader, since: float, until: float, workflow: str | None = None, limit: int = MAX_LISTED
) -> list[Incident]:
    """Incidents that were open at some time in ``[since, until)``, of one workflow or of all, the oldest first."""
    sql = """SELECT body FROM incidents WHERE opened_at < ?1 AND (resolved_at IS NULL OR resolved_at >= ?2)
        AND (?3 IS NULL OR workflow = ?3) ORDER BY opened_at DESC, id LIMIT ?4"""
    rows = db.execute(sql, [until, since, workflow, limit]).fetchall()
    return [decode(row[0]) for row in reversed(rows)]


def load_around(tx: Database, workflows: Iterable[str], now: float, reopen_within: float) -> dict[str, Incident]:
    """Every live incident, and of ``workflows`` also those that may be re-opened or that a person closed."""
    rows = tx.execute(
        """SELECT body FROM incidents WHERE state != 'resolved' UNION ALL
        SELECT body FROM incidents WHERE state = 'resolved' AND workflow IN (SELECT value FROM json_each(?))
        AND (resolved_at > ? OR (resolved_by IS NOT NULL AND resolved_at > ?))""",
        [json.dumps(sorted(workflows)), now - reopen_within, now - CLOSED_KEPT],
    )
    loaded = (decode(row[0]) for row in rows.fetchall())
    return {incident.id: incident for incident in loaded}


def earlier(tx: Database, workflow: str, family: str) -> tuple[set[str], int]:
    """The ids of the latest earlier incidents of a workflow and family, and how many there were in all."""
    rows = tx.execute(
        "SELECT id FROM incidents WHERE workflow = ? AND family = ? ORDER BY opened_at DESC", [workflow, family]
    ).fetchall()
    return {str(row[0]) for row in rows[:1000]}, len(rows)


@dataclass(slots=True)
class Note:
    """A decision about an incident and its named reason, made ``times`` times from ``ts`` to ``last_ts``."""

    incident_id: str
    kind: str
    reason: str
    detail: str | None
    ts: float
    last_ts: float
    times: int = 1


def store_note(tx: Database, note: Note) -> None:
    """Store a decision; one that stands among the latest already is counted there instead of stored again."""
    same = tx.execute(
        """SELECT id FROM (SELECT id, kind, reason FROM incident_events WHERE incident_id = ? ORDER BY id DESC LIMIT ?)
        WHERE kind = ? AND reason = ? AND kind != 'told' LIMIT 1""",
        [note.incident_id, LOOK_BACK, note.kind, note.reason],
    ).fetchone()
    if same:
        tx.execute(
            "UPDATE incident_events SET times = times + ?, last_ts = ? WHERE id = ?",
            [note.times, note.last_ts, same[0]],
        )
        return
    tx.execute(
        """INSERT INTO incident_events (incident_id, ts, last_ts, times, kind, reason, detail)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [note.incident_id, note.ts, note.last_ts, note.times, note.kind, note.reason, note.detail],
    )


def events(db: Reader, incident_id: str) -> list[dict[str, object]]:
    """The history of an incident, oldest first: ``ts, last_ts, times, kind, reason, detail``."""
    sql = """SELECT ts, last_ts, times, kind, reason, detail FROM incident_events
        WHERE incident_id = ? ORDER BY id LIMIT ?"""
    return _named(db.execute(sql, [incident_id, MAX_LISTED]))


def deliveries(db: Reader, incident_id: str) -> list[dict[str, object]]:
    """What was sent of an incident, to where and why: ``transition, channel, state, reason, attempts, error, ...``."""
    sql = """SELECT event_id, transition, channel, state, reason, attempts, error, created_at, due_at, sent_at
        FROM notifications WHERE incident_id = ? ORDER BY id LIMIT ?"""
    return _named(db.execute(sql, [incident_id, MAX_LISTED]))


def forget(tx: Database, before: float) -> int:
    """Delete incidents that were resolved before that time, with their history and messages; how many."""
    old = "SELECT id FROM incidents WHERE state = 'resolved' AND resolved_at < ?"
    tx.execute(f"DELETE FROM incident_events WHERE incident_id IN ({old})", [before])
    tx.execute(f"DELETE FROM notifications WHERE incident_id IN ({old})", [before])
    gone = tx.execute("DELETE FROM incidents WHERE state = 'resolved' AND resolved_at < ?", [before]).rowcount
    tx.execute("DELETE FROM notifications WHERE transition = 'change' AND created_at < ?", [before])
    tx.execute("DELETE FROM silences WHERE ends_at < ?", [before])
    return gone


def silences(db: Reader, now: float) -> list[Silence]:
    """The silences that have not ended at ``now``."""
    rows = db.execute(f"SELECT {', '.join(Silence.__slots__)} FROM silences WHERE ends_at > ? ORDER BY id", [now])
    return [Silence(*row) for row in rows]


def _named(cursor: sqlite3.Cursor) -> list[dict[str, object]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
