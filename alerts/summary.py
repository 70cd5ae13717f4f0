"""The weekly summary as a whole: compute it, and send what is due exactly once.

The pure parts live in `driftbell.alerts.weekly`; here they meet the store and the mail server.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import Literal

from pydantic import ValidationError
from sqlite_utils import Database

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.settings import AlertSettings
from driftbell.alerts.weekly import alarm, deliveries, periods, readers
from driftbell.alerts.weekly.letter import Letter, compose
from driftbell.alerts.weekly.mail import mail_of
from driftbell.alerts.weekly.numbers import WeeklyNumbers, weekly_numbers
from driftbell.alerts.weekly.recommend import recommend
from driftbell.alerts.weekly.render import Rendered, as_json, render
from driftbell.alerts.weekly.schedule import Due, Overdue, due_periods, newcomers, overdue, period_of
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings
from driftbell.alerts.weekly.source import Source
from driftbell.alerts.weekly.weeks import Week, in_words, last_full_week, week_named

Write = Callable[[], AbstractContextManager[Database]]
Send = Callable[[EmailMessage], None]
"""Hands one mail to a server; raises DeliveryError."""
MAYBE_SENT = ("connection_lost",)
"""Failures after which the mail may be on its way all the same."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One summary in all its forms."""

    numbers: WeeklyNumbers
    letter: Letter
    rendered: Rendered

    @property
    def data(self) -> dict[str, object]:
        """Everything as plain data, each number with the command that recomputes it."""
        return as_json(self.numbers, self.letter, recommend(self.numbers))

    @property
    def json(self) -> str:
        """`data` as text."""
        return json.dumps(self.data, indent=1, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Sending:
    """How one due summary went; ``error`` is the reason of a failure."""

    recipient: str
    period: str
    result: Literal["sent", "failed", "uncertain", "elsewhere"]
    error: str | None = None


def summarise(
    source: Source,
    settings: WeeklySettings,
    recipient: Recipient,
    week: Week,
    late_since: float | None = None,
    workflow: str | None = None,
    now: float | None = None,
) -> Summary:
    """Compute the summary of ``week`` for ``recipient``; nothing is stored or sent.

    ``workflow``, a name or pattern, tells of a part of it only; the verdicts are those of the whole summary. A week
    that is not over at ``now`` says so.
    """
    numbers = weekly_numbers(source.points(week, recipient), week, source.facts(week), settings, recipient)
    if now is not None and now < week.end:
        so_far = f"the week is not over: this is what came until {in_words(now, week.zone)}"
        numbers = replace(numbers, gaps=(so_far, *numbers.gaps))
    if workflow is not None:
        numbers = numbers.narrowed(workflow)
    letter = compose(numbers, settings, late_since)
    return Summary(numbers, letter, render(letter))


def asked_for(
    settings: WeeklySettings,
    now: float,
    week: str | None,
    zone: str | None,
    recipient: str | None,
) -> tuple[Recipient, Week]:
    """What a person asks for on the command line: by default the last full week of everything, in UTC.

    Raises ValueError, with what to write instead, for an unknown recipient, zone or week, and one that is to come.
    """
    if recipient is None:
        who = EVERYONE
    else:
        who = next((one for one in settings.recipients if one.name == recipient), None) or _unknown(settings, recipient)
    try:
        who = Recipient.model_validate({**who.model_dump(), **({"zone": zone} if zone else {})})
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    when = week_named(week, who.zone) if week else last_full_week(now, who.zone)
    if when.start > now:
        raise ValueError(f"the week {week} has not begun; the last full one is {last_full_week(now, who.zone).name}")
    return who, when


def _unknown(settings: WeeklySettings, name: str) -> Recipient:
    names = ", ".join(one.name for one in settings.recipients) or "none is configured"
    raise ValueError(f"no weekly recipient is called {name!r}: {names}")


class WeeklyMail:
    """Sends what is due whenever it is woken; all that it remembers stands in the store."""

    def __init__(
        self,
        settings: WeeklySettings,
        source: Source,
        write: Write,
        send: Send,
        sender: str,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._source, self._write, self._send = settings, source, write, send
        self._sender, self._clock = sender, clock

    def wake(self) -> list[Sending]:
        """Send every summary whose hour has come and that nobody has sent."""
        now = self._clock()
        with self._write() as tx:
            deliveries.expire(tx, now)
            settings = readers.remaining(tx, self._settings)
            for recipient, week in newcomers(now, settings, periods.known(tx)):
                periods.enrol(tx, recipient.name, period_of(week), now)
            due = due_periods(now, settings, periods.known(tx))
        return [self._one(each) for each in due]

    def overdue(self) -> list[Overdue]:
        """Summaries that are not out though they should be."""
        with self._write() as tx:
            return self._overdue(tx)

    def sound(self, config: AlertSettings) -> None:
        """Open an incident for each overdue summary, and end it once the summary is out."""
        with self._write() as tx:
            alarm.sound(tx, self._overdue(tx), self._clock(), config)

    def _overdue(self, tx: Database) -> list[Overdue]:
        return overdue(self._clock(), readers.remaining(tx, self._settings), periods.known(tx))

    def _one(self, due: Due) -> Sending:
        name, period, now = due.recipient.name, period_of(due.week), self._clock()
        with self._write() as tx:
            if not periods.claim(tx, name, period, now, due.at):
                return Sending(name, period, "elsewhere")
            letter = periods.frozen(tx, name, period)
        if letter is None:
            letter = self._freeze(due, now)
        with self._write() as tx:
            mails = personal(tx, self._settings, letter, due.recipient, self._sender, self._clock())
        return self._post(letter, mails)

    def _post(self, letter: periods.Frozen, mails: Mapping[str, EmailMessage]) -> Sending:
        """Send to each address that was not served yet; what fails is left for the next time."""
        name, period, failure = letter.recipient, letter.period, None
        for key, mail in mails.items():
            with self._write() as tx:
                if not deliveries.attempt(tx, name, period, key, self._clock()):
                    continue
                periods.renew(tx, name, period, self._clock())
            state, error = self._deliver(mail)
            failure = error or failure
            with self._write() as tx:
                deliveries.settle(tx, name, period, key, state, self._clock(), error)
        with self._write() as tx:
            states = deliveries.states(tx, name, period)
        if any(states.get(key) not in ("sent", "uncertain") for key in mails):
            return self._settle(name, period, "failed", failure)
        return self._settle(name, period, "uncertain" if "uncertain" in states.values() else "sent", failure)

    def _deliver(self, mail: EmailMessage) -> tuple[deliveries.Outcome, str | None]:
        try:
            self._send(mail)
        except DeliveryError as error:
            return ("uncertain" if error.reason in MAYBE_SENT else "pending"), error.reason
        return "sent", None

    def _freeze(self, due: Due, now: float) -> periods.Frozen:
        summary = summarise(self._source, self._settings, due.recipient, due.week, due.at if due.late else None)
        letter = periods.Frozen(due.recipient.name, period_of(due.week), summary.rendered, summary.json, now)
        with self._write() as tx:
            periods.freeze(tx, letter, late=due.late)
            return periods.frozen(tx, letter.recipient, letter.period) or letter

    def _settle(
        self, name: str, period: str, result: Literal["sent", "failed", "uncertain"], error: str | None = None
    ) -> Sending:
        with self._write() as tx:
            periods.settle(tx, name, period, "frozen" if result == "failed" else result, self._clock(), error)
            periods.forget(tx, [name])
        return Sending(name, period, result, error)


def personal(
    tx: Database, settings: WeeklySettings, letter: periods.Frozen, recipient: Recipient, sender: str, now: float
) -> dict[str, EmailMessage]:
    """One mail per address that did not leave, by the key of the address, each with its own link to leave."""
    mails = {}
    for address in recipient.email:
        leave = settings.unsubscribe
        if leave is None and settings.page is not None:
            leave = f"{readers.leave_address(settings.page)}/{readers.token_for(tx, recipient.name, address, now)}"
        mails[readers.key_of(address)] = mail_of(letter, address, sender, leave)
    return mails


def trial(summary: Summary, sender: str, to: str, now: float) -> EmailMessage:
    """The mail of a summary, addressed to one person as a trial; nothing is stored, and there is no list to leave."""
    numbers = summary.numbers
    letter = periods.Frozen(numbers.recipient, f"trial.{period_of(numbers.week)}", summary.rendered, summary.json, now)
    return mail_of(letter, to, sender)


def again(
    tx: Database, settings: WeeklySettings, recipient: Recipient, week: Week, sender: str, now: float
) -> list[EmailMessage]:
    """The mails of a frozen summary, byte for byte as they were first made; none when the week was never frozen.

    Addresses that left get none. A recipient that is not in the settings has no frozen summary of its own.
    """
    letter = periods.frozen(tx, recipient.name, period_of(week)) if recipient in settings.recipients else None
    staying = next((r for r in readers.remaining(tx, settings).recipients if r.name == recipient.name), recipient)
    return [] if letter is None else list(personal(tx, settings, letter, staying, sender, now).values())
