"""`explain`, `ack` and `resolve` on an incident: the numbers are those of the stored calls."""

import json
from dataclasses import replace

import pytest
from driftbell_process import driftbell
from running_service import CALL, NOW

from driftbell.alerts.incident import apply
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Cause, Finding
from driftbell.service.explain import Period, explain, measure_of

STARTED = NOW - 3600


@pytest.fixture
def running(serve, tmp_path):
    """A cost incident since an hour ago: in `amer` a call takes 3,000 tokens where it took 1,000."""
    started = serve(tmp_path / "data", prices={"atlas": {"input": 10, "output": 100}})
    calls = []
    for hour in range(30):
        for i in range(20):
            ts = NOW - 3600 * hour - 3500 + i
            segment = "amer" if i % 2 else "emea"
            dear = hour == 0 and segment == "amer"
            tokens = {"input_tokens": 3000 if dear else 1000, "output_tokens": 0}
            calls.append(replace(CALL, ts=ts, segment=segment, **tokens))
    started.send(*calls)
    finding = Finding(
        NOW - 60, "fired", "triage", "cost", "cost_per_call", 1, "usd", segment="amer", observed=0.03, usual=0.01,
        n=10, started_at=STARTED, cause=Cause({"segment": "amer"}, "possible", 1.0, "Input tokens in amer trebled."),
    )  # fmt: skip
    with started.service.store.write() as tx:
        (change,) = apply(tx, [finding], NOW, AlertSettings())
    return started, change.incident


def test_the_numbers_are_counted_again_from_the_calls(running):
    service, incident = running
    told = explain(service.service.store, incident, NOW)
    assert [period.label for period in told.periods] == ["incident", "day before", "week before"]
    (first, *others) = told.lines
    assert first.slice == "segment amer"
    assert first.counts[0].value == pytest.approx(0.03)
    assert (first.counts[0].n, first.counts[1].n) == (10, 240)
    assert first.counts[1].value == pytest.approx(0.01)
    assert first.counts[2].value is None
    by_segment = {line.slice: line.counts[0].value for line in others}
    assert by_segment["segment emea"] == pytest.approx(0.01)


def test_the_command_prints_and_exports_them(running, tmp_path):
    _, incident = running
    folder = ("--data-dir", tmp_path / "data")
    shown = driftbell("explain", incident.id, *folder)
    assert shown.returncode == 0, shown.stderr
    assert "segment amer" in shown.stdout
    assert "3.0c" in shown.stdout
    told = json.loads(driftbell("explain", incident.id, "--json", *folder).stdout)
    assert told["lines"][0]["counts"][0]["n"] == 10
    assert driftbell("explain", "none", *folder).returncode == 1


def test_an_incident_is_taken_and_closed_from_the_command_line(running, tmp_path):
    _, incident = running
    folder = ("--data-dir", tmp_path / "data")
    assert driftbell("ack", incident.id, "--by", "ana", *folder).returncode == 0
    (line,) = driftbell("incidents", "--open", "--json", *folder).stdout.splitlines()
    assert json.loads(line)["acknowledged_by"] == "ana"
    assert "cost per call" in driftbell("incidents", *folder).stdout
    assert driftbell("resolve", incident.id, "--by", "ana", *folder).returncode == 0
    assert driftbell("incidents", "--open", *folder).stdout == "No open incident.\n"
    again = driftbell("resolve", incident.id, *folder)
    assert again.returncode == 1
    assert "resolved already" in again.stderr


def test_an_incident_is_taken_and_closed_over_the_api(running):
    service, incident = running
    path = f"/api/v1/incidents/{incident.id}"
    assert service.get("/api/v1/incidents").json()["incidents"][0]["id"] == incident.id
    taken = service.post(f"{path}/ack", json={"by": "ana"}).json()
    assert (taken["acknowledged_by"], taken["verdict"]) == ("ana", "seen")
    closed = service.post(f"{path}/resolve", json={"by": "ana"}).json()
    assert (closed["state"], closed["resolved_by"]) == ("resolved", "ana")
    assert service.get("/api/v1/incidents?state=resolved").json()["incidents"][0]["id"] == incident.id
    assert service.post(f"{path}/resolve", json={}).status_code == 409
    history = service.get(path).json()["history"]
    assert [event["reason"] for event in history if event["kind"] == "person"]


@pytest.mark.parametrize(
    "metric", ["status", "calls", "spend", "ai_share", "cached_share", "eval.x", "latency_ms", "n_sources"]
)
def test_a_metric_without_observations_has_no_value(metric):
    count = measure_of(metric)([], Period("p", 0.0, 3600.0))
    assert count.n == 0
    assert count.value in (None, 0.0)
    assert (count.value == 0.0) == (metric == "calls")
