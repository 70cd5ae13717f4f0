"""What people read, word for word: every family opened, updated, resolved and "cannot tell", and each channel's form.

``UPDATE_GOLDEN=1 pytest tests/alerts/test_golden.py`` writes the files anew; read the difference before you commit it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from driftbell.alerts.channels import pagerduty, slack, teams, webhook
from driftbell.alerts.channels.alertmanager import AlertmanagerChannel
from driftbell.alerts.channels.pagerduty import PagerDutyChannel
from driftbell.alerts.impact import Course, Impact
from driftbell.alerts.incident import apply
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message, decode
from driftbell.alerts.record import Incident
from driftbell.alerts.render import as_html, as_text, headline
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Cause, Finding, Interval

GOLDEN = Path(__file__).parent / "golden"
ZONE = "Europe/Berlin"
HOUR = 3600.0
STATES = ("opened", "updated", "unknown", "resolved")
SETTINGS = AlertSettings.model_validate(
    {
        "channels": {"hook": {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:HOOK"]}},
        "routes": [{"channels": ["hook"]}],
        "links": {
            "trace_url": "https://traces.example/{trace_id}",
            "page_url": "https://bell.example",
            "runbooks": {"cost": "https://wiki.example/llm-cost", "*": "https://wiki.example/llm"},
        },
    }
)
UNSURE = Cause(text="Cause not found.", ruled_out=("traffic", "model", "prompt"))
INDEX = Cause(
    confidence="possible",
    share=0.7,
    text="The search index was rebuilt shortly before.",
    marker="index rebuild",
    marker_at=1_794_302_040.0 - 1200,
)
FAMILIES: dict[str, dict[str, Any]] = {
    "cost": {},
    "quality": {
        "family": "quality", "metric": "eval.groundedness", "direction": -1, "unit": "score", "observed": 0.71,
        "usual": 0.86, "segment": None, "cause": UNSURE, "usd_per_hour": None, "interval": Interval(0.68, 0.74),
    },
    "retrieval": {
        "workflow": "policy-search", "family": "retrieval", "metric": "n_sources", "direction": 1, "unit": "share",
        "observed": 0.31, "usual": 0.021, "segment": None, "cause": INDEX, "usd_per_hour": None, "owner": None,
    },
    "bypass": {
        "family": "bypass", "metric": "override", "direction": 1, "unit": "share", "observed": 0.22, "usual": 0.09,
        "segment": None, "risk_tier": "high", "cause": UNSURE, "usd_per_hour": None, "severity": "ticket",
    },
    "reliability": {
        "family": "reliability", "metric": "latency_ms", "direction": 1, "unit": "ms", "observed": 9800.0,
        "usual": 2100.0, "segment": None, "cause": UNSURE, "usd_per_hour": None, "related": ("ttft_ms", "fallback"),
    },
    "silent": {
        "family": "silent", "metric": "calls", "direction": -1, "unit": "calls/h", "observed": 0.0, "usual": 1100.0,
        "segment": None, "cause": Cause(text="No calls since then; other workflows still send."), "n": 0,
        "usd_per_hour": None, "calls_per_hour": 0.0,
    },
    "instrument": {
        "family": "instrument", "metric": "cost_per_call", "direction": 1, "unit": "share", "observed": 0.41,
        "usual": 0.003, "segment": None, "usd_per_hour": None, "severity": "ticket",
        "cause": Cause(keys={"model": "gpt-9-mini"}, confidence="likely", share=0.99,
                       text="Calls of gpt-9-mini have no known price; cost alarms wait until they do."),
    },
}  # fmt: skip


class Calls:
    """Stands for the store: what it would tell of an incident that ``first`` opens."""

    def __init__(self, first: Finding) -> None:
        self._first, self._sees = first, first.family not in {"silent", "instrument"}

    def impact(self, incident: Incident, now: float) -> Impact:
        traces = ("4bf92f3577b34da6a3ce929d0e0e4736", "a3ce929d0e0e47364bf92f3577b34da6")
        part = 617 if self._first.segment else 1100
        return Impact(traces, part, 1100) if self._sees else Impact()

    def course(self, incident: Incident, now: float) -> Course:
        first, begun = self._first, incident.started_at
        if not self._sees or first.observed is None or first.usual is None:
            return Course()
        worst = first.observed + 0.1 * (first.observed - first.usual)
        extra = 66.2 if first.family == "cost" else None
        return Course(34_100, worst, begun + 5 * HOUR, first.usual, extra)


def messages(first: Finding, start: float) -> dict[str, Message]:
    """The life of an incident that ``first`` opens: its messages by transition."""
    db = Database(memory=True)
    MIGRATIONS.apply(db)
    base = replace(first, id="golden")
    worse = replace(base, ts=start + 2 * HOUR, transition="updated", segments=("high-risk", "low-risk"))
    if first.family in {"silent", "instrument"}:
        found = replace(first.cause, keys={"release": "4.2"}, text="It began with release 4.2.")
        worse = replace(worse, segments=(), cause=found)
    end = start + 31 * HOUR + 24 * 60
    fix = Cause(marker="prompt v13 restored", marker_at=end - 900) if first.family == "cost" else Cause()
    look = Calls(first)
    steps = [
        ([base], base.ts),
        ([worse], worse.ts),
        # Silence is itself what shows without data.
        ([replace(base, ts=start + 3 * HOUR, transition="no_data")] * (first.family != "silent"), start + 3 * HOUR),
        ([replace(base, ts=end, transition="cleared", observed=base.usual, cause=fix)], end),
        ([], end + 13 * HOUR),
    ]
    for findings, now in steps:
        apply(db, findings, now, SETTINGS, look)
    rows = db.execute("SELECT transition, message FROM notifications ORDER BY id").fetchall()
    return {transition: decode(message) for transition, message in rows}


def check(name: str, text: str) -> None:
    """Compare with the golden file ``name``."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.fixture
def lives(make: Callable[..., Finding], t0: float) -> Callable[[str], dict[str, Message]]:
    return lambda family: messages(make(**FAMILIES[family]), t0)


def as_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_reads_as_agreed(family: str, lives: Callable[[str], dict[str, Message]]) -> None:
    life = lives(family)
    assert tuple(life) == tuple(state for state in STATES if (family, state) != ("silent", "unknown"))
    linker = Linker(SETTINGS.links)
    for state, message in life.items():
        check(f"{family}-{state}.txt", as_text(message, ZONE, linker.links(message)))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_headline_fits_a_phone_and_every_alert_says_what_is_known_of_the_cause(
    family: str, lives: Callable[[str], dict[str, Message]]
) -> None:
    for message in lives(family).values():
        assert len(message.title) <= 100
        assert len(headline(message, ZONE)) <= 100
        text = as_text(message, ZONE, [])
        assert message.cause in text or "not found" in text


@pytest.mark.parametrize("state", STATES)
def test_each_channel_has_the_same_facts_in_its_own_form(
    state: str, lives: Callable[[str], dict[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = lives("cost")[state]
    linker = Linker(SETTINGS.links)
    check(f"cost-{state}.slack.json", as_json(slack.form(message, ZONE, linker)))
    check(f"cost-{state}.teams.json", as_json(teams.card(message, ZONE, linker)))
    check(f"cost-{state}.webhook.json", as_json(webhook.payload(message, ZONE, linker)))
    check(f"cost-{state}.html", as_html(message, ZONE, linker.links(message)))
    for module, made in (("pagerduty", _pagerduty), ("alertmanager", _alertmanager)):
        check(f"cost-{state}.{module}.json", as_json(made(message, linker, monkeypatch)))


def _pagerduty(message: Message, linker: Linker, monkeypatch: pytest.MonkeyPatch) -> object:
    sent: list[Any] = []
    monkeypatch.setenv("PD", "R0")
    monkeypatch.setattr(pagerduty, "post", lambda url, **kwargs: sent.append(kwargs["json"]) or (202, b""))
    section = {"kind": "pagerduty", "routing_key": "env:PD"}
    settings = AlertSettings.model_validate({"channels": {"pd": section}})
    PagerDutyChannel("pd", settings.channels["pd"], ZONE, linker, "prod").send(message, {})  # type: ignore[arg-type]
    return sent


def _alertmanager(message: Message, linker: Linker, monkeypatch: pytest.MonkeyPatch) -> object:
    sent: list[Any] = []
    monkeypatch.setattr(
        "driftbell.alerts.channels.alertmanager.post", lambda url, **kwargs: sent.append(kwargs["json"]) or (200, b"")
    )
    section = {"kind": "alertmanager", "url": "http://127.0.0.1:9093"}
    settings = AlertSettings.model_validate({"channels": {"am": section}})
    channel: Any = settings.channels["am"]
    AlertmanagerChannel("am", channel, ZONE, linker, "prod", lambda: message.at).send(message, {})
    return sent
