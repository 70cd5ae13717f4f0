"""What the workflows did in their last full hour, in the form of Prometheus."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from driftbell.collectors.point import bucket_middle
from driftbell.collectors.store import Store
from driftbell.collectors.totals import Totals

HOUR = 3600.0
SETTLED = 900.0
"""Seconds after which the points of an hour are made."""
QUANTILES = (0.5, 0.95)
_COUNTED = ("timeout", "rate_limited", "outcome.")
"""Rates that are noted only when they happen: their share means nothing, their number does."""


class WorkflowMetrics(Collector):
    """Register it with a `prometheus_client.CollectorRegistry`; an hour is read once, however often it is asked for."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._hour = -1.0
        self._totals: list[Totals] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance, so that registering asks nothing of the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families of the last full hour; a workflow without calls in it has no sample."""
        hour = (self._clock() - SETTLED) // HOUR * HOUR - HOUR
        if hour != self._hour:
            self._totals, self._hour = list(self._store.totals(hour, hour + HOUR, "hour")), hour
        of = ["workflow"]
        start = GaugeMetricFamily("driftbell_workflow_hour_start_timestamp_seconds", "Start of that hour.")
        start.add_metric([], hour)
        calls = GaugeMetricFamily("driftbell_workflow_hour_calls", "Calls.", labels=of)
        manual = GaugeMetricFamily("driftbell_workflow_hour_manual_tasks", "Tasks done without the AI.", labels=of)
        share = GaugeMetricFamily("driftbell_workflow_hour_share", "Share, 0 to 1.", labels=[*of, "measure"])
        total = GaugeMetricFamily("driftbell_workflow_hour_sum", "Sum, of the known.", labels=[*of, "measure"])
        mean = GaugeMetricFamily("driftbell_workflow_hour_mean", "Mean, of the known.", labels=[*of, "measure"])
        times = GaugeMetricFamily("driftbell_workflow_hour_latency_seconds", "Response time.", labels=[*of, "quantile"])
        for each in self._totals:
            calls.add_metric([each.workflow], each.calls)
            manual.add_metric([each.workflow], each.manual)
            for name, (hits, trials) in each.rates.items():
                if name.startswith(_COUNTED):
                    total.add_metric([each.workflow, name], hits)
                elif trials:
                    share.add_metric([each.workflow, name], hits / trials)
            for name, (count, amount) in each.sums.items():
                total.add_metric([each.workflow, name], amount)
                if count:
                    mean.add_metric([each.workflow, name], amount / count)
            for quantile in QUANTILES if each.latency else ():
                times.add_metric([each.workflow, str(quantile)], _quantile(each.latency, quantile) / 1000)
        yield from (start, calls, manual, share, total, mean, times)


def _quantile(histogram: dict[int, int], quantile: float) -> float:
    """The middle of the bucket in which the quantile lies."""
    rank, below = quantile * sum(histogram.values()), 0
    for index, count in sorted(histogram.items()):
        below += count
        if below >= rank:
            return bucket_middle(index)
    raise AssertionError("an empty histogram has no quantile")
