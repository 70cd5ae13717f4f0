"""Message: the facts that readers are told, frozen when the incident changed; each channel gives them its own form."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from driftbell.alerts.announce import Transition
from driftbell.alerts.phrases import METRICS, cause_words, named, phrase
from driftbell.alerts.plain import plain, shorten
from driftbell.alerts.record import Incident, series_key
from driftbell.alerts.settings import AlertSettings
from driftbell.alerts.wording import SEVERITY_WORDS, change, percent, quantity, signed_money
from driftbell.detectors.finding import Finding

TITLE_LENGTH = 86
"""Leaves room for the longest state in front of it: the whole headline has at most 100 characters."""
MAX_LISTED = 8
NOT_FOUND = "Cause not found."
_ALL_SEGMENTS = "segment: all moved alike"
"""What the detectors rule out of the whole workflow; of a change that one segment shows it would be a contradiction."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one event of one incident says. All texts are plain, one line and bounded; times are epoch seconds.

    ``event_id`` is ``{incident_id}.{seq}`` and stays the same over every attempt and channel. ``noun`` is what the
    metric of the title is called; ``usual`` and ``observed`` are written with their unit. ``others`` says of the other
    series that they moved too, ready to read. ``again_since`` is where it began again, after it had been over.
    ``rule`` is the configured limit, budget or objective that is broken; it is no cause. ``calls_share`` is the part
    of the workflow's calls that lie where it shows, ``trace_ids`` are calls that carry it. At the end, ``peak`` is the
    worst level, ``calls_seen`` the calls meanwhile, ``back_to`` the level now, ``over`` what became of it in a few
    words, and ``ended_with`` the purposeful change that came just before.
    """

    event_id: str
    incident_id: str
    seq: int
    dedup_key: str
    transition: Transition
    reason: str
    severity: Literal["page", "ticket", "info"]
    family: str
    workflow: str
    metric: str
    noun: str
    title: str
    subject: str
    at: float
    started_at: float
    opened_at: float
    state: str = "open"
    segment: str | None = None
    segments: tuple[str, ...] = ()
    risk_tier: str | None = None
    observed: str | None = None
    usual: str | None = None
    observed_value: float | None = None
    usual_value: float | None = None
    unit: str = ""
    change: str = ""
    sample_n: int = 0
    usd_per_hour: float | None = None
    extra_usd: float | None = None
    calls_per_hour: float | None = None
    calls_share: float | None = None
    cause: str = ""
    rule: str = ""
    confidence: str = "unknown"
    cause_share: float | None = None
    cause_keys: dict[str, str] | None = None
    evidence: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
    marker: str | None = None
    marker_at: float | None = None
    others: tuple[str, ...] = ()
    users: str = ""
    action: str = ""
    owner: str | None = None
    runbook: str | None = None
    previous: int = 0
    reopened: int = 0
    again_since: float | None = None
    flapping: bool = False
    ended_at: float | None = None
    calls_seen: int = 0
    peak: str | None = None
    peak_at: float | None = None
    back_to: str | None = None
    over: str = ""
    ended_with: str | None = None
    unknown_since: float | None = None
    closed_by: str | None = None
    acknowledged_by: str | None = None
    note: str = ""

    @property
    def is_about_us(self) -> bool:
        """Whether it tells of the alerting itself, not of a workflow."""
        return self.metric in {"delivery", "storm"}

    @property
    def is_end(self) -> bool:
        """Whether the incident is over with this message."""
        return self.transition == "resolved"


_MESSAGE = TypeAdapter(Message)


def encode(message: Message) -> str:
    """The message as JSON, the form in which the outbox keeps it."""
    return _MESSAGE.dump_json(message).decode()


def decode(text: str) -> Message:
    """Inverse of `encode`."""
    return _MESSAGE.validate_json(text)


def title(workflow: str, finding: Finding) -> str:
    """``claims-triage: cost per call up 62% (3.2c -> 5.3c), +$22/hour`` in at most `TITLE_LENGTH` characters.

    What does not fit goes in this order: money, from and to, the end of the workflow's name.
    """
    head, span = _head(finding), _span(finding)
    cost = f", {signed_money(finding.usd_per_hour)}/hour" if finding.usd_per_hour else ""
    where = plain(workflow, TITLE_LENGTH)
    for tail in (head + span + cost, head + span, head):
        if len(where) + 2 + len(tail) <= TITLE_LENGTH:
            return f"{where}: {tail}"
    head = shorten(head, TITLE_LENGTH // 2)
    return f"{plain(workflow, TITLE_LENGTH - 2 - len(head))}: {head}"


def subject(incident: Incident) -> str:
    """What mail of the incident is called for all its life: the severity and title at its opening."""
    return f"[{SEVERITY_WORDS[incident.severity]}] {title(incident.workflow, incident.headline)}"


def told_title(incident: Incident) -> str:
    """The title by which readers know ``incident``: of one that is over what they were told, else how it stands."""
    known = incident.subject.partition("] ")[2] if incident.state == "resolved" else ""
    return known or title(incident.workflow, incident.headline)


def _head(finding: Finding) -> str:
    """What moved and how far: ``cost per call up 62%``, or ``response time p95 over 5.0 s`` where a limit was set."""
    bound = finding.bound
    if bound is None:
        size = _moved(finding)
        if size.endswith("times"):
            return f"{phrase(finding).noun} at {size} the usual"
        return f"{phrase(finding).words(finding.direction)} {size}".rstrip()
    words = (phrase(finding).noun, bound.of, "over" if finding.direction > 0 else "under")
    return f"{' '.join(word for word in words if word)} {quantity(bound.value, finding.unit)}"


def _moved(finding: Finding) -> str:
    if finding.observed is None or finding.usual is None or finding.family == "silent":
        return ""
    return change(finding.observed, finding.usual, finding.unit)


def _span(finding: Finding) -> str:
    if finding.metric == "delivery" and finding.segment:
        return f": {plain(finding.segment, 60)}"
    if finding.bound is not None and finding.observed is not None:
        return f" ({quantity(finding.observed, finding.unit)})"
    if finding.usual is None:
        return ""
    usual = quantity(finding.usual, finding.unit)
    if finding.family == "silent":
        return f" (usual {usual})"
    return "" if finding.observed is None else f" ({usual} -> {quantity(finding.observed, finding.unit)})"


def build(incident: Incident, transition: Transition, reason: str, now: float, settings: AlertSettings) -> Message:
    """The message for an event of ``incident`` that happens at ``now``; ``incident.seq`` is its number."""
    lead, head = incident.lead, incident.headline
    cause = lead.cause
    return Message(
        event_id=f"{incident.id}.{incident.seq}",
        incident_id=incident.id,
        seq=incident.seq,
        dedup_key=dedup_key(incident, settings),
        transition=transition,
        reason=plain(reason),
        severity=incident.severity,
        family=incident.family,
        workflow=plain(incident.workflow),
        metric=plain(lead.metric),
        noun=phrase(head).noun,
        title=title(incident.workflow, head),
        subject=incident.subject,
        at=now,
        started_at=incident.started_at,
        opened_at=incident.opened_at,
        state=incident.state,
        segment=plain(head.segment) if head.segment else None,
        segments=tuple(plain(s, 60) for s in incident.segments[:MAX_LISTED]),
        risk_tier=plain(lead.risk_tier) if lead.risk_tier else None,
        observed=None if head.observed is None else quantity(head.observed, head.unit),
        usual=None if head.usual is None else quantity(head.usual, head.unit),
        observed_value=head.observed,
        usual_value=head.usual,
        unit=head.unit,
        change=_moved(head),
        sample_n=head.n,
        usd_per_hour=incident.usd_per_hour,
        extra_usd=incident.extra_usd,
        calls_per_hour=head.calls_per_hour,
        calls_share=incident.impact.share,
        cause=plain(NOT_FOUND if _is_rule(lead) else cause_words(lead), 240),
        rule=plain(cause.text, 240) if _is_rule(lead) else "",
        confidence=cause.confidence,
        cause_share=cause.share,
        cause_keys={plain(k, 40): plain(v, 80) for k, v in cause.keys.items()},
        evidence=tuple(plain(e, 160) for e in cause.evidence),
        trace_ids=tuple(plain(trace, 64) for trace in incident.impact.trace_ids),
        ruled_out=tuple(plain(r, 60) for r in cause.ruled_out if not (head.segment and r.startswith(_ALL_SEGMENTS))),
        marker=plain(cause.marker) if cause.marker else None,
        marker_at=cause.marker_at,
        others=_others(incident, head),
        users=_users(incident),
        action=_action(lead),
        owner=plain(lead.owner) if lead.owner else None,
        runbook=_runbook(incident, settings),
        previous=incident.previous,
        reopened=incident.reopened,
        again_since=incident.reopened_at,
        flapping=incident.flapping,
        ended_at=incident.ended_at,
        calls_seen=incident.course.calls if incident.course else 0,
        peak=_peak(incident, head),
        peak_at=_peak_at(incident, head),
        back_to=_back_to(incident, head),
        over=_over(head, _back_to(incident, head)),
        ended_with=_ended_with(incident),
        unknown_since=incident.unknown_since,
        closed_by=plain(incident.resolved_by) if incident.resolved_by else None,
        acknowledged_by=plain(incident.ack.by) if incident.ack else None,
    )


def dedup_key(incident: Incident, settings: AlertSettings) -> str:
    """What receivers group by; nothing in it changes during an incident, and no two incidents share it."""
    return f"driftbell/{settings.environment}/{plain(incident.workflow, 80)}/{incident.family}/{incident.id}"


def _peak(incident: Incident, head: Finding) -> str | None:
    """The worst level of the title's series, as the calls tell it, and no better than any that readers were told."""
    peak, told = incident.course.peak if incident.course else None, _worst_told(incident, head)
    if peak is None and told == head.observed:
        return None
    levels = [level for level in (peak, told) if level is not None]
    return quantity(max(levels, key=lambda level: level * head.direction), head.unit) if levels else None


def _peak_at(incident: Incident, head: Finding) -> float | None:
    """When the worst level was, where the calls tell it."""
    course, told = incident.course, _worst_told(incident, head)
    if course is None or course.peak is None or (told is not None and (told - course.peak) * head.direction > 0):
        return None
    return course.peak_at


def _worst_told(incident: Incident, head: Finding) -> float | None:
    return incident.members[series_key(head)].worst


def _is_rule(lead: Finding) -> bool:
    """Whether its text tells of a configured rule and not of a cause."""
    return lead.bound is not None and lead.cause.confidence == "unknown" and lead.metric not in {"delivery", "storm"}


def _back_to(incident: Incident, head: Finding) -> str | None:
    """The level of the title's series after the end, as the calls or else the finding that cleared it tell it.

    None where it is no better than the alarm: what is usual at that hour may be more than what rang at another one.
    """
    end = incident.members[series_key(head)].end
    last = incident.course.last if incident.course is not None else None
    level = end.observed if last is None and end is not None else last
    if level is None or (head.observed is not None and (level - head.observed) * head.direction >= 0):
        return None
    return quantity(level, head.unit)


def _over(head: Finding, level: str | None) -> str:
    """What the end is called: ``cost per call back to 3.2c``, ``response time p95 back under 5.0 s``, ..."""
    words = phrase(head)
    opposite = words.down if head.direction > 0 else words.up
    if opposite not in {"up", "down"}:
        return f"{words.noun} {opposite}"
    if head.bound is None:
        return f"{words.noun} back to {level or 'usual'}"
    side = "under" if head.direction > 0 else "over"
    named = " ".join(word for word in (words.noun, head.bound.of) if word)
    return f"{named} back {side} {quantity(head.bound.value, head.unit)}"


def _ended_with(incident: Incident) -> str | None:
    """What was changed on purpose just before the end, as the clearing findings know it."""
    ends = (member.end.cause for member in incident.members.values() if member.end is not None)
    return next((plain(c.marker) for c in ends if c.marker and (c.marker_at or 0.0) > incident.started_at), None)


def _others(incident: Incident, head: Finding) -> tuple[str, ...]:
    """The other metrics that moved: ``response time up 40% (2.1 s -> 2.9 s)``, each metric once."""
    lines: dict[str, str] = {}
    for member in incident.members.values():
        f = member.finding
        if f.metric != head.metric and f.metric not in lines:
            lines[f.metric] = _head(f) + _span(f)
    along = [named(metric).noun for metric in head.related if metric != head.metric and metric not in lines]
    said = [*list(lines.values())[:MAX_LISTED], *([f"{' and '.join(along[:MAX_LISTED])} moved too"] if along else [])]
    return tuple(plain(line, 120) for line in said)


def _users(incident: Incident) -> str:
    """Whom it touches and what they notice of it: families other than cost that moved, or that none of them did."""
    if incident.family in {"silent", "instrument"}:
        return ""
    share = incident.impact.share
    noticed = {m.finding.metric: m.finding for m in incident.members.values() if m.finding.family != "cost"}
    if noticed:
        return max((_affected(f, share) for f in noticed.values()), default=(0.0, ""))[1]
    related = [metric for metric in incident.lead.related if metric in METRICS and not METRICS[metric].is_money]
    unseen = "" if related else "no effect seen on quality, reliability or use"
    return "; ".join(part for part in (_affected(incident.headline, share)[1], unseen) if part)


def _affected(finding: Finding, share: float | None) -> tuple[float, str]:
    """How many calls an hour it touches, and which part of all: of a share those beyond the usual."""
    calls, more = finding.calls_per_hour or 0.0, ""
    if finding.unit == "share" and finding.observed is not None and finding.usual is not None:
        beyond = abs(finding.observed - finding.usual)
        calls, share, more = calls * beyond, None if share is None else share * beyond, " beyond the usual"
    if calls < 1 or finding.metric == "calls":
        return 0.0, ""
    part = "" if share is None else ", all of them" if share > 0.995 else f", {percent(share)} of all"
    return calls, f"about {calls:,.0f} calls an hour{more}{part}"


def _action(lead: Finding) -> str:
    """The first thing to do: what the cause asks for, else what the metric asks for."""
    keys = lead.cause.keys
    sure = lead.cause.confidence == "likely" and lead.family != "instrument"
    if sure and "prompt_version" in keys:
        return f"go back to the prompt before {plain(keys['prompt_version'], 40)}"
    if sure and "model" in keys:
        return f"go back to the model before {plain(keys['model'], 60)}"
    if sure and "user_id" in keys:
        return f"limit or stop user {plain(keys['user_id'], 40)}, then ask what is looping"
    return phrase(lead).action


def _runbook(incident: Incident, settings: AlertSettings) -> str | None:
    books = settings.links.runbooks
    return books.get(incident.workflow) or books.get(incident.family) or books.get("*")
