"""What people do with incidents: acknowledge, judge, resolve, silence. Each in the caller's transaction."""

import secrets
from dataclasses import dataclass
from typing import get_args

from sqlite_utils import Database

from driftbell.alerts import history, lifecycle, notification
from driftbell.alerts.cycle import Cycle, IncidentChange
from driftbell.alerts.history import Reader
from driftbell.alerts.impact import BLIND, Look
from driftbell.alerts.plain import name, plain
from driftbell.alerts.record import Acknowledgement, Incident, Verdict
from driftbell.alerts.routing import Receiver, Silence
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Family

LONGEST_SILENCE = 90 * 86_400.0
MAX_SILENCES = 1000


class ActionError(Exception):
    """What was asked cannot be done; the text says why, in words for the person who asked."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A person's verdict on an incident, for the false-alarm budget and the baselines.

    ``series`` are the series of the incident: (workflow, metric, segment, risk_tier, direction), which began to move
    at ``started_at``.
    """

    incident_id: str
    workflow: str
    family: str
    severity: str
    verdict: Verdict
    at: float
    by: str
    started_at: float
    series: tuple[tuple[str, str, str | None, str | None, int], ...]


def acknowledge(
    tx: Database,
    incident_id: str,
    by: str,
    now: float,
    config: AlertSettings,
    verdict: Verdict = "seen",
    look: Look = BLIND,
) -> Incident:
    """Take the incident: escalation stops. ``false_alarm`` and ``new_normal`` also close it. Again is harmless.

    Raises ActionError when there is no such incident, or when it is over and ``seen`` would change nothing.
    """
    cycle, incident = _begin(tx, incident_id, now, config, look)
    who = plain(by, 80) or "someone"
    if verdict == "seen" and incident.state == "resolved":
        raise ActionError(f"{incident.id} is resolved already; there is nothing to acknowledge")
    if incident.ack and incident.ack.verdict == verdict:
        return incident
    incident.ack = Acknowledgement(who, now, verdict)
    cycle.note(incident, now, "person", f"acknowledged: {verdict}", who)
    if verdict == "seen":
        told = [c for c in notification.told(tx, incident.id) if c in config.channels]
        cycle.send(incident, "acknowledged", "acknowledged", [Receiver(c, now, "told_of_opening") for c in told])
    elif incident.state != "resolved":
        _close(cycle, incident, f"{who} ({verdict.replace('_', ' ')})", now)
    cycle.save()
    return incident


def resolve(tx: Database, incident_id: str, by: str, now: float, config: AlertSettings, look: Look = BLIND) -> Incident:
    """Close the incident because ``by`` says it is over; what still fires stays quiet until it fires anew.

    Raises ActionError when there is no such incident or it is over already.
    """
    cycle, incident = _begin(tx, incident_id, now, config, look)
    if incident.state == "resolved":
        raise ActionError(f"{incident.id} is resolved already")
    _close(cycle, incident, plain(by, 80) or "someone", now)
    cycle.save()
    return incident


def silence(
    tx: Database, *, by: str, now: float, seconds: float, workflow: str | None = None, family: str | None = None,
    segment: str | None = None, incident_id: str | None = None, reason: str = "",
) -> Silence:  # fmt: skip
    """Keep matching incidents quiet for ``seconds``; what is still open at the end is told then.

    ``workflow`` and ``segment`` may be patterns such as ``claims-*``.

    Raises ActionError when nothing is named, when no family is called so, when the end is missing or too far, or
    when there are too many.
    """
    if not any((workflow and workflow.strip("*?"), family, segment and segment.strip("*?"), incident_id)):
        raise ActionError("name what to silence: a workflow, a family, a segment or an incident")
    if family and family not in get_args(Family):
        raise ActionError(f"no family is called {plain(family, 40)!r}; there are {', '.join(get_args(Family))}")
    if not 0 < seconds <= LONGEST_SILENCE:
        raise ActionError("a silence needs an end within 90 days, for example --for 4h")
    if len(history.silences(tx, now)) >= MAX_SILENCES:
        raise ActionError(f"there are {MAX_SILENCES} silences already; end some first")
    made = Silence(
        id="sil-" + secrets.token_hex(5),
        workflow=name(workflow) if workflow else None,
        family=name(family) if family else None,
        segment=name(segment) if segment else None,
        incident_id=incident_id,
        starts_at=now,
        ends_at=now + seconds,
        made_by=plain(by, 80) or "someone",
        reason=plain(reason, 200),
    )
    fields = Silence.__slots__
    marks = ", ".join("?" * len(fields))
    values = [getattr(made, field) for field in fields]
    tx.execute(f"INSERT INTO silences ({', '.join(fields)}) VALUES ({marks})", values)
    return made


def end_silence(tx: Database, silence_id: str, now: float) -> None:
    """End a silence now. Raises ActionError when there is none with this id that still holds."""
    changed = tx.execute("UPDATE silences SET ends_at = ? WHERE id = ? AND ends_at > ?", [now, silence_id, now])
    if changed.rowcount != 1:
        raise ActionError(f"there is no silence {plain(silence_id, 40)} that still holds")


def judged(db: Reader, since: float, until: float = float("inf")) -> list[Judged]:
    """The verdicts given in ``[since, until)``, oldest first."""
    rows = db.execute(
        "SELECT id FROM incidents WHERE verdict_at >= ? AND verdict_at < ? ORDER BY verdict_at, id", [since, until]
    ).fetchall()
    found = (history.get(db, str(row[0])) for row in rows)
    return [_judged(incident, incident.ack) for incident in found if incident and incident.ack]


def _judged(incident: Incident, ack: Acknowledgement) -> Judged:
    series = tuple(member.finding.series for member in incident.members.values())
    return Judged(
        incident.id,
        incident.workflow,
        incident.family,
        incident.severity,
        ack.verdict,
        ack.at,
        ack.by,
        incident.started_at,
        series,
    )


def _begin(tx: Database, incident_id: str, now: float, config: AlertSettings, look: Look) -> tuple[Cycle, Incident]:
    known = history.get(tx, incident_id)
    if known is None:
        raise ActionError(f"there is no incident {plain(incident_id, 40)}; see driftbell incidents")
    cycle = Cycle(tx, now, config, set(), look)
    return cycle, cycle.incidents.setdefault(known.id, known)


def _close(cycle: Cycle, incident: Incident, by: str, now: float) -> None:
    lifecycle.close(incident, by, now)
    cycle.note(incident, now, "person", "resolved", by)
    cycle.changes.append(IncidentChange(incident, "resolved", "closed_by_person"))
    cycle.announce(incident)
