"""The tables of the detectors: the state and watermark of each workflow, and every finding."""

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("detectors")


@MIGRATIONS()
def first_tables(db: Database) -> None:
    """State as JSON text with its watermark (start of the next bin, epoch s); findings as JSON lines."""
    db.table("detector_state").create(
        {"workflow": str, "next_bin": int, "state": str}, pk="workflow", not_null={"next_bin", "state"}
    )
    db.table("findings").create(
        {"id": str, "ts": float, "workflow": str, "body": str}, pk="id", not_null={"ts", "workflow", "body"}
    )
    db.table("findings").create_index(["workflow", "ts"])


@MIGRATIONS()
def state_beside(db: Database) -> None:
    """State of the rules beside the sequential tests, as JSON text."""
    db.table("detector_state").add_column("beside", str, not_null_default="{}")


@MIGRATIONS()
def learned_history(db: Database) -> None:
    """Whether a state comes from imported history: its workflow is watched from its next call on."""
    db.table("detector_state").add_column("learned", int, not_null_default=0)
