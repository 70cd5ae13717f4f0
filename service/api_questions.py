"""What the operations of the API take: queries and bodies, as types that check them and describe them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from driftbell.alerts.actions import LONGEST_SILENCE
from driftbell.alerts.record import Verdict
from driftbell.collectors.query import GROUPINGS
from driftbell.detectors.duration import parse_duration
from driftbell.detectors.finding import Family
from driftbell.service.api_input import MAX_TEXT, digits, truth
from driftbell.service.api_table import Body, Moment, Name, Query

MAX_PAGE = 1000
MAX_POINTS = 5000
MAX_MOMENT = 1e11
"""The farthest time, in epoch seconds, at which something can be said to have happened."""
Cursor = Annotated[str, Field(max_length=MAX_TEXT, pattern=r"^-?[0-9]+(\.[0-9]+)?~([0-9a-f]{2})*~([0-9a-f]{2})*$")]
_TARGETS = ("workflow", "family", "segment", "incident_id")
By = Annotated[str, Field(min_length=1, max_length=80)]


Length = Annotated[
    float,
    Field(gt=0, le=LONGEST_SILENCE),
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "examples": ["4h", 14400],
            "oneOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SILENCE},
                {"type": "string", "pattern": r"^([1-9][0-9]?[smh]|[1-9]d|[1-8][0-9]d|90d)$"},
            ],
        }
    ),
]
"""How long a silence may be."""


def _most(limit: int) -> Any:
    return Annotated[int, Field(ge=1, le=limit), BeforeValidator(digits)]


class Interval(Query):
    """Half-open: ``[since, until)``; without them, everything. One that ends before it begins holds nothing."""

    since: Moment | None = None
    until: Moment | None = None


class CallsQuery(Interval):
    """Which calls, in order of time."""

    workflow: Name | None = None
    limit: _most(MAX_PAGE) = 100  # type: ignore[valid-type]
    cursor: Cursor | None = Field(default=None, description="The `next` of the page before.")


class UsageQuery(Interval):
    """Which calls are summed, and by what."""

    group_by: str = Field(
        default="workflow",
        max_length=MAX_TEXT,
        pattern=rf"^({'|'.join(GROUPINGS)})(,({'|'.join(GROUPINGS)}))*$",
        description=f"Names with commas between them: {', '.join(GROUPINGS)}.",
    )


class PointsQuery(Interval):
    """The points of one workflow."""

    workflow: Name
    resolution: Literal["minute", "hour", "day"] = "hour"
    histograms: Annotated[bool, BeforeValidator(truth)] = Field(
        default=False, description="Also the distribution of each quantity, in buckets 9 % wide: ten times as much."
    )
    limit: _most(MAX_POINTS) = 1000  # type: ignore[valid-type]


class IncidentsQuery(Query):
    """Which incidents, the newest first."""

    state: Literal["open", "resolved", "all"] = "open"
    limit: _most(MAX_PAGE) = 200  # type: ignore[valid-type]
    before: Moment | None = Field(default=None, description="Only those that opened before.")


class MarkersQuery(Interval):
    """Which markers; with a workflow, those of it and those of none in particular."""

    workflow: Name | None = None
    limit: _most(MAX_PAGE) = 1000  # type: ignore[valid-type]


class AckBody(Body):
    """Who takes the incident, and what they say of it."""

    by: By = "api"
    verdict: Verdict = "seen"


class ResolveBody(Body):
    """Who says that it is over."""

    by: By = "api"


class SilenceBody(Body):
    """What not to hear of, and for how long: at least one of workflow, family, segment and incident."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [n], "properties": {n: {"type": "string"}}} for n in _TARGETS]}
    )
    duration: Length = Field(alias="for", description="Seconds, or `30m`, `4h`, `2d`; 90 days at most.")
    workflow: Name | None = None
    family: Family | None = None
    segment: Name | None = None
    incident_id: Name | None = None
    by: By = "api"
    reason: str = Field(default="", max_length=MAX_TEXT)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not any((self.workflow, self.family, self.segment, self.incident_id)):
            raise ValueError("name what to silence: a workflow, a family, a segment or an incident")
        return self


class MarkerBody(Body):
    """Something that changed on purpose. ``ts`` is epoch seconds, by default now."""

    kind: By = Field(examples=["prompt", "release", "model", "price", "index"])
    value: Name | None = None
    workflow: Name | None = None
    text: Name | None = None
    ts: float | None = Field(default=None, ge=0, le=MAX_MOMENT, allow_inf_nan=False)
