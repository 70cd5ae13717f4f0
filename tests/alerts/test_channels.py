"""Each channel against a real local server that checks what the documented API would check."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.channels.delivery import Channel, DeliveryError, wait_of
from driftbell.alerts.message import Message
from driftbell.alerts.proof import check_message, send_changes, send_test
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.call import Marker
from driftbell.collectors.store import Store

Start = Callable[[], Any]
Say = Callable[..., Message]
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"another-key-of-at-least-24-bytes").decode()


@pytest.fixture
def say(t0: float) -> Say:
    """A message of the incident inc-1 by transition and number."""

    def make(transition: Any = "opened", seq: int = 1, **changes: Any) -> Message:
        message = Message(
            event_id=f"inc-1.{seq}", incident_id="inc-1", seq=seq, dedup_key="driftbell/prod/claims/cost/inc-1",
            transition=transition, reason="new_incident", severity="page", family="cost", workflow="claims",
            metric="cost_per_call", noun="cost per call", title="claims: cost per call up 66% (3.2c -> 5.3c)",
            subject="[PAGE] claims: cost per call up 66% (3.2c -> 5.3c)", at=t0 + 1020 + seq, started_at=t0,
            opened_at=t0 + 1020, observed="5.3c", usual="3.2c", cause="Prompt v14 went live.", confidence="likely",
            action="go back to the prompt before v14", owner="@claims-ai",
        )  # fmt: skip
        return replace(message, **changes)

    return make


def channel(section: dict[str, Any]) -> Channel:
    settings = AlertSettings.model_validate(
        {"channels": {"it": section}, "links": {"page_url": "https://bell.example"}}
    )
    return build_channels(settings).by_name["it"]


@pytest.fixture
def hook(http_server: Start, monkeypatch: pytest.MonkeyPatch) -> tuple[Channel, Any]:
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("HOOK_OLD", OLD_SECRET)
    server = http_server()
    section = {"kind": "webhook", "url": server.url + "/in", "secrets": ["env:HOOK", "env:HOOK_OLD"], "timeout": 2}
    return channel(section), server


def test_the_reference_library_accepts_our_signature(hook: tuple[Channel, Any], say: Say) -> None:
    hook[0].send(say(), {})
    (got,) = hook[1].got
    assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "alert.opened"


def test_a_receiver_that_still_has_the_old_secret_accepts_it_too(hook: tuple[Channel, Any], say: Say) -> None:
    hook[0].send(say(), {})
    (got,) = hook[1].got
    assert Webhook(OLD_SECRET).verify(got.body, got.headers)


def test_the_reference_library_refuses_a_changed_body(hook: tuple[Channel, Any], say: Say) -> None:
    hook[0].send(say(), {})
    (got,) = hook[1].got
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body.replace(b"5.3c", b"9.9c"), got.headers)


def test_the_id_stays_the_same_over_attempts(hook: tuple[Channel, Any], say: Say) -> None:
    hook[1].answer = lambda _: (503, {}, b"")
    for _ in range(2):
        with pytest.raises(DeliveryError):
            hook[0].send(say(), {})
    assert {got.headers["webhook-id"] for got in hook[1].got} == {"inc-1.1"}


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        (401, "auth_error", True),
        (404, "not_found", True),
        (410, "gone", True),
        (400, "bad_request", True),
        (302, "redirected", True),
        (408, "timeout", False),
        (429, "rate_limited", False),
        (500, "server_error", False),
        (503, "server_error", False),
    ],
)
def test_an_answer_says_whether_trying_again_can_help(
    hook: tuple[Channel, Any], say: Say, status: int, reason: str, permanent: bool
) -> None:
    hook[1].answer = lambda _: (status, {"Location": "http://127.0.0.1:1/"}, b"secret-in-body")
    with pytest.raises(DeliveryError) as caught:
        hook[0].send(say(), {})
    assert (caught.value.reason, caught.value.permanent) == (reason, permanent)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "999999"}, 3600),
        ({"Retry-After": "Tue, 10 Nov 2026 09:15:30 GMT", "Date": "Tue, 10 Nov 2026 09:14:00 GMT"}, 90),
        ({"Retry-After": "Tue, 10 Nov 2026 09:13:00 GMT", "Date": "Tue, 10 Nov 2026 09:14:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


def test_a_server_that_asks_for_patience_is_heard(hook: tuple[Channel, Any], say: Say) -> None:
    hook[1].answer = lambda _: (429, {"Retry-After": "40"}, b"")
    with pytest.raises(DeliveryError) as caught:
        hook[0].send(say(), {})
    assert caught.value.retry_after == 40


def test_nobody_there_is_worth_another_try(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    gone = channel({"kind": "webhook", "url": "http://127.0.0.1:9/token-in-url", "secrets": ["env:HOOK"]})
    with pytest.raises(DeliveryError) as caught:
        gone.send(say(), {})
    assert (caught.value.permanent, "token" in repr(caught.value)) == (False, False)


def test_a_secret_that_is_too_short_is_refused_before_anything_is_sent(
    hook: tuple[Channel, Any], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "whsec_c2hvcnQ=")
    with pytest.raises(DeliveryError, match="bad_secret"):
        hook[0].send(say(), {})
    assert hook[1].got == []


class SlackServer:
    """Answers like api.slack.com: knows its messages, checks the token and the documented limits."""

    def __init__(self, server: Any) -> None:
        self.server, self.posted, self.edits, self.edit_error = server, list[dict[str, Any]](), list[str](), ""
        server.answer = self.answer

    def answer(self, got: Any) -> tuple[int, dict[str, str], bytes]:
        body = got.json
        if got.headers.get("authorization") != "Bearer xoxb-good":
            return 200, {}, b'{"ok": false, "error": "invalid_auth"}'
        check_slack_limits(body)
        if got.path.endswith("/chat.update"):
            if self.edit_error:
                return 200, {}, json.dumps({"ok": False, "error": self.edit_error}).encode()
            assert body["ts"] in {m["ts"] for m in self.posted}
            self.edits.append(body["text"])
            return 200, {}, b'{"ok": true}'
        ts = f"1700000000.{len(self.posted):06d}"
        self.posted.append({**body, "ts": ts})
        return 200, {}, json.dumps({"ok": True, "ts": ts, "channel": "C123"}).encode()


def check_slack_limits(body: dict[str, Any]) -> None:
    blocks = body.get("blocks", []) + [b for a in body.get("attachments", []) for b in a["blocks"]]
    assert len(blocks) <= 8
    assert len(json.dumps(body)) < 13_000
    for block in blocks:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        if block["type"] == "section":
            assert 1 <= len(block["fields"]) <= 10
            assert all(len(f["text"]) <= 2000 for f in block["fields"])
        if block["type"] == "actions":
            assert len(block["elements"]) <= 25
            assert all(len(e["text"]["text"]) <= 75 and len(e["url"]) <= 3000 for e in block["elements"])


@pytest.fixture
def slack(http_server: Start, monkeypatch: pytest.MonkeyPatch) -> tuple[Channel, SlackServer]:
    monkeypatch.setenv("SLACK", "xoxb-good")
    server = http_server()
    section = {"kind": "slack", "token": "env:SLACK", "channel": "#alerts", "api_url": server.url}
    return channel(section), SlackServer(server)


def test_slack_has_one_message_with_the_present_state_and_its_history_below(
    slack: tuple[Channel, SlackServer], say: Say
) -> None:
    ref = slack[0].send(say(), {})
    ref = slack[0].send(say("updated", 2, reason="segments_changed"), ref)
    slack[0].send(say("resolved", 3, ended_at=say().at + 9000), ref)
    top, *replies = slack[1].posted
    assert "thread_ts" not in top
    assert [r["thread_ts"] for r in replies] == [top["ts"]] * 2
    assert slack[1].edits[-1].startswith("[RESOLVED]")


@pytest.mark.parametrize("error", ["cant_update_message", "edit_window_closed"])
def test_slack_gets_a_reply_where_it_refuses_the_edit(slack: tuple[Channel, SlackServer], say: Say, error: str) -> None:
    ref = slack[0].send(say(), {})
    slack[1].edit_error = error
    slack[0].send(say("resolved", 2), ref)
    assert slack[1].posted[-1]["thread_ts"] == slack[1].posted[0]["ts"]


def test_slack_shows_the_title_on_the_phone(slack: tuple[Channel, SlackServer], say: Say) -> None:
    slack[0].send(say(), {})
    assert slack[1].posted[0]["text"] == "[PAGE] claims: cost per call up 66% (3.2c -&gt; 5.3c)"


def test_slack_says_no_with_http_200(
    slack: tuple[Channel, SlackServer], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK", "xoxb-revoked")
    with pytest.raises(DeliveryError) as caught:
        slack[0].send(say(), {})
    assert (caught.value.reason, caught.value.permanent) == ("auth_error", True)


def test_a_slack_incoming_webhook_is_posted_to(http_server: Start, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    server = http_server()
    monkeypatch.setenv("SLACK_HOOK", server.url + "/services/T0/B0/xyz")
    channel({"kind": "slack", "webhook": "env:SLACK_HOOK"}).send(say(), {})
    check_slack_limits(server.got[0].json)
    assert "metadata" not in server.got[0].json


class PagerDutyServer:
    """Behaves like events.pagerduty.com: incidents by (routing key, dedup key), 400 for what the schema refuses."""

    def __init__(self, server: Any) -> None:
        self.incidents: dict[tuple[str, str], str] = {}
        self.summaries: list[str] = []
        self.changes: list[Any] = []
        server.answer = self.answer

    def answer(self, got: Any) -> tuple[int, dict[str, str], bytes]:
        body = got.json
        if not re.fullmatch(r"[A-Za-z0-9]{32}", body["routing_key"]):
            return 400, {}, b'{"status": "invalid event"}'
        if got.path == "/v2/change/enqueue":
            assert {"summary", "timestamp", "source"} <= set(body["payload"])
            self.changes.append(body)
            return 202, {}, b"{}"
        assert got.path == "/v2/enqueue"
        key = (body["routing_key"], body["dedup_key"])
        assert len(body["dedup_key"]) <= 255
        if body["event_action"] == "trigger":
            payload = body["payload"]
            assert payload["severity"] in {"critical", "error", "warning", "info"}
            assert 0 < len(payload["summary"]) <= 1024
            assert payload["source"]
            assert all(isinstance(v, str) for v in payload["custom_details"].values())
            self.summaries.append(payload["summary"])
            self.incidents[key] = "triggered"
        elif key in self.incidents:  # PagerDuty drops the others without an error
            self.incidents[key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[body["event_action"]]
        return 202, {}, b'{"status": "success"}'


@pytest.fixture
def pagerduty(http_server: Start, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], PagerDutyServer]:
    server = http_server()
    monkeypatch.setenv("PD", "a" * 32)
    return {"kind": "pagerduty", "routing_key": "env:PD", "api_url": server.url}, PagerDutyServer(server)


def test_pagerduty_sees_one_incident_from_trigger_to_resolve(
    pagerduty: tuple[dict[str, Any], PagerDutyServer], say: Say
) -> None:
    section, server = pagerduty
    states, ref = [], {}
    for seq, transition in enumerate(["opened", "updated", "acknowledged", "unknown", "resolved"], 1):
        ref = channel(section).send(say(transition, seq), ref)
        (state,) = server.incidents.values()
        states.append(state)
    assert states == ["triggered", "triggered", "acknowledged", "triggered", "resolved"]


def test_the_same_event_twice_is_one_pagerduty_incident(
    pagerduty: tuple[dict[str, Any], PagerDutyServer], say: Say
) -> None:
    section, server = pagerduty
    channel(section).send(say(), {})
    channel(section).send(say(), {})
    assert len(server.incidents) == 1


def test_pagerduty_is_resolved_with_the_routing_key_of_its_opening(
    pagerduty: tuple[dict[str, Any], PagerDutyServer], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, server = pagerduty
    ref = channel(section).send(say(), {})
    monkeypatch.setenv("PD", "b" * 32)
    monkeypatch.setenv("PD_OLD", "a" * 32)
    channel({**section, "previous_keys": ["env:PD_OLD"]}).send(say("resolved", 2), ref)
    assert server.incidents == {("a" * 32, say().dedup_key): "resolved"}
    assert "a" * 8 not in json.dumps(ref)


def test_a_lost_routing_key_is_an_error_and_not_a_silent_drop(
    pagerduty: tuple[dict[str, Any], PagerDutyServer], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = channel(pagerduty[0]).send(say(), {})
    monkeypatch.setenv("PD", "b" * 32)
    with pytest.raises(DeliveryError, match="routing_key_changed"):
        channel(pagerduty[0]).send(say("resolved", 2), ref)


def test_a_marker_becomes_a_change_event_once(
    pagerduty: tuple[dict[str, Any], PagerDutyServer], store: Store, t0: float
) -> None:
    section, server = pagerduty
    settings = AlertSettings.model_validate({"channels": {"pd": {**section, "change_events": True}}})
    marker = Marker(t0, "prompt_version", "claims", "v14", id="m1")
    with store.write() as tx:
        assert send_changes(tx, [marker, marker], t0, settings) == 1
    from driftbell.alerts.outbox import deliver_due

    deliver_due(store, build_channels(settings), t0)
    assert [c["payload"]["summary"] for c in server.changes] == ["claims: prompt_version v14"]


def test_teams_gets_a_card_within_its_limits(http_server: Start, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    server = http_server()
    server.answer = lambda _: (202, {}, b"")
    monkeypatch.setenv("TEAMS", server.url + "/workflows/1?sig=credential")
    long = say(evidence=("x" * 160,) * 3, others=tuple("ü" * 120 for _ in range(8)), cause="y" * 240)
    channel({"kind": "teams", "webhook": "env:TEAMS"}).send(long, {})
    (got,) = server.got
    card = got.json["attachments"][0]
    assert len(got.body) <= 21_000
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["content"]["type"], card["content"]["version"]) == ("AdaptiveCard", "1.4")
    assert {a["type"] for a in card["content"]["actions"]} == {"Action.OpenUrl"}
    assert {b["type"] for b in card["content"]["body"]} == {"Container", "RichTextBlock"}


def test_apprise_reaches_what_it_knows(http_server: Start, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise", reason="apprise is an optional extra and is not installed")
    server = http_server()
    monkeypatch.setenv("LONG_TAIL", server.url.replace("http://", "json://"))
    channel({"kind": "apprise", "url": "env:LONG_TAIL"}).send(say(), {})
    assert "cost per call up 66%" in server.got[0].json["title"]


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty", "teams"])
def test_a_test_message_proves_each_channel(
    http_server: Start, kind: str, t0: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http_server()
    server.answer = lambda _: (200, {}, b'{"ok": true, "ts": "1", "channel": "C"}')
    for name, value in {"S": SECRET, "PD": "a" * 32, "URL": server.url, "TOKEN": "xoxb-good"}.items():
        monkeypatch.setenv(name, value)
    section = {
        "webhook": {"kind": "webhook", "url": server.url, "secrets": ["env:S"]},
        "slack": {"kind": "slack", "token": "env:TOKEN", "channel": "#a", "api_url": server.url},
        "pagerduty": {"kind": "pagerduty", "routing_key": "env:PD", "api_url": server.url},
        "teams": {"kind": "teams", "webhook": "env:URL"},
    }[kind]
    channels = build_channels(AlertSettings.model_validate({"channels": {"it": section}}))
    send_test(channels, "it", t0)
    assert b"test of the channel it" in server.got[0].body


def test_a_test_says_why_a_channel_refuses(http_server: Start, t0: float, monkeypatch: pytest.MonkeyPatch) -> None:
    server = http_server()
    server.answer = lambda _: (401, {}, b"")
    monkeypatch.setenv("S", SECRET)
    section = {"kind": "webhook", "url": server.url, "secrets": ["env:S"]}
    channels = build_channels(AlertSettings.model_validate({"channels": {"it": section}}))
    with pytest.raises(DeliveryError, match="auth_error"):
        send_test(channels, "it", t0)
    assert len(check_message("it", channels.settings, t0).title) <= 100


def test_a_netrc_file_does_not_replace_our_token(
    slack: tuple[Channel, SlackServer], say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert slack[0].send(say(), {})["ts"]
