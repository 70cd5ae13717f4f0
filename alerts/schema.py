"""The tables that alerts owns, as migrations for the store.

``incidents`` keeps what is searched in columns and the whole record as JSON in ``body``. ``incident_events`` is the
history with the named reason of every decision. ``notifications`` is the outbox: unique by (event, channel).
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("alerts")


@MIGRATIONS()
def create_incidents(db: Database) -> None:
    """Incidents and their history."""
    db.execute(
        """CREATE TABLE incidents (id TEXT PRIMARY KEY, workflow TEXT NOT NULL, family TEXT NOT NULL,
        state TEXT NOT NULL, severity TEXT NOT NULL, owner TEXT, opened_at REAL NOT NULL, resolved_at REAL,
        resolved_by TEXT, verdict TEXT, verdict_at REAL, body TEXT NOT NULL)"""
    )
    db.execute("CREATE INDEX incidents_live ON incidents (state, workflow)")
    db.execute("CREATE INDEX incidents_opened ON incidents (opened_at)")
    db.execute("CREATE INDEX incidents_resolved ON incidents (workflow, resolved_at)")
    db.execute(
        """CREATE TABLE incident_events (id INTEGER PRIMARY KEY, incident_id TEXT NOT NULL, ts REAL NOT NULL,
        last_ts REAL NOT NULL, times INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT)"""
    )
    db.execute("CREATE INDEX incident_events_of ON incident_events (incident_id, id)")


@MIGRATIONS()
def create_notifications(db: Database) -> None:
    """The outbox. ``state``: pending, attempting, sent, withheld, superseded or failed."""
    db.execute(
        """CREATE TABLE notifications (id INTEGER PRIMARY KEY, event_id TEXT NOT NULL, incident_id TEXT NOT NULL,
        transition TEXT NOT NULL, channel TEXT NOT NULL, reason TEXT NOT NULL, state TEXT NOT NULL,
        created_at REAL NOT NULL, first_due_at REAL NOT NULL, due_at REAL NOT NULL,
        failed_over INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
        claim TEXT, claimed_until REAL, sent_at REAL, error TEXT, ref TEXT, message TEXT NOT NULL,
        UNIQUE (event_id, channel))"""
    )
    db.execute("CREATE INDEX notifications_due ON notifications (state, due_at)")
    db.execute("CREATE INDEX notifications_of ON notifications (incident_id, channel, id)")
    db.execute("CREATE INDEX notifications_rate ON notifications (channel, transition, created_at)")


@MIGRATIONS()
def create_silences(db: Database) -> None:
    """What people asked not to hear of, always with an end."""
    db.execute(
        """CREATE TABLE silences (id TEXT PRIMARY KEY, workflow TEXT, family TEXT, segment TEXT, incident_id TEXT,
        starts_at REAL NOT NULL, ends_at REAL NOT NULL, made_by TEXT NOT NULL, reason TEXT NOT NULL)"""
    )
    db.execute("CREATE INDEX silences_end ON silences (ends_at)")


@MIGRATIONS()
def create_report_periods(db: Database) -> None:
    """Who claimed which period of a report, and the letter frozen for it; see `driftbell.alerts.weekly.periods`."""
    db.execute(
        """CREATE TABLE report_periods (id INTEGER PRIMARY KEY, report TEXT NOT NULL, recipient TEXT NOT NULL,
        period_start TEXT NOT NULL, state TEXT NOT NULL, claimed_at REAL NOT NULL, due_at REAL, lease REAL,
        frozen_at REAL, sent_at REAL, late INTEGER, attempts INTEGER NOT NULL DEFAULT 0, error TEXT,
        subject TEXT, text TEXT, html TEXT, numbers TEXT, UNIQUE (report, recipient, period_start))"""
    )


@MIGRATIONS()
def create_report_readers(db: Database) -> None:
    """Who left a report by one click, and which addresses of a period have been served."""
    db.execute(
        """CREATE TABLE report_readers (token TEXT PRIMARY KEY, recipient TEXT NOT NULL, address_key TEXT NOT NULL,
        created_at REAL NOT NULL, left_at REAL, UNIQUE (recipient, address_key))"""
    )
    db.execute("ALTER TABLE report_periods ADD COLUMN served TEXT NOT NULL DEFAULT '{}'")


@MIGRATIONS()
def create_report_deliveries(db: Database) -> None:
    """What each address of a period got, in a row of its own; see `driftbell.alerts.weekly.deliveries`."""
    db.execute(
        """CREATE TABLE report_deliveries (id INTEGER PRIMARY KEY, report TEXT NOT NULL, recipient TEXT NOT NULL,
        period_start TEXT NOT NULL, address_key TEXT NOT NULL, state TEXT NOT NULL, lease REAL,
        attempts INTEGER NOT NULL DEFAULT 0, error TEXT, sent_at REAL,
        UNIQUE (report, recipient, period_start, address_key))"""
    )
    db.execute(
        """INSERT INTO report_deliveries (report, recipient, period_start, address_key, state, sent_at)
        SELECT p.report, p.recipient, p.period_start, s.key, s.value, p.sent_at
        FROM report_periods p, json_each(p.served) s"""
    )
    db.execute("ALTER TABLE report_periods DROP COLUMN served")
    db.execute("UPDATE report_periods SET state = 'uncertain' WHERE state = 'attempting'")
