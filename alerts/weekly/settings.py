"""What an owner may set about the weekly summary; the service includes it in its one configuration file."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from driftbell.alerts.settings import Section, Zone

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Share = Annotated[float, Field(gt=0, le=1)]
Weeks = Annotated[int, Field(ge=1, le=5)]
Money = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class StopRules(Section):
    """When the summary may advise to stop a workflow; a rule that is not set never speaks."""

    low_use: Share | None = None
    """Share of the eligible work done with the AI below which it is hardly used."""
    unstable_quality_weeks: Weeks | None = None
    """In so many of the last five weeks a review score lay outside the band of the others."""
    above_worth_weeks: Weeks | None = None
    """The last so many weeks an outcome cost more than ``worth_per_outcome``."""


class WorkflowSettings(Section):
    """What the numbers cannot say of a workflow."""

    title: str | None = Field(default=None, max_length=60)
    owner: str | None = Field(default=None, max_length=60)
    """A team or role; it is printed beside each recommendation."""
    accepted_outcomes: tuple[str, ...] = ()
    """Reported outcomes that count; empty: the accepted suggestions, else resolved cases, else successful calls."""
    outcome_title: str | None = Field(default=None, max_length=40)
    """What one outcome is called, such as ``settled claim``."""
    worth_per_outcome: Money | None = None
    budget_per_month: Money | None = None
    stop: StopRules = StopRules()

    @model_validator(mode="after")
    def _worth_for_its_rule(self) -> Self:
        if self.stop.above_worth_weeks is not None and self.worth_per_outcome is None:
            raise ValueError("stop.above_worth_weeks needs worth_per_outcome")
        return self


class Recipient(Section):
    """Who gets one e-mail a week, about which workflows, and when in their own zone."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")
    email: tuple[Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")], ...] = Field(default=(), max_length=50)
    zone: Zone = "UTC"
    day: Day = "monday"
    hour: int = Field(default=8, ge=0, le=23)
    workflows: tuple[str, ...] = ("*",)
    """Names, or patterns with ``*``."""

    def reads(self, workflow: str) -> bool:
        """Whether the workflow belongs in this summary."""
        return any(fnmatchcase(workflow, pattern) for pattern in self.workflows)


EVERYONE = Recipient(name="everyone")
"""Stands in while nobody is configured: all workflows, UTC, no address."""


class WeeklySettings(Section):
    """The ``weekly:`` part of the configuration."""

    recipients: tuple[Recipient, ...] = Field(default=(), max_length=1000)
    workflows: dict[str, WorkflowSettings] = Field(default_factory=dict, max_length=10_000)
    wait_hours: float = Field(default=2, ge=0, le=48)
    """How long after the end of the week late data may still arrive before the numbers are frozen."""
    late_hours: float = Field(default=6, ge=1, le=168)
    """A summary sent this long after its hour says that it is late."""
    overdue_hours: float = Field(default=3, ge=1, le=168)
    """A summary not sent this long after its hour raises an alarm."""
    unsubscribe: str | None = Field(default=None, pattern=r"^(https://|mailto:)\S+$")
    """Where one click leaves the list, an address that takes a POST without login; by default this service's page."""
    page: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address under which readers reach this service, for the links to the details and to leave."""

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [recipient.name for recipient in self.recipients]
        if len(set(names)) < len(names):
            raise ValueError("two weekly recipients have the same name; a summary is claimed by name")
        if EVERYONE.name in names:
            raise ValueError(f"a weekly recipient cannot be called {EVERYONE.name!r}: so the summary of all is called")
        return self

    def of(self, workflow: str) -> WorkflowSettings:
        """The settings of one workflow, defaults if none."""
        return self.workflows.get(workflow, WorkflowSettings())
