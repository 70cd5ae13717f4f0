"""Names from outside are harmless in every channel, and no secret or content stands in any payload, row or log."""

import base64
import json
import logging
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from driftbell.alerts.channels import slack, teams, webhook
from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.channels.email import compose
from driftbell.alerts.incident import apply
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message, decode
from driftbell.alerts.outbox import deliver_due
from driftbell.alerts.plain import plain
from driftbell.alerts.render import as_html, as_text, headline
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings, EmailSection
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Cause, Finding

Make = Callable[..., Finding]
NAMES = {
    "slack mention": "claims <!channel> <!here> <@U123> <https://evil.example|click>",
    "plain mention": "@everyone @channel @here @all",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:x'>",
    "markdown": "[click](https://evil.example) **bold** `code` # head\n- list ![i](https://evil.example/p.png)",
    "crlf": "claims\r\nBcc: victim@example.net\r\nSubject: won\r\n\r\nbody\x00\x1b[31mred",
    "right to left": "claims\u202egpj.exe \u05e9\u05dc\u05d5\u05dd \u2066x\u2069",
    "long": "x" * 10_000,
    "templates": "{{ 7*7 }} {% raw %} %(x)s ${y} {0}",
    "json": '","state":"resolved","x":"',
    "surrogate": "bad\ud800end\ufffe\ue000",
}
MAIL = {"kind": "email", "host": "h", "tls": "none", "sender": "a@example.org", "to": ["b@example.org"]}


def message_of(finding: Finding) -> Message:
    db = Database(memory=True)
    MIGRATIONS.apply(db)
    hook = {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:K"]}
    apply(
        db,
        [finding],
        finding.ts,
        AlertSettings.model_validate({"channels": {"h": hook}, "routes": [{"channels": ["h"]}]}),
    )
    return decode(db.execute("SELECT message FROM notifications").fetchone()[0])


def hostile(make: Make, name: str) -> Finding:
    return make(
        workflow=name, segment=name, owner=name, risk_tier=name, segments=(name,),
        cause=Cause(keys={"model": name}, confidence="likely", text=name, evidence=(name,), ruled_out=(name,),
                    marker=name, marker_at=make().started_at),
    )  # fmt: skip


def texts(value: Any) -> list[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for item in inside for text in texts(item)]


@pytest.fixture
def linker() -> Linker:
    return Linker(AlertSettings.model_validate({"links": {"page_url": "https://bell.example"}}).links)


@pytest.mark.parametrize("kind", NAMES)
def test_a_hostile_name_is_one_bounded_line_everywhere(make: Make, linker: Linker, kind: str) -> None:
    message = message_of(hostile(make, NAMES[kind]))
    forms = [slack.form(message, "UTC", linker), teams.card(message, "UTC", linker)]
    for text in (t for form in forms for t in texts(form)):
        assert len(text) <= 800
        assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in text.removesuffix("\n").replace("\n", " "))
    assert len(headline(message, "UTC")) <= 100
    assert len(as_text(message, "UTC", [])) < 6000


@pytest.mark.parametrize("kind", ["slack mention", "plain mention"])
def test_no_name_mentions_anybody(make: Make, linker: Linker, kind: str) -> None:
    message = message_of(hostile(make, NAMES[kind]))
    chat = texts(slack.form(message, "UTC", linker)) + texts(teams.card(message, "UTC", linker))
    for text in chat:
        assert not re.search(r"<[!@#]|@(channel|here|everyone|all)\b|<https?:", text)


def test_slack_shows_names_only_where_it_knows_no_markup(make: Make, linker: Linker) -> None:
    form = slack.form(message_of(hostile(make, NAMES["markdown"])), "UTC", linker)
    assert form["mrkdwn"] is False
    assert '"mrkdwn"' not in json.dumps(form["attachments"])


def test_teams_shows_names_only_in_text_runs(make: Make, linker: Linker) -> None:
    body = teams.card(message_of(hostile(make, NAMES["markdown"])), "UTC", linker)["attachments"][0]["content"]["body"]
    assert '"TextBlock"' not in json.dumps(body)
    assert "FactSet" not in json.dumps(body)


@pytest.mark.parametrize("kind", NAMES)
def test_html_shows_a_name_as_text(make: Make, linker: Linker, kind: str) -> None:
    html = as_html(message_of(hostile(make, NAMES[kind])), "UTC", [])
    assert re.findall(r"<(script|img|a)\b", html) == []
    assert len(html) < 80_000


@pytest.mark.parametrize("kind", NAMES)
def test_mail_keeps_its_headers(make: Make, linker: Linker, kind: str) -> None:
    section = AlertSettings.model_validate({"channels": {"m": MAIL}}).channels["m"]
    assert isinstance(section, EmailSection)
    mail = compose(message_of(hostile(make, NAMES[kind])), section, "UTC", linker, None)
    raw = mail.as_bytes()
    assert mail["Bcc"] is None
    assert b"\nBcc:" not in raw
    assert raw.count(b"\nSubject:") <= 1


@pytest.mark.parametrize("kind", NAMES)
def test_json_receivers_get_valid_bounded_json(make: Make, linker: Linker, kind: str) -> None:
    message = message_of(hostile(make, NAMES[kind]))
    body = json.dumps(webhook.payload(message, "UTC", linker)).encode()
    assert json.loads(body)["data"]["transition"] == "opened"
    assert len(body) < 20_000
    assert len(message.dedup_key) <= 255


def test_right_to_left_text_cannot_turn_the_line_round() -> None:
    shown = plain(NAMES["right to left"])
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067") & set(shown)
    assert (shown[0], shown[-1]) == ("\u2068", "\u2069")


@given(st.text(max_size=400), st.integers(10, 200))
def test_whatever_the_name_it_becomes_one_short_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


CANARY = "canary-5f2e9c"


def test_no_secret_stands_in_a_payload_a_row_or_a_log(
    store: Store,
    make: Make,
    http_server: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every secret is a canary; it may stand only where its protocol needs it, and nowhere when a channel fails."""
    caplog.set_level(logging.DEBUG)
    server = http_server()
    server.answer = lambda got: (500 if "fail" in got.path else 401, {}, CANARY.encode())
    key = base64.b64encode(f"{CANARY}-{CANARY}-{CANARY}".encode()).decode()
    values = {
        "HOOK": "whsec_" + key, "SLACK": f"xoxb-{CANARY}", "PD": CANARY.replace("-", "0").ljust(32, "0"),
        "TEAMS": f"{server.url}/fail?sig={CANARY}", "PW": CANARY, "LINK": CANARY,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = AlertSettings.model_validate(
        {
            "channels": {
                "hook": {"kind": "webhook", "url": server.url, "secrets": ["env:HOOK"]},
                "slack": {"kind": "slack", "token": "env:SLACK", "channel": "#a", "api_url": server.url},
                "pd": {"kind": "pagerduty", "routing_key": "env:PD", "api_url": server.url},
                "teams": {"kind": "teams", "webhook": "env:TEAMS"},
                "am": {"kind": "alertmanager", "url": server.url, "user": "u", "password": "env:PW"},
                "mail": {**MAIL, "host": "127.0.0.1", "port": 9, "tls": "starttls", "user": "u", "password": "env:PW"},
            },
            "routes": [{"channels": ["hook", "slack", "pd", "teams", "am", "mail"]}],
            "links": {"page_url": "https://bell.example", "key": "env:LINK"},
        }
    )
    with store.write() as tx:
        apply(tx, [make()], make().ts, settings)
    channels = build_channels(settings)
    for second in range(90):
        deliver_due(store, channels, make().ts + second)
    rows = [
        str(row)
        for table in ("incidents", "incident_events", "notifications")
        for row in store.read().execute(f"SELECT * FROM {table}")
    ]
    said = "\n".join([*rows, caplog.text, repr(settings), repr(channels)])
    assert "auth_error" in said
    assert [value for value in (CANARY, values["PD"], key, "Traceback") if value in said] == []
    for got in server.got:
        assert CANARY not in got.body.decode() or got.path == "/v2/enqueue"
