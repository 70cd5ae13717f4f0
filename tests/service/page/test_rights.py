"""Who may look and who may act: sessions, forms, foreign pages, foreign names."""

from itertools import count

import pytest
import requests
from page_reader import Reader, fill, opened

TOKEN = "a-token-that-nobody-guesses"
NUMBERS = count()


@pytest.fixture
def guarded(serve, monkeypatch):
    """A service with a token, and somebody who has not signed in."""
    monkeypatch.setenv("PAGE_TOKEN", TOKEN)
    running = serve(token="env:PAGE_TOKEN")
    fill(running, Authorization=f"Bearer {TOKEN}")
    return Reader(running, requests.Session())


def fresh(reader: Reader) -> str:
    """An incident that no other test has touched."""
    return opened(reader.running, workflow=f"workflow-{next(NUMBERS)}")


def sign_in(reader: Reader, token: str = TOKEN, where: str = "/") -> requests.Response:
    return reader.post("/signin", token=token, next=where)


def test_without_signing_in_nothing_is_shown(guarded):
    for path in ("/", "/calls", "/incidents", "/workflow?name=triage", "/summaries", "/telemetry", "/calls/aa/bb"):
        answer = guarded.get(path, allow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/signin?next=")
        assert "triage" not in answer.text
    assert guarded.get("/api/v1/calls").status_code == 401
    assert guarded.get("/nothing").status_code == 401


def test_who_gives_the_token_sees_the_page_they_asked_for(guarded):
    shown = guarded.get("/calls?range=3d")
    assert "Token of this service" in shown.text
    assert TOKEN not in shown.text
    answer = sign_in(guarded, where="/calls?range=3d")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/calls?range=3d")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert "triage" in guarded.get("/calls?range=3d").text


@pytest.mark.parametrize(
    "where", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
def test_signing_in_leads_nowhere_else(guarded, where):
    assert sign_in(guarded, where=where).headers["Location"] == "/"


def test_a_wrong_token_is_refused_and_many_wrong_ones_pause_it(guarded):
    for _ in range(10):
        assert sign_in(guarded, "guess").status_code == 403
    assert sign_in(guarded).status_code == 429
    guarded.running.time[0] += 61
    assert sign_in(guarded).status_code == 303


def test_a_session_ends_with_signing_out_with_time_and_cannot_be_made_up(guarded):
    sign_in(guarded)
    cookie = guarded.session.cookies["driftbell_session"]
    until, nonce, mac = cookie.split(".")
    for forged in (
        "",
        "x",
        f"{until}.{nonce}.{'1' if mac[0] == '0' else '0'}{mac[1:]}",
        f"{int(until) + 9}.{nonce}.{mac}",
        f"{until}.{nonce}.\u00e9",
    ):
        answer = requests.get(
            guarded.running.url + "/",
            headers={"Cookie": f"driftbell_session={forged}".encode()},
            timeout=10,
            allow_redirects=False,
        )
        assert answer.status_code == 303
    assert guarded.post("/signout").status_code == 303
    assert "Token of this service" in guarded.get("/").text
    sign_in(guarded)
    guarded.running.time[0] += 8 * 86_400
    assert "Token of this service" in guarded.get("/").text


def test_the_session_opens_the_page_and_not_the_interface_for_programs(guarded):
    sign_in(guarded)
    assert guarded.get("/api/v1/calls").status_code == 401
    assert guarded.get("/metrics").status_code == 401


def test_a_link_from_another_site_is_asked_for_once_more_from_here(guarded):
    """A strict cookie stays away from such a request; the browser sends it when our own page asks again."""
    answer = guarded.get("/incidents", headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False)
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert "Incidents" not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_form_of_another_site_changes_nothing(shown, origin):
    incident = fresh(shown)
    token = shown.form_token(f"/incidents/{incident}")
    answer = shown.post(f"/incidents/{incident}/ack", origin=origin, form_token=token, by="eve")
    assert answer.status_code == 403
    assert "Acknowledged" not in shown.get(f"/incidents/{incident}").text


@pytest.mark.parametrize("token", ["", "1.a.b", "99999999999.a.b", "x" * 2000])
def test_a_form_without_a_token_of_ours_changes_nothing(shown, token):
    incident = fresh(shown)
    assert shown.post(f"/incidents/{incident}/ack", form_token=token, by="eve").status_code == 403
    assert "Acknowledged" not in shown.get(f"/incidents/{incident}").text


def test_a_form_of_another_session_changes_nothing(guarded):
    incident = opened(guarded.running)
    sign_in(guarded)
    other = Reader(guarded.running, requests.Session())
    sign_in(other)
    theirs = other.form_token(f"/incidents/{incident}")
    assert theirs
    assert guarded.post(f"/incidents/{incident}/ack", form_token=theirs).status_code == 403
    mine = guarded.form_token(f"/incidents/{incident}")
    assert guarded.post(f"/incidents/{incident}/ack", form_token=mine).status_code == 303


def test_who_is_signed_out_cannot_act(guarded):
    incident = opened(guarded.running)
    answer = guarded.post(f"/incidents/{incident}/ack", form_token="x")
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4318", "localhost.evil.example", "", "[::2]", "[x"])
def test_a_foreign_name_is_not_answered_on_this_machine(shown, host):
    for path in ("/", "/calls", "/api/v1/calls", "/incidents/x/ack"):
        assert requests.get(shown.running.url + path, headers={"Host": host}, timeout=10).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:9", "[::1]:4318", "driftbell.localhost"])
def test_names_of_this_machine_are(shown, host):
    assert requests.get(shown.running.url + "/", headers={"Host": host}, timeout=10).status_code == 200


def test_the_configured_name_is_too_and_senders_may_use_any(serve):
    running = serve(alerts={"links": {"page_url": "https://bell.example/x"}})
    assert requests.get(running.url + "/", headers={"Host": "bell.example"}, timeout=10).status_code == 200
    sent = running.post("/v1/traces", json={}, headers={"Host": "collector.internal:4318"})
    assert sent.status_code == 200


def test_who_may_look_sees_everything_and_changes_nothing(serve, monkeypatch):
    monkeypatch.setenv("PAGE_TOKEN", TOKEN)
    monkeypatch.setenv("PAGE_VIEW", "only-to-look")
    running = serve(token="env:PAGE_TOKEN", view_token="env:PAGE_VIEW")
    fill(running, Authorization=f"Bearer {TOKEN}")
    incident = opened(running)
    owner = Reader(running, requests.Session())
    assert sign_in(owner, "only-to-look").status_code == 303
    text = owner.get(f"/incidents/{incident}").text
    assert "Input tokens in amer trebled." in text
    assert "form_token" not in text
    boss = Reader(running, requests.Session())
    sign_in(boss)
    token = boss.form_token(f"/incidents/{incident}")
    assert owner.post(f"/incidents/{incident}/ack", form_token=token).status_code == 403
    assert owner.get("/api/v1/calls", headers={"Authorization": "Bearer only-to-look"}).status_code == 401
    assert boss.post(f"/incidents/{incident}/ack", form_token=token).status_code == 303


def act(reader: Reader, incident: str, action: str, **fields: str) -> requests.Response:
    token = reader.form_token(f"/incidents/{incident}")
    return reader.post(f"/incidents/{incident}/{action}", form_token=token, **fields)


def test_acknowledging_names_who_and_the_page_remembers_them(shown):
    incident = fresh(shown)
    assert act(shown, incident, "ack", by="Ana Lopez").status_code == 303
    text = shown.get(f"/incidents/{incident}").text
    assert "taken by <bdi>Ana Lopez</bdi>" in text
    assert 'value="Ana Lopez"' in text


@pytest.mark.parametrize(
    ("action", "said"), [("false_alarm", "a false alarm, says"), ("new_normal", "the new normal, says")]
)
def test_a_verdict_closes_the_incident(shown, action, said):
    incident = fresh(shown)
    assert act(shown, incident, action, by="ana").status_code == 303
    text = shown.get(f"/incidents/{incident}").text
    assert said in text
    assert "Resolved" in text


def test_closing_twice_is_told_on_the_page(shown):
    incident = fresh(shown)
    assert act(shown, incident, "resolve").status_code == 303
    again = act(shown, incident, "resolve")
    assert again.status_code == 409
    assert "resolved already" in again.text


def test_a_silence_is_shown_where_it_holds_and_can_be_ended(reader):
    incident = opened(reader.running)
    fields = {"for": "1d", "scope": "family", "reason": "known <b>issue</b>", "by": "ana"}
    assert act(reader, incident, "silence", **fields).status_code == 303
    assert "Silent until" in reader.get(f"/incidents/{incident}").text
    listed = reader.get("/incidents").text
    assert "known &lt;b&gt;issue&lt;/b&gt;" in listed
    where = listed.partition('action="/silences/')[2].partition('"')[0]
    assert reader.post(f"/silences/{where}", form_token=reader.form_token("/incidents")).status_code == 303
    assert "Silent until" not in reader.get(f"/incidents/{incident}").text


@pytest.mark.parametrize("fields", [{"for": "99y"}, {"scope": "everything"}, {"for": ""}])
def test_a_silence_is_as_long_and_as_wide_as_the_form_offers(shown, fields):
    incident = fresh(shown)
    assert act(shown, incident, "silence", **{"for": "4h", "scope": "incident", **fields}).status_code in (303, 400)
    if fields.get("for") != "":
        assert "Silent until" not in shown.get(f"/incidents/{incident}").text


def test_an_action_that_is_none_is_not_there(shown):
    assert act(shown, fresh(shown), "delete").status_code == 404
