"""What can be told to the detectors; everything has a default that works."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from driftbell.detectors.burn import Objective
from driftbell.detectors.limit import Limit
from driftbell.detectors.metrics import metric
from driftbell.detectors.spend import Budget

MOST_RULES = 200
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DetectorSettings(BaseModel):
    """The promise and its terms.

    ``false_pages_per_month`` is the budget of each workflow. ``worth`` overrides, per metric, the smallest change
    worth a page: an absolute share for rates, a ratio for quantities (1.2 is 20 % up, 0.9 is 10 % down). ``learn_days``
    and ``learn_calls`` are what a series must have shown before it may page. After ``settle_hours`` an open change
    is taken as the new normal. ``grace`` and ``idle`` (s) say how long a bin waits for late calls. ``drift`` says that
    weeks are compared too, for ramps that no day shows. ``limits``, ``budgets`` and ``objectives`` are fixed rules
    beside all that; there are none unless somebody writes them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_pages_per_month: Positive = 1.0
    worth: dict[str, Positive] = Field(default_factory=dict)
    learn_days: float = Field(default=5.0, ge=1, le=60)
    learn_calls: int = Field(default=200, ge=50, le=1_000_000)
    settle_hours: float = Field(default=72.0, ge=1)
    wiggle: float = Field(default=0.6, ge=0, le=10)
    tolerance: float = Field(default=0.25, ge=0, le=1)
    grace: float = Field(default=60.0, ge=0, le=3600)
    idle: float = Field(default=120.0, ge=0, le=86400)
    max_segments: int = Field(default=40, ge=1, le=1000)
    drift: bool = True
    limits: tuple[Limit, ...] = Field(default=(), max_length=MOST_RULES)
    budgets: tuple[Budget, ...] = Field(default=(), max_length=MOST_RULES)
    objectives: tuple[Objective, ...] = Field(default=(), max_length=MOST_RULES)

    @field_validator("worth")
    @classmethod
    def _known(cls, worth: dict[str, float]) -> dict[str, float]:
        for name in worth:
            metric(name)
        return worth
