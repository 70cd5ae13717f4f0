"""One evaluation cycle: new points since the watermark -> findings, state and watermark, in one transaction."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from sqlite_utils import Database

from driftbell.collectors.workflows import Workflow
from driftbell.detectors.finding import Finding
from driftbell.detectors.history import History
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.station import Station
from driftbell.detectors.verdict import Verdict
from driftbell.detectors.workflow import BIN

MOST_BINS = 288
"""Bins of one workflow that one cycle takes in at most (a day): a long backlog holds no lock for long."""
LONGEST_HISTORY = 60 * 86400
"""A new workflow learns from its calls of the last sixty days at most; one stray early time stamp costs nothing."""
_SAVE = (
    "INSERT INTO detector_state (workflow, next_bin, state, beside, learned) VALUES (?, ?, ?, ?, 0) "
    "ON CONFLICT (workflow) DO UPDATE SET next_bin = excluded.next_bin, state = excluded.state, "
    "beside = excluded.beside, learned = 0"
)


@dataclass(frozen=True, slots=True)
class CycleResult:
    """Findings in the order in which they came; ``bins`` evaluated; ``behind`` when more bins are due."""

    findings: list[Finding] = field(default_factory=list)
    bins: int = 0
    behind: bool = False


class Detectors:
    """The detectors of all workflows. In memory is only a copy of what the last committed cycle stored."""

    def __init__(self, settings: DetectorSettings) -> None:
        self.settings = settings
        self._stations: dict[str, tuple[Station, int]] = {}

    def forget(self) -> None:
        """Drop the copies in memory: to be called when the transaction of a cycle has failed."""
        self._stations.clear()

    def cycle(
        self,
        tx: Database,
        history: History,
        workflows: Iterable[Workflow],
        now: float,
        verdicts: Sequence[Verdict] = (),
    ) -> CycleResult:
        """Evaluate every bin of ``workflows`` that is due at ``now`` (epoch s) and write the outcome to ``tx``.

        A bin is due when it and the grace for late calls lie in the past, and either newer calls have been seen or
        nothing has arrived for the idle time; so a backlog is worked off in event time, as in a replay. ``verdicts``
        are those that people gave lately; one that was applied is known in the state and harmless.
        """
        findings: list[Finding] = []
        bins, behind = 0, False
        for workflow in workflows:
            due = self._due(workflow, now)
            station, start = self._station(tx, history, workflow, due)
            if start >= due:
                continue
            until = min(due, start + MOST_BINS * BIN)
            behind = behind or until < due
            by_bin = history.bins(workflow.name, start, until, BIN)
            given = [verdict for verdict in verdicts if verdict.workflow == workflow.name]
            findings += station.advance(history, by_bin, start, until, given)
            bins += (until - start) // BIN
            self._stations[workflow.name] = (station, until)
            tx.execute(_SAVE, [workflow.name, until, *station.dump()])
        for finding in findings:
            body = json.dumps(asdict(finding))
            row = {"id": finding.id, "ts": finding.ts, "workflow": finding.workflow, "body": body}
            tx.table("findings").upsert(row, pk="id")
        return CycleResult(findings, bins, behind)

    def _due(self, workflow: Workflow, now: float) -> int:
        """End of the last bin that may be evaluated."""
        idle = now - workflow.received >= self.settings.idle
        reached = now if idle else min(now, workflow.newest_ts)
        return int((reached - self.settings.grace) // BIN) * BIN

    def _station(self, tx: Database, history: History, workflow: Workflow, due: int) -> tuple[Station, int]:
        """The station of a workflow and the bin that it takes next."""
        known = self._stations.get(workflow.name)
        if known is not None:
            return known
        query = "SELECT next_bin, state, beside, learned FROM detector_state WHERE workflow = ?"
        stored = next(iter(tx.query(query, [workflow.name])), None)
        if stored is not None:
            start = stored["next_bin"]
            if stored["learned"]:
                start = _first_call(history, workflow.name, start, due)
            station = Station.restore(workflow.name, stored["state"], stored["beside"], self.settings)
            return station, start
        first = max(int(workflow.first_ts // BIN) * BIN, due - LONGEST_HISTORY)
        return Station(workflow.name, self.settings), first


def learned(tx: Database, workflow: str, until: float | None = None) -> None:
    """Say that the state of a workflow comes from imported history: go on with its next call.

    What lies between is no silence, since nobody sent anything here yet. ``until`` is given at the end of the history:
    what is left of its last bin belongs to it.
    """
    resumes = 0 if until is None else (int(until // BIN) + 1) * BIN
    tx.execute(
        "UPDATE detector_state SET learned = 1, next_bin = max(next_bin, ?) WHERE workflow = ?", [resumes, workflow]
    )


def _first_call(history: History, workflow: str, start: int, due: int) -> int:
    """The bin of the first point of ``[start, due)``; ``due`` when there is none yet."""
    first = next(iter(history.points(workflow, start, due, "minute")), None)
    return due if first is None else first.key.minute // BIN * BIN


def evaluated(db: sqlite3.Connection) -> dict[str, float]:
    """Up to where (epoch s) each workflow is evaluated."""
    return dict(db.execute("SELECT workflow, next_bin FROM detector_state").fetchall())


def forget(tx: Database, before: float) -> int:
    """Delete the findings of before that time (epoch s); how many. The state of the detectors stays."""
    return int(tx.execute("DELETE FROM findings WHERE ts < ?", [before]).rowcount)
