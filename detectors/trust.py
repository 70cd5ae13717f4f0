"""Telemetry trust: what fired is told only as far as the instruments can be believed.

Cost and tokens rest on what the provider reports. Where, since the onset, more calls than before come without token
counts or without a price, a change of cost says nothing: it is held back, and one finding of family ``instrument`` is
told instead. Once the instruments are whole again, what still stands is told. Any other finding carries a caveat when
fewer or more calls than before report what it rests on, or when spans were lost or clocks were wrong meanwhile.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from driftbell.collectors.point import Point
from driftbell.collectors.trust import TrustPoint
from driftbell.detectors.finding import Cause, Finding
from driftbell.detectors.history import History, points_since
from driftbell.detectors.metrics import METRICS, metric

HOUR, DAY = 3600, 86400
BEFORE = 7 * DAY
"""The instruments of the week before the onset are what they are compared with."""
LONGEST = 2 * DAY
"""Of an older change, the last two days are looked at."""
BROKEN = 0.05
"""Share of calls by which the instruments must have become worse."""
SURE = 3.0
"""Standard errors by which it must be more than chance."""
COVERAGE = 1.5
"""Factor by which the share of calls that report a measure must have moved for a caveat."""
FEWEST = 20
"""Calls, or values, without which nothing is said of the instruments."""
LATELY = 2 * HOUR
INSTRUMENTS = {
    "usage_missing": ("input_tokens", "came without token counts"),
    "unpriced": ("cost_per_call", "have no price"),
}
"""Rates of the instruments: the metric under which they are told, and the words."""
NEEDED = {
    "cost_per_call": ("usage_missing", "unpriced"),
    "input_tokens": ("usage_missing",),
    "output_tokens": ("usage_missing",),
    "cached_share": ("usage_missing",),
}
"""Metrics of family ``cost`` that rest on an instrument."""
LOSSES = {
    "sdk_dropped": "of the spans were lost in the application",
    "rejected": "of the spans were refused as invalid",
    "late": "of the spans came more than ten minutes late",
    "ahead": "of the spans ended in the future: a clock is wrong",
}


@dataclass(slots=True)
class Held:
    """A finding that is held back by ``instrument``, whose share of bad calls was ``usual`` before."""

    finding: Finding
    instrument: str
    usual: float
    since: float


@dataclass(slots=True)
class GateState:
    """What is held back, and the findings of family ``instrument`` that were told for it, by instrument and segment."""

    held: list[Held] = field(default_factory=list)
    told: list[Held] = field(default_factory=list)


_STATE = TypeAdapter(GateState)


class Gate:
    """Stands between the detectors of one workflow and those who are told."""

    def __init__(self, workflow: str, settle: float) -> None:
        self.workflow = workflow
        self.settle = settle
        self.state = GateState()

    def admit(self, findings: Sequence[Finding], start: int, ts: float, history: History) -> list[Finding]:
        """What may be told of ``findings`` of the bin before ``start``, and what is told of the instruments."""
        admitted: list[Finding] = []
        for finding in findings:
            if finding.transition in ("cleared", "no_data"):
                self._drop(finding)
                admitted.append(finding)
            elif finding.transition == "fired" and finding.family != "instrument":
                admitted += self._weigh(finding, start, ts, history)
            elif finding.transition == "updated" and self._holds(finding):
                continue
            else:
                admitted.append(finding)
        if (self.state.held or self.state.told) and start % HOUR == 0:
            admitted += self._again(start, ts, history)
        return admitted

    def dump(self) -> object:
        """The state as plain numbers."""
        return _STATE.dump_python(self.state, mode="json")

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        self.state = _STATE.validate_python(stored)

    def _holds(self, finding: Finding) -> bool:
        """Whether the finding's series is not told of, because what it rests on is broken."""
        return any((h.finding.series, h.finding.measure) == (finding.series, finding.measure) for h in self.state.held)

    def _drop(self, over: Finding) -> None:
        """What is over need not be told any more."""
        self.state.held = [
            h for h in self.state.held if (h.finding.series, h.finding.measure) != (over.series, over.measure)
        ]

    def _weigh(self, finding: Finding, start: int, ts: float, history: History) -> list[Finding]:
        onset = max(finding.started_at, float(start - LONGEST))
        hour = int(onset // HOUR) * HOUR
        before = _within(history.points(self.workflow, hour - BEFORE, hour, "hour"), finding)
        after = _within(points_since(history, self.workflow, onset, start), finding)
        needed = NEEDED.get(finding.metric, ()) if finding.family == "cost" else ()
        for instrument in needed:
            usual, now = _rate(before, instrument), _rate(after, instrument)
            if usual is None or now is None or not _worse(usual, now):
                continue
            held = Held(finding, instrument, usual[0] / usual[1], ts)
            self.state.held.append(held)
            place = (instrument, finding.segment, finding.risk_tier)
            if any((t.instrument, t.finding.segment, t.finding.risk_tier) == place for t in self.state.told):
                return []
            told = self._broken(held, now, ts)
            self.state.told.append(replace(held, finding=told))
            return [told]
        caveats = (*_coverage(finding, before, after), *_losses(history.trust(onset - DAY, ts), onset))
        if not caveats:
            return [finding]
        return [replace(finding, cause=replace(finding.cause, evidence=(*caveats, *finding.cause.evidence)))]

    def _broken(self, held: Held, now: tuple[int, int], ts: float) -> Finding:
        """What is told in the place of a finding that is held back."""
        name, words = INSTRUMENTS[held.instrument]
        share, finding = now[0] / now[1], held.finding
        text = f"{share:.0%} of the calls {words}, {held.usual:.0%} before; {finding.metric} is not judged meanwhile."
        return Finding(
            ts=ts,
            transition="fired",
            workflow=self.workflow,
            family="instrument",
            metric=name,
            direction=1,
            unit="share",
            segment=finding.segment,
            risk_tier=finding.risk_tier,
            observed=share,
            usual=held.usual,
            n=now[1],
            started_at=finding.started_at,
            severity="ticket",
            cause=Cause(keys=dict(finding.cause.keys), confidence="possible", text=text),
            measure=f"trust {held.instrument}",
            id=f"{self.workflow}/trust/{held.instrument}/{finding.segment}/{finding.risk_tier}/{int(ts)}",
        )

    def _again(self, start: int, ts: float, history: History) -> list[Finding]:
        """Release what is held back by instruments that are whole again; forget what nobody repaired."""
        findings: list[Finding] = []
        points = history.points(self.workflow, start - LATELY, start, "minute")
        for told in list(self.state.told):
            whole = _rate(_within(points, told.finding), told.instrument)
            mended = whole is not None and not _worse((told.usual * whole[1], whole[1]), whole)
            if not mended and ts - told.since < self.settle:
                continue
            self.state.told.remove(told)
            findings.append(replace(told.finding, transition="cleared", ts=ts, id=f"{told.finding.id}/{int(ts)}"))
            place = (told.instrument, told.finding.segment, told.finding.risk_tier)
            for held in list(self.state.held):
                if (held.instrument, held.finding.segment, held.finding.risk_tier) == place:
                    self.state.held.remove(held)
                    if mended:
                        findings.append(replace(held.finding, ts=ts, id=f"{held.finding.id}/{int(ts)}"))
        return findings


def _within(points: Iterable[Point], finding: Finding) -> list[Point]:
    """The points of the segment or tier that a finding speaks of."""
    return [
        point
        for point in points
        if finding.segment in (None, point.key.segment) and finding.risk_tier in (None, point.key.risk_tier)
    ]


def _rate(points: Sequence[Point], name: str) -> tuple[int, int] | None:
    """``(bad, calls)`` of an instrument; None with too few calls."""
    bad = sum(point.rates[name][0] for point in points if name in point.rates)
    calls = sum(point.rates[name][1] for point in points if name in point.rates)
    return (bad, calls) if calls >= FEWEST else None


def _worse(usual: tuple[float, float], now: tuple[float, float]) -> bool:
    """Whether a share has risen by `BROKEN` at least, and beyond chance."""
    before, after = usual[0] / usual[1], now[0] / now[1]
    smoothed = (usual[0] + now[0] + 1) / (usual[1] + now[1] + 2)
    error = math.sqrt(smoothed * (1 - smoothed) * (1 / usual[1] + 1 / now[1]))
    return after - before >= max(BROKEN, SURE * error)


def _coverage(finding: Finding, before: Sequence[Point], after: Sequence[Point]) -> list[str]:
    """The caveat that another part of the calls reports what moved."""
    if finding.metric not in METRICS and not finding.metric.startswith("eval."):
        return []
    known = metric(finding.metric)
    if known.kind == "total" or known.measure == "manual":
        return []
    shares = []
    for points in (before, after):
        calls = sum(point.calls for point in points)
        values = sum(
            point.rates.get(known.measure, (0, 0))[1]
            if known.kind == "rate"
            else (point.quantities[known.measure].count if known.measure in point.quantities else 0)
            for point in points
        )
        if calls < FEWEST or values < FEWEST:
            return []
        shares.append(values / calls)
    if max(shares) < COVERAGE * min(shares):
        return []
    return [f"caveat: {shares[1]:.0%} of the calls report it, {shares[0]:.0%} before"]


def _losses(points: Iterable[TrustPoint], onset: float) -> list[str]:
    """The caveats that spans were lost, late or from the future since the onset, and were not the day before."""
    sums: dict[tuple[bool, str], float] = {}
    for point in points:
        for counter, amount in point.counters.items():
            place = (point.minute >= onset - 60, counter)
            sums[place] = sums.get(place, 0.0) + amount
    caveats = []
    for counter, words in LOSSES.items():
        usual, now = (
            (
                sums.get((since, counter), 0.0),
                sum(sums.get((since, of), 0.0) for of in ("received", "rejected", "sdk_dropped")),
            )
            for since in (False, True)
        )
        if now[1] >= FEWEST and _worse((usual[0], max(usual[1], 1.0)), now):
            caveats.append(f"caveat: {now[0] / now[1]:.0%} {words}")
    return caveats
