"""Sending: exactly once, from a frozen letter, over a real SMTP server and a real store."""

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.channels.email import deliver
from driftbell.alerts.history import listed
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings, EmailSection
from driftbell.alerts.summary import WeeklyMail, again, asked_for, summarise, trial
from driftbell.alerts.weekly import archive, deliveries, periods, readers
from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.schedule import send_moment
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings
from driftbell.alerts.weekly.source import StoreSource, gaps_of
from driftbell.alerts.weekly.weeks import week_named
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.rollup import rollup
from driftbell.collectors.store import Store
from driftbell.collectors.trust import TrustPoint

READER = Recipient(name="Claims owner", email=("owner@example.org",), zone="Europe/Berlin", workflows=("claims-*",))
PERIOD = "2026-11-09"
BOTH = ("owner@example.org", "deputy@example.org")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Memory:
    """A source that answers from lists and counts how often it is asked."""

    def __init__(self, points, facts) -> None:
        self._points, self._facts, self.asked = points, facts, 0

    def points(self, week, recipient, only="*"):
        self.asked += 1
        return iter(self._points)

    def facts(self, week):
        return self._facts


class Post:
    """Takes mails, or fails with the reasons it was given, the first first."""

    def __init__(self, *reasons: str | None) -> None:
        self.mails: list[EmailMessage] = []
        self.reasons = list(reasons)

    def __call__(self, mail: EmailMessage) -> None:
        reason = self.reasons.pop(0) if self.reasons else None
        if reason == "killed":
            raise KeyboardInterrupt
        if reason is not None:
            raise DeliveryError(reason)
        self.mails.append(mail)


@pytest.fixture(scope="session")
def points(insurer, records):
    return [point for point in insurer.hour_points(records) if point.key.workflow == "claims-triage"]


@pytest.fixture
def source(insurer, points):
    return Memory(points, insurer.facts(insurer.WEEK))


@pytest.fixture
def configured(insurer) -> WeeklySettings:
    return insurer.SETTINGS.model_copy(update={"recipients": (READER,)})


@pytest.fixture
def due(insurer) -> float:
    return send_moment(insurer.WEEK, READER, 2)


@pytest.fixture
def service(open_store, configured, source, due):
    """A weekly mail service that has been running for a day: its recipient is enrolled."""
    clock = Clock(due - 86_400)

    def start(post) -> WeeklyMail:
        return WeeklyMail(configured, source, open_store().write, post, "driftbell@example.org", clock)

    start(Post()).wake()
    clock.now = due
    start.clock = clock
    return start


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


@pytest.fixture
def two_readers(configured, source, open_store, due):
    """A weekly mail to two addresses of one recipient, with links to leave on our own page."""
    both = READER.model_copy(update={"email": BOTH})
    update = {"recipients": (both,), "unsubscribe": None, "page": "https://driftbell.example.org"}
    settings, clock = configured.model_copy(update=update), Clock(due - 86_400)

    def start(post) -> WeeklyMail:
        return WeeklyMail(settings, source, open_store().write, post, "driftbell@example.org", clock)

    start(Post()).wake()
    clock.now = due
    start.clock = clock
    return start


def token_of(mail: EmailMessage) -> str:
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in mail.get_body(("plain",)).get_content()
    assert link in mail.get_body(("html",)).get_content().replace("=\n", "")
    return link.removeprefix("https://driftbell.example.org/act/unsubscribe/")


def test_each_address_gets_a_mail_and_a_link_to_leave_of_its_own(two_readers):
    post = Post()
    two_readers(post).wake()
    assert [mail["To"] for mail in post.mails] == ["owner@example.org", "deputy@example.org"]
    assert len({token_of(mail) for mail in post.mails}) == 2
    assert all(mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" for mail in post.mails)


def test_who_left_gets_no_more_mail_and_the_others_do(two_readers, open_store):
    post = Post()
    two_readers(post).wake()
    with open_store().write() as tx:
        readers.leave(tx, token_of(post.mails[0]), 1.0)
    two_readers.clock.now += 7 * 86_400
    two_readers(post).wake()
    assert [mail["To"] for mail in post.mails[2:]] == ["deputy@example.org"]
    assert post.mails[2]["References"] == post.mails[1]["References"]
    with open_store().write() as tx:
        readers.leave(tx, token_of(post.mails[1]), 1.0)
    two_readers.clock.now += 8 * 86_400
    nobody = two_readers(post)
    assert (nobody.wake(), nobody.overdue()) == ([], [])
    with open_store().write() as tx:
        readers.come_back(tx, token_of(post.mails[0]))
    two_readers(post).wake()
    assert [mail["To"] for mail in post.mails[3:]] == ["owner@example.org"]


def test_one_refused_address_is_tried_again_without_a_second_mail_to_the_other(two_readers):
    post = Post(None, "refused_451")
    assert [one.result for one in two_readers(post).wake()] == ["failed"]
    two_readers.clock.now += periods.LEASE + 1
    assert [one.result for one in two_readers(post).wake()] == ["sent"]
    assert [mail["To"] for mail in post.mails] == ["owner@example.org", "deputy@example.org"]


def test_an_address_that_perhaps_got_it_is_reported_and_the_other_still_served(two_readers):
    post = Post("connection_lost", "refused_451")
    weekly = two_readers(post)
    assert [one.result for one in weekly.wake()] == ["failed"]
    two_readers.clock.now += periods.LEASE + 1
    assert [one.result for one in weekly.wake()] == ["uncertain"]
    assert [mail["To"] for mail in post.mails] == ["deputy@example.org"]
    assert [one.state for one in weekly.overdue()] == ["uncertain"]


@pytest.mark.parametrize("step", range(9))
def test_killed_at_any_step_every_address_is_mailed_once_or_reported(two_readers, open_store, source, step):
    source._points = []
    post, dying = Post(), two_readers(Post())
    dying._send, dying._write = post, killed_at(step, dying._write)
    try:
        dying.wake()
    except KeyboardInterrupt:
        two_readers.clock.now += periods.LEASE + 1
    two_readers(post).wake()
    states = deliveries.states(open_store().read(), READER.name, PERIOD)
    mailed = [mail["To"] for mail in post.mails]
    assert len(mailed) == len(set(mailed))
    assert len({mail["Message-ID"] for mail in post.mails}) == len(mailed)
    certain = [address for address in BOTH if states[readers.key_of(address)] == "sent"]
    assert set(certain) <= set(mailed)
    assert len(certain) >= len(BOTH) - 1
    assert periods.known(open_store().read())[READER.name][PERIOD] == ("sent" if len(certain) == 2 else "uncertain")


def killed_at(step, write):
    """The store's transactions, with a process that dies before the one of that number."""
    count = iter(range(100))

    def transaction():
        if next(count) == step:
            raise KeyboardInterrupt
        return write()

    return transaction


KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.summary import WeeklyMail
from driftbell.alerts.weekly.settings import WeeklySettings
from driftbell.alerts.weekly.source import StoreSource
from driftbell.collectors.store import Store

store, post, deadly = Store.open(Path(sys.argv[1]), [MIGRATIONS]), sys.argv[2], sys.argv[3] == "die"
recipient = {"name": "r", "email": ["a@example.org", "b@example.org", "c@example.org"]}
now = float(sys.argv[4])
sent = []

def send(mail):
    sent.append(mail["To"])
    with open(post, "a") as file:
        file.write(mail["To"] + "\\n")

def write():
    if deadly and sent and store.read().execute("SELECT 1 FROM report_deliveries WHERE state = 'sent'").fetchone():
        os.kill(os.getpid(), signal.SIGKILL)
    return store.write()

settings = WeeklySettings.model_validate({"recipients": [recipient]})
WeeklyMail(settings, StoreSource(store), write, send, "d@example.org", lambda: now).wake()
store.close()
"""


def test_killed_between_two_addresses_the_others_get_their_mail_after_the_restart(tmp_path, due):
    post = tmp_path / "post"

    def run(now: float, how: str = "live") -> int:
        words = [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path / "store"), str(post), how, str(now)]
        return subprocess.run(words, check=False, timeout=60).returncode

    assert run(due - 6 * 86_400) == 0
    assert run(due + 86_400, "die") == -9
    assert post.read_text().split() == ["a@example.org"]
    assert run(due + 86_400 + periods.LEASE + 1) == 0
    assert run(due + 2 * 86_400) == 0
    assert post.read_text().split() == ["a@example.org", "b@example.org", "c@example.org"]


def test_old_periods_are_dropped(store):
    with store.write() as tx:
        for year in range(2000, 2070):
            periods.enrol(tx, "r", f"{year}-01-01", 0.0)
        periods.forget(tx, ["r"])
        assert len(periods.known(tx)["r"]) == periods.KEEP
        assert "2069-01-01" in periods.known(tx)["r"]


def test_what_is_asked_for_on_the_command_line(configured, due):
    assert asked_for(WeeklySettings(), due, None, None, None)[0].name == "everyone"
    who, week = asked_for(configured, due, "2026-W46", None, READER.name)
    assert (who, week.name, week.zone_name) == (READER, "2026-W46", "Europe/Berlin")
    with pytest.raises(ValueError, match="Claims owner"):
        asked_for(configured, due, None, None, "nobody")
    with pytest.raises(ValueError, match="2026-W46"):
        asked_for(configured, due, "last", None, None)
    with pytest.raises(ValueError, match="2030-W01 has not begun; the last full one is 2026-W46"):
        asked_for(configured, due, "2030-W01", None, None)


def test_a_week_that_is_not_over_is_told_as_it_stands(source, insurer):
    week, reader = insurer.WEEK, READER
    early = summarise(source, insurer.SETTINGS, reader, week, now=week.end - 86_400)
    assert "NOT SEEN the week is not over: this is what came until Sun 15 Nov 00:00" in " ".join(
        early.rendered.text.split()
    )
    assert "not over" not in summarise(source, insurer.SETTINGS, reader, week, now=week.end).rendered.text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_the_store_gives_the_numbers_of_its_own_records(tmp_path, insurer, records, zone):
    week = week_named("2026-W46", zone)
    some = [named(record, i) for i, record in enumerate(records[:5000])]
    store = Store.open(tmp_path, [MIGRATIONS])
    try:
        store.append(
            Batch(
                calls=[r for r in some if isinstance(r, Call)],
                judgements=[r for r in some if isinstance(r, Judgement)],
                manual_tasks=[r for r in some if isinstance(r, ManualTask)],
            )
        )
        reader = Recipient(name="all", zone=zone)
        stored = summarise(StoreSource(store), WeeklySettings(), reader, week)
    finally:
        store.close()
    expected = weekly_numbers(minute_points(some), week, Facts(), WeeklySettings(), reader)
    assert stored.numbers.workflows
    for mine, theirs in zip(stored.numbers.workflows, expected.workflows, strict=True):
        for one, other in zip(mine.figures, theirs.figures, strict=True):
            assert (one.name, one.verdict) == (other.name, other.verdict)
            assert (one.this, one.last, one.usual) == pytest.approx((other.this, other.last, other.usual))


def minute_points(records):
    return rollup(*([r for r in records if isinstance(r, kind)] for kind in (Call, Judgement, ManualTask)))


def named(record, number):
    """The record with an identity, as everything that reaches the store has one."""
    if isinstance(record, Call):
        return replace(record, trace_id=f"{number:032x}", span_id=f"{number:016x}")
    return replace(record, id=f"r{number}")


def test_what_the_telemetry_lost_is_told_unless_it_is_next_to_nothing():
    points = [TrustPoint(0, "app", {"received": 900, "sdk_dropped": 100}), TrustPoint(60, "app", {"rejected": 1})]
    assert gaps_of(points) == ["10% of what the applications had to tell was lost inside the applications"]
    assert gaps_of([]) == []


def test_without_any_configuration_everything_is_in_one_summary(tmp_path, insurer):
    store = Store.open(tmp_path, [MIGRATIONS])
    try:
        empty = summarise(StoreSource(store), WeeklySettings(), EVERYONE, insurer.WEEK)
    finally:
        store.close()
    assert "No calls were received" in empty.rendered.text
