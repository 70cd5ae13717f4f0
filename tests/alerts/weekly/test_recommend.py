"""Recommendations: each by a named rule, at most three, STOP only where the owner asked for it."""

import pytest

from driftbell.alerts.lifecycle import absorb, new_incident
from driftbell.alerts.settings import Lifecycle
from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.recommend import MOST, recommend
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.source import told_of
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.weeks import Days, week_named
from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.rollup import rollup
from driftbell.detectors.finding import Finding

WEEK = week_named("2026-W46")
DAYS = Days(WEEK)


def advice(*, cost=(0.01,) * 5, score=(0.9,) * 5, manual=0, rules=None, told=(), calls=40):
    """What is recommended for a feature with these costs per call and scores in each of the five weeks."""
    made, scores, tasks = [], [], []
    for day in range(35):
        week = day // 7
        for i in range(calls):
            ts = DAYS.edges[day] + i
            usd = None if cost is None else cost[week]
            made.append(Call(ts, "w", model="m", cost_usd=usd, input_tokens=100))
            scores.append(Judgement(ts, "w", None, None, "m", evaluation="tone", score=score[week]))
        tasks += [ManualTask(DAYS.edges[day] + i, "w") for i in range(manual)]
    settings = WeeklySettings.model_validate({"workflows": {"w": rules or {}}})
    points = rollup(made, scores, tasks)
    return recommend(weekly_numbers(points, WEEK, Facts(told=told), settings, EVERYONE))


def rules_of(*args, **kwargs) -> list[tuple[str, str]]:
    return [(one.verb, one.rule) for one in advice(*args, **kwargs)]


def incident(**changes) -> Told:
    fields = {
        "id": "i1",
        "workflow": "w",
        "family": "cost",
        "title": "w: cost per call up 62%",
        "opened_at": WEEK.start + 3600,
        "started_at": WEEK.start,
        "cause": "Prompt v14 doubled the input.",
        "confidence": "likely",
        "owner": "Claims AI",
    }
    return Told(**(fields | changes))


def test_a_quiet_week_asks_for_nothing():
    assert advice() == ()


def test_an_open_incident_is_to_be_fixed_by_its_owner_with_its_cause_and_how_sure_that_is():
    (one,) = advice(told=[incident(extra_usd=44.0)])
    assert (one.verb, one.rule, one.owner, one.sure) == ("FIX", "open_incident", "Claims AI", "likely cause")
    assert one.text == "cost per call up 62%, still open, $44 so far. Prompt v14 doubled the input."
    assert one.command == "driftbell explain i1"


def test_a_cause_nobody_found_is_not_made_up():
    (one,) = advice(told=[incident(confidence="unknown", cause="Cause not found.")])
    assert "Prompt" not in one.text
    assert one.sure == "cause not found"


def test_an_incident_that_was_no_incident_is_not_recommended():
    assert advice(told=[incident(verdict="false_alarm")]) == ()


def test_an_incident_that_is_over_is_a_decision_where_it_cost_money_and_may_come_back():
    over = {"ended_at": WEEK.end - 3600}
    ((verb, rule),) = rules_of(told=[incident(extra_usd=44.0, **over)])
    assert (verb, rule) == ("FIX", "costly_incident")
    assert rules_of(told=[incident(extra_usd=0.025, **over)]) == []
    assert rules_of(told=[incident(extra_usd=44.0, confidence="unknown", cause="Cause not found.", **over)]) == []
    assert rules_of(told=[incident(extra_usd=44.0, verdict="new_normal", **over)]) == []


def test_cents_of_incidents_do_not_crowd_out_a_budget():
    cents = [incident(id=f"i{i}", extra_usd=0.08, ended_at=WEEK.end - 3600) for i in range(3)]
    assert ("FIX", "over_budget") in rules_of(told=cents, rules={"budget_per_month": 1})


def test_an_incident_that_nobody_was_told_of_has_a_title_all_the_same():
    found = Finding(
        WEEK.start, "fired", "w", "cost", "cost_per_call", 1, "usd", observed=0.05, usual=0.04, started_at=WEEK.start
    )
    silenced = new_incident(found, previous=0)
    absorb(silenced, found, Lifecycle())
    assert silenced.subject == ""
    assert told_of(silenced).title == "w: cost per call up 25% (4.0c -> 5.0c)"


def test_a_dearer_outcome_is_to_be_fixed_with_what_it_costs():
    (one,) = advice(cost=(0.1, 0.101, 0.099, 0.1, 0.15))
    assert (one.verb, one.rule) == ("FIX", "worse_figure")
    assert one.usd_per_week == pytest.approx(0.05 * 280)
    assert ", $14 more this week." in one.text


def test_nobody_is_asked_to_act_on_cents():
    assert rules_of(cost=(0.01, 0.0101, 0.0099, 0.01, 0.015)) == []


def test_better_and_nothing_worse_is_to_be_kept():
    assert rules_of(cost=(0.015, 0.0151, 0.0149, 0.015, 0.01)) == [("KEEP", "better")]


def test_a_forecast_over_the_budget_is_to_be_fixed():
    assert rules_of(rules={"budget_per_month": 5}) == [("FIX", "over_budget")]
    assert rules_of(rules={"budget_per_month": 50}) == []


def test_a_feature_whose_cost_nobody_knows_is_to_be_measured_first():
    assert rules_of(cost=None) == [("FIX", "cannot_see")]


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ({"manual": 400, "rules": {"stop": {"low_use": 0.1}}}, "low_use"),
        ({"score": (0.9, 0.7, 0.9, 0.7, 0.9), "rules": {"stop": {"unstable_quality_weeks": 2}}}, "unstable_quality"),
        ({"rules": {"worth_per_outcome": 0.005, "stop": {"above_worth_weeks": 3}}}, "above_worth"),
    ],
)
def test_a_stop_rule_speaks_only_where_it_was_asked_for(case, rule):
    assert ("STOP", rule) in rules_of(**case)
    unasked = {**case, "rules": {key: value for key, value in case["rules"].items() if key != "stop"}}
    assert not [verb for verb, _ in rules_of(**unasked) if verb == "STOP"]


def test_an_outcome_below_its_worth_week_after_week_is_to_be_kept():
    (one,) = advice(rules={"worth_per_outcome": 0.05})
    assert (one.verb, one.rule) == ("KEEP", "earns_its_cost")
    assert one.usd_per_week == pytest.approx(0.04 * 280)
    assert not one.is_decision


def test_a_stop_rule_needs_what_it_compares_with():
    with pytest.raises(ValueError, match="worth_per_outcome"):
        WeeklySettings.model_validate({"workflows": {"w": {"stop": {"above_worth_weeks": 2}}}})


def test_never_more_than_three():
    many = [incident(id=f"i{i}", title=f"w: thing {i}") for i in range(9)]
    stop = {"worth_per_outcome": 0.005, "stop": {"above_worth_weeks": 3}}
    found = rules_of(told=many, rules=stop)
    assert len(found) == MOST
    assert ("STOP", "above_worth") in found
