"""Job: one piece of work that repeats, and what is known of how it goes."""

import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log = logging.getLogger("driftbell.service")


class JobMetrics:
    """How the jobs of one service go, as Prometheus metrics with the label ``job``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failures = Counter("driftbell_job_failures", "Failed runs.", ["job"], registry=registry)
        self.seconds = Histogram(
            "driftbell_job_seconds",
            "How long a run took.",
            ["job"],
            registry=registry,
            buckets=(0.01, 0.1, 0.5, 1, 5, 15, 60, 300),
        )
        self.success = Gauge(
            "driftbell_job_last_success_timestamp_seconds",
            "When a run last ended well (before the first: when the service started).",
            ["job"],
            registry=registry,
        )


class Job:
    """Runs ``work`` and survives its failure: the next tick tries again.

    A row of failures is logged once at its start and once when it is over; each one is counted. ``every`` is the
    interval in seconds, by which `stale` judges.
    """

    def __init__(
        self, name: str, work: Callable[[], None], every: float, metrics: JobMetrics, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.every = every
        self._work = work
        self._clock = clock
        self._failures = metrics.failures.labels(name)
        self._seconds = metrics.seconds.labels(name)
        self._gauge = metrics.success.labels(name)
        self._failing = self._over = False
        self._good_at = clock()
        self._gauge.set(self._good_at)

    def __call__(self) -> None:
        """One run. This is the boundary at which an unforeseen error of the work ends."""
        began = time.monotonic()
        try:
            self._work()
        except Exception as error:
            if self._over:
                return
            self._failures.inc()
            if not self._failing:
                log.exception("%s failed and will be tried again every %g s", self.name, self.every, exc_info=error)
            self._failing = True
        else:
            if self._failing:
                log.warning("%s works again", self.name)
            self._failing = False
            self._good_at = self._clock()
            self._gauge.set(self._good_at)
        self._seconds.observe(time.monotonic() - began)

    def retire(self) -> None:
        """The service stops: a run that is cut off now has not failed."""
        self._over = True

    @property
    def good_at(self) -> float:
        """When a run last ended well; before the first, when the job was made."""
        return self._good_at

    @property
    def failing(self) -> bool:
        """Whether the last run failed."""
        return self._failing

    def stale(self, now: float, patience: float = 3.0) -> bool:
        """Whether no run ended well for ``patience`` intervals, or the last one failed."""
        return self._failing or now - self._good_at > patience * self.every + 60.0
