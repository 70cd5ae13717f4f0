"""Rounds: what the service does again and again. Every hand-over between them is a row in the store."""

import threading
from collections.abc import Callable

from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.outbox import deliver_due
from driftbell.alerts.repost import repost
from driftbell.alerts.weekly.alarm import sound
from driftbell.collectors.store import Store
from driftbell.service.config import Config
from driftbell.service.weekly import weekly_mail

REFRESHES = 200
"""Portions of changed minutes that one round rebuilds at most; the rest waits for the next."""
PASSES = 20
"""Passes over the outbox in one round at most."""


class Rounds:
    """The work of the jobs, over one store."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], float]) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._evaluating = threading.Lock()
        self._channels = build_channels(config.alerts)
        self._mail = weekly_mail(store, config, clock)

    def evaluate(self) -> None:
        """One cycle of the detectors: findings, incidents, outbox rows and watermarks in one transaction."""
        with self._evaluating:
            for _ in range(REFRESHES):
                if not self._store.refresh_points():
                    break

    def deliver(self) -> None:
        """Send what is due in the outbox."""
        for _ in range(PASSES):
            if not deliver_due(self._store, self._channels, self._clock()).sent:
                break

    def repeat(self) -> None:
        """Tell Alertmanager again what is open, which it forgets otherwise."""
        repost(self._store, self._channels)

    def weekly(self) -> None:
        """Send the weekly summaries that are due, and raise an alarm about those that are overdue."""
        if self._mail is None:
            return
        self._mail.wake()
        late = self._mail.overdue()
        with self._store.write() as tx:
            sound(tx, late, self._clock(), self._config.alerts)
            self._mail.sound(self._config.alerts)

    def forget(self) -> None:
        """Delete what is older than it is kept."""
        self._store.retain(self._clock(), self._config.retention.policy())
