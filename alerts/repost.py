"""Tells Alertmanager again what is open: it forgets at its own restart, and ends what nobody repeats."""

import logging

from driftbell.alerts import notification
from driftbell.alerts.channels.alertmanager import AlertmanagerChannel
from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.history import Reader
from driftbell.alerts.message import Message, decode
from driftbell.alerts.outbox import Channels, WritableStore
from driftbell.alerts.secret import SecretMissingError

log = logging.getLogger(__name__)
MAX_OPEN = 5000


def repost(store: WritableStore, channels: Channels) -> None:
    """Post every open incident again on each Alertmanager channel that was told of it. Call it every minute.

    A failure is only logged: the next call repeats all of it.
    """
    for name, channel in channels.by_name.items():
        if not isinstance(channel, AlertmanagerChannel):
            continue
        with store.write() as tx:
            told = _open(tx, name)
        try:
            channel.repost(told)
        except (DeliveryError, SecretMissingError) as error:
            log.warning("channel %s did not take the open incidents again: %s", name, error)


def _open(db: Reader, channel: str) -> list[tuple[Message, dict[str, str]]]:
    rows = db.execute(
        """SELECT n.message, n.incident_id FROM notifications AS n JOIN incidents AS i ON i.id = n.incident_id
        WHERE i.state != 'resolved' AND n.channel = ? AND n.state = 'sent'
        AND n.id = (SELECT max(id) FROM notifications WHERE incident_id = i.id AND channel = n.channel
            AND state = 'sent') LIMIT ?""",
        [channel, MAX_OPEN],
    ).fetchall()
    return [(decode(row[0]), notification.reference(db, str(row[1]), channel)) for row in rows]
