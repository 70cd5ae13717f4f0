"""Messages without an incident: the test that proves a channel, a sample for the routes, changes made on purpose."""

from collections.abc import Iterable
from typing import cast, get_args

from sqlite_utils import Database

from driftbell.alerts.lifecycle import absorb, new_incident
from driftbell.alerts.message import Message
from driftbell.alerts.notification import enqueue
from driftbell.alerts.outbox import Channels
from driftbell.alerts.plain import plain
from driftbell.alerts.record import Incident
from driftbell.alerts.settings import AlertSettings, Lifecycle, PagerDutySection, Severity
from driftbell.alerts.wording import SEVERITY_ORDER
from driftbell.collectors.call import Marker
from driftbell.detectors.finding import Family, Finding


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


def sample_incident(match: dict[str, str], now: float) -> Incident:
    """An incident with the given owner, workflow, family, severity, risk_tier and segment, for a dry run of routes.

    What is left out is that of an unowned page about cost. Raises ValueError for a family or severity that is none.
    """
    family, severity = match.get("family", "cost"), match.get("severity", "page")
    if family not in get_args(Family) or severity not in SEVERITY_ORDER:
        raise ValueError(f"there is no {family} incident of severity {severity}")
    finding = Finding(
        ts=now,
        transition="fired",
        workflow=match.get("workflow", "sample"),
        family=cast(Family, family),
        metric="cost_per_call",
        direction=1,
        unit="usd",
        segment=match.get("segment"),
        risk_tier=match.get("risk_tier"),
        owner=match.get("owner"),
        severity=cast(Severity, severity),
        started_at=now,
    )
    incident = new_incident(finding, 0)
    absorb(incident, finding, Lifecycle())
    return incident


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
