"""The OpenAPI description is true: schemathesis drives a service with data in it, and finds nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
from running_service import CALL, NOW, calls, services

from driftbell.alerts import history
from driftbell.alerts.line import incident_line
from driftbell.alerts.proof import sample_incident
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Judgement, Marker
from driftbell.service.api import Api
from driftbell.service.api_answers import IncidentLine
from driftbell.service.openapi import describe

schema = schemathesis.openapi.from_dict(describe(Api(None, None, None).operations()))
INCIDENT = sample_incident({"workflow": "triage", "segment": "emea", "owner": "ana"}, NOW)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service with calls, points, an incident and a marker."""
    with services(tmp_path_factory.mktemp("openapi")) as start:
        running = start(prices={"atlas": {"input": 10, "output": 100}})
        running.send(*calls(5))
        store = running.service.store
        store.append(Batch(judgements=[Judgement(NOW, "triage", feedback=1)], markers=[Marker(NOW, "index")]))
        store.refresh_all()
        with store.write() as tx:
            history.save(tx, INCIDENT)
            history.store_note(tx, history.Note(INCIDENT.id, "finding", "opened", None, NOW, NOW))
        yield running


def test_nothing_that_is_sent_is_answered_otherwise_than_described(running, tmp_path):
    """The program itself: examples, every edge of every parameter, made-up requests and rows of them."""
    program = Path(sys.executable).with_name("schemathesis")
    url = f"{running.url}/api/v1/openapi.json"
    options = ["--max-examples=12", "--seed=1", "--no-color", "--generation-database=none"]
    told = subprocess.run([program, "run", url, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout[-6000:]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/incidents/{id}", None),
        ("GET", "/api/v1/incidents/{id}/events", None),
        ("POST", "/api/v1/incidents/{id}/ack", {"by": "ana"}),
        ("POST", "/api/v1/incidents/{id}/resolve", {}),
        ("POST", "/api/v1/incidents/{id}/resolve", {"by": "ana"}),
    ],
)
def test_an_incident_that_exists_is_answered_as_described(running, method, path, body):
    more = {} if body is None else {"body": body, "media_type": "application/json"}
    case = schema[path][method].Case(path_parameters={"id": INCIDENT.id}, **more)
    case.call_and_validate(base_url=running.url)


def test_every_field_of_an_incident_is_described():
    assert set(incident_line(INCIDENT)) == set(IncidentLine.model_fields), "service/api_answers.py describes them"


def test_a_silence_can_be_listed_and_ended(running):
    made = running.post("/api/v1/silences", json={"for": "4h", "workflow": "letters"}).json()
    assert made in running.get("/api/v1/silences").json()["silences"]
    left = running.delete(f"/api/v1/silences/{made['id']}")
    assert made not in left.json()["silences"]
    assert running.delete(f"/api/v1/silences/{made['id']}").status_code == 404


def test_points_say_what_the_calls_say_and_come_in_pages_of_whole_intervals(running):
    asked = {"workflow": "triage", "resolution": "minute", "limit": 1}
    found, since = [], None
    while True:
        page = running.get("/api/v1/points", params={**asked, **({} if since is None else {"since": since})}).json()
        found += page["points"]
        since = page["next"]
        if since is None:
            break
    assert sum(point["calls"] for point in found) == 5
    assert sum(point["quantities"]["input_tokens"]["total"] for point in found if point["calls"]) == 500
    assert sum(point["rates"].get("feedback_negative", {"trials": 0})["trials"] for point in found) == 1
    assert "users" not in found[0]
    assert found[0]["quantities"]["input_tokens"]["histogram"] is None
    whole = running.get("/api/v1/points?workflow=triage&histograms=true").json()["points"]
    point = next(each for each in whole if each["calls"])
    assert sum(count for _, count in point["quantities"]["input_tokens"]["histogram"]) == 5


def test_markers_are_listed_with_those_of_no_workflow(running):
    found = running.get("/api/v1/markers", params={"workflow": "triage"}).json()["markers"]
    assert ("index", None) in {(marker["kind"], marker["workflow"]) for marker in found}


def test_the_description_is_served_and_speaks_of_every_route(running):
    served = running.get("/api/v1/openapi.json").json()
    assert served == json.loads(json.dumps(describe(Api(None, None, None).operations())))
    assert CALL.workflow in running.get("/api/v1/workflows").text


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"])
def test_a_body_of_another_kind_is_a_415(running, kind):
    answer = running.post("/api/v1/markers", data=b'{"kind": "index"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_the_wrong_method_is_told_every_right_one(running, method):
    answer = running.request(method, "/api/v1/markers")
    assert answer.status_code == 405
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=1_0",
        "limit=%D9%A3",
        "limit=1&limit=2",
        "since=1_0",
        "workflow=",
        "workflow=%ff%00&x=1",
        "limit=" + "9" * 5000,
    ],
)
def test_what_only_looks_like_a_value_is_refused(running, query):
    assert running.get(f"/api/v1/calls?{query}").status_code == 400


@pytest.mark.parametrize("body", [b'{"kind": "\\ud800"}', b'{"kind": "x", "ts": 1e999}', b'{"kind": "\xff"}', b"\x00"])
def test_a_body_with_broken_text_is_a_400(running, body):
    assert running.post("/api/v1/markers", data=body, headers={"Content-Type": "application/json"}).status_code == 400


def test_any_alphabet_comes_back_as_it_was_sent(running):
    value = "вер\u202e\u0000сия 🔔 " + "é" * 100
    sent = {"kind": "prompt", "value": value, "workflow": "письма", "ts": NOW}
    assert running.post("/api/v1/markers", json=sent).json()["value"] == value
    found = running.get("/api/v1/markers", params={"workflow": "письма"}).json()["markers"]
    assert value in {marker["value"] for marker in found}
