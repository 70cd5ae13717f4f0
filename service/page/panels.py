"""The series that are drawn: what each is called, how it is read off points, and in which order they stand."""

from collections.abc import Iterable
from dataclasses import dataclass

from driftbell.detectors.finding import Finding
from driftbell.detectors.quality import evaluation
from driftbell.detectors.series import Series
from driftbell.detectors.workflow import CATALOGUE


@dataclass(frozen=True, slots=True)
class Panel:
    """One series as people see it. ``key`` names it in URLs; ``series`` is None for a volume per hour.

    ``measure`` is the quantity whose sum a volume adds up, None for the number of calls.
    """

    key: str
    title: str
    family: str
    unit: str
    metric: str
    series: Series | None = None
    measure: str | None = None


FAMILIES = {
    "traffic": "Traffic",
    "cost": "Cost",
    "quality": "Quality",
    "retrieval": "Retrieval",
    "bypass": "Human use",
    "reliability": "Reliability",
    "instrument": "Instrument",
}
"""In the order of the page."""
_TITLES = {
    "cost": "Cost per call",
    "price": "Price per million tokens, weighed",
    "input_tokens": "Input tokens per call",
    "output_tokens": "Output tokens per call",
    "cached_share": "Cached share of input",
    "retried": "Calls that were retried",
    "refused": "Refusals",
    "format_failed": "Answers in a broken format",
    "truncated": "Answers that were cut off",
    "feedback_negative": "Bad feedback",
    "escalated": "Cases passed on to a person",
    "no_sources": "Answers without a document",
    "n_sources": "Documents found",
    "top_score": "Best document match",
    "source_age": "Age of documents used",
    "freshest_age": "Age of the freshest document",
    "uncited": "Answers without a cited source",
    "retrieval_ms": "Retrieval time",
    "override": "Suggestions changed by staff",
    "rejected": "Suggestions rejected",
    "edit_distance": "Rewriting by staff",
    "review_ms": "Review time",
    "manual": "Work done without the AI",
    "error": "Failed calls",
    "latency_ms": "Response time",
    "ttft_ms": "Time to first token",
    "fallback": "Served by the fallback",
    "usage_missing": "Calls without token usage",
    "unpriced": "Calls without a price",
}
_LATENCY = Series("reliability", "latency_ms", "latency_ms", "quantity", 1, 1.2, "ms")
_VOLUMES = (
    Panel("calls", "Calls per hour", "traffic", "calls/h", "calls"),
    Panel("spend", "Spend per hour", "traffic", "usd/h", "spend", measure="cost"),
)
_SHOWN_AS = {"slowness": _LATENCY}
"""What is watched in a normalised form is shown in its own."""


def _panel(series: Series) -> Panel:
    shown = _SHOWN_AS.get(series.measure, series)
    title = _TITLES.get(shown.measure) or shown.measure.removeprefix("eval.").replace("_", " ") + " score"
    return Panel(shown.measure, title[0].upper() + title[1:], shown.family, shown.unit, shown.metric, shown)


KNOWN: dict[str, Panel] = {
    panel.key: panel for panel in (*_VOLUMES, *(_panel(series) for series in CATALOGUE if series.kind != "tail"))
}


def panel_of(key: str) -> Panel | None:
    """The panel with this key."""
    if key.startswith("eval.") and len(key) > len("eval."):
        return _panel(evaluation(key))
    return KNOWN.get(key)


def present(measures: Iterable[str]) -> list[Panel]:
    """The panels of what was observed, by family."""
    seen = {*measures, "calls"} | ({"spend"} if "cost" in measures else set())
    evaluations = [_panel(evaluation(name)) for name in sorted(seen) if name.startswith("eval.")]
    found = [*evaluations, *(panel for key, panel in KNOWN.items() if key in seen)]
    order = list(FAMILIES)
    return sorted(found, key=lambda panel: order.index(panel.family))


def shows(panel: Panel, finding: Finding) -> bool:
    """Whether a finding speaks of the series of ``panel``, or of another statistic of the same metric."""
    same_family = panel.series is None or panel.family == finding.family
    return same_family and panel.metric == finding.metric


def panel_for(finding: Finding) -> Panel | None:
    """The panel that shows what a finding speaks of; None when it is no series of a workflow."""
    fitting = [
        panel
        for panel in KNOWN.values()
        if panel.metric == finding.metric and (panel.unit == finding.unit or panel.series is None)
    ]
    family = [panel for panel in fitting if panel.family == finding.family]
    return next(iter(family or fitting), None) or panel_of(finding.metric)
