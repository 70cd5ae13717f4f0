"""A summary on demand: of any week that began, of any store, with what its telemetry lost."""

from dataclasses import replace

import pytest
from weekly_post import READER

from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.summary import asked_for, summarise
from driftbell.alerts.weekly import periods
from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings
from driftbell.alerts.weekly.source import StoreSource, gaps_of
from driftbell.alerts.weekly.weeks import week_named
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.rollup import rollup
from driftbell.collectors.store import Store
from driftbell.collectors.trust import TrustPoint


def test_old_periods_are_dropped(store):
    with store.write() as tx:
        for year in range(2000, 2070):
            periods.enrol(tx, "r", f"{year}-01-01", 0.0)
        periods.forget(tx, ["r"])
        assert len(periods.known(tx)["r"]) == periods.KEEP
        assert "2069-01-01" in periods.known(tx)["r"]


def test_what_is_asked_for_on_the_command_line(configured, due):
    assert asked_for(WeeklySettings(), due, None, None, None)[0].name == "everyone"
    who, week = asked_for(configured, due, "2026-W46", None, READER.name)
    assert (who, week.name, week.zone_name) == (READER, "2026-W46", "Europe/Berlin")
    with pytest.raises(ValueError, match="Claims owner"):
        asked_for(configured, due, None, None, "nobody")
    with pytest.raises(ValueError, match="2026-W46"):
        asked_for(configured, due, "last", None, None)
    with pytest.raises(ValueError, match="2030-W01 has not begun; the last full one is 2026-W46"):
        asked_for(configured, due, "2030-W01", None, None)


def test_a_week_that_is_not_over_is_told_as_it_stands(source, insurer):
    week, reader = insurer.WEEK, READER
    early = summarise(source, insurer.SETTINGS, reader, week, now=week.end - 86_400)
    assert "NOT SEEN the week is not over: this is what came until Sun 15 Nov 00:00" in " ".join(
        early.rendered.text.split()
    )
    assert "not over" not in summarise(source, insurer.SETTINGS, reader, week, now=week.end).rendered.text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_the_store_gives_the_numbers_of_its_own_records(tmp_path, insurer, records, zone):
    week = week_named("2026-W46", zone)
    some = [named(record, i) for i, record in enumerate(records[:5000])]
    store = Store.open(tmp_path, [MIGRATIONS])
    try:
        store.append(
            Batch(
                calls=[r for r in some if isinstance(r, Call)],
                judgements=[r for r in some if isinstance(r, Judgement)],
                manual_tasks=[r for r in some if isinstance(r, ManualTask)],
            )
        )
        reader = Recipient(name="all", zone=zone)
        stored = summarise(StoreSource(store), WeeklySettings(), reader, week)
    finally:
        store.close()
    expected = weekly_numbers(minute_points(some), week, Facts(), WeeklySettings(), reader)
    assert stored.numbers.workflows
    for mine, theirs in zip(stored.numbers.workflows, expected.workflows, strict=True):
        for one, other in zip(mine.figures, theirs.figures, strict=True):
            assert (one.name, one.verdict) == (other.name, other.verdict)
            assert (one.this, one.last, one.usual) == pytest.approx((other.this, other.last, other.usual))


def minute_points(records):
    return rollup(*([r for r in records if isinstance(r, kind)] for kind in (Call, Judgement, ManualTask)))


def named(record, number):
    """The record with an identity, as everything that reaches the store has one."""
    if isinstance(record, Call):
        return replace(record, trace_id=f"{number:032x}", span_id=f"{number:016x}")
    return replace(record, id=f"r{number}")


def test_what_the_telemetry_lost_is_told_unless_it_is_next_to_nothing():
    points = [TrustPoint(0, "app", {"received": 900, "sdk_dropped": 100}), TrustPoint(60, "app", {"rejected": 1})]
    assert gaps_of(points) == ["10% of what the applications had to tell was lost inside the applications"]
    assert gaps_of([]) == []


def test_without_any_configuration_everything_is_in_one_summary(tmp_path, insurer):
    store = Store.open(tmp_path, [MIGRATIONS])
    try:
        empty = summarise(StoreSource(store), WeeklySettings(), EVERYONE, insurer.WEEK)
    finally:
        store.close()
    assert "No calls were received" in empty.rendered.text
