"""The numbers of one workflow in the overview: its last day and a usual one, column by column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from driftbell.alerts.record import Incident
from driftbell.alerts.weekly.outcome import ENOUGH_COVERAGE, GOOD_OUTCOMES
from driftbell.alerts.weekly.settings import WorkflowSettings
from driftbell.collectors.point import Quantity
from driftbell.collectors.totals import Totals
from driftbell.detectors.measure import percentile
from driftbell.service.page.panels import panel_for

Take = Callable[[Totals], float | None]
COLUMNS = {
    "calls": "Calls",
    "spend": "Spend",
    "per_call": "Per call",
    "per_outcome": "Per outcome",
    "quality": "Quality",
    "retrieval": "No document",
    "bypass": "Worked around",
    "errors": "Failed",
    "latency": "Slowest 5%",
}
"""In the order of the page."""
_ABOUT = {"quality": "quality", "retrieval": "retrieval", "bypass": "bypass", "reliability": "errors"}
"""By family: the column that shows what an open incident is about, instead of what it shows otherwise."""
_SHORT = {
    "format_failed": "bad format",
    "refused": "refused",
    "truncated": "cut off",
    "feedback_negative": "bad feedback",
    "escalated": "passed on",
    "n_sources": "found",
    "top_score": "match",
    "source_age": "age",
    "freshest_age": "age",
    "uncited": "uncited",
    "retrieval_ms": "time",
    "override": "edited",
    "rejected": "rejected",
    "edit_distance": "rewritten",
    "review_ms": "review",
    "fallback": "fallback",
    "ttft_ms": "first token",
}
"""What stands before a number that its column does not name."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the last day and of a usual one; ``label`` says what it is of.

    ``prefix`` stands before it where the column alone does not say it. ``tone`` is the severity of an open incident
    about it, else empty.
    """

    value: float | None
    usual: float | None
    label: str
    unit: str
    prefix: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class _Column:
    """How one column is filled: ``take`` from the totals, ``per_day`` where the usual days are to be divided."""

    take: Take
    label: str
    unit: str
    prefix: str = ""
    per_day: bool = False
    tone: str = ""


def figures(
    day: Totals, usual: Totals, days: int, incidents: Sequence[Incident], settings: WorkflowSettings
) -> dict[str, Figure]:
    """The figures by column. ``usual`` are the totals of ``days`` days; ``incidents`` are open, the worst first."""
    unit = _unit(usual if days else day, settings.accepted_outcomes, settings.outcome_title)
    columns = {
        "calls": _Column(lambda t: float(t.calls), "calls", "count", per_day=True),
        "spend": _Column(partial(_mean, name="cost", total=True), "spend", "usd", per_day=True),
        "per_call": _Column(partial(_mean, name="cost"), "cost per call", "usd"),
        "per_outcome": _Column(partial(_per, unit=unit), f"cost per {unit.title}", "usd"),
        "quality": _quality(day, usual),
        "retrieval": _Column(partial(_share, name="no_sources"), "answers without a document", "share"),
        "bypass": _people(day, usual),
        "errors": _Column(partial(_share, name="error"), "failed calls", "share"),
        "latency": _Column(_slowest, "95 of 100 answers took at most", "ms"),
    }
    for incident in reversed(incidents):
        _colour(columns, incident)
    found = {}
    for name, column in columns.items():
        before = column.take(usual) if days else None
        before = before / days if before is not None and column.per_day else before
        found[name] = Figure(column.take(day), before, column.label, column.unit, column.prefix, column.tone)
    return found


def _colour(columns: dict[str, _Column], incident: Incident) -> None:
    """Let a column show what ``incident`` is about."""
    lead, tone = incident.headline, incident.severity
    panel = panel_for(lead)
    if incident.family == "silent" or (panel is not None and panel.key == "calls"):
        columns["calls"] = replace(columns["calls"], tone=tone)
    elif incident.family == "cost":
        columns["per_call"] = replace(columns["per_call"], tone=tone)
    elif panel is not None and panel.key == "latency_ms":
        columns["latency"] = replace(columns["latency"], tone=tone)
    elif panel is not None and panel.series is not None and incident.family in _ABOUT:
        key, rate = panel.key, panel.series.kind == "rate"
        take: Take = _manual if key == "manual" else partial(_share if rate else _mean, name=key)
        prefix = _SHORT.get(key, key.removeprefix("eval.").replace("_", " ") if key.startswith("eval.") else "")
        columns[_ABOUT[incident.family]] = _Column(take, panel.title, panel.unit, prefix, tone=tone)


def _quality(*both: Totals) -> _Column:
    """By the evaluation with the most scores, else by what went wrong with answers."""
    scores: dict[str, float] = {}
    for totals in both:
        for name, (n, _) in totals.sums.items():
            if name.startswith("eval."):
                scores[name] = scores.get(name, 0.0) + n
    if scores:
        name = max(scores, key=lambda name: (scores[name], name))
        label = name.removeprefix("eval.").replace("_", " ")
        return _Column(partial(_mean, name=name), f"{label} score", "score", label)
    for rate in ("feedback_negative", "refused", "format_failed"):
        if any(rate in totals.rates for totals in both):
            return _Column(partial(_share, name=rate), _SHORT[rate], "share", _SHORT[rate])
    return _Column(lambda _: None, "nothing is reported", "share")


def _people(day: Totals, usual: Totals) -> _Column:
    """Work done without the AI; where that is not reported, suggestions that staff changed."""
    if not (day.manual or usual.manual) and ("override" in day.rates or "override" in usual.rates):
        return _Column(partial(_share, name="override"), "suggestions changed by staff", "share", "edited")
    return _Column(_manual, "work done without the AI", "share")


@dataclass(frozen=True, slots=True)
class Unit:
    """What cost is divided by: the hits of ``names``, accepted suggestions, or (empty) calls that did not fail."""

    title: str
    names: tuple[str, ...]


def _unit(totals: Totals, accepted: tuple[str, ...], title: str | None) -> Unit:
    """As the weekly summary chooses it (`driftbell.alerts.weekly.outcome`), from sums."""
    answered = totals.calls - totals.rates.get("error", [0, 0])[0]
    if accepted:
        return Unit(title or "accepted outcome", tuple(f"outcome.{name}" for name in accepted))
    if answered and totals.rates.get("override", [0, 0])[1] >= ENOUGH_COVERAGE * answered:
        return Unit(title or "accepted suggestion", ("override",))
    reported = sum(cell[0] for name, cell in totals.rates.items() if name.startswith("outcome."))
    good = tuple(f"outcome.{name}" for name in GOOD_OUTCOMES if f"outcome.{name}" in totals.rates)
    if good and answered and reported >= ENOUGH_COVERAGE * answered:
        return Unit(title or f"{good[0].removeprefix('outcome.')} case", good)
    return Unit(title or "successful call", ())


def _per(totals: Totals, unit: Unit) -> float | None:
    spent = _mean(totals, "cost", total=True)
    if unit.names == ("override",):
        changed, judged = totals.rates.get("override", [0, 0])
        number = judged - changed
    elif unit.names:
        number = sum(totals.rates.get(name, [0, 0])[0] for name in unit.names)
    else:
        number = totals.calls - totals.rates.get("error", [0, 0])[0]
    return spent / number if spent is not None and number > 0 else None


def _mean(totals: Totals, name: str, total: bool = False) -> float | None:
    count, amount = totals.sums.get(name, [0, 0.0])
    if not count:
        return None
    return amount if total else amount / count


def _share(totals: Totals, name: str) -> float | None:
    hits, trials = totals.rates.get(name, [0, 0])
    return hits / trials if trials else None


def _manual(totals: Totals) -> float | None:
    return totals.manual / (totals.manual + totals.calls) if totals.manual else None


def _slowest(totals: Totals) -> float | None:
    count = sum(totals.latency.values())
    return percentile(Quantity(count, 0.0, totals.latency), 0.95) if count else None
