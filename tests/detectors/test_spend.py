"""Money budgets: what is spent is counted exactly, and a month rings ahead only when it is likely to end beyond."""

from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from driftbell.alerts.message import title
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.spend import forecast
from tests.detectors.rules import DAY, HOUR, MONDAY, point, told


def budgets(**budget: object) -> dict:
    return {"budgets": [budget]}


def hourly(usd, unpriced: int = 0):
    """``usd(day)`` a day, a twenty-fourth at each full hour."""

    def bins(start: int):
        if start % HOUR == 0:
            calls = 10 + unpriced
            yield point(start, calls, cost=[usd((start - MONDAY) // DAY) / 240] * 10, unpriced=(unpriced, calls))

    return bins


def test_a_day_over_its_budget_rings_when_it_is_spent_and_ends_at_midnight():
    found = told(budgets(usd=400, per="day"), 3, hourly(lambda day: 480 if day == 1 else 240))
    assert [f.transition for f in found] == ["fired", "cleared"]
    assert found[0].ts == pytest.approx(MONDAY + DAY + 20 * HOUR, abs=HOUR)
    assert found[0].started_at == MONDAY + DAY
    assert MONDAY + 2 * DAY < found[1].ts < MONDAY + 2 * DAY + 900
    assert title("claims", found[0]) == "claims: spend of the day over $400 ($420)"
    assert found[0].family == "cost"


def test_a_day_is_that_of_its_zone():
    found = told(budgets(usd=400, per="day", zone="Asia/Tokyo"), 3, hourly(lambda day: 480))
    assert {int(f.started_at - MONDAY) % DAY for f in found if f.transition == "fired"} == {15 * HOUR}


def test_a_month_rings_ahead_with_an_interval_and_once():
    found = told(budgets(usd=9000, per="month"), 28, hourly(lambda day: 400 + (day * 37) % 50))
    fired = [f for f in found if f.transition == "fired"]
    assert [f.bound.of for f in fired] == ["forecast for March", "of the month"]
    ahead = fired[0]
    assert ahead.ts < MONDAY + 10 * DAY
    assert ahead.interval.low > 9000
    assert ahead.interval.low < sum(400 + (day * 37) % 50 for day in range(30)) < ahead.interval.high
    assert {f.measure for f in fired} == {"budget $9000 a month UTC"}


def test_a_month_within_its_budget_is_silent_and_so_is_growth_that_stays_below():
    assert told(budgets(usd=14000, per="month"), 28, hourly(lambda day: 300 + 5 * day)) == []


def test_what_has_no_price_is_said():
    (fired,) = told(budgets(usd=100, per="day"), 1, hourly(lambda day: 240, unpriced=5))
    assert "calls have no price and are not in the sum" in fired.cause.text


def test_a_restart_changes_nothing():
    settings = budgets(usd=9000, per="month")
    made = hourly(lambda day: 400 + (day * 37) % 50)
    assert told(settings, 12, made, restart_every=50) == told(settings, 12, made)


@pytest.mark.parametrize("kind", ["independent", "clinging", "weekly"])
@pytest.mark.parametrize("days", [14, 28])
def test_the_interval_holds_what_it_says(kind: str, days: int):
    rng = np.random.default_rng(days)
    held = below = 0
    first = date(2026, 3, 2)
    for _ in range(150):
        noise = rng.normal(0, 0.3, days + 15)
        if kind == "clinging":
            for i in range(1, len(noise)):
                noise[i] = 0.5 * noise[i - 1] + 0.87 * noise[i]
        usd = 100 * np.exp(noise)
        if kind == "weekly":
            usd *= [0.3 if i % 7 >= 5 else 1.0 for i in range(len(usd))]
        past = [(first + timedelta(days=i), float(usd[i])) for i in range(days)]
        ahead = forecast(past, [first + timedelta(days=i) for i in range(days, days + 15)])
        true = usd[days:].sum()
        held += ahead.low <= true <= ahead.high
        below += true < ahead.low
    assert held >= 0.7 * 150
    assert below <= 0.15 * 150


def test_a_week_is_needed_for_a_forecast():
    days = [(date(2026, 3, 2) + timedelta(days=i), 10.0) for i in range(6)]
    assert forecast(days, [date(2026, 3, 8)]) is None


def test_a_zone_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="unknown time zone 'Mars/Base'"):
        DetectorSettings.model_validate(budgets(usd=1, per="day", zone="Mars/Base"))
