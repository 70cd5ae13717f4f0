"""A broken instrument is told as such, once; what stands after it was mended is told then."""

from dataclasses import replace

import pytest

from driftbell.alerts.message import title
from driftbell.collectors.trust import TrustPoint
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Memory
from driftbell.detectors.trust import Gate
from tests.detectors.rules import BIN, DAY, HOUR, MONDAY, point

ONSET = MONDAY + 8 * DAY
SETTLE = 3 * DAY
COST = Finding(
    ts=ONSET + HOUR,
    transition="fired",
    workflow="claims",
    family="cost",
    metric="cost_per_call",
    direction=1,
    unit="usd",
    observed=0.05,
    usual=0.03,
    started_at=float(ONSET),
    id="claims/cost",
)


class Lossy(Memory):
    """A memory that also knows how the telemetry went."""

    counters: tuple[TrustPoint, ...] = ()

    def trust(self, since, until):
        return [one for one in self.counters if since <= one.minute < until]


def remembered(until: int, bad, segments=(None,), **measures) -> Lossy:
    """Bins of twenty calls; ``bad(start)`` of them without token counts."""
    memory = Lossy()
    for start in range(MONDAY, until, BIN):
        for segment in segments:
            missing = bad(start) if segment in (None, "north") else 0
            made = point(start, 20, segment, usage_missing=(missing, 20), unpriced=(0, 20), error=(0, 20))
            for name, values in measures.items():
                made.quantities |= point(start, 20, segment, **{name: values(start)}).quantities
            memory.add([made])
    return memory


def broken(since: int, until: int):
    return lambda start: 8 if since <= start < until else 0


def test_a_change_of_cost_with_whole_instruments_passes_as_it_is():
    memory = remembered(ONSET + HOUR, lambda start: 0)
    assert Gate("claims", SETTLE).admit([COST], ONSET + HOUR, COST.ts, memory) == [COST]


def test_a_change_of_cost_with_missing_usage_is_one_finding_of_the_instrument():
    memory = remembered(ONSET + HOUR, broken(ONSET, ONSET + DAY))
    tokens = replace(COST, metric="input_tokens", unit="tokens", id="claims/tokens")
    (told,) = Gate("claims", SETTLE).admit([COST, tokens], ONSET + HOUR, COST.ts, memory)
    assert (told.family, told.metric, told.severity) == ("instrument", "input_tokens", "ticket")
    assert told.observed == pytest.approx(0.4)
    assert told.usual == 0
    assert title("claims", told) == "claims: calls without token usage up 40 points (0% -> 40%)"


def test_news_of_what_is_held_back_is_held_back_too():
    memory = remembered(ONSET + HOUR, broken(ONSET, ONSET + DAY))
    gate = Gate("claims", SETTLE)
    news = replace(COST, transition="updated")
    assert gate.admit([news], ONSET + HOUR, COST.ts, memory) == [news]
    gate.admit([COST], ONSET + HOUR, COST.ts, memory)
    assert gate.admit([news], ONSET + HOUR, COST.ts, memory) == []


def test_what_does_not_rest_on_usage_is_not_held_back():
    memory = remembered(ONSET + HOUR, broken(ONSET, ONSET + DAY))
    errors = replace(COST, family="reliability", metric="status", unit="share")
    assert Gate("claims", SETTLE).admit([errors], ONSET + HOUR, COST.ts, memory) == [errors]


def test_only_the_segment_with_the_broken_instrument_is_held_back():
    memory = remembered(ONSET + HOUR, broken(ONSET, ONSET + DAY), segments=("north", "south"))
    gate = Gate("claims", SETTLE)
    north, south = (replace(COST, segment=segment, id=segment) for segment in ("north", "south"))
    assert [f.family for f in gate.admit([north, south], ONSET + HOUR, COST.ts, memory)] == ["instrument", "cost"]


@pytest.mark.parametrize("restart", [False, True])
def test_once_it_is_mended_what_still_stands_is_told(restart: bool):
    mended = ONSET + 5 * HOUR
    memory = remembered(mended + 4 * HOUR, broken(ONSET, mended))
    gate = Gate("claims", SETTLE)
    told = gate.admit([COST], ONSET + HOUR, COST.ts, memory)
    for start in range(ONSET + HOUR, mended + 4 * HOUR, BIN):
        if restart:
            stored = gate.dump()
            gate = Gate("claims", SETTLE)
            gate.load(stored)
        told += gate.admit([], start, start + 60.0, memory)
    assert [(f.transition, f.family) for f in told] == [
        ("fired", "instrument"),
        ("cleared", "instrument"),
        ("fired", "cost"),
    ]
    assert mended + HOUR < told[1].ts <= mended + 3 * HOUR
    assert told[2].observed == COST.observed
    assert len({f.id for f in told}) == 3


def test_what_was_over_meanwhile_is_not_told():
    mended = ONSET + 5 * HOUR
    memory = remembered(mended + 4 * HOUR, broken(ONSET, mended))
    gate = Gate("claims", SETTLE)
    gate.admit([COST], ONSET + HOUR, COST.ts, memory)
    over = replace(COST, transition="cleared", ts=ONSET + 2 * HOUR)
    told = gate.admit([over], ONSET + 2 * HOUR, over.ts, memory)
    for start in range(ONSET + 2 * HOUR, mended + 4 * HOUR, BIN):
        told += gate.admit([], start, start + 60.0, memory)
    assert [(f.transition, f.family) for f in told if f.family != "cost"] == [("cleared", "instrument")]
    assert [f for f in told if f.family == "cost"] == [over]


def test_what_nobody_repairs_is_the_normal_state_after_a_while():
    memory = remembered(ONSET + 4 * DAY, broken(ONSET, ONSET + 9 * DAY))
    gate = Gate("claims", SETTLE)
    gate.admit([COST], ONSET + HOUR, COST.ts, memory)
    told = [
        f for start in range(ONSET + HOUR, ONSET + 4 * DAY, HOUR) for f in gate.admit([], start, start + 60.0, memory)
    ]
    assert [(f.transition, f.family) for f in told] == [("cleared", "instrument")]


def test_a_score_that_fewer_calls_report_carries_the_caveat():
    def scores(start: int) -> list[float]:
        return [0.7] * 2 if start >= ONSET else [0.8] * 10

    memory = remembered(ONSET + 3 * HOUR, lambda start: 0, **{"eval.ok": scores})
    score = replace(COST, family="quality", metric="eval.ok", direction=-1, unit="score")
    (told,) = Gate("claims", SETTLE).admit([score], ONSET + 3 * HOUR, COST.ts, memory)
    assert told.cause.evidence == ("caveat: 10% of the calls report it, 50% before",)
    assert replace(told, cause=score.cause) == score


def test_spans_that_were_lost_meanwhile_are_said():
    memory = remembered(ONSET + HOUR, lambda start: 0)
    memory.counters = (
        TrustPoint(ONSET - HOUR, "app", {"received": 1000.0}),
        TrustPoint(ONSET + 600, "app", {"received": 100.0, "sdk_dropped": 100.0, "ahead": 1.0}),
    )
    silent = replace(COST, family="silent", metric="calls", direction=-1, unit="calls/h")
    (told,) = Gate("claims", SETTLE).admit([silent], ONSET + HOUR, COST.ts, memory)
    assert told.cause.evidence == ("caveat: 50% of the spans were lost in the application",)
