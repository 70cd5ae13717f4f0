"""Moving workflows between the folders of detectors: each goes whole, with its state, findings and incidents."""

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from driftbell.collectors.clickhouse.shard import Shard
from driftbell.collectors.store import FILE
from driftbell.service.failure import Failure
from driftbell.service.ownership import Ownership

_BY_WORKFLOW = ("detector_state", "findings", "incidents")
_BY_INCIDENT = ("incident_events", "notifications")
_IN_CLICKHOUSE = (
    *("calls", "judgements", "manual_tasks", "markers", "chunks", "parts", "links", "unsorted", "points", "dirty"),
    *("series", "firsts", "trust", "templates", "attributes", "dimensions", "workflows"),
)
"""What the file may still hold from before it was migrated."""
_OURSELVES = "driftbell"
"""The workflow of incidents about the alerting itself; they stay with the first folder."""


def reshard(sources: Sequence[Path], targets: Sequence[Path]) -> list[int]:
    """Write what is in the folders ``sources`` to new ``targets``, one for each shard; the workflows of each.

    Silences, what is told of weekly summaries and what was read of exported tables go to all. The sources stay as they
    are. Raises `Failure`.
    """
    for folder in sources:
        if not (folder / FILE).exists():
            raise Failure(f"there is no data in {folder}; name the folders of the detectors that were stopped")
    for folder in targets:
        if (folder / FILE).exists():
            raise Failure(f"{folder} has data in it; name new folders with --into")
    with ExitStack() as stack:
        for folder in dict.fromkeys([*sources, *targets]):
            stack.callback(Ownership(folder).release)
        return [_fill(sources, target, Shard(at, len(targets))) for at, target in enumerate(targets)]


def _fill(sources: Sequence[Path], target: Path, shard: Shard) -> int:
    """Make the file of one shard beside its place first, so that half a file is never taken for one."""
    unfinished = target / f"{FILE}.new"
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as db:
        with closing(sqlite3.connect(sources[0] / FILE)) as first:
            first.backup(db)
        db.create_function("owned", 1, lambda name: shard.owns(name) or (name == _OURSELVES and shard.index == 0))
        for at, source in enumerate(sources[1:]):
            db.execute("ATTACH ? AS other", (str(source / FILE),))
            _merge(db, at)
            db.execute("DETACH other")
        for table in _BY_WORKFLOW:
            db.execute(f"DELETE FROM {table} WHERE NOT owned(workflow)")
        for table in _BY_INCIDENT:
            db.execute(f"DELETE FROM {table} WHERE incident_id NOT IN (SELECT id FROM incidents)")
        for table in _IN_CLICKHOUSE:
            db.execute(f"DELETE FROM {table}")
        held = int(db.execute("SELECT count(*) FROM detector_state").fetchone()[0])
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")
    unfinished.rename(target / FILE)
    return held


def _merge(db: sqlite3.Connection, at: int) -> None:
    """Add what the file ``other`` knows; each row is known by its workflow, id or event."""
    for table in (*_BY_WORKFLOW, "silences", "exported_tables"):
        if _columns(db, "main", table) != _columns(db, "other", table):
            raise Failure(f"the folders are of different versions of driftbell: start and stop number {at + 1} once")
        db.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM other.{table}")
    for table in _BY_INCIDENT:
        columns = ", ".join(name for name in _columns(db, "main", table) if name != "id")
        db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM other.{table} ORDER BY id")


def _columns(db: sqlite3.Connection, schema: str, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA {schema}.table_info({table})")]
