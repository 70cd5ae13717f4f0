"""The receiver in the form of Prometheus."""

from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from driftbell.collectors.intake import Intake
from driftbell.collectors.store import Store


class ReceiverMetrics(Collector):
    """Register it with a `prometheus_client.CollectorRegistry`; counters start at zero with the process."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance, so that registering asks nothing of the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families, as they are now."""
        requests = CounterMetricFamily(
            "driftbell_otlp_requests", "OTLP requests by signal and answer.", labels=("signal", "answer")
        )
        for (signal, answer), count in sorted(self._intake.requests.copy().items()):
            requests.add_metric((signal, answer), count)
        yield requests
        in_flight, held = self._intake.in_flight
        waiting, waiting_bytes = self._store.waiting
        for name, text, value in (
            ("driftbell_otlp_in_flight", "OTLP requests being received or waiting for their commit.", in_flight),
            ("driftbell_otlp_in_flight_bytes", "Bytes that they hold.", held),
            ("driftbell_store_waiting", "Batches that wait for the next commit.", waiting),
            ("driftbell_store_waiting_bytes", "Bytes that they hold.", waiting_bytes),
        ):
            yield GaugeMetricFamily(name, text, value)
