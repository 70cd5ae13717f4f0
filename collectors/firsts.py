"""Changes that nobody announced: the first call of a workflow with another model, prompt, release or price table."""

import sqlite3
from collections.abc import Iterable

from driftbell.collectors.call import Call, Marker

KINDS = ("model", "prompt_version", "release", "price_version")
VALUES_LIMIT = 200
"""Values remembered per workflow and kind; a name with more of them does not mark a change."""
First = tuple[int, str, str, float]
"""Workflow, kind, value, time."""


def firsts_of(workflow: int, call: Call, ts: float) -> list[First]:
    """What may be new with a call that ended at ``ts``."""
    values = (call.model, call.prompt_version, call.release, call.price_version)
    return [(workflow, kind, value, ts) for kind, value in zip(KINDS, values, strict=True) if value is not None]


def save_firsts(db: sqlite3.Connection, firsts: Iterable[First]) -> None:
    """Remember the earliest time of each value; calls may come in any order."""
    db.executemany(
        "INSERT INTO firsts SELECT ?1, ?2, ?3, ?4 "
        f"WHERE (SELECT count(*) FROM firsts WHERE workflow = ?1 AND kind = ?2) < {VALUES_LIMIT} "
        "ON CONFLICT DO UPDATE SET ts = min(ts, excluded.ts)",
        firsts,
    )


def load_firsts(db: sqlite3.Connection, workflow: str | None, since: float, until: float) -> list[Marker]:
    """Markers of values first seen in ``[since, until)``, except the first of its kind in a workflow."""
    found = db.execute(
        "SELECT f.ts, f.kind, w.name, f.value FROM firsts f JOIN workflows w ON w.id = f.workflow "
        "WHERE f.ts >= ? AND f.ts < ? AND (?3 IS NULL OR w.name = ?3) AND EXISTS (SELECT 1 FROM firsts o "
        "WHERE o.workflow = f.workflow AND o.kind = f.kind AND o.ts < f.ts)",
        (since, until, workflow),
    )
    return [
        Marker(ts, kind, name, value, "first seen", f"first/{kind}/{name}/{value}") for ts, kind, name, value in found
    ]
