"""When summaries are due: each period once, whatever the clocks, restarts and downtime do."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbell.alerts.weekly.schedule import due_periods, latest_period, newcomers, overdue, period_of, send_moment
from driftbell.alerts.weekly.settings import Recipient, WeeklySettings
from driftbell.alerts.weekly.weeks import HOUR, WEEKDAYS, week_named

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Casablanca",
)
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 24 * HOUR


def one(zone="Europe/Berlin", day="monday", hour=8, **more) -> WeeklySettings:
    reader = Recipient(name="owner", email=("o@example.org",), zone=zone, day=day, hour=hour)
    return WeeklySettings(recipients=(reader,), **more)


def run(configured: WeeklySettings, wakes: list[float]) -> list[tuple[str, float, bool]]:
    """What a service that wakes at these moments sends, with nothing but the states between its wakes."""
    known: dict[str, dict[str, str]] = {}
    sent = []
    for now in wakes:
        for recipient, week in newcomers(now, configured, known):
            known.setdefault(recipient.name, {})[period_of(week)] = "enrolled"
        for due in due_periods(now, configured, known):
            known[due.recipient.name][period_of(due.week)] = "sent"
            sent.append((period_of(due.week), now, due.late))
    return sent


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=6, deadline=None)
@given(day=st.sampled_from(WEEKDAYS), hour=st.integers(0, 23), step=st.sampled_from([900, 3600, 7100]))
def test_each_of_53_weeks_is_sent_exactly_once_at_its_local_hour(zone, day, hour, step):
    configured = one(zone, day, hour, wait_hours=0)
    wakes = [START + i * step for i in range(int(53 * 7 * DAY / step) + 1)]
    sent = run(configured, wakes)
    periods = [period for period, _, _ in sent]
    assert len(set(periods)) == len(periods)
    assert 52 <= len(periods) <= 53
    for _, now, late in sent:
        local = datetime.fromtimestamp(now, ZoneInfo(zone))
        assert not late
        # An hour that the clocks skip comes up to an hour later.
        since = (local.hour * 60 + local.minute - hour * 60) % (24 * 60)
        assert since <= step / 60 + 60
        assert WEEKDAYS[local.weekday()] == day or since + hour * 60 >= 24 * 60


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.lists(st.tuples(st.floats(0, 60 * DAY), st.floats(0, 20 * DAY)), max_size=4),
)
def test_downtime_loses_no_period_but_those_overtaken_by_a_newer_one(zone, hour, outages):
    configured = one(zone, "monday", hour)
    wakes = [START + i * 3600 for i in range(24 * 7 * 12)]
    up = [now for now in wakes if not any(a <= now - START < a + length for a, length in outages)]
    sent = run(configured, up)
    periods = [period for period, _, _ in sent]
    assert len(set(periods)) == len(periods)
    if len(up) < 2:
        return
    expected = set()
    first, _ = latest_period(up[0], configured.recipients[0], configured.wait_hours)
    for now in up[1:]:
        week, _ = latest_period(now, configured.recipients[0], configured.wait_hours)
        if week.monday > first.monday:
            expected.add(period_of(week))
    assert set(periods) == expected


@pytest.mark.parametrize(
    ("zone", "hour", "around"),
    [
        ("Europe/Berlin", 2, datetime(2026, 3, 29, 1, tzinfo=UTC)),  # 02:00 is skipped
        ("Europe/Berlin", 2, datetime(2026, 10, 25, 1, tzinfo=UTC)),  # 02:00 comes twice
        ("America/New_York", 2, datetime(2026, 3, 8, 7, tzinfo=UTC)),
        ("America/New_York", 1, datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("Australia/Lord_Howe", 2, datetime(2026, 4, 4, 15, tzinfo=UTC)),  # by half an hour
    ],
)
def test_an_hour_that_the_clocks_skip_or_repeat_sends_once(zone, hour, around):
    configured = one(zone, "sunday", hour, wait_hours=0)
    edge = around.timestamp()
    sent = run(configured, [edge - 3 * DAY + i * 300 for i in range(6 * 24 * 12)])
    assert len(sent) == 1
    assert abs(sent[0][1] - edge) <= 2 * HOUR
    assert not sent[0][2]


def test_after_three_days_off_the_summary_comes_once_and_says_it_is_late():
    configured = one()
    monday = send_moment(week_named("2026-W46", "Europe/Berlin"), configured.recipients[0], 2)
    sent = run(configured, [monday - DAY, monday + 3 * DAY, monday + 3 * DAY + 60, monday + 4 * DAY])
    assert sent == [("2026-11-09", monday + 3 * DAY, True)]


def test_a_new_recipient_is_not_sent_the_past():
    assert run(one(), [START, START + 60, START + 120]) == []


def test_late_data_has_time_before_an_early_hour():
    week = week_named("2026-W46", "Europe/Berlin")
    assert send_moment(week, one(hour=0).recipients[0], 2) == week.end + 2 * HOUR
    assert send_moment(week, one(hour=8).recipients[0], 2) == week.end + 8 * HOUR


def test_a_new_zone_or_hour_never_sends_a_week_again():
    west, east = one("America/New_York"), one("Asia/Shanghai")
    reader = west.recipients[0]
    at = send_moment(week_named("2026-W46", "America/New_York"), reader, 2)
    known = {"owner": {"2026-11-02": "sent", "2026-11-09": "sent"}}
    assert due_periods(at, west, known) == []
    assert due_periods(at, east, known) == []
    later_hour = one("America/New_York", hour=23)
    assert due_periods(at, later_hour, known) == []


def test_what_is_not_out_in_time_is_reported():
    configured = one()
    at = send_moment(week_named("2026-W46", "Europe/Berlin"), configured.recipients[0], 2)
    known = {"owner": {"2026-11-02": "sent", "2026-11-09": "frozen"}}
    assert overdue(at + 2 * HOUR, configured, known) == []
    (late,) = overdue(at + 3 * HOUR, configured, known)
    assert (late.recipient, late.period, late.state) == ("owner", "2026-11-09", "frozen")
    assert overdue(at + 60, configured, {"owner": {"2026-11-09": "uncertain"}})
    assert not overdue(at + 9 * HOUR, configured, {"owner": {"2026-11-09": "sent"}})


def test_recipients_without_an_address_are_never_due():
    configured = WeeklySettings(recipients=(Recipient(name="page only"),))
    assert newcomers(START, configured, {}) == []
    assert due_periods(START, configured, {"page only": {"2025-12-01": "sent"}}) == []
