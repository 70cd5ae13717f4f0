"""Who was told, or would be, and why: the dry run of routes, an incident's decisions, failures by their reason."""

import json

import pytest
from driftbell_process import driftbell
from running_service import NOW

from driftbell.alerts import history
from driftbell.alerts.actions import resolve
from driftbell.alerts.incident import apply
from driftbell.detectors.finding import Finding

CONFIG = """
alerts:
  timezone: Europe/Berlin
  channels:
    pd: {kind: pagerduty, routing_key: env:PD_KEY, fallback: chat}
    chat: {kind: slack, token: env:SLACK, channel: "#llm"}
  routes:
    - {match: {owner: ["claims-*"]}, channels: [pd], name: claims}
    - {match: {severity: [page]}, channels: [pd], go_on: true}
    - {channels: [chat]}
  quiet_hours: [{start: "20:00", end: "07:00"}]
  escalation: [{after: 30m, channels: [chat]}]
"""


def route(tmp_path, *arguments):
    file = tmp_path / "driftbell.yaml"
    file.write_text(CONFIG)
    ran = driftbell("route", "--config", file, "--data-dir", tmp_path / "none", *arguments)
    return ran.returncode, [line for line in ran.stdout.splitlines()[2:] if line], ran.stderr


def test_a_dry_run_names_who_is_told_which_route_says_so_and_which_do_not(tmp_path):
    assert route(tmp_path, "--workflow", "triage")[:2] == (
        0,
        [
            "claims: passed over, owner is none and not claims-*",
            "pd: now (routes[1]); chat if it fails",
            "chat: now (routes[2])",
            "chat: after 30 min if nobody acknowledges",
        ],
    )


def test_a_dry_run_knows_the_night(tmp_path):
    lines = route(tmp_path, "--severity", "ticket", "--at", "2026-11-10T03:00:00+01:00")[1]
    assert lines[-1] == "chat: Tue 10 Nov 07:00 (06:00 UTC) (routes[2], held for quiet hours)"


def test_a_dry_run_without_a_way_to_anybody_is_a_failure():
    ran = driftbell("route", "--workflow", "triage")
    assert ran.returncode == 1
    assert "nobody: no route" in ran.stdout


@pytest.mark.parametrize("arguments", [("--severity", "loud"), ("--family", "costs"), ("--at", "noon")])
def test_what_no_incident_can_be_is_refused_in_one_line(tmp_path, arguments):
    code, lines, error = route(tmp_path, *arguments)
    assert (code in {1, 2}, lines, error.count("\n")) == (True, [], 1)


@pytest.fixture
def told(serve, monkeypatch):
    """A service whose only channel refuses for good, and an incident that it was to tell of."""
    monkeypatch.setenv("HOOK", "whsec_too-short")
    hook = {"kind": "webhook", "url": "http://127.0.0.1:9", "secrets": ["env:HOOK"]}
    started = serve(alerts={"channels": {"hook": hook}, "routes": [{"channels": ["hook"]}]})
    fired = Finding(
        NOW, "fired", "triage", "cost", "cost_per_call", 1, "usd", observed=0.03, usual=0.01, started_at=NOW
    )
    config = started.service._config.alerts
    with started.service.store.write() as tx:
        (change,) = apply(tx, [fired], NOW, config)
    started.service.catch_up()
    return started, change.incident, config


def test_every_decision_and_what_became_of_every_message_is_shown(told, tmp_path):
    _, incident, _ = told
    shown = driftbell("incidents", incident.id, "--data-dir", tmp_path / "data")
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert "told opened: new_incident" in text
    assert "hook opened, failed new_incident; routes[0]; bad_secret" in text
    line = json.loads(driftbell("incidents", incident.id, "--json", "--data-dir", tmp_path / "data").stdout)
    assert line["deliveries"][0]["error"] == "bad_secret"
    assert [event["reason"] for event in line["history"]] == ["opened", "new_incident"]


def test_failures_and_decisions_are_metrics_by_their_reason(told):
    started, _, _ = told
    metrics = started.get("/metrics").text
    assert 'driftbell_delivery_failures_total{channel="hook",reason="bad_secret"} 1.0' in metrics
    assert 'driftbell_decisions{kind="told",reason="new_incident"} 1.0' in metrics


def test_what_is_long_over_is_forgotten_by_the_service_itself(told):
    started, incident, config = told
    store = started.service.store
    with store.write() as tx:
        resolve(tx, incident.id, "ana", NOW, config)
    started.time[0] = NOW + 799 * 86_400
    started.service._rounds.forget()
    assert history.get(store.read(), incident.id) is not None
    started.time[0] = NOW + 801 * 86_400
    started.service._rounds.forget()
    assert history.get(store.read(), incident.id) is None


def test_a_silence_is_listed_and_can_be_taken_back(told, tmp_path):
    folder = ("--data-dir", tmp_path / "data")
    made = driftbell("silence", "--workflow", "triage", "--for", "4h", "--by", "ana", "--reason", "release", *folder)
    name = made.stdout.partition(":")[0]
    listed = driftbell("silence", "--list", *folder).stdout
    assert listed.startswith(f"{name}: workflow triage, until ")
    assert listed.endswith(", by ana (release)\n")
    assert driftbell("silence", "--end", name, *folder).stdout == f"{name} ended\n"
    assert driftbell("silence", "--list", *folder).stdout == "Nothing is silenced.\n"
    assert driftbell("silence", "--end", name, *folder).returncode == 1
    assert driftbell("silence", "--workflow", "triage", *folder).returncode == 2
