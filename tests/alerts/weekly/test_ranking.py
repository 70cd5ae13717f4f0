"""What a summary speaks of first: what weighs most, whether a figure or an incident told it."""

from dataclasses import replace

import pytest

from driftbell.alerts.weekly.letter import compose
from driftbell.alerts.weekly.numbers import Facts, WeeklyNumbers, weekly_numbers
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.weeks import Days, week_named
from driftbell.collectors.call import Call
from driftbell.collectors.rollup import rollup

WEEK = week_named("2026-W46")
DAYS = Days(WEEK)
SLOW = Told(
    id="i1", workflow="drafts", family="reliability", title="drafts: response time up 54% (3.0 s -> 4.7 s)",
    opened_at=WEEK.start + 3600, started_at=WEEK.start, ended_at=WEEK.end - 3600, extra_usd=4.60,
)  # fmt: skip


def week_of(now: float, *told: Told, calls: int = 40) -> WeeklyNumbers:
    """A week of two features: a call of *search* cost 1c and costs ``now`` this week, *drafts* stay as they were."""
    made = [
        Call(DAYS.edges[day] + i, name, model="m", cost_usd=now if name == "search" and day >= 28 else 0.01)
        for name in ("drafts", "search")
        for day in range(35)
        for i in range(calls)
    ]
    return weekly_numbers(rollup(made), WEEK, Facts(told=told), WeeklySettings(), EVERYONE)


def test_an_incident_of_dollars_comes_before_a_change_of_cents():
    letter = compose(week_of(0.011, SLOW), WeeklySettings())
    assert letter.headline == (
        "All 2 AI features changed or had an incident, drafts most: response time up 54%, over now, cost $4.60. "
        "Nothing to decide."
    )
    assert letter.subject == "2 AI features, 9-15 Nov: 1 got worse, one incident, over - nothing to decide"
    assert [(row.cells[0], row.cells[-1]) for row in letter.rows[:2]] == [
        ("drafts", "incident: response time up 54%, over now, cost $4.60"),
        ("search", "Cost per successful call ↑ Worse, +10%"),
    ]


def test_a_change_of_many_dollars_comes_before_an_incident_that_cost_nothing():
    numbers = week_of(0.10, replace(SLOW, extra_usd=None))
    letter = compose(numbers, WeeklySettings())
    assert [one.workflow for one in numbers.workflows] == ["search", "drafts"]
    assert "search most: cost per successful call 10.0c, usually 1.0c" in letter.headline


def test_an_open_incident_comes_before_everything_that_is_over():
    numbers = week_of(0.10, replace(SLOW, extra_usd=None, ended_at=None))
    assert [one.workflow for one in numbers.workflows] == ["drafts", "search"]


@pytest.mark.parametrize(("verdict", "said"), [("false_alarm", "a false alarm"), ("new_normal", "the new normal")])
def test_what_people_called_no_incident_is_not_what_the_summary_begins_with(verdict, said):
    letter = compose(week_of(0.011, replace(SLOW, verdict=verdict)), WeeklySettings())
    assert "search most" in letter.headline
    assert f"response time up 54%, {said}" in letter.rows[1].cells[-1]


def test_the_subject_drops_names_before_it_drops_how_many_got_worse():
    numbers = week_of(0.10, SLOW)
    many = replace(numbers, workflows=tuple(replace(numbers.workflows[0], title="x" * 60) for _ in range(12)))
    subject = compose(many, WeeklySettings()).subject
    assert len(subject) <= 90
    assert "12 got worse" in subject
