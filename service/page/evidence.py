"""What an incident rests on: its series with what was usual, the split of the cost, the slices, and sample calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from driftbell.alerts.message import title
from driftbell.alerts.record import Incident
from driftbell.collectors.call import Call
from driftbell.collectors.point import Point
from driftbell.collectors.search import Wanted
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding
from driftbell.service.explain import DAY, HOUR, WEEK, Line, Period, lines_of
from driftbell.service.page.chart import Drawing, Shade, draw
from driftbell.service.page.data import Measures, Slice, load
from driftbell.service.page.panels import Panel, panel_for
from driftbell.service.page.render import url
from driftbell.service.page.waterfall import Waterfall, waterfall
from driftbell.service.page.window import Window, around
from driftbell.service.page.workflow import MOST_MARKS, mark

SAMPLES = 5
CONSIDERED = 200
LONGEST = 14 * DAY
LEAD_IN = (DAY, 3 * DAY)
"""How much is shown of the time before: at least, at most."""
_SHOWS: dict[str, Callable[[Call], bool]] = {
    "no_sources": lambda call: call.sources == (),
    "retried": lambda call: call.attempts > 1,
    "refused": lambda call: call.refused is True,
    "format_failed": lambda call: call.format_ok is False,
    "uncited": lambda call: call.citations == 0,
    "fallback": lambda call: call.fallback is True,
    "unpriced": lambda call: call.cost_usd is None,
}
"""Which calls show a rate, by its measure."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is shown. ``panel`` and ``chart`` are None when the incident speaks of no series of a workflow."""

    window: Window
    part: Slice
    panel: Panel | None = None
    chart: Drawing | None = None
    waterfall: Waterfall | None = None
    periods: tuple[Period, ...] = ()
    slices: tuple[Line, ...] = ()
    samples: tuple[Call, ...] = ()
    numbers: str = ""
    """Where the numbers of the chart stand."""
    more: str = ""
    """Where more calls like the samples are found."""


def evidence(store: Store, incident: Incident, now: float, minutes_from: float) -> Evidence:
    """Collect what is kept about ``incident`` at ``now``."""
    lead = incident.headline
    until = min(incident.ended_at or incident.resolved_at or now, now)
    length = max(until - incident.started_at, HOUR)
    lead_in = min(max(length, LEAD_IN[0]), LEAD_IN[1])
    after = min(length / 2, DAY) if incident.state == "resolved" else 0.0
    asked = around(incident.started_at - lead_in, min(until + after, now))
    part = Slice(segment=lead.segment, risk_tier=lead.risk_tier)
    panel = panel_for(lead)
    if panel is None or store.newest(incident.workflow) is None:
        return Evidence(asked, part)
    held = load(store, incident.workflow, asked, minutes_from, Measures(panel)).of(part)
    shade = Shade(incident.started_at, until, title(incident.workflow, lead), "", incident.severity)
    markers = store.markers(incident.workflow, held.window.since, held.window.until)[-MOST_MARKS:]
    width, found = held.readings(panel)
    drawing = draw(held.window, width, found, panel.unit, [shade], map(mark, markers))
    during = (incident.started_at, min(until, incident.started_at + LONGEST))
    before, since = _sides(store, incident.workflow, during, minutes_from)
    periods = (Period("usual", during[0] - WEEK, during[0]), Period("incident", *during))
    wanted = _wanted(incident, lead, during)
    return Evidence(
        window=held.window,
        part=part,
        panel=panel,
        chart=drawing,
        waterfall=waterfall(before, since) if incident.family == "cost" and lead.metric != "calls" else None,
        periods=periods,
        slices=_slices(lines_of(lead, [before, since], periods)),
        samples=_samples(store, wanted, panel),
        numbers=url("/workflow/series", name=incident.workflow, series=panel.key, **part.asked, **held.window.asked),
        more=_more(wanted),
    )


def _sides(
    store: Store, workflow: str, during: tuple[float, float], minutes_from: float
) -> tuple[Sequence[Point], Sequence[Point]]:
    """The points of the week before and of the incident, as the detectors compare them."""
    onset = during[0] // HOUR * HOUR
    before = store.points(workflow, onset - WEEK, onset, "hour")
    if during[0] >= minutes_from and during[1] - during[0] <= DAY:
        return before, store.points(workflow, during[0] // 60 * 60, during[1], "minute")
    return before, store.points(workflow, onset, during[1], "hour")


def _wanted(incident: Incident, lead: Finding, during: tuple[float, float]) -> Wanted:
    keys = incident.lead.cause.keys
    return Wanted(
        since=during[0],
        until=during[1],
        workflow=incident.workflow,
        segment=keys.get("segment") or lead.segment,
        risk_tier=lead.risk_tier,
        model=keys.get("model"),
        prompt_version=keys.get("prompt_version"),
        status="error" if lead.metric == "status" else None,
        user_id=keys.get("user_id"),
    )


def _slices(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Those in which anything was observed, each once: a segment is not told again as what the incident is of."""
    first, *others = lines
    told = [line for line in others if any(count.n for count in line.counts)]
    return tuple(told if any(line.slice == first.slice for line in told) else [first, *told])


def _more(wanted: Wanted) -> str:
    names = ("workflow", "segment", "model", "prompt_version", "status", "user_id")
    asked = {name: getattr(wanted, name) for name in names}
    return url("/calls", **asked, since=int(wanted.since), until=int(wanted.until) + 1)


def _samples(store: Store, wanted: Wanted, panel: Panel) -> tuple[Call, ...]:
    """Of the latest calls of the incident those that show it best."""
    calls = store.search(wanted, CONSIDERED).calls
    field = {"cost": "cost_usd", "spend": "cost_usd"}.get(panel.key, panel.key)
    if panel.key in ("input_tokens", "output_tokens", "latency_ms", "ttft_ms", "retrieval_ms", "cost", "spend"):
        known = [call for call in calls if getattr(call, field) is not None]
        return tuple(sorted(known, key=lambda call: -getattr(call, field))[:SAMPLES])
    shows = _SHOWS.get(panel.key)
    return tuple([call for call in calls if shows is None or shows(call)][:SAMPLES] or calls[:SAMPLES])
