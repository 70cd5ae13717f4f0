"""Local weeks: half-open, named and labelled from the very interval that is queried."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbell.alerts.weekly.weeks import Days, Week, in_words, last_full_week, week_named

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai", "Asia/Kolkata", "Australia/Lord_Howe")
zones = st.sampled_from(ZONES)
mondays = st.integers(0, 2000).map(lambda n: date(2010, 1, 4) + timedelta(weeks=n))


@given(mondays, zones)
def test_weeks_follow_each_other_without_gap_or_overlap(monday, zone):
    week = Week(monday, zone)
    assert week.earlier(1).end == week.start
    assert (week.end - week.start) / 3600 in (167, 167.5, 168, 168.5, 169)


@given(mondays, zones)
def test_the_label_names_the_first_and_last_day_inside_the_interval(monday, zone):
    week = Week(monday, zone)
    first = datetime.fromtimestamp(week.start, ZoneInfo(zone))
    last = datetime.fromtimestamp(week.end - 1, ZoneInfo(zone))
    assert (first.strftime("%a"), last.strftime("%a")) == ("Mon", "Sun")
    assert week.label.startswith(str(first.day))
    assert f"-{last.day} {last:%b}" in week.label
    assert week_named(week.name, zone) == week


@given(st.floats(1.2e9, 2.2e9), zones)
def test_the_last_full_week_has_ended_and_the_one_after_has_not(now, zone):
    week = last_full_week(now, zone)
    assert week.end <= now < Week(week.monday + timedelta(weeks=1), zone).end


@given(mondays, zones, st.floats(0, 1, exclude_max=True))
def test_every_moment_of_the_five_weeks_falls_on_the_day_its_clock_shows(monday, zone, where):
    days = Days(Week(monday, zone))
    ts = min(days.start + where * (days.end - days.start), days.end - 1)
    assert days.dates[days.index(ts)] == datetime.fromtimestamp(ts, ZoneInfo(zone)).date()
    assert days.index(days.end) is None
    assert days.index(days.start - 1) is None


def test_labels_show_month_and_year_only_where_they_change():
    assert week_named("2026-W46").label == "9-15 Nov"
    assert week_named("2026-W49").label == "30 Nov-6 Dec"
    assert week_named("2026-W53").label == "28 Dec 2026-3 Jan 2027"


def test_hours_serve_where_local_days_start_on_the_hour():
    assert Days(week_named("2026-W46", "Europe/Berlin")).whole_hours
    assert not Days(week_named("2026-W46", "Asia/Kolkata")).whole_hours
    assert Days(week_named("2026-W46")).whole_days


@pytest.mark.parametrize("name", ["2026-46", "W46", "2026-W60", "", "last week"])
def test_a_week_that_is_none_says_how_to_write_it(name):
    with pytest.raises(ValueError, match="2026-W46"):
        week_named(name)


def test_times_are_told_in_the_readers_zone():
    assert in_words(1_794_302_040, ZoneInfo("Europe/Berlin")) == "Tue 10 Nov 10:14"
