"""Sending: exactly once, from a frozen letter, over a real SMTP server and a real store."""

import socket
from contextlib import contextmanager
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from weekly_post import PERIOD, READER, Post, enrolled

from driftbell.alerts.channels.email import deliver
from driftbell.alerts.history import listed
from driftbell.alerts.settings import AlertSettings, EmailSection
from driftbell.alerts.summary import again, summarise, trial
from driftbell.alerts.weekly import archive, periods


@pytest.fixture
def service(open_store, configured, source, due):
    """A weekly mail service that has been running for a day: its recipient is enrolled."""
    return enrolled(configured, source, open_store, due)


def test_a_summary_is_sent_once_however_often_the_service_wakes_or_restarts(service, source):
    post = Post()
    assert [one.result for one in service(post).wake()] == ["sent"]
    for _ in range(3):
        assert service(post).wake() == []
    assert len(post.mails) == 1
    assert source.asked == 1


def test_a_refused_summary_is_tried_again_after_a_pause_with_the_same_bytes(service, source):
    post = Post("refused_451")
    weekly = service(post)
    assert [one.result for one in weekly.wake()] == ["failed"]
    assert [one.result for one in weekly.wake()] == ["elsewhere"]
    service.clock.now += periods.LEASE + 1
    source._points = []
    assert [one.result for one in service(post).wake()] == ["sent"]
    assert "Claims triage" in str(post.mails[0]["Subject"])
    assert source.asked == 1


def test_a_summary_that_was_perhaps_sent_is_reported_and_not_repeated(service):
    weekly = service(Post("connection_lost"))
    assert [one.result for one in weekly.wake()] == ["uncertain"]
    service.clock.now += 86_400
    assert weekly.wake() == []
    assert [one.state for one in weekly.overdue()] == ["uncertain"]


def test_a_process_killed_while_sending_leaves_a_report_and_no_second_mail(service):
    with pytest.raises(KeyboardInterrupt):
        service(Post("killed")).wake()
    post = Post()
    assert [one.result for one in service(post).wake()] == ["elsewhere"]
    service.clock.now += periods.LEASE + 1
    again = service(post)
    assert [one.result for one in again.wake()] == ["uncertain"]
    assert again.wake() == []
    assert post.mails == []
    assert [one.state for one in again.overdue()] == ["uncertain"]


def test_a_process_killed_while_computing_loses_nothing(service, source, monkeypatch):
    def killed(week):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(source, "facts", killed)
        with pytest.raises(KeyboardInterrupt):
            service(Post()).wake()
    service.clock.now += periods.LEASE + 1
    post = Post()
    assert [one.result for one in service(post).wake()] == ["sent"]
    assert len(post.mails) == 1


def test_an_unsent_summary_is_overdue_after_its_hours(service):
    weekly = service(Post("unreachable", "unreachable"))
    weekly.wake()
    assert weekly.overdue() == []
    service.clock.now += 3 * 3600
    assert [(one.recipient, one.period) for one in weekly.overdue()] == [(READER.name, PERIOD)]


def test_an_overdue_summary_becomes_an_incident_that_ends_when_it_is_out(service, open_store):
    weekly = service(Post("unreachable"))
    weekly.wake()
    weekly.sound(AlertSettings())
    assert listed(open_store().read(), "all") == []
    service.clock.now += 3 * 3600
    for _ in range(3):
        weekly.sound(AlertSettings())
    (incident,) = listed(open_store().read(), "all")
    assert incident.subject == "[TICKET] driftbell: weekly summary is overdue"
    assert incident.lead.segment == READER.name
    assert [one.result for one in weekly.wake()] == ["sent"]
    weekly.sound(AlertSettings())
    (incident,) = listed(open_store().read(), "all")
    assert not incident.holds("firing")


def test_after_days_of_downtime_the_mail_says_it_is_late(service):
    service.clock.now += 3 * 86_400
    post = Post()
    service(post).wake()
    assert "This summary is late: it was due Mon 16 Nov 08:00." in post.mails[0].get_body(("plain",)).get_content()


class Inbox:
    """Keeps what it gets; with ``silent`` it closes the line instead of saying so."""

    def __init__(self, *, silent: bool = False) -> None:
        self.mails: list[bytes] = []
        self.silent = silent

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 the name aiosmtpd calls
        self.mails.append(envelope.content)
        if self.silent:
            server.transport.close()
        return "250 kept"


@contextmanager
def smtp(inbox: Inbox):
    """A real server on loopback; yields how to send by it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    section = EmailSection(
        kind="email", host="127.0.0.1", port=port, tls="none", sender="driftbell@example.org", to=("x@example.org",)
    )
    try:
        yield lambda mail: deliver(mail, section)
    finally:
        controller.stop()


def test_a_server_that_takes_the_mail_and_hangs_up_is_not_sent_it_again(service):
    inbox = Inbox(silent=True)
    with smtp(inbox) as send:
        assert [one.result for one in service(send).wake()] == ["uncertain"]
        service.clock.now += 86_400
        assert service(send).wake() == []
    assert len(inbox.mails) == 1


def test_a_real_smtp_server_receives_it_with_one_click_to_leave(service):
    inbox = Inbox()
    with smtp(inbox) as send:
        assert [one.result for one in service(send).wake()] == ["sent"]
    (raw,) = inbox.mails
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["To"] == "owner@example.org"
    assert mail["List-Unsubscribe"] == "<https://driftbell.example.org/unsubscribe?k=1>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Message-ID"].startswith(f"<weekly.{PERIOD}.")
    assert mail["References"].endswith("@example.org>")
    assert "review score “groundedness”" in mail.get_body(("plain",)).get_content()
    assert "<table" in mail.get_body(("html",)).get_content()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_a_trial_goes_to_one_person_and_is_another_mail(configured, source, insurer, due):
    summary = summarise(source, configured, READER, insurer.WEEK)
    mail = trial(summary, "driftbell@example.org", "me@example.org", due)
    assert mail["List-Unsubscribe"] is None
    assert mail["To"] == "me@example.org"
    assert "trial" in mail["Message-ID"]


def test_what_was_sent_can_be_sent_again_byte_for_byte(service, open_store, configured, insurer):
    post = Post()
    service(post).wake()
    with open_store().write() as tx:
        (mail,) = again(tx, configured, READER, insurer.WEEK, "driftbell@example.org", 0.0)
        assert mail.as_bytes() == post.mails[0].as_bytes()
        narrowed = READER.model_copy(update={"workflows": ("policy-search",)})
        assert again(tx, configured, narrowed, insurer.WEEK, "driftbell@example.org", 0.0) == []


def test_what_was_sent_can_be_shown_again_as_it_was(service, open_store):
    post = Post()
    service(post).wake()
    kept = periods.frozen(open_store().read(), READER.name, PERIOD)
    assert kept.rendered.text.split() == post.mails[0].get_body(("plain",)).get_content().split()
    assert '"week": "2026-W46"' in kept.numbers


def test_the_frozen_summaries_are_listed_and_given_as_data(service, open_store):
    service(Post()).wake()
    (one,) = archive.stored(open_store().read())
    assert (one.recipient, one.week, one.state, one.late) == (READER.name, "2026-W46", "sent", False)
    data = archive.load(open_store().read(), one.recipient, one.week)
    assert data["subject"] == one.subject
    assert data["letter"]["table"]["rows"][0]["cells"][0] == "Total cost"
    assert [w["workflow"] for w in data["workflows"]] == ["claims-triage"]
    assert archive.load(open_store().read(), one.recipient, one.week, "other")["workflows"] == []
    assert archive.load(open_store().read(), one.recipient, "2026-W40") is None
    assert archive.stored(open_store().read(), "somebody else") == []
