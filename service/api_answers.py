"""What the operations of the API answer, as types that describe it; what is answered is made without them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from driftbell.alerts.record import State, Verdict
from driftbell.collectors.call import Call
from driftbell.collectors.query import GROUPINGS
from driftbell.collectors.workflows import Workflow
from driftbell.detectors.finding import Family

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Answer(BaseModel):
    """What the API answers; nothing else stands in it."""

    model_config = ConfigDict(extra="forbid")


class Calls(Answer):
    """A page of calls; `next` is the cursor of the page after it, null at the end."""

    calls: list[Call]
    next: str | None


Group = create_model(
    "Group",
    __base__=Answer,
    __doc__="Sums over the calls of one group, which has the names that were asked for; a sum without members is null.",
    **{name: (str | None, Field(default=None)) for name in GROUPINGS},
    calls=(int, ...),
    errors=(int, ...),
    attempts=(int, ...),
    input_tokens=(int | None, ...),
    cached_tokens=(int | None, ...),
    output_tokens=(int | None, ...),
    cost_usd=(float | None, ...),
    unpriced_calls=(int, ...),
)  # type: ignore[call-overload]


class UsageAnswer(Answer):
    """Groups, the one with the most calls first."""

    groups: list[Group]  # type: ignore[valid-type]


class Rate(Answer):
    """A share of trials."""

    hits: int
    trials: int


class Spread(Answer):
    """A measure: how often it was seen and its sum; a histogram that was asked for holds `[from, count]` pairs."""

    count: int
    total: float
    histogram: list[Pair] | None


class PointLine(Answer):
    """One slice of a workflow in one interval, which begins at `start`. A measure that is absent was not seen."""

    start: int
    workflow: str
    segment: str | None
    risk_tier: str | None
    model: str | None
    prompt_version: str | None
    calls: int
    manual: int
    rates: dict[str, Rate]
    quantities: dict[str, Spread]


class Points(Answer):
    """Points by start; `next` is the `since` of the page after them, null at the end."""

    points: list[PointLine]
    next: int | None


class IncidentLine(Answer):
    """One incident. Times are epoch seconds, what is not known is null."""

    ts: float
    workflow: str
    family: Family
    metric: str
    segment: str | None
    cause: dict[str, str]
    severity: Literal["page", "ticket", "info"]
    observed: float | None
    usual: float | None
    started_at: float
    title: str
    id: str
    state: State
    direction: int
    unit: str
    n: int
    interval: Pair | None
    segments: list[str]
    metrics: list[str]
    related: list[str]
    risk_tier: str | None
    owner: str | None
    cause_text: str
    confidence: str
    evidence: list[str]
    ruled_out: list[str]
    trace_ids: list[str]
    marker: str | None
    marker_at: float | None
    usd_per_hour: float | None
    extra_usd: float | None
    clearing_since: float | None
    unknown_since: float | None
    resolved_at: float | None
    ended_at: float | None
    resolved_by: str | None
    acknowledged_by: str | None
    acknowledged_at: float | None
    verdict: Verdict | None
    flapping: bool
    reopened: int
    previous: int


class Incidents(Answer):
    """Incidents, the newest first."""

    incidents: list[IncidentLine]


class Event(Answer):
    """One decision about an incident with its named reason, made `times` times from `ts` to `last_ts`."""

    ts: float
    last_ts: float
    times: int
    kind: str
    reason: str
    detail: str | None


class Delivery(Answer):
    """One message: what it told, to which channel, why, and what became of it."""

    event_id: str
    transition: str
    channel: str
    state: str
    reason: str
    attempts: int
    error: str | None
    created_at: float
    due_at: float
    sent_at: float | None


class IncidentWhole(IncidentLine):
    """One incident with every decision about it and every message of it."""

    history: list[Event]
    deliveries: list[Delivery]


class Events(Answer):
    """The decisions about an incident, the oldest first."""

    events: list[Event]


class Workflows(Answer):
    """The workflows that were seen, by name."""

    workflows: list[Workflow]


class SilenceLine(Answer):
    """A silence; a field that is null takes everything."""

    id: str
    workflow: str | None
    family: str | None
    segment: str | None
    incident_id: str | None
    starts_at: float
    ends_at: float
    made_by: str
    reason: str


class Silences(Answer):
    """The silences that hold now."""

    silences: list[SilenceLine]


class MarkerLine(Answer):
    """Something that changed on purpose, or a value that appeared in the calls for the first time."""

    ts: float
    kind: str
    workflow: str | None
    value: str | None
    text: str | None
    id: str


class Markers(Answer):
    """Markers by time."""

    markers: list[MarkerLine]


class Error(Answer):
    """What went wrong and what to do, in one sentence."""

    error: str
