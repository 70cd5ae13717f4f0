"""Findings in, incidents and outbox rows out, in the caller's transaction.

The decisions are pure and live beside this file: `grouping` (which incident), `lifecycle` (what it does to it),
`announce` (whether readers are told), `routing` (who). `cycle` puts them together and stores their reasons.
"""

from collections.abc import Iterable

from sqlite_utils import Database

from driftbell.alerts.cycle import Cycle, IncidentChange
from driftbell.alerts.impact import BLIND, Look
from driftbell.alerts.line import incident_line
from driftbell.alerts.phrases import phrase
from driftbell.alerts.record import Incident, bounded
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Finding

__all__ = ["MIGRATIONS", "Incident", "IncidentChange", "apply", "incident_line"]


def apply(
    tx: Database, findings: Iterable[Finding], now: float, config: AlertSettings, look: Look = BLIND
) -> list[IncidentChange]:
    """Take ``findings`` into the incidents of the store and write what readers must be told to the outbox.

    ``now`` is the time up to which everything was evaluated; call it without findings too, for what time alone
    brings (an incident settles, a silence ends, nobody acknowledged). The same findings again change nothing.
    ``look`` is asked about the calls of what is told.
    """
    ordered = sorted((bounded(f) for f in findings), key=_cause_first)
    cycle = Cycle(tx, now, config, {f.workflow for f in ordered}, look)
    for finding in ordered:
        cycle.take(finding)
    cycle.settle()
    cycle.tell()
    cycle.escalate()
    cycle.save()
    return cycle.changes


def _cause_first(finding: Finding) -> tuple[float, bool, bool, int, bool, float]:
    rank = phrase(finding).rank
    unsure = finding.cause.confidence != "likely"
    return (finding.ts, finding.observed is None, unsure, rank, finding.segment is not None, -finding.log_evidence)
