"""Rounds: what the service does again and again. Every hand-over between them is a row in the store."""

import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from driftbell.alerts import history
from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.heartbeat import Pulse
from driftbell.alerts.incident import apply
from driftbell.alerts.outbox import deliver_due
from driftbell.alerts.proof import send_changes
from driftbell.alerts.repost import repost
from driftbell.collectors.store import Store
from driftbell.detectors.evaluate import CycleResult, Detectors, evaluated
from driftbell.detectors.evaluate import forget as forget_findings
from driftbell.service.config import Config
from driftbell.service.evidence import Evidence
from driftbell.service.verdicts import verdicts
from driftbell.service.weekly import weekly_mail

CYCLES = 50
"""Cycles of one round at most; a longer backlog waits for the next."""
MARKERS_TOLD = 3600.0
"""Changes on purpose of so many seconds are handed on to channels that show them."""
PASSES = 20
"""Passes over the outbox in one round at most."""


class Rounds:
    """The work of the jobs, over one store."""

    def __init__(
        self, store: Store, config: Config, clock: Callable[[], float], registry: CollectorRegistry | None = None
    ) -> None:
        self._failures = Counter(
            "driftbell_delivery_failures",
            "Attempts to deliver that failed, by channel and reason.",
            ["channel", "reason"],
            registry=registry,
        )
        self._store = store
        self._config = config
        self._clock = clock
        self._evaluating = threading.Lock()
        self._caught_up = False
        self._look = Evidence(store)
        self._detectors = Detectors(config.detectors)
        self._pulse = None if config.alerts.heartbeat is None else Pulse(config.alerts.heartbeat)
        self._channels = build_channels(config.alerts)
        self._mail = weekly_mail(store, config, clock)

    def evaluate(self) -> None:
        """Work off what is due, cycle by cycle; a cycle that fails leaves everything as it was before it."""
        with self._evaluating:
            self._caught_up = False
            for _ in range(CYCLES):
                if not self._cycle(self._clock()).behind:
                    self._caught_up = True
                    break
            if self._pulse is not None:
                self._pulse.beat(self._clock())

    def _cycle(self, now: float) -> CycleResult:
        """Findings, detector state, watermarks, incidents and outbox rows, in one transaction."""
        workflows = self._store.workflows()  # before the points: what comes meanwhile is due in the next cycle
        while self._store.refresh_points(until=now - self._config.detectors.grace):
            pass
        markers = self._store.markers(None, now - MARKERS_TOLD, now)
        said = list(verdicts(self._store.read(), now))
        try:
            with self._store.write() as tx:
                result = self._detectors.cycle(tx, self._store, workflows, now, said)
                apply(tx, result.findings, now, self._config.alerts, self._look)
                send_changes(tx, markers, now, self._config.alerts)
        except BaseException:
            self._detectors.forget()
            raise
        return result

    def deliver(self) -> None:
        """Send what is due in the outbox."""
        for _ in range(PASSES):
            done = deliver_due(self._store, self._channels, self._clock())
            for channel, reason in done.failed:
                self._failures.labels(channel, reason).inc()
            if not done.sent:
                break

    def repeat(self) -> None:
        """Tell Alertmanager again what is open, which it forgets otherwise."""
        repost(self._store, self._channels)

    def weekly(self) -> None:
        """Send the weekly summaries that are due, and raise an alarm about those that are overdue."""
        if self._mail is None:
            return
        try:
            self._mail.wake()
        finally:  # a summary that cannot be made is the very thing the alarm is for
            self._mail.sound(self._config.alerts)

    def forget(self) -> None:
        """Delete what is older than it is kept, once no backlog is left that would be evaluated without it."""
        if not self._caught_up:
            return
        now = self._clock()
        self._store.retain(now, self._config.retention.policy(), evaluated(self._store.read()))
        with self._store.write() as tx:
            history.forget(tx, now - self._config.retention.incidents)
            forget_findings(tx, now - self._config.retention.incidents)
