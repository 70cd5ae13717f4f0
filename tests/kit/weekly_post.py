"""What a weekly mail is sent with: a clock, a source of numbers and a post that a test can see into."""

from email.message import EmailMessage

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.summary import WeeklyMail
from driftbell.alerts.weekly.settings import Recipient

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


def enrolled(settings, source, open_store, due: float):
    """How to start a weekly mail service that has been running for a day before ``due``: its recipients are known."""
    clock = Clock(due - 86_400)

    def start(post) -> WeeklyMail:
        return WeeklyMail(settings, source, open_store().write, post, "driftbell@example.org", clock)

    start(Post()).wake()
    clock.now = due
    start.clock = clock
    return start
