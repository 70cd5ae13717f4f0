"""The links in messages: opening one changes nothing, its form does, and its signature is the only right needed."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from driftbell_process import driftbell
from running_service import NOW

from driftbell.alerts import history
from driftbell.alerts.actions import judged, silence
from driftbell.alerts.incident import apply
from driftbell.alerts.links import Linker, sign
from driftbell.alerts.message import build
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Finding

KEY = "a key of 24 characters !"
TOKEN = "t0ken"
NAME = "<img src=x onerror=alert(1)>"
LABELS = ("Acknowledge", "Silence 4 h", "False alarm", "New normal")


@pytest.fixture
def running(serve, monkeypatch):
    """A service with a token and a key for links, and an incident in it."""
    monkeypatch.setenv("LINK_KEY", KEY)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    started = serve(token="env:SERVICE_TOKEN", alerts={"links": {"page_url": "http://x", "key": "env:LINK_KEY"}})
    fired = Finding(NOW, "fired", NAME, "cost", "cost_per_call", 1, "usd", observed=0.03, usual=0.01, started_at=NOW)
    with started.service.store.write() as tx:
        (change,) = apply(tx, [fired], NOW, AlertSettings())
    return started, change.incident


def links(started, incident) -> dict[str, str]:
    """What a message of the incident offers, as paths of the running service."""
    settings = started.service._config.alerts
    message = build(incident, "opened", "new_incident", NOW, settings)
    found = dict(Linker(settings.links).links(message))
    return {label: found[label].removeprefix("http://x") for label in LABELS}


def submit(started, page, by="ana", path=None, **headers):
    """Press the button of a page, as a browser would."""
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
    target = path or urlsplit(page.url).path
    return started.post(target, data={**fields, "by": by}, headers=headers)


def stored(started, incident):
    return history.get(started.service.store.read(), incident.id)


@pytest.mark.parametrize("label", LABELS)
def test_opening_a_link_changes_nothing(running, label):
    started, incident = running
    before = stored(started, incident)
    for _ in range(3):
        assert started.get(links(started, incident)[label]).status_code == 200
    assert stored(started, incident) == before
    assert history.silences(started.service.store.read(), NOW) == []


def test_its_form_takes_the_incident_without_the_token_of_the_service(running):
    started, incident = running
    done = submit(started, started.get(links(started, incident)["Acknowledge"]))
    assert "Taken by ana." in done.text
    assert stored(started, incident).ack.by == "ana"
    assert started.get("/api/v1/incidents").status_code == 401


def test_a_silence_from_a_link_lasts_four_hours_however_often_it_is_pressed(running):
    started, incident = running
    page = started.get(links(started, incident)["Silence 4 h"])
    assert submit(started, page).text == submit(started, page).text
    (made,) = history.silences(started.service.store.read(), NOW)
    assert (made.incident_id, made.ends_at, made.made_by) == (incident.id, NOW + 4 * 3600, "ana")


def test_a_silence_from_a_link_is_not_cut_short_by_one_that_ends_soon(running):
    started, incident = running
    with started.service.store.write() as tx:
        silence(tx, by="ben", now=NOW, seconds=1800, incident_id=incident.id)
    submit(started, started.get(links(started, incident)["Silence 4 h"]))
    assert max(s.ends_at for s in history.silences(started.service.store.read(), NOW)) == NOW + 4 * 3600


@pytest.mark.parametrize(("label", "verdict"), [("False alarm", "false_alarm"), ("New normal", "new_normal")])
def test_a_verdict_closes_the_incident_and_is_kept_with_its_author(running, label, verdict):
    started, incident = running
    submit(started, started.get(links(started, incident)[label]))
    (found,) = judged(started.service.store.read(), NOW)
    assert (found.verdict, found.by, found.at) == (verdict, "ana", NOW)
    assert stored(started, incident).state == "resolved"
    assert "nothing left to do" in started.get(links(started, incident)["Acknowledge"]).text


def test_a_link_is_good_for_its_action_its_incident_and_its_time_only(running):
    started, incident = running
    path, query = links(started, incident)["Acknowledge"].split("?")
    assert started.get(f"{path}?{query}").status_code == 200
    (until,) = parse_qs(query)["until"]
    wrong = [
        path,
        f"{path}?until={until}&sig=",
        f"{path}?until={int(until) + 1}&sig={parse_qs(query)['sig'][0]}",
        f"{path}?until={until}&sig={sign('ack', incident.id, int(until), 'another key of 24 chars!')}",
        f"/act/silence/{incident.id}?{query}",
        f"/act/resolve/{incident.id}?{query}",
        f"/act/ack/inc-other?{query}",
    ]
    for each in wrong:
        assert started.get(each).status_code == 403, each
        answer = started.post(each.partition("?")[0], data=dict(parse_qs(query) if "?" in each else {}, sig="x"))
        assert answer.status_code == 403
    started.time[0] = float(until) + 1
    assert started.get(f"{path}?{query}").status_code == 403
    assert stored(started, incident).ack is None


def test_nothing_but_the_form_of_a_link_changes_anything(running):
    started, incident = running
    path, query = links(started, incident)["Acknowledge"].split("?")
    assert started.post(f"{path}?{query}").status_code == 403
    assert started.post(path, data="x" * 5000).status_code == 413
    assert started.post(path, data=b"\xff\xfe").status_code == 400
    assert stored(started, incident).ack is None


def test_the_page_runs_nothing_loads_nothing_and_tells_nobody_where_it_was(running):
    started, incident = running
    page = started.get(links(started, incident)["Acknowledge"])
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "<img" not in page.text
    assert "<script" not in page.text
    assert "&lt;img src=x" in page.text


def test_without_a_token_and_a_key_only_a_page_of_the_service_itself_may_act(serve):
    started = serve()
    fired = Finding(NOW, "fired", "triage", "cost", "cost_per_call", 1, "usd", observed=0.03, usual=0.01)
    with started.service.store.write() as tx:
        (change,) = apply(tx, [fired], NOW, AlertSettings())
    page = started.get(f"/act/ack/{change.incident.id}")
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "none"}, {"origin": "null"}):
        assert submit(started, page, **headers).status_code == 403
    assert submit(started, page, **{"sec-fetch-site": "same-origin", "origin": "null"}).status_code == 200


def test_the_token_of_the_service_is_a_right_too(running):
    started, incident = running
    answer = started.post(f"/act/ack/{incident.id}", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert stored(started, incident).ack.by == "a link in a message"


def test_an_incident_that_is_forgotten_is_told_as_such(running):
    started, _ = running
    until = int(NOW) + 60
    path = f"/act/ack/inc-gone?until={until}&sig={sign('ack', 'inc-gone', until, KEY)}"
    page = started.get(path)
    assert (page.status_code, "not in the store" in page.text) == (404, True)


def test_a_key_that_can_be_guessed_is_refused_at_start(tmp_path, monkeypatch):
    monkeypatch.setenv("LINK_KEY", "short")
    file = tmp_path / "driftbell.yaml"
    file.write_text(
        f"data_dir: {tmp_path / 'data'}\nalerts: {{links: {{page_url: 'http://x', key: 'env:LINK_KEY'}}}}\n"
    )
    refused = driftbell("serve", "--config", file, "--http", "127.0.0.1:0", "--grpc", "off")
    assert refused.returncode == 1
    assert refused.stderr == "error: alerts.links.key: the secret env:LINK_KEY is shorter than 16 characters\n"
