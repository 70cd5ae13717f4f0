"""The one configuration of the service: a YAML file, validated as a whole; everything in it may be left out.

Each part is described by the package that uses it (`driftbell.alerts.settings`, ...) and put together here. Unknown
keys are errors that name the nearest key. Secrets are references (``env:NAME``, ``file:PATH``).
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from driftbell.alerts.secret import SecretRef
from driftbell.alerts.settings import AlertSettings, EmailSection, Section
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.collectors.clickhouse.client import check_url
from driftbell.collectors.pricing import ModelPrice, PriceTable
from driftbell.collectors.retention import RetentionPolicy
from driftbell.detectors.duration import Seconds
from driftbell.detectors.settings import DetectorSettings
from driftbell.service.config_errors import ConfigError, complaints

MAX_FILE_BYTES = 1_000_000
MAX_PRICES = 10_000
DAY = 86_400.0

_PATH = re.compile(r"(/[\w.~-]{1,60}){1,8}")
KEPT = ("minutes", "calls", "hours", "days", "bodies")
MAX_WORKFLOWS = 200
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Listen(Section):
    """Where the service takes data (``HOST:PORT``; port 0 picks a free one). The page and the API share ``http``.

    ``otlp_paths`` are paths below which ``/v1/traces`` and its like are taken, too.
    """

    http: str = "127.0.0.1:4318"
    grpc: str | None = "127.0.0.1:4317"
    otlp_paths: tuple[str, ...] = Field(default=("/api/public/otel",), max_length=20)

    @field_validator("http", "grpc")
    @classmethod
    def _check(cls, text: str | None) -> str | None:
        if text is not None:
            parse_address(text)
        return text

    @field_validator("otlp_paths")
    @classmethod
    def _check_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is no path; write one like /team/otel, without a slash at its end")
        return paths


class Price(Section):
    """USD per million tokens of one model."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None


class WorkflowRetention(Section):
    """What differs for some workflows; the rest is as for all."""

    minutes: Seconds | None = Field(default=None, ge=DAY)
    calls: Seconds | None = Field(default=None, ge=DAY)
    hours: Seconds | None = Field(default=None, ge=36 * DAY)
    days: Seconds | None = Field(default=None, ge=36 * DAY)
    bodies: Seconds | None = Field(default=None, ge=0)


class Retention(Section):
    """How long what is kept; points and calls each at least as long as the one before, incidents after their end."""

    minutes: Seconds = Field(default=3 * DAY, ge=DAY)
    calls: Seconds = Field(default=30 * DAY, ge=DAY)
    hours: Seconds = Field(default=100 * DAY, ge=36 * DAY)
    days: Seconds = Field(default=800 * DAY, ge=36 * DAY)
    incidents: Seconds = Field(default=800 * DAY, ge=36 * DAY)
    bodies: Seconds = Field(default=2 * DAY, ge=0)
    workflows: dict[Pattern, WorkflowRetention] = Field(default_factory=dict, max_length=MAX_WORKFLOWS)

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if not self.minutes <= self.calls <= self.hours <= self.days:
            raise ValueError("must grow from minutes to calls to hours to days")
        for pattern in self.workflows:
            self._own(pattern)
        return self

    def policy(self) -> RetentionPolicy:
        """The same in days, as the store takes it."""
        own = tuple((pattern, self._own(pattern)) for pattern in self.workflows)
        return replace(_policy({name: getattr(self, name) for name in KEPT}), workflows=own)

    def _own(self, pattern: str) -> RetentionPolicy:
        given = self.workflows[pattern]
        merged = {n: own if (own := getattr(given, n)) is not None else getattr(self, n) for n in KEPT}
        try:
            return _policy(merged)
        except ValueError as error:
            raise ValueError(f"workflows.{pattern}: {error}") from None


def _policy(seconds: dict[str, float]) -> RetentionPolicy:
    days = {name: value / DAY for name, value in seconds.items()}
    return RetentionPolicy(
        calls=days["calls"], bodies=days["bodies"], minutes=days["minutes"], hours=days["hours"], days=days["days"]
    )


class Schedule(Section):
    """How often the service looks (seconds or ``30s``, ``5m``)."""

    evaluate_every: Seconds = Field(default=60.0, ge=1)
    deliver_every: Seconds = Field(default=2.0, ge=0.2)
    weekly_every: Seconds = Field(default=300.0, ge=1)


class OtelTraces(Section):
    """The table of the Collector's ClickHouse exporter that is read beside what is sent.

    ``back``: how far back in time the first reading goes; ``every``: how often it is looked at.
    """

    url: str = Field(max_length=500)
    password: SecretRef | None = None
    table: str = Field(default="otel_traces", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)
    back: Seconds = Field(default=DAY, ge=0, le=60 * DAY)
    every: Seconds = Field(default=10.0, ge=1)

    @field_validator("url")
    @classmethod
    def _names_a_database(cls, url: str) -> str:
        check_url(url)
        parts = urlsplit(url)
        if parts.scheme == "clickhouse" and not parts.path.strip("/"):
            raise ValueError("name the database of the exporter: clickhouse://USER@HOST:8123/otel")
        return url


class Config(Section):
    """The whole file. An empty one is valid: workflows are found in the spans, alerts stay in the store."""

    data_dir: Path = Path("driftbell-data")
    store: str | None = Field(default=None, max_length=500)
    store_password: SecretRef | None = None
    otel_traces: OtelTraces | None = None
    listen: Listen = Listen()
    token: SecretRef | None = None
    view_token: SecretRef | None = None
    """Who signs in to the page with this one sees everything and changes nothing."""
    prices: dict[str, Price] = Field(default_factory=dict, max_length=MAX_PRICES)
    public_prices: bool = True
    retention: Retention = Retention()
    keep_bodies: list[Pattern] = Field(default_factory=list, max_length=MAX_WORKFLOWS)
    schedule: Schedule = Schedule()
    detectors: DetectorSettings = DetectorSettings()
    alerts: AlertSettings = AlertSettings()
    weekly: WeeklySettings = WeeklySettings()

    @model_validator(mode="after")
    def _viewers_beside_others(self) -> Self:
        if self.view_token is not None and self.token is None:
            raise ValueError("view_token needs a token beside it: without one everybody on this machine may act")
        return self

    @field_validator("store")
    @classmethod
    def _is_store(cls, url: str | None) -> str | None:
        if url is not None:
            check_url(url)
        return url

    @model_validator(mode="after")
    def _bodies_have_a_place(self) -> Self:
        if self.store is not None and self.keep_bodies:
            raise ValueError("bodies are kept in the data folder only; leave keep_bodies out where there is a store")
        return self

    @model_validator(mode="after")
    def _calls_of_all_go_together(self) -> Self:
        own = [name for name, given in self.retention.workflows.items() if given.calls is not None]
        if self.store is not None and own:
            raise ValueError(
                f"a store drops the calls of all workflows day by day; leave calls out of retention.workflows.{own[0]}"
            )
        return self

    @model_validator(mode="after")
    def _someone_is_told(self) -> Self:
        if self.alerts.channels and not self.alerts.routes:
            raise ValueError(
                "there are channels but no alerts.routes, so nobody would be told; add 'routes: [{channels: [NAME]}]'"
            )
        return self

    @model_validator(mode="after")
    def _summaries_have_a_way(self) -> Self:
        by_mail = any(isinstance(channel, EmailSection) for channel in self.alerts.channels.values())
        if not by_mail and any(recipient.email for recipient in self.weekly.recipients):
            raise ValueError("weekly summaries go by e-mail: add a channel of 'kind: email' under alerts.channels")
        return self

    def price_table(self) -> PriceTable:
        """The prices as the collectors use them."""
        models = {
            model: ModelPrice(price.input, price.output, price.cached_input) for model, price in self.prices.items()
        }
        return PriceTable(models, self.public_prices)


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as a pair; raises ValueError that says what to write."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address; write HOST:PORT, for example 127.0.0.1:4318")
    return host.strip("[]"), int(port)


def load_config(path: Path | None) -> Config:
    """The configuration in a file (the defaults without one); raises ConfigError that names every mistake."""
    if path is None:
        return Config()
    text = _read(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader that refuses repeated keys
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {_one_line(error)}") from None
    if data is not None and not isinstance(data, dict):
        raise ConfigError(f"{path} must hold keys and values, such as 'listen:'")
    try:
        return Config.model_validate(data or {})
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in complaints(error, Config, root))) from None


def load_prices(path: Path) -> dict[str, Price]:
    """A price file (JSON): ``{"model": {"input": usd, "output": usd, "cached_input": usd}}`` per million tokens."""
    text = _read(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    try:
        return Config.model_validate({"prices": data}).prices
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in complaints(error, Config, None))) from None


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from None
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES:,} characters")
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be a word")
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value} stands there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)
