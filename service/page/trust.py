"""Whether the numbers can be believed: what each sender lost, and whether driftbell itself works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from driftbell.collectors.store import Store
from driftbell.service.job import Job
from driftbell.service.page.chart import spark
from driftbell.service.page.render import page
from driftbell.service.page.window import RANGES, asked_for

MOST_SERVICES = 100
LOSSES = ("rejected", "sdk_dropped", "too_old", "late", "ahead")
STEPS = 48


@dataclass(frozen=True, slots=True)
class Sender:
    """The counters of one sending service over the window; ``spark`` draws what was received."""

    service: str
    counters: dict[str, float]
    spark: str

    def of(self, name: str) -> float:
        """One counter."""
        return self.counters.get(name, 0.0)

    def share(self, name: str) -> float | None:
        """A counter as a share of the calls (of the spans for what concerns spans)."""
        whole = self.of("calls") if name in ("unpriced", "usage_missing", "usage_estimated") else self.of("received")
        if name in ("rejected", "sdk_dropped", "too_old"):
            whole += self.of(name)
        return self.of(name) / whole if whole else None


class TrustPage:
    """``/telemetry``."""

    def __init__(self, store: Store, jobs: Sequence[Job], clock: Callable[[], float]) -> None:
        self._store, self._jobs, self._clock = store, jobs, clock

    def show(self, request: Request) -> Response:
        """The page."""
        now = self._clock()
        window = asked_for(request, now, "24h")
        step = max(window.length // STEPS // 60 * 60, 60)
        sums: dict[str, dict[str, float]] = {}
        lines: dict[str, list[float | None]] = {}
        for point in self._store.trust_sums(window.since, window.until, step):
            counters = sums.setdefault(point.service, {})
            for name, amount in point.counters.items():
                counters[name] = counters.get(name, 0.0) + amount
            line = lines.setdefault(point.service, [0.0] * (window.length // step + 1))
            line[(point.minute - window.since) // step] = point.counters.get("received", 0.0)
        senders = [Sender(name, counters, spark(lines[name])) for name, counters in sums.items()]
        senders.sort(key=lambda sender: (-sum(sender.of(name) for name in LOSSES), -sender.of("received")))
        return page(
            request,
            "telemetry.html",
            senders=senders[:MOST_SERVICES],
            more=max(len(senders) - MOST_SERVICES, 0),
            jobs=self._jobs,
            window=window,
            ranges=RANGES,
            now=now,
        )
