"""Delivery: takes due rows of the outbox, sends them, and says what became of them.

A row is tried at once and 5, 15, 30 and 60 s after it was due. Then its second channel gets it too, while the first
is tried on in the background for a day. A crash at any moment loses nothing: the claim runs out and the row is sent
again under the same event id.
"""

import logging
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from sqlite_utils import Database

from driftbell.alerts import notification
from driftbell.alerts.channels.delivery import Channel, DeliveryError
from driftbell.alerts.cycle import OURSELVES
from driftbell.alerts.history import get
from driftbell.alerts.incident import apply
from driftbell.alerts.notification import Notification
from driftbell.alerts.secret import SecretMissingError
from driftbell.alerts.settings import AlertSettings, Severity
from driftbell.detectors.finding import Finding

log = logging.getLogger(__name__)

TRY_AT = (0.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds after a row was first due."""
BACKGROUND = (120.0, 300.0, 600.0, 1800.0, 3600.0)
"""The same, once the second channel has it; the last one is the distance of all that follow."""
GIVE_UP_AFTER = 86_400.0
LEASE = 45.0
"""Longer than any attempt takes (a channel's timeout is 30 s at most), so a live claim is never taken away."""
AT_ONCE = 5
"""Rows of one channel in one pass; the caller comes back at once while there is more."""
MAX_THREADS = 8


class WritableStore(Protocol):
    """What delivery needs of the store: one transaction at a time."""

    def write(self) -> AbstractContextManager[Database]:
        """A write transaction, rolled back on any exception."""
        ...


@dataclass(frozen=True)
class Channels:
    """The channels by name, and the settings that say which takes over from which."""

    by_name: Mapping[str, Channel]
    settings: AlertSettings

    def fallback(self, channel: str) -> str | None:
        """The channel that takes over from ``channel``, or None."""
        section = self.settings.channels.get(channel)
        return section.fallback if section else None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one pass did: the channel of each row sent, (channel, reason) of each attempt that failed, and how many
    rows a second channel got."""

    sent: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    handed_over: int = 0


def deliver_due(store: WritableStore, channels: Channels, now: float) -> Delivered:
    """Deliver what is due at ``now``: channels side by side, the rows of one channel one after the other.

    A channel that fails is left alone until the next pass, so that its time-outs cannot add up.
    """
    with store.write() as tx:
        handed = _hand_over_overdue(tx, channels, now)
        due = [name for name in notification.due_channels(tx, now) if name in channels.by_name]
        _drop_unknown(tx, channels, now)
    if not due:
        return Delivered(handed_over=handed)
    with ThreadPoolExecutor(max_workers=min(len(due), MAX_THREADS), thread_name_prefix="deliver") as pool:
        parts = list(pool.map(lambda name: _deliver_channel(store, channels, name, now), due))
    sent = tuple(channel for part in parts for channel in part.sent)
    return Delivered(sent, tuple(failure for part in parts for failure in part.failed), handed)


def _drop_unknown(tx: Database, channels: Channels, now: float) -> None:
    """Rows for a channel that the configuration no longer has can never be sent: say so instead of keeping them."""
    for name in notification.due_channels(tx, now):
        if name not in channels.by_name:
            tx.execute(
                """UPDATE notifications SET state = 'failed', error = 'no_such_channel' WHERE channel = ?
                AND state IN ('pending', 'attempting')""",
                [name],
            )


def _hand_over_overdue(tx: Database, channels: Channels, now: float) -> int:
    """Give what a channel did not take within a minute to the next one, and say on the others that it does not."""
    rows = [notification.load(tx, row_id) for row_id in notification.overdue(tx, now - TRY_AT[-1] - 1)]
    for row in rows:
        notification.hand_over(tx, row, channels.fallback(row.channel), now)
    for channel in sorted({row.channel for row in rows} & channels.by_name.keys()):
        _report(tx, channels, channel, "not_delivered_for_a_minute", now)
    return len(rows)


def _report(tx: Database, channels: Channels, channel: str, reason: str, now: float) -> None:
    """Open the incident about a broken channel; a page where no other channel takes over."""
    severity: Severity = "ticket" if channels.fallback(channel) else "page"
    apply(tx, [delivery_finding(channel, "fired", reason, now, severity)], now, channels.settings)


def _deliver_channel(store: WritableStore, channels: Channels, name: str, now: float) -> Delivered:
    claimant, sent = secrets.token_hex(8), 0
    for _ in range(AT_ONCE):
        with store.write() as tx:
            row = notification.claim(tx, name, claimant, now, LEASE)
        if row is None:
            break
        try:
            ref = channels.by_name[name].send(row.message, row.ref)
        except (DeliveryError, SecretMissingError) as caught:
            missing = DeliveryError("secret_missing", permanent=True)
            error = caught if isinstance(caught, DeliveryError) else missing
            _note_failure(store, channels, row, claimant, error, now)
            return Delivered((name,) * sent, ((name, error.reason),))
        _note_success(store, channels, row, claimant, ref, now)
        sent += 1
    return Delivered((name,) * sent)


def _note_success(
    store: WritableStore, channels: Channels, row: Notification, claimant: str, ref: dict[str, str], now: float
) -> None:
    with store.write() as tx:
        notification.finish(tx, row, claimant, now, ref)
        if _is_reported(tx, row.channel):
            apply(tx, [delivery_finding(row.channel, "cleared", "", now)], now, channels.settings)


def _note_failure(
    store: WritableStore, channels: Channels, row: Notification, claimant: str, error: DeliveryError, now: float
) -> None:
    """Postpone or give up ``row``; what only a person can mend becomes an incident told on other channels."""
    log.warning("channel %s did not take %s: %s", row.channel, row.message.event_id, error.reason)
    with store.write() as tx:
        due_at = None if error.permanent else next_try(row, now, error.retry_after)
        if not notification.postpone(tx, row, claimant, error.reason, due_at):
            return
        if error.retry_after and due_at is not None:
            notification.hold_back(tx, row.channel, now + error.retry_after)
        if due_at is None:
            notification.hand_over(tx, row, channels.fallback(row.channel), now)
        if error.permanent:
            _report(tx, channels, row.channel, error.reason, now)


def next_try(row: Notification, now: float, retry_after: float | None) -> float | None:
    """When ``row`` is tried again after an attempt at ``now``; None once it is a day old."""
    if now - row.first_due_at > GIVE_UP_AFTER:
        return None
    later = [row.first_due_at + offset for offset in (*TRY_AT, *BACKGROUND) if row.first_due_at + offset > now]
    planned = min(later, default=now + BACKGROUND[-1])
    return max(planned, now + (retry_after or 0.0))


def delivery_finding(
    channel: str, transition: Literal["fired", "cleared"], reason: str, now: float, severity: Severity = "ticket"
) -> Finding:
    """A channel refuses for good (or works again), as a finding about ourselves."""
    finding = Finding(
        ts=now,
        transition=transition,
        workflow=OURSELVES,
        family="instrument",
        metric="delivery",
        direction=1,
        unit="messages",
        segment=channel,
        severity=severity,
        started_at=now,
    )
    text = f"Channel {channel} does not take messages: {reason.replace('_', ' ')}."
    return replace(finding, cause=replace(finding.cause, keys={"channel": channel, "reason": reason}, text=text))


def _is_reported(tx: Database, channel: str) -> bool:
    """Whether an incident about ``channel`` is open with its series still firing."""
    rows = tx.execute(
        "SELECT id FROM incidents WHERE state != 'resolved' AND workflow = ? AND family = 'instrument'", [OURSELVES]
    ).fetchall()
    found = (get(tx, str(row[0])) for row in rows)
    return any(i and i.lead.metric == "delivery" and i.lead.segment == channel and i.holds("firing") for i in found)
