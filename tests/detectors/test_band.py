"""The band of what is usual: it holds what is, not what went wrong, and nothing is said before it is known."""

import random

import pytest

from driftbell.collectors.point import Point, PointKey
from driftbell.detectors.band import HOUR, Reading, readings, value_of, volumes
from driftbell.detectors.series import Series

DAYS = 21
ERRORS = Series("reliability", "status", "error", "rate", 1, 0.02, "share")
TOKENS = Series("cost", "input_tokens", "input_tokens", "quantity", 1, 1.15, "tokens")
DAY = 24 * HOUR


def hours(share: float = 0.1, size: float = 1000.0, calls: int = 40, days: int = DAYS, seed: int = 3) -> list[Point]:
    """An hour point each, of so many calls with that share of failures and about that size."""
    chance = random.Random(seed)
    made = []
    for start in range(0, days * DAY, HOUR):
        point = Point(PointKey(start, "w", None, None, None, None), calls=calls)
        for _ in range(calls):
            point.rate("error", chance.random() < share)
            point.quantity("input_tokens", size * chance.lognormvariate(0, 0.3))
        made.append(point)
    return made


def last_week(found: list[Reading]) -> list[Reading]:
    return [reading for reading in found if reading.start >= (DAYS - 7) * DAY]


def inside(found: list[Reading]) -> float:
    known = [r for r in found if r.low is not None and r.high is not None and r.value is not None]
    return sum(r.low <= r.value <= r.high for r in known) / len(known)


@pytest.mark.parametrize("series", [ERRORS, TOKENS])
@pytest.mark.parametrize("calls", [5, 40, 400])
def test_it_holds_about_95_of_100_readings_of_steady_traffic_whatever_its_amount(series, calls):
    points = hours(calls=calls)
    found = last_week(readings(points, points, series))
    assert len(found) == 168
    assert inside(found) >= 0.9


@pytest.mark.parametrize("series", [ERRORS, TOKENS])
def test_it_is_wider_where_there_are_fewer_calls(series):
    few, many = (last_week(readings(p, p, series)) for p in (hours(calls=10), hours(calls=400)))
    assert few[-1].high - few[-1].low > 2 * (many[-1].high - many[-1].low)


@pytest.mark.parametrize(("series", "change"), [(ERRORS, {"share": 0.4}), (TOKENS, {"size": 1600.0})])
def test_a_change_lies_outside_and_days_with_an_incident_teach_nothing(series, change):
    changed = [p for p in hours(**change) if p.key.minute >= (DAYS - 4) * DAY]
    points = [p for p in hours() if p.key.minute < (DAYS - 4) * DAY] + changed
    incident = [((DAYS - 4) * DAY, float("inf"))]
    found = readings(points, points, series, incident)
    assert inside([r for r in found if r.start >= (DAYS - 1) * DAY]) < 0.1
    learned = readings(points, points, series)
    assert inside([r for r in learned if r.start >= (DAYS - 1) * DAY]) > 0.3, "unless nobody says that it is one"


def test_nothing_is_usual_before_some_days_have_passed():
    points = hours(days=2)
    assert all(reading.usual is None for reading in readings(points, points, ERRORS))


def test_an_hour_without_calls_is_no_reading_of_zero():
    points = hours()
    empty = Point(PointKey(DAYS * DAY, "w", None, None, None, None))
    reading = readings(points, [*points, empty], TOKENS)[-1]
    assert (reading.n, reading.value, reading.usual) == (0, None, None)


def test_shares_stay_between_nothing_and_all():
    points = hours(share=0.01, calls=3)
    found = [r for r in readings(points, points, ERRORS) if r.low is not None]
    assert found
    assert all(0 <= r.low <= r.usual <= r.high <= 1 for r in found)


def test_calls_are_compared_with_the_same_hour_of_earlier_days():
    points = hours(calls=4)
    for point in points:
        if point.key.minute % DAY // HOUR in range(8, 18):
            point.calls = 100
    found = last_week(volumes(points, points, HOUR, DAYS * DAY))
    by_hour = {reading.start % DAY // HOUR: reading.usual for reading in found}
    assert by_hour[3] == pytest.approx(4)
    assert by_hour[12] == pytest.approx(100)


def test_the_hour_that_is_not_over_counts_for_its_part():
    points = hours(calls=60)
    points[-1].calls = 40
    until = points[-1].key.minute + 0.75 * HOUR
    assert volumes(points, points, HOUR, until)[-1].value == pytest.approx(40 / 0.75)
    assert volumes(points, points, HOUR, points[-1].key.minute + 60)[-1].value is None


def test_work_without_the_ai_is_a_share_of_all_work():
    point = Point(PointKey(0, "w", None, None, None, None), calls=30, manual=10)
    assert value_of(point, Series("bypass", "ai_share", "manual", "rate", 1, 0.05, "share")) == (40, 0.25)
