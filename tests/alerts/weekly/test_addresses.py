"""Several addresses of one summary: each is mailed once, whatever happens to the others."""

import subprocess
import sys
from email.message import EmailMessage

import pytest
from weekly_post import BOTH, PERIOD, READER, Post, enrolled

from driftbell.alerts.weekly import deliveries, periods, readers


@pytest.fixture
def two_readers(configured, source, open_store, due):
    """A weekly mail to two addresses of one recipient, with links to leave on our own page."""
    both = READER.model_copy(update={"email": BOTH})
    update = {"recipients": (both,), "unsubscribe": None, "page": "https://driftbell.example.org"}
    return enrolled(configured.model_copy(update=update), source, open_store, due)


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
