"""One transaction's work on incidents: loads them, brings findings home, tells readers, saves what changed."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Literal

from sqlite_utils import Database

from driftbell.alerts import history, lifecycle, notification
from driftbell.alerts.announce import Transition, decide, snapshot
from driftbell.alerts.grouping import belongs
from driftbell.alerts.history import Note
from driftbell.alerts.impact import BLIND, Look
from driftbell.alerts.message import Message, build, subject
from driftbell.alerts.record import Incident, series_key, worse
from driftbell.alerts.routing import Receiver, muted, quiet_until, receivers, takes
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Bound, Finding

OURSELVES = "driftbell"
"""The workflow of incidents about the alerting itself."""
STORM_WINDOW = 3600.0
MAX_LOOKS = 20
"""Incidents of one cycle that the calls are asked about."""


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """What became of one incident in a cycle, and the named reason. ``incident`` is its state after the cycle."""

    incident: Incident
    transition: Literal["opened", "reopened", "updated", "unknown", "resolved"]
    reason: str


class Cycle:
    """The incidents that one transaction works on, in memory until `save`."""

    def __init__(
        self, tx: Database, now: float, config: AlertSettings, workflows: set[str], look: Look = BLIND
    ) -> None:
        self.tx, self.now, self.config, self.look, self.looks = tx, now, config, look, 0
        self.changes: list[IncidentChange] = []
        self.silences = history.silences(tx, now)
        self.incidents = history.load_around(tx, workflows | {OURSELVES}, now, config.lifecycle.reopen_within)
        self.of_workflow: dict[str, list[Incident]] = defaultdict(list)
        for incident in self.incidents.values():
            self.of_workflow[incident.workflow].append(incident)
        self.touched: set[str] = set()
        self.notes: dict[tuple[str, str, str, str | None], Note] = {}
        self.withheld: Counter[str] = Counter()
        self.openings: dict[str, int] = {}

    def take(self, finding: Finding) -> None:
        """Bring ``finding`` to the incident that it belongs to, or open one; an end concerns all that hold it."""
        if finding.transition in {"cleared", "no_data"}:
            for incident in self.of_workflow[finding.workflow]:
                if incident.told_by(finding):
                    self._absorb(incident, finding, "same_series")
            if finding.family == "silent" and finding.transition == "cleared":
                self._calls_are_back(finding)
            return
        priced = self._by_money(finding)
        home, why = self._home(priced)
        if home is None:
            home = self._open(priced)
        else:
            self._absorb(home, priced, why)
        if home is not None and priced is not finding:
            self.note(home, finding.ts, "finding", "too_cheap_to_page")

    def _by_money(self, finding: Finding) -> Finding:
        """``finding`` as a ticket where it is known to cost too little to wake somebody."""
        usd, least = finding.usd_per_hour, self.config.lifecycle.page_from_usd_per_day
        if finding.family != "cost" or finding.severity != "page" or usd is None or usd * 24 >= least:
            return finding
        return replace(finding, severity="ticket")

    def _absorb(self, incident: Incident, finding: Finding, why: str) -> None:
        before = incident.state
        reason = lifecycle.absorb(incident, finding, self.config.lifecycle)
        if not reason.startswith("nothing_"):
            self.note(incident, finding.ts, "finding", reason if why == "same_series" else why)
        if reason == "reopened":
            self.changes.append(IncidentChange(incident, "reopened", reason))
        elif incident.state == "unknown" != before:
            self.changes.append(IncidentChange(incident, "unknown", reason))

    def _calls_are_back(self, finding: Finding) -> None:
        for incident in self.of_workflow[finding.workflow]:
            if reason := lifecycle.data_back(incident, finding.ts):
                self.note(incident, finding.ts, "finding", reason)

    def _home(self, finding: Finding) -> tuple[Incident | None, str]:
        """The incident that ``finding`` is part of: one that holds its series before one that shares its cause."""
        order = ("same_series", "reopened", "closed_by_person", "same_cause", "same_fault", "started_together")
        found = [
            (order.index(why), -incident.opened_at, incident.id, incident, why)
            for incident in self.of_workflow[finding.workflow]
            if (why := belongs(finding, incident, self.config.lifecycle)) is not None
        ]
        if not found:
            return None, "nothing_alike"
        *_, incident, why = min(found, key=lambda item: item[:3])
        return incident, why

    def _open(self, finding: Finding) -> Incident | None:
        seen, previous = history.earlier(self.tx, finding.workflow, finding.family)
        incident = lifecycle.new_incident(finding, previous)
        if incident.id in self.incidents or incident.id in seen:
            return None
        lifecycle.absorb(incident, finding, self.config.lifecycle)
        self.incidents[incident.id] = incident
        self.of_workflow[incident.workflow].append(incident)
        self.note(incident, finding.ts, "finding", "opened")
        self.changes.append(IncidentChange(incident, "opened", "nothing_alike"))
        return incident

    def settle(self) -> None:
        """Resolve what stayed good long enough."""
        for incident in self.incidents.values():
            reason = lifecycle.settle(incident, self.now, self.config.lifecycle)
            if reason:
                self.note(incident, self.now, "state", reason)
                self.changes.append(IncidentChange(incident, "resolved", reason))

    def tell(self) -> None:
        """Announce what is due, the worst first; what a storm holds back is told in one incident of its own."""
        ranked = sorted(self.incidents.values(), key=_worst_first)
        for incident in ranked:
            self.announce(incident)
        for finding in self._storm_findings():
            self.take(finding)
        for incident in self.of_workflow[OURSELVES]:
            self.announce(incident)

    def announce(self, incident: Incident) -> None:
        """Tell the readers of ``incident`` what they do not know yet, or note why not."""
        if incident.state == "resolved" and incident.id not in self.touched:
            return
        quiet = muted(incident, self.now, self.config, self.silences)
        due = decide(incident, self.now, quiet, self.config.lifecycle)
        if due.transition is None:
            if due.reason not in {"nothing_new", "told_already"}:
                self.note(incident, self.now, "not_told", due.reason)
            return
        to = self._readers(incident, due.transition)
        if due.transition == "opened":
            wanted = sum(not receiver.withheld for receiver in to)
            to = self._within_limit(incident, to)
            if wanted and all(receiver.withheld for receiver in to):
                self.note(incident, self.now, "not_told", "storm_limit")
                return
            incident.subject = incident.subject or subject(incident)
        if due.transition == "opened" or due.reason == "severity_raised":
            # Whoever is to acknowledge has the whole time from when the message reaches them.
            incident.told_at = min((r.due_at for r in to if not r.withheld), default=self.now)
            incident.escalated = 0
        self.send(incident, due.transition, due.reason, to)
        incident.announced = snapshot(incident, self.now)
        if incident.state != "resolved":
            incident.told_key = series_key(incident.headline)
        if due.transition == "updated":
            self.changes.append(IncidentChange(incident, "updated", due.reason))

    def _readers(self, incident: Incident, transition: Transition) -> list[Receiver]:
        """Who was told before, and for an opening or a raised severity also whom the routes name now."""
        routed = receivers(incident, self.now, self.config)
        if transition == "opened" and incident.announced is None:
            return routed
        told = [c for c in notification.told(self.tx, incident.id) if c in self.config.channels]
        known = incident.announced
        raised = known is not None and worse(incident.severity, known.severity)
        quiet = {r.channel: r for r in routed}
        again = [quiet.get(c) or Receiver(c, self.now, "told_of_opening") for c in told]
        return again + [r for r in routed if r.channel not in told and (raised or transition == "opened")]

    def _within_limit(self, incident: Incident, to: list[Receiver]) -> list[Receiver]:
        """The receivers, without those that had their openings of this hour: a storm's are withheld and counted."""
        if incident.workflow == OURSELVES:
            return to
        limited = []
        for receiver in to:
            if receiver.withheld:
                limited.append(receiver)
            elif self._openings(receiver.channel) < self.config.lifecycle.openings_per_hour:
                self.openings[receiver.channel] += 1
                limited.append(receiver)
            else:
                self.withheld[receiver.channel] += 1
                limited.append(replace(receiver, withheld=True, reason=f"{receiver.reason}, storm_limit"))
        return limited

    def _openings(self, channel: str) -> int:
        if channel not in self.openings:
            self.openings[channel] = notification.openings(self.tx, channel, self.now - STORM_WINDOW)
        return self.openings[channel]

    def _storm_findings(self) -> list[Finding]:
        limit = self.config.lifecycle.openings_per_hour
        storming = {i.lead.segment: i for i in self.of_workflow[OURSELVES] if i.lead.metric == "storm"}
        found = [storm_finding(c, "fired", self.now, limit + n, limit) for c, n in self.withheld.items()]
        for channel, incident in storming.items():
            if channel and channel not in self.withheld and incident.holds("firing"):
                found.append(storm_finding(channel, "cleared", self.now, self._openings(channel), limit))
        return found

    def send(self, incident: Incident, transition: Transition, reason: str, to: list[Receiver]) -> None:
        """Write the next event of ``incident`` to the outbox, one row per receiver."""
        incident.seq += 1
        if incident.holds("firing"):
            lifecycle.count_money(incident, self.now)
        reached = any(not receiver.withheld for receiver in to)
        if reached and incident.workflow != OURSELVES:
            self._look_at(incident, transition)
        self.note(incident, self.now, "told" if reached else "not_told", reason if to else "no_route", transition)
        message = build(incident, transition, reason, self.now, self.config)
        for receiver in to:
            self._enqueue(message, receiver)

    def _look_at(self, incident: Incident, transition: Transition) -> None:
        """Ask the calls what the message is to tell beside the findings, of a bounded number of incidents."""
        if self.looks >= MAX_LOOKS:
            return
        self.looks += 1
        if transition == "resolved":
            incident.course = self.look.course(incident, self.now)
            if incident.course.extra_usd is not None:
                incident.extra_usd = incident.course.extra_usd
        elif transition in {"opened", "updated", "escalated"}:
            incident.impact = self.look.impact(incident, self.now)
            lifecycle.count_money(incident, self.now)

    def _enqueue(self, message: Message, receiver: Receiver) -> None:
        kind = self.config.channels[receiver.channel].kind
        why, withheld = f"{message.reason}; {receiver.reason}", receiver.withheld
        if not takes(kind, message.transition):
            why, withheld = f"{why}; {kind} has no use for {message.transition}", True
        if not withheld:
            notification.supersede(self.tx, message.incident_id, receiver.channel, message.transition)
        notification.enqueue(
            self.tx, message, receiver.channel, why, self.now, due_at=receiver.due_at, withheld=withheld
        )

    def escalate(self) -> None:
        """Tell the next channels where nobody acknowledged in time."""
        for incident in self.incidents.values():
            steps = [s for s in self.config.escalation if incident.severity in s.severities][incident.escalated :]
            if not steps or incident.ack or incident.told_at is None or incident.state != "open":
                continue
            if incident.clearing_since is not None or self.now - incident.told_at < steps[0].after:
                continue
            quiet = muted(incident, self.now, self.config, self.silences)
            if quiet is None and quiet_until(incident.severity, self.now, self.config) is not None:
                quiet = "quiet_hours"
            if quiet:
                self.note(incident, self.now, "not_told", quiet)
                continue
            incident.escalated += 1
            to = [Receiver(channel, self.now, "escalation") for channel in steps[0].channels]
            self.send(incident, "escalated", "nobody_acknowledged", to)

    def note(self, incident: Incident, ts: float, kind: str, reason: str, detail: str | None = None) -> None:
        """Note a decision about ``incident``, which is stored with it."""
        self.touched.add(incident.id)
        same = self.notes.get((incident.id, kind, reason, detail))
        if same is None:
            self.notes[incident.id, kind, reason, detail] = Note(incident.id, kind, reason, detail, ts, ts)
        else:
            same.times, same.last_ts = same.times + 1, ts

    def save(self) -> None:
        """Write back the incidents that something happened to."""
        for incident_id in sorted(self.touched):
            history.save(self.tx, self.incidents[incident_id])
        for note in self.notes.values():
            history.store_note(self.tx, note)
        self.notes.clear()


def _worst_first(incident: Incident) -> tuple[int, float, float]:
    order = {"page": 0, "ticket": 1, "info": 2}
    return (order[incident.severity], -(incident.usd_per_hour or 0.0), incident.opened_at)


def storm_finding(channel: str, transition: Literal["fired", "cleared"], now: float, seen: int, limit: int) -> Finding:
    """More incidents opened within an hour than one channel is sent one by one."""
    return Finding(
        ts=now,
        transition=transition,
        workflow=OURSELVES,
        family="instrument",
        metric="storm",
        direction=1,
        unit="incidents",
        segment=channel,
        observed=float(seen),
        bound=Bound(float(limit), "per hour"),
        started_at=now,
    )
