"""The API: what comes out is what was sent in, and every mistake of a caller is one clear sentence."""

import pytest
from running_service import CALL, NOW, calls


@pytest.fixture
def running(serve):
    return serve(prices={"atlas": {"input": 10, "output": 100}})


def test_a_call_comes_out_as_it_was_sent(running):
    assert running.send(CALL).status_code == 200
    (call,) = running.get("/api/v1/calls").json()["calls"]
    sent = ("workflow", "segment", "model", "input_tokens", "output_tokens", "latency_ms", "status", "operation")
    assert {name: call[name] for name in sent} == {name: getattr(CALL, name) for name in sent}
    assert call["ts"] == pytest.approx(CALL.ts)
    assert call["cost_usd"] == pytest.approx(100 * 10e-6 + 20 * 100e-6)


def test_calls_come_in_pages_without_loss_or_repetition(running):
    running.send(*calls(25))
    seen, cursor = [], None
    while True:
        page = running.get("/api/v1/calls", params={"limit": 10, **({"cursor": cursor} if cursor else {})}).json()
        seen += [call["ts"] for call in page["calls"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == 25


def test_calls_can_be_asked_for_by_workflow_and_time(running):
    running.send(*calls(10))
    found = running.get("/api/v1/calls", params={"workflow": "triage", "since": CALL.ts + 2, "until": CALL.ts + 5})
    assert len(found.json()["calls"]) == 3
    assert running.get("/api/v1/calls", params={"workflow": "other"}).json()["calls"] == []


def test_usage_sums_per_group_and_a_sum_with_no_known_member_is_null(running):
    running.send(*calls(3))
    (group,) = running.get("/api/v1/usage", params={"group_by": "workflow,model"}).json()["groups"]
    assert group["workflow"] == "triage"
    assert group["model"] == "atlas"
    assert (group["calls"], group["errors"], group["attempts"], group["input_tokens"]) == (3, 0, 3, 300)
    assert group["cached_tokens"] is None
    assert group["unpriced_calls"] == 0


def test_workflows_are_discovered_from_the_calls(running):
    running.send(CALL)
    (workflow,) = running.get("/api/v1/workflows").json()["workflows"]
    assert workflow["name"] == "triage"


def test_times_may_be_written_as_people_write_them(running):
    running.send(CALL)
    for since in ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00+01:00", "0"):
        assert len(running.get("/api/v1/calls", params={"since": since}).json()["calls"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "/api/v1/calls?limit=0",
        "/api/v1/calls?workfow=triage",
        "/api/v1/usage?workflow=triage",
        "/api/v1/workflows?since=0",
        "/api/v1/calls?limit=-1",
        "/api/v1/calls?limit=many",
        "/api/v1/calls?limit=1e9",
        "/api/v1/calls?since=yesterday",
        "/api/v1/calls?since=nan",
        "/api/v1/calls?since=inf",
        "/api/v1/calls?since=2020-01-01T00:00:00",
        "/api/v1/calls?cursor=xyz",
        "/api/v1/calls?cursor=%00",
        "/api/v1/calls?workflow=" + "x" * 300,
        "/api/v1/usage?group_by=password",
        "/api/v1/usage?group_by=workflow;drop",
        "/api/v1/incidents?state=closed",
        "/api/v1/incidents?before=x",
    ],
)
def test_a_question_that_cannot_be_answered_is_a_400_that_says_why(running, query):
    answer = running.get(query)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/silences", b"not json"),
        ("/api/v1/silences", b"[]"),
        ("/api/v1/silences", b"{}"),
        ("/api/v1/silences", b'{"for": "4h"}'),
        ("/api/v1/silences", b'{"for": "4h", "family": "quallity"}'),
        ("/api/v1/silences", b'{"for": "4x", "workflow": "triage"}'),
        ("/api/v1/silences", b'{"for": "-1", "workflow": "triage"}'),
        ("/api/v1/silences", b'{"for": "1000d", "workflow": "triage"}'),
        ("/api/v1/silences", b'{"for": "4h", "workflow": "triage", "x": 1}'),
        ("/api/v1/markers", b"{}"),
        ("/api/v1/markers", b'{"kind": ""}'),
        ("/api/v1/markers", b'{"kind": "release", "ts": NaN}'),
        ("/api/v1/markers", b'{"kind": "release", "ts": "soon"}'),
        ("/api/v1/markers", b"[" * 60_000),
    ],
)
def test_a_body_that_cannot_be_used_is_a_400_that_says_why(running, path, body):
    answer = running.post(path, data=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_that_is_too_large_is_refused(running):
    assert running.post("/api/v1/markers", data=b" " * 70_000).status_code == 413


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/incidents/none", "/api/v2/calls"])
def test_what_does_not_exist_is_a_404_in_json(running, path):
    answer = running.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_the_wrong_method_is_a_405_in_json(running):
    answer = running.post("/api/v1/calls")
    assert answer.status_code == 405
    assert answer.json()["error"]


def test_an_incident_that_does_not_exist_cannot_be_acknowledged(running):
    assert running.post("/api/v1/incidents/none/ack", json={}).status_code == 404
    assert running.post("/api/v1/silences", json={"for": "4h", "incident_id": "none"}).status_code == 404


def test_a_marker_is_kept_once_however_often_it_is_sent(running):
    for _ in range(2):
        assert (
            running.post("/api/v1/markers", json={"kind": "prompt", "value": "v14", "ts": NOW - 5}).status_code == 201
        )
    (marker,) = running.service.store.markers()
    assert (marker.kind, marker.value, marker.ts) == ("prompt", "v14", NOW - 5)


def test_a_silence_has_an_end(running):
    made = running.post("/api/v1/silences", json={"for": "4h", "workflow": "triage", "by": "ana"}).json()
    assert made["ends_at"] == NOW + 4 * 3600


def test_a_ready_service_says_so_and_tells_its_metrics(running):
    running.send(CALL)
    assert running.get("/healthz").status_code == 200
    assert running.get("/readyz").json()["ready"] is True
    text = running.get("/metrics").text
    assert "driftbell_job_failures_total" in text
    line = next(line for line in text.splitlines() if line.startswith("driftbell_detector_last_success"))
    assert float(line.split()[1]) == NOW
    assert 'driftbell_workflow_newest_call_timestamp_seconds{workflow="triage"}' in text


def test_a_malformed_body_is_refused_and_the_service_goes_on(running):
    headers = {"Content-Type": "application/x-protobuf"}
    assert running.post("/v1/traces", data=b"\xff\xff nonsense", headers=headers).status_code == 400
    assert running.get("/api/v1/calls").json()["calls"] == []
    assert running.send(CALL).status_code == 200


def test_with_a_token_everything_but_healthz_asks_for_it(serve, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", "s3cret-s3cret")
    running = serve(token="env:TEST_TOKEN")
    given = {"Authorization": "Bearer s3cret-s3cret"}
    assert running.get("/healthz").status_code == 200
    for path in ("/readyz", "/metrics", "/api/v1/calls"):
        assert running.get(path).status_code == 401
        assert running.get(path, headers=given).status_code == 200
    assert running.send(CALL).status_code == 401
    assert running.send(CALL, **given).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_cannot_silence_what_a_browser_can_reach(running, origin):
    wanted = {"for": "4h", "workflow": "triage"}
    refused = running.post("/api/v1/silences", json=wanted, headers={"Origin": origin})
    assert refused.status_code == 403
    assert "another origin" in refused.json()["error"]
    assert running.post("/api/v1/silences", json=wanted, headers={"Origin": running.url}).status_code == 201
