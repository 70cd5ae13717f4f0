"""The dead-man switch: while the detectors run, a URL is asked; whoever watches it rings when that stops."""

import logging

from driftbell.alerts.channels.delivery import DeliveryError, post
from driftbell.alerts.secret import SecretMissingError, resolve_url
from driftbell.alerts.settings import Heartbeat

log = logging.getLogger(__name__)
TIMEOUT = 10.0


class Pulse:
    """Call `beat` after each evaluation that succeeded, and only then."""

    def __init__(self, settings: Heartbeat) -> None:
        self._settings = settings
        self._next = 0.0

    def beat(self, now: float) -> str | None:
        """Ask the URL if it is time. Returns why it failed, or None; the address never stands in a log."""
        if now < self._next:
            return None
        self._next = now + self._settings.every
        try:
            post(resolve_url(self._settings.url), data=b"", timeout=TIMEOUT)
        except SecretMissingError as error:
            log.warning("no heartbeat sent: %s", error)
            return "secret_missing"
        except DeliveryError as error:
            log.warning("no heartbeat sent: %s", error.reason)
            return error.reason
        return None
