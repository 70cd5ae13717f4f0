"""Incident: one thing that went wrong in one workflow, with every series that shows it; and its row in the store."""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import TypeAdapter

from driftbell.alerts.impact import Course, Impact
from driftbell.alerts.phrases import phrase
from driftbell.alerts.plain import name
from driftbell.alerts.wording import SEVERITY_ORDER
from driftbell.detectors.finding import Cause, Family, Finding

State = Literal["open", "unknown", "resolved"]
MemberState = Literal["firing", "cleared", "no_data"]
Verdict = Literal["seen", "false_alarm", "new_normal"]
MAX_MEMBERS = 100
MAX_SEGMENTS = 50
CLEARER = 2.0
"""So many times larger must a change be in a segment for the title to speak of the segment."""


def series_key(finding: Finding) -> str:
    """The identity of a finding's series as text."""
    return json.dumps([finding.family, finding.measure, finding.unit, *finding.series], separators=(",", ":"))


@dataclass(slots=True)
class Member:
    """One series of an incident: its latest finding that told of a change, and where it stands since when.

    ``end`` is the finding that cleared it, ``worst`` the farthest level that any finding told of.
    """

    finding: Finding
    state: MemberState
    since: float
    end: Finding | None = None
    worst: float | None = None


@dataclass(slots=True)
class Announced:
    """What the readers were last told: an update is due only when this differs from what is."""

    at: float
    state: State
    severity: str
    segments: tuple[str, ...]
    cause: str
    updates: int = 0
    unknown_at: float | None = None


@dataclass(slots=True)
class Acknowledgement:
    """Who took the incident, when, and what they said of it."""

    by: str
    at: float
    verdict: Verdict


@dataclass(slots=True)
class Incident:
    """The whole record. Times are epoch seconds; ``extra_usd`` is None while no series has a price.

    ``clearing_since`` is set while all series are good again but the incident is not over yet; ``ended_at`` is that
    moment once it is. ``seq`` numbers the events of the incident from 1 (0: nobody was told yet). ``subject`` is the
    title at opening and never changes, so that mail stays in one thread. ``unlisted`` counts series beyond
    `MAX_MEMBERS`. ``severity`` is the worst that any series had. ``told_at`` is when the message reached readers
    that opened it or made it more severe; escalation counts from there. ``told_key`` is the series of the title that
    readers were told last. ``reopened_at`` is when it began again, while it is open again.
    """

    id: str
    workflow: str
    family: Family
    opened_at: float
    started_at: float
    severity: Literal["page", "ticket", "info"]
    state: State = "open"
    members: dict[str, Member] = field(default_factory=dict)
    lead_key: str = ""
    unlisted: int = 0
    segments: tuple[str, ...] = ()
    subject: str = ""
    seq: int = 0
    clearing_since: float | None = None
    unknown_since: float | None = None
    resolved_at: float | None = None
    ended_at: float | None = None
    resolved_by: str | None = None
    flaps: list[float] = field(default_factory=list)
    flapping: bool = False
    reopened: int = 0
    reopened_at: float | None = None
    ack: Acknowledgement | None = None
    told_at: float | None = None
    told_key: str = ""
    escalated: int = 0
    extra_usd: float | None = None
    counted_to: float = 0.0
    announced: Announced | None = None
    previous: int = 0
    impact: Impact = field(default_factory=Impact)
    course: Course | None = None

    @property
    def lead(self) -> Finding:
        """The finding that explains the others: of the incident's family, the metric closest to the cause."""
        return self.members[self.lead_key].finding

    @property
    def headline(self) -> Finding:
        """The finding for the title: where it shows most clearly, as cost per call where money is the matter.

        A segment stands for the whole workflow when the change is at least twice as large in it. What is over is told
        of the series whose change readers were told.
        """
        if self.state == "resolved" and self.told_key in self.members:
            return self.members[self.told_key].finding
        lead = self.lead
        if lead.family == "cost" and lead.metric != "calls":
            paid = [f for f in self._known("cost_per_call", "usd") if f.segment == lead.segment]
            lead = paid[0] if paid else lead
        clearest = max(self._known(lead.metric, lead.unit), key=departure, default=lead)
        return clearest if departure(clearest) > CLEARER * departure(lead) else lead

    def _known(self, metric: str, unit: str) -> list[Finding]:
        """What the incident's own family says of a metric in this unit, where the level is known."""
        found = (member.finding for member in self.members.values())
        about = (self.family, metric, unit)
        return [f for f in found if (f.family, f.metric, f.unit) == about and f.observed is not None]

    @property
    def usd_per_hour(self) -> float | None:
        """What it costs per hour now: the largest of the firing series, which all price the same money.

        Where none has a price, what the calls themselves tell.
        """
        firing = [m.finding for m in self.members.values() if m.state == "firing"]
        rates = [f.usd_per_hour for f in firing]
        if firing and not any(rates):
            rates.append(self.impact.usd_per_hour)
        return max((rate for rate in rates if rate is not None), default=None)

    def told_by(self, finding: Finding) -> list[str]:
        """The members that a finding of an end or of missing data speaks of, by key.

        One that names its measure speaks of that series alone; else of the metric in its segment and risk tier,
        whatever statistic of it fired. Silence of a workflow and what its calls show are kept apart.
        """
        if finding.measure:
            return [key for key in (series_key(finding),) if key in self.members]
        about = (finding.metric, finding.segment, finding.risk_tier, finding.family == "silent")
        return [
            key
            for key, member in self.members.items()
            if about
            == (
                member.finding.metric,
                member.finding.segment,
                member.finding.risk_tier,
                member.finding.family == "silent",
            )
        ]

    def put(self, finding: Finding, since: float) -> None:
        """Set the member of the finding's series to firing, and choose the lead anew."""
        key = series_key(finding)
        known = self.members.get(key)
        levels = [level for level in (finding.observed, known.worst if known else None) if level is not None]
        worst = max(levels, key=lambda level: level * finding.direction, default=None)
        self.members[key] = Member(finding, "firing", since, worst=worst)
        self.lead_key = series_key(leading([m.finding for m in self.members.values()], self.family))

    def holds(self, state: MemberState) -> bool:
        """Whether any series is in ``state``."""
        return any(member.state == state for member in self.members.values())


def departure(finding: Finding) -> float:
    """How far the observed level is from the usual, to compare slices of one metric; 0.0 when that is not known."""
    if finding.observed is None or finding.usual is None:
        return 0.0
    if finding.unit in {"share", "score"} or min(finding.observed, finding.usual) <= 0:
        return abs(finding.observed - finding.usual)
    return abs(math.log(finding.observed / finding.usual))


def leading(findings: list[Finding], family: str) -> Finding:
    """The finding that explains the others.

    A finding of the family that knows its level comes first, then one with a likely cause, the metric nearest to the
    cause, the whole workflow before a segment unless only segments show it, the strongest evidence, the oldest.
    """
    return min(
        findings,
        key=lambda f: (
            f.family != family,
            f.observed is None,
            f.cause.confidence != "likely",
            phrase(f).rank,
            f.segment is not None,
            -f.log_evidence,
            f.started_at,
            series_key(f),
        ),
    )


def worse(one: str, other: str) -> bool:
    """Whether severity ``one`` ranks above ``other``."""
    return SEVERITY_ORDER.index(one) > SEVERITY_ORDER.index(other)


def bounded(finding: Finding) -> Finding:
    """``finding`` with names of bounded length and without numbers that are no numbers (they become None)."""
    cause = finding.cause
    return replace(
        finding,
        workflow=name(finding.workflow),
        segment=_name(finding.segment),
        risk_tier=_name(finding.risk_tier),
        owner=_name(finding.owner),
        observed=_finite(finding.observed),
        usual=_finite(finding.usual),
        usd_per_hour=_finite(finding.usd_per_hour),
        calls_per_hour=_finite(finding.calls_per_hour),
        log_evidence=_finite(finding.log_evidence) or 0.0,
        interval=finding.interval
        if finding.interval and math.isfinite(finding.interval.low + finding.interval.high)
        else None,
        segments=tuple(name(s) for s in finding.segments[:MAX_SEGMENTS]),
        related=finding.related[:20],
        cause=Cause(
            keys={name(k): name(v) for k, v in list(cause.keys.items())[:8]},
            confidence=cause.confidence,
            share=_finite(cause.share),
            text=name(cause.text),
            evidence=tuple(name(e) for e in cause.evidence[:3]),
            ruled_out=tuple(name(r) for r in cause.ruled_out[:8]),
            parts={name(k): v for k, v in list(cause.parts.items())[:12] if math.isfinite(v)},
            marker_at=_finite(cause.marker_at),
            marker=_name(cause.marker),
        ),
    )


def _name(text: str | None) -> str | None:
    return None if text is None else name(text)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_INCIDENT = TypeAdapter(Incident)


def encode(incident: Incident) -> str:
    """The record as JSON, the form of the column ``body``."""
    return _INCIDENT.dump_json(incident).decode()


def decode(body: str) -> Incident:
    """Inverse of `encode`."""
    return _INCIDENT.validate_json(body)
