"""Messages without an incident: the test that proves a channel, and changes made on purpose."""

from collections.abc import Iterable

from sqlite_utils import Database

from driftbell.alerts.message import Message
from driftbell.alerts.notification import enqueue
from driftbell.alerts.outbox import Channels
from driftbell.alerts.plain import plain
from driftbell.alerts.settings import AlertSettings, PagerDutySection
from driftbell.collectors.call import Marker


def send_test(channels: Channels, name: str, now: float) -> None:
    """Send a test message on the channel ``name`` (KeyError when there is none).

    Raises DeliveryError or SecretMissingError when it is not taken. Taken is not read: the text asks to look.
    """
    channels.by_name[name].send(check_message(name, channels.settings, now), {})


def check_message(name: str, settings: AlertSettings, now: float) -> Message:
    """The test message for a channel; PagerDuty opens and resolves it at once, Alertmanager gets it as ended."""
    return Message(
        event_id=f"test-{name}-{int(now)}.1",
        incident_id=f"test-{name}-{int(now)}",
        seq=1,
        dedup_key=f"driftbell/{settings.environment}/test/{name}-{int(now)}",
        transition="test",
        reason="test",
        severity="info",
        family="instrument",
        workflow="driftbell",
        metric="delivery",
        noun="alert channel",
        title=f"driftbell: test of the channel {name}",
        subject=f"[TEST] driftbell: test of the channel {name}",
        at=now,
        started_at=now,
        opened_at=now,
        note=f"Sent by driftbell doctor. If you can read this, the channel {name} works; nothing needs to be done.",
    )


def send_changes(tx: Database, markers: Iterable[Marker], now: float, settings: AlertSettings) -> int:
    """Write changes made on purpose to the outbox of the channels that show them beside incidents; how many rows.

    A marker that was written before is not written again.
    """
    names = [
        name
        for name, section in settings.channels.items()
        if isinstance(section, PagerDutySection) and section.change_events
    ]
    return sum(enqueue(tx, _change(m, settings), name, "change", now) for m in markers for name in names)


def _change(marker: Marker, settings: AlertSettings) -> Message:
    where = plain(marker.workflow or "all workflows")
    what = plain(marker.text or f"{marker.kind} {marker.value or ''}")
    key = plain(marker.id or f"{marker.ts:.3f}-{marker.kind}-{marker.value}", 100)
    return Message(
        event_id=f"change-{key}.1",
        incident_id=f"change-{key}",
        seq=1,
        dedup_key=f"driftbell/{settings.environment}/change/{key}",
        transition="change",
        reason="change",
        severity="info",
        family="change",
        workflow=where,
        metric=plain(marker.kind),
        noun=plain(marker.kind),
        title=f"{where}: {what}",
        subject=f"{where}: {what}",
        at=marker.ts,
        started_at=marker.ts,
        opened_at=marker.ts,
    )
