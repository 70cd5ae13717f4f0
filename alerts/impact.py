"""What calls tell of an incident that no finding carries: examples, who is touched, money, how bad it became.

The detectors read sums only. When a message is about to be written, whoever has the calls is asked once (`Look`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from driftbell.alerts.record import Incident

MAX_TRACES = 3


@dataclass(frozen=True, slots=True)
class Impact:
    """How it stands now. ``calls`` of the workflow's ``of_calls`` since the start lie where it shows.

    ``trace_ids`` are calls that carry it, the newest first. ``usd_per_hour`` is what it costs beyond the usual, where
    the calls tell and the findings do not.
    """

    trace_ids: tuple[str, ...] = ()
    calls: int = 0
    of_calls: int = 0
    usd_per_hour: float | None = None

    @property
    def share(self) -> float | None:
        """The part of the workflow's calls that lie where it shows (0..1); None when there are no calls."""
        return self.calls / self.of_calls if self.of_calls else None


@dataclass(frozen=True, slots=True)
class Course:
    """How it went from start to end, in the unit of the title; None where the calls do not tell.

    ``peak`` is the level of the worst stretch, which began at ``peak_at``, ``last`` that of the time after the end.
    ``extra_usd`` is what the calls cost beyond the usual.
    """

    calls: int = 0
    peak: float | None = None
    peak_at: float | None = None
    last: float | None = None
    extra_usd: float | None = None


class Look(Protocol):
    """Whoever can look at the calls themselves. Both may be asked within a write transaction, so they are quick."""

    def impact(self, incident: "Incident", now: float) -> Impact:
        """How the incident stands at ``now``."""
        ...

    def course(self, incident: "Incident", now: float) -> Course:
        """How the incident went, asked at ``now`` when it is over."""
        ...


class Blind:
    """Sees no calls: a replay has none, and an incident about the alerting itself is about no calls."""

    def impact(self, _incident: "Incident", _now: float) -> Impact:
        """Nothing."""
        return Impact()

    def course(self, _incident: "Incident", _now: float) -> Course:
        """Nothing."""
        return Course()


BLIND = Blind()
