"""The dead-man switch and the links in messages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from driftbell.alerts.heartbeat import Pulse
from driftbell.alerts.links import Linker, allowed
from driftbell.alerts.proof import check_message
from driftbell.alerts.render import rows
from driftbell.alerts.settings import AlertSettings, Heartbeat, Links


def test_the_heartbeat_is_sent_as_often_as_agreed(http_server: Callable[[], Any]) -> None:
    server = http_server()
    pulse = Pulse(Heartbeat(url=server.url + "/ping", every=60))
    for second in range(0, 180, 5):
        assert pulse.beat(float(second)) is None
    assert [got.path for got in server.got] == ["/ping"] * 3


def test_a_heartbeat_that_fails_is_logged_without_its_address(
    http_server: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = http_server()
    server.answer = lambda _: (404, {}, b"")
    assert Pulse(Heartbeat(url=server.url + "/secret-id", every=60)).beat(0.0) == "not_found"
    assert "secret-id" not in caplog.text


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Links:
    monkeypatch.setenv("LINK_KEY", "k" * 32)
    return Links(page_url="https://bell.example/", key="env:LINK_KEY", valid_for=3600)


def parts(links: Links, t0: float, label: str) -> tuple[str, str, str, str]:
    from dataclasses import replace

    message = replace(check_message("x", AlertSettings(), t0), transition="opened")
    url = urlsplit(dict(Linker(links).links(message))[label])
    query = parse_qs(url.query)
    _, _, action, incident = url.path.split("/")
    return action, incident, query["until"][0], query["sig"][0]


def test_a_link_gives_its_right_until_it_ends(links: Links, t0: float) -> None:
    link = parts(links, t0, "Acknowledge")
    assert allowed(links, *link, now=t0 + 3599)
    assert not allowed(links, *link, now=t0 + 3700)


def test_a_link_gives_no_other_right(links: Links, t0: float) -> None:
    action, incident, until, signature = parts(links, t0, "Acknowledge")
    assert not allowed(links, "silence", incident, until, signature, now=t0)
    assert not allowed(links, action, "inc-other", until, signature, now=t0)
    assert not allowed(links, action, incident, str(int(until) + 1), signature, now=t0)
    assert not allowed(links, action, incident, "٣٤", "ü", now=t0)


def test_a_right_that_was_taken_away_ends_at_once(links: Links, t0: float) -> None:
    link = parts(links, t0, "Silence 4 h")
    assert not allowed(links.model_copy(update={"rights": ("ack",)}), *link, now=t0)


def test_without_a_key_links_lead_to_the_page_and_give_no_right(t0: float) -> None:
    plain = Links(page_url="https://bell.example")
    assert not allowed(plain, "ack", "inc-1", "9999999999", "", now=t0)


def test_a_test_message_has_no_link_to_an_incident_that_there_is_none(links: Links, t0: float) -> None:
    assert Linker(links).links(check_message("x", AlertSettings(), t0)) == []


def test_nobody_is_asked_for_a_verdict_on_a_broken_channel_nor_told_of_other_ones(links: Links, t0: float) -> None:
    message = replace(check_message("x", AlertSettings(), t0), transition="opened", previous=2)
    assert set(dict(Linker(links).links(message))) == {"Incident", "Acknowledge", "Silence 4 h"}
    assert "Before" not in {row.label for row in rows(message, "UTC")}
