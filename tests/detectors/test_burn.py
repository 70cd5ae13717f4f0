"""An objective rings by how fast its allowance burns: soon when it is fast, as a ticket when it is slow."""

import pytest
from pydantic import ValidationError

from driftbell.alerts.message import title
from driftbell.detectors.settings import DetectorSettings
from tests.detectors.rules import DAY, HOUR, MONDAY, point, told

FROM = MONDAY + 3 * DAY + DAY // 2


def objective(**fields: object) -> dict:
    return {"objectives": [{"metric": "status", "target": 0.99, **fields}]}


def failing(share: float, hours: float, calls: int = 50):
    def bins(start: int):
        bad = share if FROM <= start < FROM + hours * HOUR else 0.0
        yield point(start, calls, error=(round(bad * calls), calls))

    return bins


@pytest.mark.parametrize(
    ("share", "hours", "severity", "within"),
    [(0.5, 1, "page", 0.6), (0.1, 12, "page", 6.5), (0.02, 70, "ticket", 70)],
)
def test_the_faster_it_burns_the_sooner_it_rings(share: float, hours: float, severity: str, within: float):
    found = told(objective(), 7, failing(share, hours))
    assert found[0].severity == severity
    assert FROM < found[0].ts < FROM + within * HOUR
    assert found[-1].transition == "cleared"
    assert {f.measure for f in found} == {"objective status 0.99"}


def test_a_ticket_that_gets_worse_becomes_a_page_of_the_same_series():
    def bins(start: int):
        bad = 0 if start < FROM else 1 if start < FROM + 60 * HOUR else 40
        yield point(start, 50, error=(bad, 50))

    fired = [f for f in told(objective(), 7, bins) if f.transition == "fired" and f.measure.startswith("objective")]
    assert [f.severity for f in fired] == ["ticket", "page"]


def test_what_the_objective_allows_never_rings():
    assert told(objective(target=0.95), 7, failing(0.04, 90)) == []


def test_two_bad_calls_at_night_are_no_burn():
    assert told(objective(), 4, failing(1.0, 0.1, calls=1)) == []


def test_slow_calls_can_be_bad_calls():
    def bins(start: int):
        slow = 30 if start >= FROM else 0
        yield point(start, 50, latency_ms=[9000.0] * slow + [500.0] * (50 - slow))

    found = told(objective(metric="latency_ms", above=5000, target=0.95), 3.7, bins)
    assert [(f.metric, f.unit) for f in found] == [("latency_ms", "share")]
    assert title("claims", found[0]).startswith("claims: slow calls in ")


def test_a_restart_changes_nothing():
    assert told(objective(), 3.8, failing(0.5, 1), restart_every=31) == told(objective(), 3.8, failing(0.5, 1))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"metric": "latency_ms"}, "say which values of latency_ms are bad"),
        ({"metric": "spend"}, "spend is a sum"),
        ({"above": 3}, "leave above and below out"),
        ({"target": 1.0}, "less than 1"),
    ],
)
def test_an_objective_that_means_nothing_is_refused(fields: dict, complaint: str):
    with pytest.raises(ValidationError, match=complaint):
        DetectorSettings.model_validate(objective(**fields))
