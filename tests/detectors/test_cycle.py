"""Cycles of the service: state, watermark and findings are rows, whatever was restarted or judged between them."""

import json

from sqlite_utils import Database

from driftbell.collectors.workflows import Workflow
from driftbell.detectors.evaluate import Detectors, forget
from driftbell.detectors.replay import Memory
from driftbell.detectors.schema import MIGRATIONS
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.verdict import Verdict
from tests.detectors.rules import BIN, DAY, HOUR, MONDAY, limits, point

SETTINGS = DetectorSettings.model_validate(limits(metric="status", above=0.05))
FROM = MONDAY + 6 * HOUR


def history() -> Memory:
    memory = Memory()
    for start in range(MONDAY, MONDAY + DAY, BIN):
        memory.add([point(start, 60, error=(12 if start >= FROM else 0, 60))])
    return memory


def cycled(every: int, restart: bool, verdicts: tuple[Verdict, ...] = ()) -> tuple[list[dict], list[dict]]:
    """Rows of findings and of state after a day of cycles, ``every`` so many seconds."""
    db, memory = Database(memory=True), history()
    MIGRATIONS.apply(db)
    detectors = Detectors(SETTINGS)
    for now in range(MONDAY + every, MONDAY + DAY, every):
        if restart:
            detectors = Detectors(SETTINGS)
        workflow = Workflow("claims", None, None, float(MONDAY), float(now), float(now))
        given = [verdict for verdict in verdicts if verdict.at <= now]
        while detectors.cycle(db, memory, [workflow], float(now), given).behind:
            pass
    return list(db.table("findings").rows), list(db.table("detector_state").rows)


def test_a_restart_between_cycles_and_their_rhythm_change_nothing() -> None:
    findings, state = cycled(HOUR, restart=False)
    assert [json.loads(row["body"])["bound"] for row in findings] == [{"value": 0.05, "of": ""}]
    assert cycled(HOUR, restart=True) == (findings, state)
    assert cycled(2 * BIN, restart=False)[0] == findings


def test_a_verdict_counts_from_the_same_bin_whatever_the_rhythm() -> None:
    said = (Verdict("inc-1", "claims", "new_normal", FROM + HOUR + 7.5, float(FROM), (("status", None, None, 1),)),)
    slow, fast = cycled(4 * HOUR, restart=True, verdicts=said), cycled(BIN, restart=False, verdicts=said)
    assert json.loads(fast[1][0]["beside"])["applied"] == {"inc-1": FROM + HOUR + 7.5}
    assert slow[0] == fast[0]


def test_old_findings_are_forgotten() -> None:
    db = Database(memory=True)
    MIGRATIONS.apply(db)
    db.table("findings").insert_all(
        {"id": str(ts), "ts": float(ts), "workflow": "claims", "body": "{}"} for ts in (1, 2, 3)
    )
    assert forget(db, 3.0) == 2
    assert [row["ts"] for row in db.table("findings").rows] == [3.0]
