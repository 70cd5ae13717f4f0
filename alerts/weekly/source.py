"""Where the numbers come from: the store's points by local day, its markers and the incidents."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

from driftbell.alerts import history
from driftbell.alerts.cycle import OURSELVES
from driftbell.alerts.message import subject
from driftbell.alerts.phrases import cause_words
from driftbell.alerts.record import Incident
from driftbell.alerts.weekly.numbers import Facts
from driftbell.alerts.weekly.settings import Recipient
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.weeks import HOUR, Days, Week
from driftbell.alerts.wording import percent
from driftbell.collectors.point import Point
from driftbell.collectors.store import Store
from driftbell.collectors.sums import Stored
from driftbell.collectors.trust import TrustPoint
from driftbell.detectors.decomposition import UnitPrices

DAY = 24 * HOUR
MAX_INCIDENTS = 2000
TELL_LOSS = 0.001


class Source(Protocol):
    """What a summary is made from."""

    def points(self, week: Week, recipient: Recipient, only: str = "*") -> Iterator[Point | Stored]:
        """The points of the five weeks, none of which straddles a local midnight, then days of the weeks before.

        One workflow after the other. ``only`` is a pattern of the workflows to read.
        """
        ...

    def facts(self, week: Week) -> Facts:
        """Markers, incidents, gaps and prices."""
        ...


@dataclass(frozen=True)
class StoreSource:
    """The store as a source; ``prices`` in USD per token, ``promised_false_pages`` per workflow and month."""

    store: Store
    prices: Mapping[str, UnitPrices] = field(default_factory=dict)
    promised_false_pages: float | None = None

    def points(self, week: Week, recipient: Recipient, only: str = "*") -> Iterator[Point | Stored]:
        """See `Source.points`; few points are held at a time."""
        days = Days(week)
        self.store.refresh_all()
        for workflow in self.store.workflows():
            if recipient.reads(workflow.name) and fnmatchcase(workflow.name, only):
                yield from self._of(workflow.name, days)
                first = days.earlier[0] - DAY / 2
                yield from self.store.stored(workflow.name, first, days.start - DAY / 2, "day")

    def _of(self, workflow: str, days: Days) -> Iterator[Point | Stored]:
        if days.whole_days:
            yield from self.store.stored(workflow, days.start, days.end, "day")
        elif days.whole_hours:
            yield from self.store.stored(workflow, days.start, days.end, "hour")
        else:
            yield from self._split_hours(workflow, days)

    def _split_hours(self, workflow: str, days: Days) -> Iterator[Point | Stored]:
        """Hours, but minutes where a local day starts within one.

        The minutes are made from the calls, which are kept longer; where those are gone too, the hour counts
        towards the day in which it starts.
        """
        split = {edge // HOUR * HOUR for edge in days.edges}
        for point in self.store.stored(workflow, min(split), days.end, "hour"):
            hour = point.key.minute
            if hour not in split:
                yield point
        for edge in sorted(split):
            since, until = max(edge, days.start), min(edge + HOUR, days.end)
            minutes = self.store.recount(workflow, since, until)
            yield from (
                minutes or self.store.points(workflow, since, until, "minute") or self._whole(workflow, edge, days)
            )

    def _whole(self, workflow: str, hour: float, days: Days) -> list[Point]:
        return self.store.points(workflow, hour, hour + HOUR, "hour") if hour >= days.start else []

    def facts(self, week: Week) -> Facts:
        """See `Source.facts`."""
        days = Days(week)
        incidents = history.listed(self.store.read(), "all", MAX_INCIDENTS, before=week.end)
        told = [told_of(incident) for incident in incidents if incident.workflow != OURSELVES]
        return Facts(
            markers=self.store.markers(None, week.start, week.end),
            told=[one for one in told if one.ended_at is None or one.ended_at > days.start],
            prices=self.prices,
            gaps=gaps_of(self.store.trust(week.start, week.end)),
            promised_false_pages=self.promised_false_pages,
            owners={workflow.name: workflow.owner for workflow in self.store.workflows() if workflow.owner},
        )


def gaps_of(trust: Iterable[TrustPoint]) -> list[str]:
    """What the telemetry itself lost, in sentences; losses below `TELL_LOSS` are not worth a line."""
    totals: Counter[str] = Counter()
    for point in trust:
        totals.update(point.counters)
    sent = totals["received"] + totals["sdk_dropped"] + totals["rejected"]
    causes = (("sdk_dropped", "was lost inside the applications"), ("rejected", "could not be read"))
    shares = [(totals[name] / sent, words) for name, words in causes if sent]
    return [
        f"{percent(share)} of what the applications had to tell {words}"
        for share, words in shares
        if share >= TELL_LOSS
    ]


def told_of(incident: Incident) -> Told:
    """An incident as the summary tells it."""
    lead = incident.lead
    return Told(
        id=incident.id,
        workflow=incident.workflow,
        family=incident.family,
        title=(incident.subject or subject(incident)).partition("] ")[2],
        opened_at=incident.opened_at,
        started_at=incident.started_at,
        ended_at=None if incident.state != "resolved" else incident.ended_at or incident.resolved_at,
        severity=incident.severity,
        extra_usd=incident.extra_usd,
        cause=cause_words(lead),
        confidence=lead.cause.confidence,
        owner=lead.owner,
        verdict=incident.ack.verdict if incident.ack else None,
    )
