"""A fixed limit of the configuration, through the running service: incident, verdict, budget and metrics."""

import json
from dataclasses import replace

from running_service import CALL, NOW

LIMIT = {"limits": [{"metric": "status", "above": 0.05, "for": "10m"}]}


def test_a_limit_opens_an_incident_and_what_people_say_of_it_is_counted(serve, tmp_path):
    running = serve(tmp_path / "data", detectors=LIMIT)
    for minute in range(40):
        failed = minute % 2 == 0
        calls = [replace(CALL, ts=NOW + 60 * minute + i, status="error" if failed else "ok") for i in range(10)]
        running.time[0] = NOW + 60 * minute + 30
        assert running.send(*calls).status_code == 200
    running.time[0] = NOW + 60 * 41
    running.service.catch_up()
    (incident,) = running.get("/api/v1/incidents?state=open").json()["incidents"]
    assert incident["family"] == "reliability"
    assert incident["title"].startswith("triage: failed calls over 5.0% (")
    said = running.post(f"/api/v1/incidents/{incident['id']}/ack", json={"by": "ana", "verdict": "false_alarm"})
    assert said.status_code == 200, said.text
    running.time[0] = NOW + 60 * 60
    assert running.send(*[replace(CALL, ts=NOW + 60 * 59 + i) for i in range(10)]).status_code == 200
    running.time[0] = NOW + 60 * 70
    running.service.catch_up()
    query = "SELECT beside FROM detector_state WHERE workflow = 'triage'"
    ((beside,),) = running.service.store.read().execute(query).fetchall()
    assert list(json.loads(beside)["applied"]) == [incident["id"]]
    metrics = running.get("/metrics").text
    assert 'driftbell_pages{verdict="false_alarm",workflow="triage"} 1.0' in metrics
    assert "driftbell_false_pages_promised 1.0" in metrics
