"""The part of the configuration that belongs to alerts: channels, routes, quiet hours, life-cycle times.

Everything is validated as a whole: unknown keys, channels that no one defined, routes that can never match.
Secrets are references (see `driftbell.alerts.secret`), so a settings object may be printed and logged.
"""

from collections.abc import Mapping
from datetime import datetime, time
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from driftbell.alerts.secret import SecretRef
from driftbell.detectors.duration import Seconds
from driftbell.detectors.finding import Family

Severity = Literal["page", "ticket", "info"]
Right = Literal["ack", "silence", "false_alarm", "new_normal"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_CHANNELS = 64
MAX_ROUTES = 500
LONGEST_MAINTENANCE = 90 * 86_400.0


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}; write a name such as Europe/Berlin") from error
    return name


def _check_url(text: str) -> str:
    if not text.startswith(("http://", "https://", "env:", "file:")):
        raise ValueError("write a URL (https://…), or env:NAME / file:PATH where the URL is a secret")
    if text.startswith("http") and "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("a URL with a password in it is a secret: give it as env:NAME or file:PATH")
    return text


def _check_trace_url(text: str) -> str:
    if "{trace_id}" not in text:
        raise ValueError("write {trace_id} where the id of the trace belongs")
    return text


def _read_clock(value: object) -> object:
    """YAML reads an unquoted 22:00 as the number 1320 (base 60): those are the minutes of the day."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 24 * 60:
            raise ValueError('write a time of day in quotes, for example "22:00"')
        return time(value // 60, value % 60)
    return value


ClockTime = Annotated[time, BeforeValidator(_read_clock)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Url = Annotated[str, AfterValidator(_check_url)]
Length = Annotated[Seconds, Field(ge=0, le=366 * 86_400.0, allow_inf_nan=False)]
"""A length of time that can be waited for: no NaN, nothing before zero, a year at most."""


class Section(BaseModel):
    """What all sections share: unknown keys are errors, and an error never repeats the value it complains of."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ChannelSection(Section):
    """What every channel may have: the zone of its readers, and the channel that takes over when it fails."""

    timezone: Zone | None = None
    fallback: str | None = None
    timeout: Seconds = Field(default=10.0, gt=0, le=30)


class WebhookSection(ChannelSection):
    """Any receiver of signed JSON. ``secrets``: the newest first; all sign, so that a key can be changed."""

    kind: Literal["webhook"]
    url: Url
    secrets: tuple[SecretRef, ...] = Field(min_length=1, max_length=3)


class SlackSection(ChannelSection):
    """Slack by bot token (edits one message, history in its thread), or by incoming webhook (posts only)."""

    kind: Literal["slack"]
    token: SecretRef | None = None
    channel: str | None = Field(default=None, max_length=80)
    webhook: SecretRef | None = None
    api_url: Url = "https://slack.com/api"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.token is None) or (self.token is None) != (self.channel is None):
            raise ValueError("slack needs either token and channel, or webhook")
        return self


class PagerDutySection(ChannelSection):
    """PagerDuty Events v2. ``previous_keys`` lets incidents opened under an old routing key still be resolved.

    Only ``severities`` open anything there: by default it rings for pages and for nothing else.
    """

    kind: Literal["pagerduty"]
    routing_key: SecretRef
    previous_keys: tuple[SecretRef, ...] = Field(default=(), max_length=4)
    change_events: bool = False
    severities: tuple[Severity, ...] = ("page",)
    api_url: Url = "https://events.pagerduty.com"


class TeamsSection(ChannelSection):
    """Microsoft Teams by a Workflows webhook; the URL is itself the credential."""

    kind: Literal["teams"]
    webhook: SecretRef


class EmailSection(ChannelSection):
    """E-mail by SMTP. ``tls``: ``starttls``, ``tls`` from the first byte, or ``none`` for a relay on this machine."""

    kind: Literal["email"]
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretRef | None = None
    sender: str = Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    to: tuple[Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")], ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.tls == "none" and self.password is not None:
            raise ValueError("a password needs tls: starttls or tls: tls")
        return self


class AlertmanagerSection(ChannelSection):
    """Prometheus Alertmanager v2. ``hold``: how long it keeps an alert after the last post, if we go silent."""

    kind: Literal["alertmanager"]
    url: Url
    user: str | None = None
    password: SecretRef | None = None
    hold: Length = Field(default=4 * 3600.0, ge=300)


class AppriseSection(ChannelSection):
    """Anything that Apprise speaks; opened, updated and resolved are separate messages there."""

    kind: Literal["apprise"]
    url: SecretRef


AnyChannel = (
    WebhookSection
    | SlackSection
    | PagerDutySection
    | TeamsSection
    | EmailSection
    | AlertmanagerSection
    | AppriseSection
)
Channel = Annotated[AnyChannel, Field(discriminator="kind")]


class Match(Section):
    """Which incidents: every given list must hold the incident's value. Names may use ``*`` and ``?``."""

    owner: tuple[str, ...] = ()
    workflow: tuple[str, ...] = ()
    family: tuple[Family, ...] = ()
    severity: tuple[Severity, ...] = ()
    risk_tier: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()

    def takes(self, facts: Mapping[str, tuple[str, ...]], *, every: bool = False) -> bool:
        """Whether an incident with these facts (owner, workflow, family, severity, risk_tier, segment) matches.

        Of several segments or risk tiers one must match, or with ``every`` all of them.
        """
        return self.misses(facts, every=every) is None

    def misses(self, facts: Mapping[str, tuple[str, ...]], *, every: bool = False) -> str | None:
        """The first of the lists that an incident with these facts does not fit, or None when it matches."""
        enough = all if every else any
        for name, patterns in self.given().items():
            if not enough(any(fnmatchcase(v, pattern) for pattern in patterns) for v in facts.get(name) or ("",)):
                return name
        return None

    def given(self) -> dict[str, tuple[str, ...]]:
        """The lists that restrict, by name."""
        names = ("owner", "workflow", "family", "severity", "risk_tier", "segment")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Route(Section):
    """Sends matching incidents to channels; the first route that matches decides, unless it says ``go_on``."""

    match: Match = Match()
    channels: tuple[str, ...] = ()
    go_on: bool = False
    name: str = ""


class QuietHours(Section):
    """When messages of these severities wait until the morning."""

    severities: tuple[Severity, ...] = ("ticket", "info")
    days: tuple[Day, ...] = DAYS
    start: ClockTime
    end: ClockTime
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("quiet hours need a start and an end that differ")
        return self


class Maintenance(Section):
    """A planned time (epoch seconds or ISO 8601 with zone) in which matching incidents ring nobody."""

    match: Match = Match()
    start: Annotated[float, Field(ge=0)]
    end: Annotated[float, Field(ge=0)]
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read_times(cls, data: object) -> object:
        if isinstance(data, dict):
            return {key: _epoch(value) if key in {"start", "end"} else value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a maintenance window must end after it starts")
        if self.end - self.start > LONGEST_MAINTENANCE:
            raise ValueError("a maintenance window lasts 90 days at most; what is longer than that is forgotten")
        return self


def _epoch(value: object) -> object:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, datetime):
        moment = value
    else:
        return value
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-11-10T22:00:00+01:00")
    return moment.timestamp()


class Escalation(Section):
    """When nobody acknowledged after ``after``: also tell these channels."""

    after: Length = Field(gt=0)
    channels: tuple[str, ...] = Field(min_length=1)
    severities: tuple[Severity, ...] = ("page",)


def _by_time(steps: tuple[Escalation, ...]) -> tuple[Escalation, ...]:
    return tuple(sorted(steps, key=lambda step: step.after))


class Lifecycle(Section):
    """The times of an incident's life. ``settle``: how long all series must stay good before it counts as over.

    ``page_from_usd_per_day``: a change of cost that is known to cost less is a ticket and wakes nobody.
    """

    settle: Length = 2 * 3600.0
    settle_flapping: Length = 12 * 3600.0
    reopen_within: Length = 24 * 3600.0
    group_within: Length = 6 * 3600.0
    group_across_families: Length = 3600.0
    update_every: Length = 15 * 60.0
    flapping_after: int = Field(default=2, ge=1)
    openings_per_hour: int = Field(default=30, ge=1)
    page_from_usd_per_day: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Links(Section):
    """Links in messages. With a ``key`` (16 characters or more) those that act are signed and need no login.

    ``trace_url`` is where the tracing system shows a trace, with ``{trace_id}`` in it.
    """

    page_url: Url | None = None
    key: SecretRef | None = None
    rights: tuple[Right, ...] = ("ack", "silence", "false_alarm", "new_normal")
    valid_for: Length = Field(default=3 * 86_400.0, gt=0)
    trace_url: Annotated[Url, AfterValidator(_check_trace_url)] | None = None
    runbooks: dict[str, str] = Field(default_factory=dict)
    """Runbook URL by ``workflow``, ``family`` or ``*``; the first that fits in this order."""


class Heartbeat(Section):
    """A URL that is asked every ``every`` seconds while the detectors run; whoever watches it rings when it stops."""

    url: Url
    every: Length = Field(default=60.0, ge=10)


class AlertSettings(Section):
    """Everything about who is told, when and how."""

    environment: str = Field(default="prod", pattern=r"^[A-Za-z0-9._-]{1,40}$")
    timezone: Zone = "UTC"
    channels: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")], Channel] = Field(
        default_factory=dict, max_length=MAX_CHANNELS
    )
    routes: tuple[Route, ...] = Field(default=(), max_length=MAX_ROUTES)
    quiet_hours: tuple[QuietHours, ...] = ()
    maintenance: tuple[Maintenance, ...] = Field(default=(), max_length=500)
    escalation: Annotated[tuple[Escalation, ...], AfterValidator(_by_time)] = Field(default=(), max_length=10)
    lifecycle: Lifecycle = Lifecycle()
    links: Links = Links()
    heartbeat: Heartbeat | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*self._unknown_channels(), *self._dead_routes(), *self._bad_fallbacks()]
        problems += [] if problems else self._unheard()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_channels(self) -> list[str]:
        named = [(f"routes[{i}]", name) for i, route in enumerate(self.routes) for name in route.channels]
        named += [(f"escalation[{i}]", name) for i, step in enumerate(self.escalation) for name in step.channels]
        named += [(f"channels.{key}.fallback", c.fallback) for key, c in self.channels.items() if c.fallback]
        return [
            f"{place} names the channel {name!r}, which is not defined" for place, name in named if not self._has(name)
        ]

    def _has(self, name: str) -> bool:
        return name in self.channels

    def _dead_routes(self) -> list[str]:
        for i, route in enumerate(self.routes[:-1]):
            if not route.match.given() and not route.go_on:
                return [f"routes[{i}] takes everything, so the routes after it can never match"]
        if self.channels and self.routes and self.routes[-1].match.given():
            return ["the last route must have no match, so that no incident is left without a receiver"]
        return []

    def _unheard(self) -> list[str]:
        """Severities that no channel takes of an incident that only the last route matches."""
        if not self.routes or not self.routes[-1].channels:
            return []
        heard = {s for r in self.routes if set(r.match.given()) <= {"severity"} for s in self._heard_by(r)}
        missing = [severity for severity in get_args(Severity) if severity not in heard]
        if not missing:
            return []
        return [
            f"incidents of severity {' and '.join(missing)} are left without a receiver, since PagerDuty takes only "
            f"its severities; add a channel to the last route, or before it, where nobody is to be told, a route "
            f"{{match: {{severity: [{', '.join(missing)}]}}}} without channels"
        ]

    def _heard_by(self, route: Route) -> set[str]:
        """The severities that a route's channels take; a route without channels says that nobody is to be told."""
        every: tuple[str, ...] = get_args(Severity)
        matched, taken = set(route.match.severity or every), set[str]()
        for section in map(self.channels.__getitem__, route.channels):
            taken |= set(section.severities if isinstance(section, PagerDutySection) else every)
        return matched & taken if route.channels else matched

    def _bad_fallbacks(self) -> list[str]:
        return [f"channels.{key}.fallback names itself" for key, c in self.channels.items() if c.fallback == key]
