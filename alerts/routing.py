"""Who is told: owner, severity, maintenance, silences and quiet hours in, channels with a named reason out. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from driftbell.alerts.record import Incident
from driftbell.alerts.settings import DAYS, AlertSettings, PagerDutySection, QuietHours
from driftbell.alerts.wording import duration, moment

NOBODY = "nobody: no route with a channel takes it"


@dataclass(frozen=True, slots=True)
class Silence:
    """What not to hear of until ``ends_at``; fields that are None take everything.

    Names of workflows and segments may use ``*`` and ``?``, as in routes.
    """

    id: str
    workflow: str | None
    family: str | None
    segment: str | None
    incident_id: str | None
    starts_at: float
    ends_at: float
    made_by: str
    reason: str

    def takes(self, incident: Incident, now: float) -> bool:
        """Whether it keeps ``incident`` quiet at ``now``."""
        return (
            self.starts_at <= now < self.ends_at
            and _names(self.workflow, incident.workflow)
            and self.family in {None, incident.family}
            and self.incident_id in {None, incident.id}
            and (self.segment is None or (bool(incident.segments) and self._takes_segments(incident)))
        )

    def _takes_segments(self, incident: Incident) -> bool:
        return all(_names(self.segment, segment) for segment in incident.segments)


def _names(pattern: str | None, name: str) -> bool:
    return pattern is None or pattern == name or fnmatchcase(name, pattern)


@dataclass(frozen=True, slots=True)
class Receiver:
    """One channel that gets the message, from ``due_at`` on, because of ``reason`` (names the route).

    ``withheld``: it is named by the route but gets nothing, and the reason says why.
    """

    channel: str
    due_at: float
    reason: str
    withheld: bool = False


def facts(incident: Incident) -> dict[str, tuple[str, ...]]:
    """What a route can match; segments and risk tiers are those of all its series."""
    findings = [member.finding for member in incident.members.values()]
    lead = incident.lead
    return {
        "owner": (lead.owner,) if lead.owner else (),
        "workflow": (incident.workflow,),
        "family": (incident.family,),
        "severity": (incident.severity,),
        "risk_tier": tuple(sorted({f.risk_tier for f in findings if f.risk_tier})),
        "segment": incident.segments,
    }


def muted(incident: Incident, now: float, settings: AlertSettings, silences: Iterable[Silence]) -> str | None:
    """Why nobody is to be told of ``incident`` now, or None."""
    known = facts(incident)
    for window in settings.maintenance:
        if window.start <= now < window.end and window.match.takes(known, every=True):
            return "maintenance"
    return next((f"silenced:{s.id}" for s in silences if s.takes(incident, now)), None)


def receivers(incident: Incident, now: float, settings: AlertSettings) -> list[Receiver]:
    """The channels of the first matching route (and of those that it goes on to), each once."""
    known, found = facts(incident), dict[str, Receiver]()
    for index, route in enumerate(settings.routes):
        if not route.match.takes(known):
            continue
        label = route.name or f"routes[{index}]"
        for channel in route.channels:
            if channel not in found:
                found[channel] = _receiver(channel, label, incident.severity, now, settings)
        if not route.go_on:
            break
    return _not_through_itself(list(found.values()), incident, settings, now)


def _receiver(channel: str, label: str, severity: str, now: float, settings: AlertSettings) -> Receiver:
    section = settings.channels[channel]
    if isinstance(section, PagerDutySection) and severity not in section.severities:
        return Receiver(channel, now, f"{label}, takes only {' and '.join(section.severities)}", withheld=True)
    until = quiet_until(severity, now, settings)
    return Receiver(channel, until or now, f"{label}{', held for quiet hours' if until else ''}")


def _not_through_itself(
    found: list[Receiver], incident: Incident, settings: AlertSettings, now: float
) -> list[Receiver]:
    """Of a broken channel every other way is told: the routed ones, else its fallback, else any other channel."""
    broken = incident.lead.segment if incident.lead.metric == "delivery" else None
    if broken is None or broken not in settings.channels:
        return found
    others = [receiver for receiver in found if receiver.channel != broken]
    if others:
        return others
    fallback = settings.channels[broken].fallback or next((c for c in settings.channels if c != broken), None)
    return [Receiver(fallback, now, f"instead of {broken}")] if fallback else []


def quiet_until(severity: str, now: float, settings: AlertSettings) -> float | None:
    """When the quiet hours that hold messages of ``severity`` at ``now`` end; None outside of them."""
    ends = [_end(hours, now, hours.timezone or settings.timezone) for hours in settings.quiet_hours
            if severity in hours.severities]  # fmt: skip
    return max((end for end in ends if end is not None), default=None)


def _end(hours: QuietHours, now: float, zone: str) -> float | None:
    """The end of the stretch of quiet hours around ``now``; a stretch belongs to the day on which it starts."""
    here = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(zone))
    for back in (0, 1):
        day = here.date() - timedelta(days=back)
        if DAYS[day.weekday()] not in hours.days:
            continue
        start = datetime.combine(day, hours.start, ZoneInfo(zone))
        last = day if hours.end > hours.start else day + timedelta(days=1)
        end = datetime.combine(last, hours.end, ZoneInfo(zone))
        if start.timestamp() <= now < end.timestamp():
            return end.timestamp()
    return None


def passed_over(incident: Incident, settings: AlertSettings) -> list[str]:
    """The routes before the one that decides and why each is not taken, as lines for a person."""
    known, lines = facts(incident), []
    for index, route in enumerate(settings.routes):
        missed = route.match.misses(known)
        if missed is not None:
            is_value = ", ".join(known[missed]) or "none"
            wanted = " or ".join(route.match.given()[missed])
            lines.append(f"{route.name or f'routes[{index}]'}: passed over, {missed} is {is_value} and not {wanted}")
        elif not route.go_on:
            break
    return lines


def dry_run(incident: Incident, now: float, settings: AlertSettings, silences: Iterable[Silence] = ()) -> list[str]:
    """Who would be told of ``incident`` at ``now``, when and why, as lines for a person."""
    if quiet := muted(incident, now, settings, silences):
        return [f"nobody: {quiet}"]
    found = receivers(incident, now, settings)
    if not found:
        return [f"{NOBODY}; it stays in the store"]
    lines = [
        f"{r.channel}: not sent ({r.reason})"
        if r.withheld
        else f"{r.channel}: {'now' if r.due_at <= now else moment(r.due_at, settings.timezone)}"
        f" ({r.reason})" + (f"; {backup} if it fails" if (backup := settings.channels[r.channel].fallback) else "")
        for r in found
    ]
    for step in settings.escalation:
        if incident.severity in step.severities:
            lines.append(f"{', '.join(step.channels)}: after {duration(step.after)} if nobody acknowledges")
    return lines


def takes(kind: str, transition: str) -> bool:
    """Whether channels of ``kind`` have a use for ``transition``; nobody gets mail because someone acknowledged."""
    if transition == "acknowledged":
        return kind in {"pagerduty", "slack", "webhook"}
    return transition != "change" or kind == "pagerduty"
