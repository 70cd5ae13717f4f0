"""How an incident lives: what one finding, or the passing of time, does to it. No I/O, the clock comes in.

An incident is over only on positive evidence: every series cleared, and stayed so for ``settle``. Series without
data make it "cannot tell", never resolved. A relapse while it settles costs no message; twice in a day marks it as
flapping and it must stay good for longer.
"""

import hashlib

from driftbell.alerts.record import MAX_MEMBERS, MAX_SEGMENTS, Incident, series_key, worse
from driftbell.alerts.settings import Lifecycle
from driftbell.detectors.finding import Finding

DAY = 86_400.0
MAX_FLAPS = 16


def new_incident(finding: Finding, previous: int) -> Incident:
    """The incident that ``finding`` opens; ``previous`` counts earlier ones of the same workflow and family.

    The id follows from the finding alone, so a replay gives the same one.
    """
    origin = "\0".join([finding.workflow, finding.family, finding.id or f"{finding.ts!r} {series_key(finding)}"])
    started = finding.started_at or finding.ts
    return Incident(
        id="inc-" + hashlib.sha256(origin.encode()).hexdigest()[:12],
        workflow=finding.workflow,
        family=finding.family,
        opened_at=finding.ts,
        started_at=started,
        severity=finding.severity,
        counted_to=started,
        previous=previous,
    )


def absorb(incident: Incident, finding: Finding, times: Lifecycle) -> str:
    """Take ``finding`` into ``incident`` (changed in place); returns the named reason of what was done."""
    if finding.transition == "cleared":
        return _clear(incident, finding)
    if finding.transition == "no_data":
        return _lose(incident, finding)
    return _fire(incident, finding, times)


def _fire(incident: Incident, finding: Finding, times: Lifecycle) -> str:
    if incident.state == "resolved" and incident.resolved_by is not None:
        return "closed_by_person"
    key = series_key(finding)
    known = incident.members.get(key)
    if known is None and len(incident.members) >= MAX_MEMBERS:
        incident.unlisted += 1
        return "series_limit"
    reason = _revive(incident, finding, times)
    count_money(incident, finding.ts)
    since = known.since if known and known.state == "firing" else finding.ts
    incident.put(finding, since)
    if known is None and incident.state == "open":
        incident.started_at = min(incident.started_at, finding.started_at or finding.ts)
    if worse(finding.severity, incident.severity):
        incident.severity = finding.severity
    _take_segments(incident, finding)
    count_money(incident, finding.ts)
    return reason or ("series_joined" if known is None else "still_firing")


def _revive(incident: Incident, finding: Finding, times: Lifecycle) -> str | None:
    """Bring a settling, silent or resolved incident back to open; why, or None when it was open."""
    before, incident.unknown_since = incident.state, None
    incident.state = "open"
    if before == "resolved":
        incident.reopened += 1
        incident.reopened_at = max(finding.started_at or finding.ts, incident.ended_at or 0.0)
        incident.resolved_at = incident.ended_at = incident.clearing_since = None
        incident.ack, incident.escalated, incident.counted_to = None, 0, finding.ts
        _flap(incident, finding.ts, times)
        return "reopened"
    if incident.clearing_since is not None:
        incident.clearing_since, incident.counted_to = None, finding.ts
        _flap(incident, finding.ts, times)
        return "relapsed"
    if before == "unknown":
        incident.counted_to = finding.ts
        return "data_back"
    return None


def _flap(incident: Incident, ts: float, times: Lifecycle) -> None:
    recent = [t for t in incident.flaps if ts - t < DAY]
    incident.flaps = [*recent[1 - MAX_FLAPS :], ts]
    incident.flapping = len(incident.flaps) >= times.flapping_after


def _take_segments(incident: Incident, finding: Finding) -> None:
    named = [s for s in (finding.segment, *finding.segments) if s]
    incident.segments = tuple(sorted({*incident.segments, *named}))[:MAX_SEGMENTS]


def _clear(incident: Incident, finding: Finding) -> str:
    ended = [m for m in map(incident.members.get, incident.told_by(finding)) if m and m.state != "cleared"]
    if not ended or incident.state == "resolved":
        return "nothing_to_clear"
    count_money(incident, finding.ts)
    for member in ended:
        member.state, member.since, member.end = "cleared", finding.ts, finding
    if incident.holds("firing"):
        return "others_still_firing"
    if incident.holds("no_data"):
        return _unknown(incident, finding.ts)
    incident.state, incident.unknown_since, incident.clearing_since = "open", None, finding.ts
    return "settling"


def _lose(incident: Incident, finding: Finding) -> str:
    """No data: what fired is unknown now. A series that was cleared before stays cleared, that was evidence."""
    lost = [m for m in map(incident.members.get, incident.told_by(finding)) if m and m.state == "firing"]
    if not lost or incident.state == "resolved":
        return "nothing_lost"
    count_money(incident, finding.ts)
    for member in lost:
        member.state, member.since = "no_data", finding.ts
    return "others_still_firing" if incident.holds("firing") else _unknown(incident, finding.ts)


def data_back(incident: Incident, ts: float) -> str | None:
    """Calls of the workflow arrive again: what was lost counts as firing until it is cleared; None when nothing was."""
    if incident.state == "resolved" or not incident.holds("no_data"):
        return None
    for member in incident.members.values():
        if member.state == "no_data":
            member.state, member.since = "firing", ts
    incident.state, incident.unknown_since, incident.counted_to = "open", None, max(ts, incident.counted_to)
    return "data_back"


def _unknown(incident: Incident, ts: float) -> str:
    incident.state = "unknown"
    incident.unknown_since = incident.unknown_since or ts
    return "no_data"


def count_money(incident: Incident, ts: float) -> None:
    """Add what it cost from ``counted_to`` to ``ts``, at the rate that was known for that time."""
    rate = incident.usd_per_hour
    if rate is None:
        return
    incident.extra_usd = (incident.extra_usd or 0.0) + rate * max(ts - incident.counted_to, 0.0) / 3600
    incident.counted_to = max(ts, incident.counted_to)


def settle(incident: Incident, now: float, times: Lifecycle) -> str | None:
    """Resolve ``incident`` when it stayed good long enough; the reason, or None when nothing happens."""
    if incident.state == "resolved" or incident.clearing_since is None:
        return None
    if now - incident.clearing_since < (times.settle_flapping if incident.flapping else times.settle):
        return None
    incident.state, incident.resolved_at, incident.ended_at = "resolved", now, incident.clearing_since
    return "all_series_cleared"


def close(incident: Incident, by: str, now: float) -> None:
    """Resolve ``incident`` because a person says so."""
    count_money(incident, now)
    incident.state, incident.resolved_at, incident.resolved_by = "resolved", now, by
    incident.ended_at = incident.clearing_since if incident.clearing_since is not None else now
