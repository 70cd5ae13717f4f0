"""Which incident a finding belongs to: pure decisions, each with its reason."""

from driftbell.alerts.record import Incident, series_key
from driftbell.alerts.settings import Lifecycle
from driftbell.detectors.finding import Finding

ALONE = frozenset({"silent", "instrument"})
"""Families that say something of the whole workflow or of the instruments, and never explain another family."""
_NAMES_A_CHANGE = ("model", "prompt_version", "user_id", "source")


def belongs(finding: Finding, incident: Incident, times: Lifecycle) -> str | None:
    """Why ``finding`` is part of ``incident``, or None when it is not.

    The same series while the incident lives, or again within ``reopen_within`` of its end unless a person closed it;
    the same named cause while it lives; or a start at the same time with nothing that speaks against one cause.
    Where only one of the two names a change, or the families differ, "the same time" is the narrower window.
    """
    if finding.workflow != incident.workflow:
        return None
    if series_key(finding) in incident.members:
        return _same_series(finding, incident, times)
    if incident.state == "resolved" or incident.clearing_since is not None:
        return None
    if finding.family != incident.family and ALONE & {finding.family, incident.family}:
        return None
    if finding.family in ALONE:
        return "same_fault" if _same_fault(finding, incident, times) else None
    mine, theirs = _keys(finding), _keys(incident.lead)
    if any(mine[key] != theirs[key] for key in mine.keys() & theirs.keys() if key in _NAMES_A_CHANGE):
        return None
    if any(mine.get(key) == theirs.get(key) is not None for key in _NAMES_A_CHANGE):
        return "same_cause"
    alike = finding.family == incident.family and any(k in mine for k in _NAMES_A_CHANGE) == any(
        k in theirs for k in _NAMES_A_CHANGE
    )
    window = times.group_within if alike else times.group_across_families
    if abs(finding.started_at - incident.started_at) <= window:
        return "started_together"
    return None


def _same_fault(finding: Finding, incident: Incident, times: Lifecycle) -> bool:
    """Whether one broken instrument shows in both: in one slice, or in what moved with it or is part of it."""
    lead = incident.lead
    alike = finding.metric == lead.metric
    if alike and (finding.family == "silent" or finding.segment == lead.segment):
        return True
    if abs(finding.started_at - incident.started_at) > times.group_within:
        return False
    told = {member.finding.metric for member in incident.members.values()}
    return bool(told.intersection(finding.related)) or (alike and lead.segment is None)


def _same_series(finding: Finding, incident: Incident, times: Lifecycle) -> str | None:
    if incident.state != "resolved":
        return "same_series"
    if incident.resolved_by is not None:
        # A person closed it. What still fires is what they know of; a new alarm is a new incident.
        return "closed_by_person" if finding.transition != "fired" else None
    ended = incident.ended_at if incident.ended_at is not None else incident.opened_at
    return "reopened" if finding.ts - ended <= times.reopen_within else None


def _keys(finding: Finding) -> dict[str, str]:
    return {key: value for key, value in finding.cause.keys.items() if value}
