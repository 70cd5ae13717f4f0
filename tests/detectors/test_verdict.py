"""What people say of an incident reaches the detectors: "new normal" is the baseline at once."""

import numpy as np
import pytest

from driftbell.collectors.point import Point
from driftbell.collectors.rollup import rollup
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Memory
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.station import Station
from driftbell.detectors.verdict import Verdict
from driftbell.detectors.workflow import BIN
from tests.detectors.traffic import DAY, HOUR, MONDAY, after, calls, leads, set_to

ONSET = MONDAY + 12 * DAY + 10 * HOUR
JUDGED = ONSET + 8 * HOUR
SETTINGS = DetectorSettings()
History = dict[int, list[Point]]


def binned(made) -> History:
    bins: History = {}
    for point in rollup(made):
        bins.setdefault(point.key.minute // BIN * BIN, []).append(point)
    return bins


def watched(
    bins: History, verdict: str | None, restart_every: int = 0, only: str | None = None
) -> tuple[list[Finding], Station]:
    """Findings of a station, with a verdict on what rang (of one metric) until eight hours after the onset."""
    station, memory = Station("claims", SETTINGS), Memory()
    found: list[Finding] = []
    for i, start in enumerate(range(min(bins), max(bins) + BIN, BIN)):
        points = bins.get(start, [])
        memory.add(points)
        if restart_every and i % restart_every == 0:
            station = Station.restore("claims", *station.dump(), SETTINGS)
        given = []
        if verdict is not None and start >= JUDGED:
            told = [f for f in found if f.transition == "fired" and f.ts <= JUDGED and only in (None, f.metric)]
            series = tuple((f.metric, f.segment, f.risk_tier, f.direction) for f in told)
            given = [Verdict("inc-1", "claims", verdict, JUDGED + 30, min(f.started_at for f in told), series)]
        found += station.advance(memory, {start: points}, start, start + BIN, given)
    return found, station


def dearer(call, rng: np.random.Generator):
    tokens = (call.input_tokens or 0) * 2
    return set_to(input_tokens=tokens, cost_usd=(call.cost_usd or 0) + (call.input_tokens or 0) * 3e-6)(call, rng)


@pytest.fixture(scope="module")
def grown() -> History:
    def again(call, rng):
        return dearer(call, rng) if call.ts >= MONDAY + 18 * DAY else call

    return binned([again(call, None) for call in calls(19, 25, 3, after(ONSET, dearer))])


def test_a_new_normal_is_silent_from_then_on_and_its_next_change_rings(grown: History) -> None:
    found, _ = watched(grown, "new_normal")
    fired = leads(found)
    assert fired[0].ts < JUDGED
    later = [f for f in fired if f.ts > JUDGED]
    assert [f.family for f in later] == ["cost"]
    assert later[0].ts > MONDAY + 18 * DAY
    first, again = fired[0], later[0]
    assert again.usual == pytest.approx(first.observed, rel=0.15)


def test_a_false_alarm_teaches_the_baseline_nothing(grown: History) -> None:
    early = {start: points for start, points in grown.items() if start < JUDGED + 6 * HOUR}
    said, without = watched(early, "false_alarm")[0], watched(early, None)[0]
    assert said == without


def test_a_restart_after_a_verdict_changes_nothing_and_applies_it_once(grown: History) -> None:
    early = {start: points for start, points in grown.items() if start < JUDGED + DAY}
    whole, station = watched(early, "new_normal")
    again, same = watched(early, "new_normal", restart_every=397)
    assert again == whole
    assert same.dump() == station.dump()


def test_a_new_normal_of_errors_does_not_ring_again() -> None:
    def failing(call, rng):
        return set_to(status="error")(call, rng) if rng.random() < 0.2 else call

    bins = binned(calls(15, 25, 4, after(ONSET, failing)))
    found, _ = watched(bins, "new_normal")
    assert [f.metric for f in leads(found)] == ["status"]


def test_what_another_incident_tells_goes_on() -> None:
    def two(call, rng):
        call = dearer(call, rng) if call.ts >= ONSET else call
        return set_to(status="error")(call, rng) if call.ts >= ONSET and rng.random() < 0.3 else call

    found, station = watched(binned(calls(13, 30, 5, two)), "new_normal", only="status")
    assert {"status", "input_tokens"} <= {f.metric for f in found}
    alarms = {w.series.metric for w in station.engine.watches if w.alarm is not None}
    assert "status" not in alarms
    assert "input_tokens" in alarms
