"""What a person is promised: the change is found, soon, with its cause; and nothing else rings."""

from dataclasses import replace

import numpy as np
import pytest

from driftbell.collectors.call import Call, Source
from tests.detectors.traffic import DAY, HOUR, MONDAY, after, calls, findings, leads, set_to

ONSET = MONDAY + 15 * DAY + 10 * HOUR


def share(part: float, **fields: object):
    """Set fields on a share of the calls."""
    return lambda call, rng: replace(call, **fields) if rng.random() < part else call


@pytest.mark.parametrize("seed", range(4))
def test_nothing_rings_while_nothing_changes(seed: int) -> None:
    assert findings(calls(21, 40, seed)) == []


def test_a_quiet_night_and_a_weekly_cycle_are_normal() -> None:
    def cycle(call: Call) -> bool:
        hour, weekend = call.ts % DAY / HOUR, (int(call.ts // DAY) + 3) % 7 >= 5
        busy = 1.0 if 8 <= hour < 18 else 0.15
        return (hash(call.ts) % 1000) / 1000 < busy * (0.3 if weekend else 1.0)

    assert findings([call for call in calls(28, 80, 5) if cycle(call)]) == []


def test_an_outage_rings_within_twenty_minutes() -> None:
    found = leads(findings(calls(16, 60, 1, after(ONSET, share(0.5, status="error")))))
    first = found[0]
    assert (first.family, first.metric, first.direction) == ("reliability", "status", 1)
    assert ONSET < first.ts <= ONSET + 20 * 60
    assert first.observed is not None
    assert first.observed > 0.2
    assert first.usual == pytest.approx(0.01, abs=0.01)


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_an_outage_that_was_short_does_not_slow_the_detection_of_the_next(seed: int) -> None:
    first, second = MONDAY + 13 * DAY + 12.5 * HOUR, MONDAY + 15 * DAY + 13.2 * HOUR

    def told(*starts: float) -> float:
        def failing(call: Call, _rng: np.random.Generator) -> Call:
            down = any(start <= call.ts < start + 1.5 * HOUR for start in starts)
            return replace(call, status="error") if down and int(call.ts * 1000) % 10 < 6 else call

        found = findings(calls(16, 20, seed, failing))
        return next(f.ts for f in found if f.transition == "fired" and f.metric == "status" and f.ts > second)

    assert told(first, second) == told(second)


def test_an_outage_explains_its_retries_and_is_one_incident() -> None:
    broken = share(0.6, status="error", attempts=3)
    found = findings(calls(16, 60, 2, after(ONSET, broken)))
    assert {f.metric for f in leads(found)} == {"status"}


def test_a_longer_prompt_is_told_with_its_version_and_segment() -> None:
    def grow(call: Call, rng: np.random.Generator) -> Call:
        if call.segment != "south" or call.input_tokens is None or call.cost_usd is None:
            return call
        tokens = call.input_tokens * 2
        cost = call.cost_usd + call.input_tokens * 3 / 1e6
        return replace(call, input_tokens=tokens, cost_usd=cost, prompt_version="v2")

    first = leads(findings(calls(16, 60, 3, after(ONSET, grow))))[0]
    assert first.family == "cost"
    assert first.cause.keys == {"prompt_version": "v2", "segment": "south"}
    assert first.cause.confidence == "likely"
    assert abs(first.started_at - ONSET) < 3 * HOUR
    assert sum(first.cause.parts.values()) > 0


def test_a_pricier_model_is_named() -> None:
    def swap(call: Call, rng: np.random.Generator) -> Call:
        return replace(call, model="atlas-large", cost_usd=(call.cost_usd or 0.0) * 5)

    first = leads(findings(calls(16, 60, 4, after(ONSET, swap))))[0]
    assert (first.family, first.metric) == ("cost", "cost_per_call")
    assert first.cause.keys["model"] == "atlas-large"
    assert first.usd_per_hour is not None
    assert first.usd_per_hour > 0


@pytest.mark.parametrize(
    ("change", "family", "metric"),
    [
        (share(0.3, sources=()), "retrieval", "n_sources"),
        (share(0.5, citations=0), "retrieval", "citations"),
        (share(0.2, refused=True), "quality", "refused"),
        (set_to(sources=(Source("a", 0.5, 3.0), Source("b", 0.4, 9.0))), "retrieval", "top_score"),
        (set_to(sources=(Source("a", 0.8, 30.0), Source("b", 0.7, 40.0))), "retrieval", "source_age"),
        (share(0.3, attempts=2), "cost", "retries"),
        (share(0.3, usage_source="missing", input_tokens=None, cost_usd=None), "instrument", "input_tokens"),
    ],
)
def test_each_kind_of_change_is_found_under_its_name(change, family: str, metric: str) -> None:
    first = leads(findings(calls(17, 40, 6, after(ONSET, change))))[0]
    assert (first.family, first.metric) == (family, metric)
    assert first.ts < ONSET + 12 * HOUR


def test_slow_calls_are_found_though_the_median_stays() -> None:
    def slow(call: Call, rng: np.random.Generator) -> Call:
        return replace(call, latency_ms=(call.latency_ms or 0) * 4) if rng.random() < 0.2 else call

    first = leads(findings(calls(17, 40, 7, after(ONSET, slow))))[0]
    assert (first.family, first.metric) == ("reliability", "latency_ms")
    assert first.observed is not None
    assert first.usual is not None
    assert first.observed > first.usual


def test_longer_answers_are_not_a_slow_model() -> None:
    def longer(call: Call, rng: np.random.Generator) -> Call:
        extra = call.output_tokens or 0
        return replace(call, output_tokens=2 * extra, latency_ms=(call.latency_ms or 0) + 12 * extra)

    metrics = {f.metric for f in leads(findings(calls(17, 40, 8, after(ONSET, longer))))}
    assert "latency_ms" not in metrics


def test_a_new_prompt_version_or_a_renamed_model_that_changes_nothing_is_silent() -> None:
    edit = after(ONSET, set_to(prompt_version="v2", model="atlas-2026"))
    assert leads(findings(calls(20, 40, 9, edit))) == []


def test_a_change_that_ends_is_cleared_and_ends_once() -> None:
    def broken(call: Call, rng: np.random.Generator) -> Call:
        bad = ONSET <= call.ts < ONSET + 6 * HOUR and rng.random() < 0.5
        return replace(call, status="error") if bad else call

    found = [f for f in findings(calls(18, 60, 10, broken)) if f.metric == "status" and f.segment is None]
    assert [f.transition for f in found] == ["fired", "cleared"]
    assert ONSET + 6 * HOUR < found[1].ts < ONSET + 12 * HOUR


def test_units_do_not_matter() -> None:
    def grow(call: Call, rng: np.random.Generator) -> Call:
        return replace(call, cost_usd=(call.cost_usd or 0) * (3 if call.ts >= ONSET else 1))

    def cheap(call: Call, rng: np.random.Generator) -> Call:
        return replace(grow(call, rng), cost_usd=(grow(call, rng).cost_usd or 0) * 2.0**-20)

    dear, less = (findings(calls(16, 40, 11, edit)) for edit in (grow, cheap))
    assert [(f.ts, f.metric, f.segment) for f in dear] == [(f.ts, f.metric, f.segment) for f in less]
    assert dear


def test_a_cause_that_shows_only_later_is_told_when_it_does() -> None:
    def creep(call: Call, rng: np.random.Generator) -> Call:
        if call.segment != "south" or call.input_tokens is None or call.cost_usd is None:
            return call
        part = min((call.ts - ONSET) / (36 * HOUR), 1.0)
        more = int(call.input_tokens * part)
        return replace(call, input_tokens=call.input_tokens + more, cost_usd=call.cost_usd + more * 3 / 1e6)

    found = findings(calls(18, 30, 0, after(ONSET, creep)))
    told, *joined = [f for f in found if f.transition == "updated"]
    first = next(f for f in found if f.series == told.series)
    assert (first.transition, first.cause.confidence) == ("fired", "unknown")
    assert told.started_at == first.started_at
    assert {tuple(f.cause.keys.items()) for f in (told, *joined)} == {(("segment", "south"),)}
