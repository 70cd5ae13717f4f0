"""A ramp that no day shows is told within weeks; seasons, growth and wandering levels are not."""

from dataclasses import replace

import pytest

from driftbell.alerts.message import title
from driftbell.detectors.drift import SETTLED, Drifting, DriftWatch
from driftbell.detectors.finding import Finding
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.verdict import Verdict
from driftbell.detectors.workflow import WorkflowDetector
from tests.detectors.weeks import DAY, MONDAY, watched

RAMP = 42
"""The day on which a ramp begins."""


def ramp(measure: str, a_day: float = 0.01, days: int = 35):
    """One per cent a day over five weeks, and then as it has become."""
    return lambda day, name: (1 + a_day) ** max(0, min(day - RAMP, days)) if name == measure else 1.0


def fired(found):
    return [f for f in found if f.transition == "fired"]


@pytest.mark.parametrize("seed", range(3))
def test_a_ramp_of_one_percent_a_day_is_told_before_it_ends(seed: int):
    told = fired(watched(RAMP + 42, seed, ramp("input_tokens")))
    assert "cost_per_call" in {f.metric for f in told} <= {"input_tokens", "cost_per_call"}
    assert all(MONDAY + (RAMP + 7) * DAY < f.ts < MONDAY + (RAMP + 42) * DAY for f in told)
    assert all(f.started_at < f.ts - 10 * DAY for f in told)
    assert all((f.severity, f.family) == ("ticket", "cost") for f in told)
    assert all(1.1 < f.observed / f.usual < 1.6 and f.interval.low < f.observed < f.interval.high for f in told)
    assert "No single day shows it" in told[0].cause.text
    assert title("claims", told[0]).startswith("claims: ")


def test_a_score_that_sinks_slowly_is_told():
    told = fired(watched(RAMP + 42, 1, ramp("eval.ok", -0.004), wander=0.01))
    assert [(f.metric, f.direction, f.family) for f in told] == [("eval.ok", -1, "quality")]
    assert told[0].observed < told[0].usual


def test_overrides_that_grow_slowly_are_told_in_the_share_they_grew_by():
    told = fired(watched(RAMP + 56, 2, ramp("override", 0.03, 40)))
    assert [f.metric for f in told] == ["override"]
    assert told[0].observed - told[0].usual >= 0.05


@pytest.mark.parametrize(
    "world",
    [
        {},
        {"wander": 0.05, "cling": 0.8},
        {"calls": lambda day: 50 * 1.02**day},
        {"calls": lambda day: 150 if day % 7 < 5 else 25},
        {"calls": lambda day: 20},
    ],
    ids=["weekdays", "wandering", "growing", "quiet weekends", "small"],
)
def test_nothing_is_told_where_nothing_lasts(world: dict):
    assert [fired(watched(91, seed, **world)) for seed in range(3)] == [[], [], []]


def test_a_few_calls_a_day_are_never_compared():
    assert watched(91, 1, ramp("input_tokens", 0.05), calls=lambda day: 4) == []


def test_what_was_told_is_the_reference_after_two_weeks():
    found = [f for f in watched(140, 1, ramp("input_tokens")) if f.metric == "input_tokens"]
    assert [f.transition for f in found] == ["fired", "cleared", "fired", "cleared"][: len(found)]
    assert found[1].ts - found[0].ts <= (SETTLED + 1) * DAY
    assert found[-1].transition == "cleared"


def test_it_is_over_once_it_is_back():
    def there_and_back(day: int, name: str) -> float:
        return 1.4 if name == "input_tokens" and RAMP <= day < RAMP + 9 else 1.0

    found = [f for f in watched(RAMP + 30, 4, there_and_back) if f.metric == "input_tokens"]
    assert [f.transition for f in found] == ["fired", "cleared"]
    assert found[1].ts < MONDAY + (RAMP + 18) * DAY


def test_a_restart_changes_nothing():
    assert watched(91, 1, ramp("input_tokens"), restart_every=3) == watched(91, 1, ramp("input_tokens"))


def test_the_smallest_change_worth_telling_can_be_set():
    deaf = DetectorSettings(worth={"input_tokens": 3.0, "cost_per_call": 3.0})
    assert watched(91, 1, ramp("input_tokens"), settings=deaf) == []


def test_a_drift_called_the_new_normal_is_the_reference_at_the_next_look():
    def accept(watch: DriftWatch, found: list[Finding]) -> None:
        for f in fired(found):
            watch.accept(Verdict("inc", "claims", "new_normal", f.ts, f.started_at, ((f.metric, None, None, 1),)))

    told = watched(91, 1, ramp("input_tokens"), said=accept)
    by_metric = [[f for f in told if f.metric == metric] for metric in ("input_tokens", "cost_per_call")]
    for first, second, *_ in by_metric:
        assert (first.transition, second.transition) == ("fired", "cleared")
        assert second.ts - first.ts == DAY


def test_drifts_of_which_one_explains_the_other_begin_together():
    told = fired(watched(RAMP + 42, 0, ramp("input_tokens")))
    assert len({f.started_at for f in told}) == 1
    assert [f.related for f in told[1:]] == [(told[0].metric,)]
    watch = DriftWatch(WorkflowDetector("claims", DetectorSettings()))
    watch.state.drifting["input_tokens:quantity:up"] = Drifting(("workflow", ""), told[0].started_at, 1, None)
    page = replace(told[0], metric="input_tokens", measure="", started_at=told[0].ts, severity="page")
    other = replace(page, metric="output_tokens")
    assert watch.join([page, other]) == [replace(page, started_at=told[0].started_at), other]
