"""Any HTTP receiver: JSON signed by the Standard Webhooks scheme.

Header names, the signed content ``id.timestamp.body`` and the secret's form are those of
https://github.com/standard-webhooks/standard-webhooks (version 1.0.0). The id stays the same over every attempt, so a
receiver can drop what it has seen; ``seq`` tells it what is out of date.
"""

import base64
import hashlib
import hmac
import json
import time
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import asdict

from driftbell.alerts.channels.delivery import DeliveryError, post
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.render import headline
from driftbell.alerts.secret import resolve, resolve_url
from driftbell.alerts.settings import WebhookSection

PREFIX = "whsec_"
TYPES = {"updated": "alert.updated", "resolved": "alert.resolved", "unknown": "alert.unknown"}


class WebhookChannel:
    """Posts ``{"type": "alert.opened", "timestamp": …, "data": {…}}`` and signs it with every configured secret."""

    def __init__(
        self, name: str, section: WebhookSection, zone: str, linker: Linker, clock: Callable[[], float] = time.time
    ) -> None:
        self.name, self._section, self._zone, self._linker, self._clock = name, section, zone, linker, clock

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Post ``message``; see `Channel.send`."""
        body = json.dumps(payload(message, self._zone, self._linker), separators=(",", ":")).encode()
        now = int(self._clock())
        headers = {
            "content-type": "application/json",
            "webhook-id": message.event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signatures(
                [resolve(secret) for secret in self._section.secrets], message.event_id, now, body
            ),
        }
        post(resolve_url(self._section.url), data=body, headers=headers, timeout=self._section.timeout)
        return ref


def payload(message: Message, zone: str, linker: Linker) -> dict[str, object]:
    """The body: every fact of the message, the title line as people read it, and the links."""
    kind = TYPES.get(message.transition, f"alert.{message.transition}")
    data = {**asdict(message), "headline": headline(message, zone), "links": dict(linker.links(message))}
    return {"type": kind, "timestamp": message.at, "data": data}


def signatures(secrets: list[str], event_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1,<base64>`` per secret, so that a receiver may hold an old one."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode() for secret in secrets
    )


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise DeliveryError("bad_secret", permanent=True)
    return key
