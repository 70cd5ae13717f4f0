"""Metrics: the names that people use, and which measure of a point each one stands for."""

import difflib
from dataclasses import dataclass
from typing import Literal

from driftbell.collectors.point import Point, Quantity
from driftbell.detectors import bypass, cost, quality, reliability, retrieval
from driftbell.detectors.finding import Family
from driftbell.detectors.series import Series

SERIES: tuple[Series, ...] = (
    *reliability.SERIES,
    *cost.SERIES,
    *quality.SERIES,
    *retrieval.SERIES,
    *bypass.SERIES,
)
_PLAIN = {"latency_ms": "latency_ms"}
"""Metrics that are tested on a normalised measure; a fixed limit is meant for what people read on a clock."""
EVALUATION = "eval."


@dataclass(frozen=True, slots=True)
class Metric:
    """``kind``: ``rate`` is a share of hits, ``quantity`` a distribution of values, ``total`` a sum per hour."""

    name: str
    family: Family
    measure: str
    kind: Literal["rate", "quantity", "total"]
    unit: str

    def share(self, point: Point) -> tuple[int, int]:
        """``(hits, trials)`` of a rate in a point."""
        if self.measure == "manual":
            return point.manual, point.manual + point.calls
        hits, trials = point.rates.get(self.measure, (0, 0))
        return hits, trials

    def values(self, point: Point) -> Quantity | None:
        """The values of a quantity in a point."""
        return point.quantities.get(self.measure)


def _known() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for series in SERIES:
        if series.leads and series.metric not in found:
            kind: Literal["rate", "quantity"] = "rate" if series.kind == "rate" else "quantity"
            measure = _PLAIN.get(series.metric, series.measure)
            found[series.metric] = Metric(series.metric, series.family, measure, kind, series.unit)
    found["calls"] = Metric("calls", "cost", "calls", "total", "calls/h")
    found["spend"] = Metric("spend", "cost", "cost", "total", "usd/h")
    return found


METRICS = _known()


def metric(name: str) -> Metric:
    """The metric of this name; raises ValueError with the nearest name that exists."""
    found = METRICS.get(name)
    if found is not None:
        return found
    if name.startswith(EVALUATION) and len(name) > len(EVALUATION):
        return Metric(name, "quality", name, "quantity", "score")
    near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(METRICS))} and {EVALUATION}<name>"
    raise ValueError(f"unknown metric {name[:60]!r}, {hint}")
