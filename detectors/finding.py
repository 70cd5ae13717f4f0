"""Finding: what moved, from what to what, since when, on which evidence."""

from dataclasses import dataclass, field
from typing import Literal

Family = Literal["cost", "quality", "retrieval", "bypass", "reliability", "silent", "instrument"]
Confidence = Literal["likely", "possible", "unknown"]
Transition = Literal["fired", "updated", "cleared", "no_data"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the observed level with the stated confidence (default 95 %)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bound:
    """What a person set and the observed level went beyond, in the finding's unit; ``of`` says of what (``p95``)."""

    value: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: the slice that carries the change, and how sure that is.

    ``keys`` names any of ``segment, risk_tier, model, prompt_version, user_id, source``. ``share`` is the part of
    the change that they explain (0..1). ``text`` is one sentence for a person. ``evidence`` and ``ruled_out`` are
    short clauses; ``parts`` are the exact addends of a cost change in USD per call, which sum to the change.
    """

    keys: dict[str, str] = field(default_factory=dict)
    confidence: Confidence = "unknown"
    share: float | None = None
    text: str = "Cause not found."
    evidence: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
    parts: dict[str, float] = field(default_factory=dict)
    marker_at: float | None = None
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement of the detectors about one series at event time ``ts``.

    ``metric`` is a name of the contract (``cost_per_call``, ``eval.groundedness``, ``status``, ...).
    ``direction`` is +1 or -1. ``observed`` and ``usual`` are in ``unit``: ``usd``, ``usd/h``, ``tokens``, ``ms``,
    ``share`` (0..1), ``score``, ``days``, ``calls/h``, ``attempts``. ``n`` is the number of calls (or judgements)
    since ``started_at`` that the observed value rests on. ``related`` names the other metrics of the same workflow
    that moved with it, strongest first.
    """

    ts: float
    transition: Transition
    workflow: str
    family: Family
    metric: str
    direction: int
    unit: str
    segment: str | None = None
    risk_tier: str | None = None
    observed: float | None = None
    usual: float | None = None
    interval: Interval | None = None
    n: int = 0
    started_at: float = 0.0
    log_evidence: float = 0.0
    severity: Literal["page", "ticket", "info"] = "page"
    cause: Cause = field(default_factory=Cause)
    related: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    """Segments in which the same change shows."""
    usd_per_hour: float | None = None
    """What the change costs per hour at present traffic; None when it has no price."""
    calls_per_hour: float | None = None
    owner: str | None = None
    bound: Bound | None = None
    """The fixed limit or budget that was crossed; None for what the detectors found to be unusual."""
    measure: str = ""
    """Which measure of the metric, where several are watched: the price of a token and the cost of a call are both
    ``cost_per_call``. Part of what tells two series apart; a finding that clears must carry it too."""
    id: str = ""
    """Set by the evaluation cycle: unique and the same on every replay."""

    @property
    def series(self) -> tuple[str, str, str | None, str | None, int]:
        """What identifies the series that the finding speaks of."""
        return (self.workflow, self.metric, self.segment, self.risk_tier, self.direction)
