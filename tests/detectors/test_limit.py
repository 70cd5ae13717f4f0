"""A fixed limit rings when the level is beyond it for certain, ends once it is well back, and never on a few calls."""

import pytest
from pydantic import ValidationError

from driftbell.alerts.message import title
from driftbell.detectors.settings import DetectorSettings
from tests.detectors.rules import DAY, HOUR, MONDAY, limits, point, told

FROM, TO = MONDAY + 2 * HOUR, MONDAY + 4 * HOUR


def failing(share: float, calls: int = 60):
    """Errors of a share of the calls between two and four o'clock, one in a hundred else."""

    def bins(start: int):
        bad = share if FROM <= start < TO else 0.01
        yield point(start, calls, error=(round(bad * calls), calls))

    return bins


def test_a_share_over_its_limit_fires_and_clears_once():
    found = told(limits(metric="status", above=0.02), 0.3, failing(0.1))
    assert [(f.transition, f.metric, f.family) for f in found] == [
        ("fired", "status", "reliability"),
        ("cleared", "status", "reliability"),
    ]
    assert FROM < found[0].ts <= FROM + 1200
    assert TO < found[1].ts <= TO + 1800
    assert title("claims", found[0]).startswith("claims: failed calls over 2.0% (")


def test_a_level_that_only_touches_the_limit_is_not_beyond_it():
    assert told(limits(metric="status", above=0.05), 0.3, failing(0.05)) == []


@pytest.mark.parametrize(("calls", "bad", "rings"), [(1, 1, False), (4, 2, False), (10, 4, True)])
def test_a_few_calls_never_ring_however_bad_they_are(calls: int, bad: int, rings: bool):
    def bins(start: int):
        if MONDAY + 10 * HOUR <= start < MONDAY + 10 * HOUR + 900:
            yield point(start, calls, error=(bad, calls))

    assert bool(told(limits(metric="status", above=0.02), 1, bins)) is rings


def test_a_quiet_workflow_is_judged_on_more_time():
    def bins(start: int):
        if start % HOUR == 0:
            yield point(start, 3, error=(1, 3))

    (fired,) = told(limits(metric="status", above=0.02), 1, bins)
    assert fired.n >= 20
    assert fired.started_at < fired.ts - 5 * HOUR


def test_a_percentile_is_the_share_of_values_beyond_the_limit():
    def bins(start: int):
        slow = 12 if FROM <= start < TO else 1
        yield point(start, 100, latency_ms=[9000.0] * slow + [800.0] * (100 - slow))

    found = told(limits(metric="latency_ms", of="p95", above=5000), 0.3, bins)
    assert [f.transition for f in found] == ["fired", "cleared"]
    assert found[0].observed == pytest.approx(9000, rel=0.1)
    assert title("claims", found[0]) == "claims: response time p95 over 5.0 s (9.3 s)"


def test_a_mean_rings_only_beyond_its_error():
    def bins(start: int, dear: float):
        yield point(start, 40, cost=[0.04] * 39 + [dear])

    sure = told(limits(metric="cost_per_call", above=0.05), 0.2, lambda s: bins(s, 2.0))
    assert sure == []
    clear = told(limits(metric="cost_per_call", above=0.05), 0.2, lambda s: [point(s, 40, cost=[0.07] * 40)])
    assert [(f.transition, f.family) for f in clear] == [("fired", "cost")]
    assert clear[0].observed == pytest.approx(0.07)


def test_calls_below_a_limit_ring_also_when_none_come_but_not_before_the_first():
    def bins(start: int):
        if MONDAY + 3 * HOUR <= start < MONDAY + 5 * HOUR:
            yield point(start, 10)

    found = told(limits(metric="calls", below=30, **{"for": "1h"}), 0.5, bins)
    assert [f.transition for f in found] == ["fired"]
    assert found[0].ts > MONDAY + 5 * HOUR


def test_segments_that_match_are_kept_apart():
    def bins(start: int):
        for segment, bad in (("eu-north", 20), ("eu-south", 0), ("us", 20)):
            yield point(start, 40, segment, error=(bad, 40))

    found = told(limits(metric="status", above=0.05, segment="eu-*"), 0.2, bins)
    assert [(f.segment, f.transition) for f in found] == [("eu-north", "fired")]


def test_a_limit_of_another_workflow_is_none_of_this_one():
    assert told(limits(metric="status", above=0.02, workflow="triage*"), 0.3, failing(0.5)) == []


def test_a_restart_changes_nothing():
    settings = limits(metric="status", above=0.02)
    assert told(settings, 0.3, failing(0.1), restart_every=1) == told(settings, 0.3, failing(0.1))


def test_silence_makes_what_fires_unknown():
    def bins(start: int):
        day = (start - MONDAY) // DAY
        if day < 9:
            bad = 20 if day == 8 and start % DAY >= 20 * HOUR else 0
            yield point(start, 60, error=(bad, 60))

    found = [f for f in told(limits(metric="status", above=0.05), 9.3, bins) if f.measure]
    assert [f.transition for f in found] == ["fired", "no_data"]


@pytest.mark.parametrize(
    ("limit", "complaint"),
    [
        ({"metric": "latency", "above": 1}, "did you mean latency_ms"),
        ({"metric": "status"}, "needs either above or below"),
        ({"metric": "status", "above": 0.1, "below": 0.2}, "needs either above or below"),
        ({"metric": "status", "above": 0.1, "of": "p95"}, "has no percentiles"),
        ({"metric": "status", "above": 0.1, "for": "3s"}, "300"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(limit: dict, complaint: str):
    with pytest.raises(ValidationError, match=complaint):
        DetectorSettings.model_validate(limits(**limit))
