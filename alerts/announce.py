"""When readers are told something: one pure decision with a named reason, from what is and what they know."""

from dataclasses import dataclass
from typing import Literal

from driftbell.alerts.record import Announced, Incident, worse
from driftbell.alerts.settings import Lifecycle

Transition = Literal["opened", "updated", "resolved", "unknown", "acknowledged", "escalated", "change", "test"]
DAY = 86_400.0
MAX_DOUBLINGS = 7


@dataclass(frozen=True, slots=True)
class Announcement:
    """What to tell (``transition``, None for nothing now) and why."""

    transition: Transition | None
    reason: str


def cause_of(incident: Incident) -> str:
    """The cause as it is compared: its keys and how sure it is, not its wording."""
    cause = incident.lead.cause
    return "|".join([cause.confidence, *(f"{k}={v}" for k, v in sorted(cause.keys.items()))])


def place(incident: Incident) -> tuple[str, ...]:
    """Where it shows, as it is compared: the segments, or nothing once the whole workflow shows it.

    A segment that follows the whole workflow is no news; that a second one or all of it follows one segment is.
    Metrics of other families that moved along do not count.
    """
    own = [m.finding for m in incident.members.values() if m.finding.family == incident.family]
    if any(finding.segment is None and not finding.segments for finding in own):
        return ()
    return tuple(sorted({s for f in own for s in (f.segment, *f.segments) if s}))


def snapshot(incident: Incident, now: float) -> Announced:
    """What readers know once the present state was told."""
    known = incident.announced
    return Announced(
        at=now,
        state=incident.state,
        severity=incident.severity,
        segments=place(incident),
        cause=cause_of(incident),
        updates=(known.updates + 1) if known and known.state != "resolved" else 0,
        unknown_at=now if incident.state == "unknown" else (known.unknown_at if known else None),
    )


def decide(incident: Incident, now: float, muted: str | None, times: Lifecycle) -> Announcement:
    """What the readers of ``incident`` must be told at ``now``; ``muted`` names why it is to be kept quiet.

    A resolution is told to everyone who was told of the opening, muted or not: it closes what they have open.
    """
    known = incident.announced
    if incident.state == "resolved":
        if known is None:
            return Announcement(None, "over_before_it_was_told")
        if known.state == "resolved":
            return Announcement(None, "told_already")
        return Announcement("resolved", "closed_by_person" if incident.resolved_by else "all_series_cleared")
    if muted:
        return Announcement(None, muted)
    if known is None or known.state == "resolved":
        return _opening(incident, known is not None)
    if incident.state == "unknown":
        return _cannot_tell(known, now)
    if known.state == "unknown" and incident.clearing_since is None:
        return Announcement("updated", "data_back")
    return _update(incident, known, now, times)


def _opening(incident: Incident, again: bool) -> Announcement:
    if incident.clearing_since is not None:
        return Announcement(None, "settling")
    if incident.state == "unknown":
        return Announcement(None, "no_data_before_it_was_told")
    return Announcement("opened", "reopened" if again else "new_incident")


def _cannot_tell(known: Announced, now: float) -> Announcement:
    if known.state == "unknown":
        return Announcement(None, "told_already")
    if known.unknown_at is not None and now - known.unknown_at < DAY:
        return Announcement(None, "told_within_a_day")
    return Announcement("unknown", "no_data")


def _update(incident: Incident, known: Announced, now: float, times: Lifecycle) -> Announcement:
    reason = _difference(incident, known)
    if reason is None:
        return Announcement(None, "settling" if incident.clearing_since is not None else "nothing_new")
    if reason == "severity_raised":
        return Announcement("updated", reason)
    # Each update makes the next one wait twice as long, so that a wavering cause cannot chatter.
    wait = times.update_every * 2 ** min(known.updates, MAX_DOUBLINGS)
    return Announcement(None, "too_soon") if now - known.at < wait else Announcement("updated", reason)


def _difference(incident: Incident, known: Announced) -> str | None:
    if worse(incident.severity, known.severity):
        return "severity_raised"
    if (now_at := place(incident)) != known.segments:
        if not now_at:
            return "spread_to_the_workflow"
        return "more_segments" if set(known.segments) < set(now_at) and known.segments else "segments_named"
    return "cause_changed" if cause_of(incident) != known.cause else None
