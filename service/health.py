"""`/healthz`, `/readyz` and `/metrics`: how the service itself is."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from driftbell.alerts.budget import realised
from driftbell.collectors.store import Store
from driftbell.service.job import Job


class StoreMetrics(Collector):
    """What the store holds, read when Prometheus asks: telemetry trust, incidents, outbox, watermarks.

    ``promised`` are the false pages a month and workflow that the configuration allows.
    """

    def __init__(self, store: Store, promised: float) -> None:
        self._store = store
        self._promised = promised

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance, so that registering asks nothing of the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics of now."""
        yield self._telemetry()
        yield self._counted(
            "driftbell_incidents_open",
            "Incidents that are not resolved.",
            ("family", "severity"),
            "SELECT family, severity, count(*) FROM incidents WHERE state != 'resolved' GROUP BY 1, 2",
        )
        yield self._counted(
            "driftbell_notifications",
            "Rows of the outbox.",
            ("channel", "state"),
            "SELECT channel, state, count(*) FROM notifications GROUP BY 1, 2",
        )
        yield self._counted(
            "driftbell_decisions",
            "Decisions to tell readers of an incident or not, by reason, over the incidents that are kept.",
            ("kind", "reason"),
            "SELECT kind, iif(instr(reason, ':'), substr(reason, 1, instr(reason, ':') - 1), reason), sum(times) "
            "FROM incident_events WHERE kind IN ('told', 'not_told') GROUP BY 1, 2",
        )
        newest = GaugeMetricFamily(
            "driftbell_workflow_newest_call_timestamp_seconds",
            "When the newest call of a workflow ended.",
            labels=["workflow"],
        )
        for workflow in self._store.workflows():
            newest.add_metric([workflow.name], workflow.newest_ts)
        yield newest
        yield from self._budget()

    def _budget(self) -> Iterator[Metric]:
        """The promise of few false pages, and what people said of the pages of the last thirty days."""
        promise = GaugeMetricFamily("driftbell_false_pages_promised", "False pages a month and workflow, as promised.")
        promise.add_metric([], self._promised)
        yield promise
        pages = GaugeMetricFamily(
            "driftbell_pages", "Pages of the last 30 days by verdict.", labels=["workflow", "verdict"]
        )
        workflows = [(workflow.name, workflow.first_ts) for workflow in self._store.workflows()]
        for kept in realised(self._store.read(), workflows, self._store.clock()):
            judged = {"false_alarm": kept.false_alarms, "new_normal": kept.new_normal, "seen": kept.seen}
            for verdict, amount in (*judged.items(), ("none", kept.unjudged)):
                pages.add_metric([kept.workflow, verdict], amount)
        yield pages

    def _telemetry(self) -> Metric:
        family = CounterMetricFamily(
            "driftbell_telemetry", "What was received and how far it can be trusted.", labels=["service", "what"]
        )
        for (service, counter), amount in self._store.trust_totals().items():
            family.add_metric([service, counter], amount)
        return family

    def _counted(self, name: str, text: str, labels: Sequence[str], query: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=list(labels))
        for *values, amount in self._store.read().execute(query):
            family.add_metric([str(value) for value in values], amount)
        return family


class Health:
    """The handlers that tell how the service is; ``jobs`` are those that must not be stale."""

    def __init__(self, jobs: Sequence[Job], registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._registry = registry
        self._clock = clock

    def routes(self) -> list[Route]:
        """The three paths."""
        return [
            Route("/healthz", self.alive),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def alive(self, _request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("alive\n")

    async def ready(self, _request: Request) -> Response:
        """Data is accepted and no job is stale; otherwise 503 and which one is."""
        now = self._clock()
        stale = [f"{job.name} {'fails' if job.failing else 'is late'}" for job in self._jobs if job.stale(now)]
        return JSONResponse({"ready": not stale, "reasons": stale}, status_code=503 if stale else 200)

    def metrics(self, _request: Request) -> Response:
        """Prometheus text."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
