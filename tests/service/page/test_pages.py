"""Every page answers, small and without a word of what is not to be shown."""

import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
import requests
from page_reader import HOSTILE, Reader, opened
from running_service import CALL, NOW

PATHS = (
    "/",
    "/?sort=name&state=usual&q=triage",
    "/workflow?name=triage",
    "/workflow?name=triage&range=6h&segment=amer",
    "/workflow?name=triage&range=90d&model=atlas&risk_tier=high",
    "/workflow/series?name=triage&series=cost&by=prompt_version",
    "/workflow/series?name=triage&series=eval.none",
    "/incidents",
    "/incidents?state=all",
    "/calls",
    "/calls?workflow=triage&segment=amer&status=error&range=7d",
    "/summaries",
    "/telemetry",
)


@pytest.mark.parametrize("path", PATHS)
def test_every_page_answers_below_its_size_with_a_strict_policy(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) < 300_000
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r'\sstyle="|<style|\son\w+="|javascript:', answer.text)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text), "nothing from elsewhere"


def test_the_first_load_is_below_300_kilobytes_with_all_that_it_needs(shown):
    text = shown.get("/").text
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    assert len(assets) == 3
    loaded = [shown.get(path) for path in assets]
    assert all("immutable" in answer.headers["Cache-Control"] for answer in loaded)
    assert len(text) + sum(len(answer.content) for answer in loaded) < 300_000


def test_before_the_first_call_it_shows_how_to_begin(serve):
    running = serve()
    text = requests.get(running.url + "/", timeout=10).text
    assert "Waiting for the first call" in text
    assert f'endpoint="{running.url}"' in text.replace("&#34;", '"')
    assert "@monitor.observe(workflow=" in text


def test_the_overview_shows_the_worst_first_and_what_it_is_about(reader):
    reader.running.send(*(replace(CALL, workflow="aaa", ts=NOW - i) for i in range(20)))
    reader.running.service.store.refresh_all()
    opened(reader.running)
    reader.running.time[0] += 60
    text = reader.get("/").text
    assert text.index(">triage<") < text.index(">aaa<")
    assert "cost in" in text
    assert 'class="num page"' in text
    assert reader.get("/?q=aaa").text.count('scope="row"') == 1
    assert "No workflow fits" in reader.get("/?q=nothing").text


@pytest.mark.parametrize("path", ["/workflow?name=none", "/incidents/inc-none", "/calls/00/00", "/calls/x/y"])
def test_what_is_not_there_is_said_so(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/workflow?name=triage&range=1y",
        "/workflow?name=triage&since=9&until=1",
        "/workflow?name=triage&since=0",
        "/workflow/series?name=triage&series=none",
        "/?sort=colour",
        "/?page=0",
        "/calls?cursor=x",
        "/calls?user_id=" + "x" * 600,
    ],
)
def test_what_cannot_be_meant_is_answered_with_one_sentence(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 400
    assert "Traceback" not in answer.text


def test_hostile_names_are_shown_as_text_everywhere(reader):
    call = replace(CALL, workflow=HOSTILE, segment=HOSTILE, model=HOSTILE, prompt_version=HOSTILE, user_id=HOSTILE)
    assert reader.running.send(*(replace(call, ts=NOW - 100 - i) for i in range(5))).ok
    reader.running.service.store.refresh_all()
    stored = next(w.name for w in reader.running.service.store.workflows() if w.name != "triage")
    incident = opened(reader.running, workflow=stored, segment=HOSTILE, owner=HOSTILE)
    reader.running.time[0] += 60
    (held,) = reader.get(f"/api/v1/calls?workflow={quote(stored)}&limit=1").json()["calls"]
    pages = (
        "/",
        f"/workflow?name={quote(stored)}",
        f"/workflow/series?name={quote(stored)}&series=calls",
        f"/incidents/{incident}",
        "/incidents",
        f"/calls?workflow={quote(stored)}",
        f"/calls/{held['trace_id']}/{held['span_id']}",
    )
    for path in pages:
        answer = reader.get(path)
        assert answer.status_code == 200, path
        assert "<img" not in answer.text, path
        assert "\u202e" not in re.sub(r'(?:value|href)="[^"]*"', "", answer.text), path
        assert len(answer.content) < 300_000


def test_the_trail_of_a_call_tells_what_produced_it_and_no_content(reader):
    secret = "the patient has"
    running = reader.running
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat atlas",
        "startTimeUnixNano": str(int((NOW - 62) * 1e9)), "endTimeUnixNano": str(int((NOW - 60) * 1e9)),
        "attributes": [
            {"key": key, "value": {"stringValue": value}}
            for key, value in {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "atlas", "driftbell.workflow": "triage",
                "gen_ai.prompt.version": "v7", "gen_ai.output.messages": secret, "my.tag": "blue-42",
                "gen_ai.input.messages": json.dumps([{"role": "user", "content": secret}]),
            }.items()
        ],
    }  # fmt: skip
    judged = {
        "traceId": span["traceId"], "spanId": "b7ad6b7169203332", "name": "driftbell.override",
        "startTimeUnixNano": str(int((NOW - 30) * 1e9)), "endTimeUnixNano": str(int((NOW - 30) * 1e9)),
        "attributes": [
            {"key": "driftbell.call.trace_id", "value": {"stringValue": span["traceId"]}},
            {"key": "driftbell.call.span_id", "value": {"stringValue": span["spanId"]}},
            {"key": "driftbell.override.kind", "value": {"stringValue": "edited"}},
        ],
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "driftbell"}, "spans": [span, judged]}]}]}
    assert running.post("/v1/traces", json=body).ok
    text = reader.get(f"/calls/{span['traceId']}/{span['spanId']}").text
    for told in ("v7", "atlas", "edited", "chat atlas", "not kept by this service"):
        assert told in text
    assert secret not in text
    found = reader.get("/calls?text=blue-42&range=6h").text
    assert found.count(span["traceId"]) == 1
    assert span["traceId"] not in reader.get("/calls?text=blue-43&range=6h").text


def test_older_calls_are_a_link_away_and_none_is_shown_twice(shown):
    seen: list[str] = []
    path = "/calls?workflow=triage&range=3d"
    while path:
        text = shown.get(path).text
        seen += re.findall(r'href="(/calls/[0-9a-f]+/[0-9a-f]+)"', text)
        path = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 360


@pytest.mark.parametrize(
    ("given", "number"),
    [("segment=amer", 180), ("status=error", 30), ("user_id=user-1", 90), ("prompt_version=v2&segment=amer", 30)],
)
def test_filters_find_what_fits_and_nothing_else(shown, given, number):
    seen, path = 0, f"/calls?workflow=triage&range=3d&{given}"
    while path:
        text = shown.get(path).text
        seen += len(re.findall(r'href="/calls/[0-9a-f]+/', text))
        path = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert seen == number


def test_an_incident_shows_its_evidence_its_deliveries_and_parts_that_sum(reader):
    text = reader.get(f"/incidents/{opened(reader.running)}").text
    for told in ("3.0c", "1.0c", "Input tokens in amer trebled.", "model, price", "+$2.50/hour", "segment amer"):
        assert told in text, told
    assert "Nobody was told" in text
    assert "<svg" in text


def test_an_incident_about_the_alerting_itself_has_a_page_and_a_place_on_the_overview(reader):
    about = {"workflow": "driftbell", "family": "instrument", "metric": "delivery", "unit": "calls", "segment": "slack"}
    incident = opened(reader.running, **about)
    answer = reader.get(f"/incidents/{incident}")
    assert answer.status_code == 200
    assert "/workflow?name=driftbell" not in answer.text
    reader.running.time[0] += 60
    assert "driftbell itself" in reader.get("/").text


def test_a_new_workflow_says_how_far_it_is_learned(shown):
    assert "day 2 of 5" in shown.get("/").text
    text = shown.get("/workflow?name=triage").text
    assert "Still learning: day 2 of 5" in text
    assert "<progress" in text


def test_a_reader_without_a_script_still_gets_times_in_utc(shown):
    text = shown.get("/incidents?state=all").text + shown.get("/calls").text
    assert re.search(r"<time datetime=\"[0-9T:-]+Z\"[^>]*>[^<]* UTC</time>", text)


def test_it_is_compressed_for_who_can_take_it(shown: Reader):
    answer = shown.get("/calls")
    assert answer.headers["Content-Encoding"] == "gzip"


def test_state_that_cannot_be_read_is_told_beside_the_charts(reader):
    with reader.running.service.store.write() as tx:
        tx.conn.execute("DELETE FROM detector_state")
        tx.conn.execute(
            "INSERT INTO detector_state (workflow, next_bin, state) VALUES ('triage', ?, '{\"version\": 999}')", [NOW]
        )
    answer = reader.get("/workflow?name=triage")
    assert answer.status_code == 200
    assert "Nothing of this workflow is watched: detector state of" in answer.text
    assert "<svg" in answer.text
