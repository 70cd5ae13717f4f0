"""The numbers: equal to a recount of the records, exact in their parts, silent about small groups of people."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings
from driftbell.alerts.weekly.weeks import Days, Week, week_named
from driftbell.collectors.call import Call, Judgement, ManualTask, Marker, Source
from driftbell.collectors.rollup import rollup

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")


def of_week(records, week, workflows=("*",), configured=None, facts=None):
    calls = [r for r in records if isinstance(r, Call)]
    judgements = [r for r in records if isinstance(r, Judgement)]
    manual = [r for r in records if isinstance(r, ManualTask)]
    points = rollup(calls, judgements, manual)
    reader = Recipient(name="r", workflows=workflows, zone=week.zone_name)
    return weekly_numbers(points, week, facts or Facts(), configured or WeeklySettings(), reader)


places = st.tuples(st.sampled_from([None, "high", "low"]), st.sampled_from(["m1", "m2"]))
calls = st.builds(
    lambda where, place, tokens, cost, status, found: Call(
        where,
        "w",
        segment=place[0],
        risk_tier=place[0],
        model=place[1],
        input_tokens=tokens,
        output_tokens=10,
        cost_usd=cost,
        status=status,
        sources=None if found is None else (Source("d"),) * found,
    ),
    st.floats(0, 1, exclude_max=True),
    places,
    st.integers(1, 10_000),
    st.none() | st.floats(0, 10),
    st.sampled_from(["ok", "ok", "ok", "error", "timeout"]),
    st.none() | st.integers(0, 2),
)
kinds = st.none() | st.sampled_from(["accepted", "edited", "rejected", "regenerated"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(calls, kinds), max_size=60),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=10),
    st.sampled_from(ZONES),
    st.sampled_from(["2026-W13", "2026-W44", "2026-W46"]),
)
def test_every_number_equals_a_recount_of_the_records(made, tasks, zone, name):
    week = week_named(name, zone)
    days = Days(week)

    def at(share: float) -> float:
        return min(days.start + share * (days.end - days.start), days.end - 1)

    some = [(replace(call, ts=at(call.ts)), kind) for call, kind in made]
    given_ = [Judgement(c.ts, "w", c.segment, c.risk_tier, c.model, override=kind) for c, kind in some if kind]
    manual = [ManualTask(at(share), "w") for share in tasks]
    numbers = of_week([*(c for c, _ in some), *given_, *manual], week)
    inside = [(c, kind) for c, kind in some if week.start <= c.ts < week.end]
    if not numbers.workflows:
        assert not some
        assert not manual
        return
    (one,) = numbers.workflows
    assert one.calls == len(inside)
    check(one, "total_cost", sum(c.cost_usd or 0 for c, _ in inside), 1, at_least_one=True)
    check(one, "error", sum(c.status != "ok" for c, _ in inside), len(inside))
    priced = [c.cost_usd for c, _ in inside if c.cost_usd is not None]
    check(one, "cost_per_call", sum(priced), len(priced))
    judged = [kind for _, kind in inside if kind]
    check(one, "used_as_suggested", judged.count("accepted"), len(judged))
    check(one, "changed_by_staff", judged.count("edited"), len(judged))
    searched = [c for c, _ in inside if c.status == "ok" and c.sources is not None]
    check(one, "no_sources", sum(not c.sources for c in searched), len(searched))
    around = sum(week.start <= task.ts < week.end for task in manual)
    check(one, "worked_around", around, around + sum(c.status == "ok" for c, _ in inside))
    for place in ("high", "low"):
        group = [c for c, _ in inside if c.segment == place]
        found = [f for f in one.groups if f.name == f"error@segment {place}"]
        for figure in found:
            assert figure.this == (pytest.approx(sum(c.status != "ok" for c in group) / len(group)) if group else None)


def check(one, name, hits, trials, *, at_least_one=False):
    figure = one.figure(name)
    if figure is None:  # nothing of the kind in all five weeks
        assert not hits
        return
    assert figure.this == (pytest.approx(hits / trials) if trials else None)


def test_the_parts_sum_to_the_change_of_cost(insurer, records):
    for one in insurer.numbers(records=records).workflows:
        for split in (one.money.per_outcome, one.money.bill):
            assert sum(split.parts.values()) == pytest.approx(split.change, abs=1e-9)
        figure = one.figure("cost_per_outcome")
        assert one.money.per_outcome.after == pytest.approx(figure.this)
        assert one.money.per_outcome.before == pytest.approx(figure.usual)


def test_the_made_up_week_is_told_as_it_was_made(insurer, records):
    weeks = {one.workflow: one for one in insurer.numbers(records=records).workflows}
    claims, search, letters = (weeks[name] for name in ("claims-triage", "policy-search", "letter-drafting"))
    assert [claims.figure(name).verdict for name in ("cost_per_outcome", "used_as_suggested", "worked_around")] == [
        "Worse"
    ] * 3
    assert [f.measure.name for f in search.figures if f.moved] == ["no_sources"]
    assert letters.quiet
    assert claims.figure("eval.groundedness").verdict == "Same"
    parts = claims.money.per_outcome.parts
    assert sorted(parts, key=lambda name: -abs(parts[name]))[:2] == ["outcomes_per_call", "input_tokens"]


def test_an_average_does_not_hide_a_small_high_tier():
    week, chance, found = week_named("2026-W46"), random.Random(1), []
    days = Days(week)
    for day in range(35):
        for i in range(300):
            high = i % 15 == 0
            rate = 0.4 if high and day >= 28 else 0.02
            status = "error" if chance.random() < rate else "ok"
            tier = "high" if high else "low"
            found.append(Call(days.edges[day] + i, "w", segment=tier, risk_tier=tier, model="m", status=status))
    (one,) = of_week(found, week).workflows
    high = next(f for f in one.groups if f.name == "error@risk tier high")
    low = next(f for f in one.groups if f.name == "error@risk tier low")
    assert (high.verdict, low.verdict) == ("Worse", "Same")


def people(week: Week, users: dict[str, int]):
    """Calls with an override each, of so many users per segment."""
    days, found = Days(week), []
    for day in range(35):
        for segment, count in users.items():
            for i in range(80):
                call = Call(days.edges[day] + i, "w", segment=segment, model="m", user_id=f"{segment}{i % count}")
                found += [call, Judgement(call.ts, "w", segment, None, "m", override="edited" if i % 4 else "accepted")]
    return found


def test_groups_under_ten_people_are_not_shown_nor_to_be_had_by_subtraction():
    week = week_named("2026-W46")
    (small,) = of_week(people(week, {"team-a": 4, "team-b": 30}), week).workflows
    assert not [f for f in small.groups if f.measure.kind == "people"]
    assert small.figure("used_as_suggested") is not None
    (large,) = of_week(people(week, {"team-a": 11, "team-b": 30}), week).workflows
    assert [f for f in large.groups if f.measure.kind == "people"]


def test_a_workflow_of_fewer_than_ten_people_tells_nothing_of_what_they_did():
    week = week_named("2026-W46")
    (one,) = of_week(people(week, {"team-a": 4}), week).workflows
    assert one.few_people
    assert not [f for f in (*one.figures, *one.groups) if f.measure.kind == "people"]
    assert one.outcome == "successful call"


def test_an_outcome_is_what_was_configured_else_the_best_that_is_reported():
    week = week_named("2026-W46")
    reported = []
    for call in people(week, {"a": 20}):
        reported.append(call)
        if isinstance(call, Call):
            reported.append(Judgement(call.ts, "w", "a", None, "m", outcome="settled"))
    (plain,) = of_week(reported, week).workflows
    assert plain.outcome == "accepted suggestion"
    rule = {"workflows": {"w": {"accepted_outcomes": ["settled"], "outcome_title": "settled claim"}}}
    (chosen,) = of_week(reported, week, configured=WeeklySettings.model_validate(rule)).workflows
    assert chosen.outcome == "settled claim"
    assert "settled" in chosen.outcome_is


def test_cost_per_outcome_is_not_compared_when_reporting_itself_changed():
    week = week_named("2026-W46")
    days, found = Days(week), []
    for day in range(35):
        for i in range(100):
            call = Call(days.edges[day] + i, "w", model="m", cost_usd=0.01, input_tokens=10)
            found.append(call)
            if day < 28 or i % 2:
                found.append(Judgement(call.ts, "w", None, None, "m", override="accepted"))
    (one,) = of_week(found, week).workflows
    figure = one.figure("cost_per_outcome")
    assert (figure.verdict, figure.reason) == ("Cannot tell", "outcomes were not reported as before")
    assert any("no outcome recorded" in note for note in one.unseen)


def test_unknown_costs_are_counted_and_never_zero():
    week = week_named("2026-W46")
    days = Days(week)
    found = [Call(days.edges[day] + i, "w", model="m") for day in range(35) for i in range(50)]
    (one,) = of_week(found, week).workflows
    assert one.figure("total_cost") is None
    assert one.figure("cost_per_outcome") is None
    assert one.money.ten_times is None
    assert any("no known price" in note for note in one.unseen)


def test_a_bill_that_grew_with_its_calls_is_not_called_worse():
    week = week_named("2026-W46")
    days = Days(week)
    found = [
        Call(days.edges[day] + i, "w", model="m", cost_usd=0.01, input_tokens=100)
        for day in range(35)
        for i in range(160 if day >= 28 else 100)
    ]
    (one,) = of_week(found, week).workflows
    figure = one.figure("total_cost")
    assert (figure.verdict, figure.reason) == ("Same", "more calls")


def test_the_budget_adds_the_month_so_far_to_days_like_this_weeks():
    week = week_named("2026-W46")
    days = Days(week)
    found = [Call(days.edges[day] + 1, "w", model="m", cost_usd=2.0) for day in range(35)]
    rule = WeeklySettings.model_validate({"workflows": {"w": {"budget_per_month": 50}}})
    (one,) = of_week(found, week, configured=rule).workflows
    assert one.budget.month == "Nov"
    assert one.budget.so_far == pytest.approx(2.0 * 15)
    assert one.budget.forecast == pytest.approx(2.0 * 30)
    assert one.budget.over


def test_a_version_first_seen_this_week_is_a_change_nobody_reported(insurer, records):
    numbers = insurer.numbers(records=records, told=Facts())
    changes = {c.what: c for one in numbers.workflows for c in one.changes}
    assert changes["prompt v14 first seen"].seen
    assert changes["prompt v14 first seen"].at == insurer.WEEK.start + insurer.DAY


def test_no_points_are_no_workflows_and_a_recipient_sees_only_their_own(insurer, records):
    assert of_week([], insurer.WEEK).workflows == ()
    mine = insurer.numbers(("policy-*",), records)
    assert [one.workflow for one in mine.workflows] == ["policy-search"]
    assert {told.workflow for told in mine.told} == {"policy-search"}
    assert EVERYONE.reads("anything")


def test_what_the_store_noticed_is_named_and_a_rare_version_is_not_told(insurer, records):
    at = insurer.PROMPT_LIVE
    marked = [
        Marker(at, "prompt_version", "claims-triage", "v14", "first seen", "first/1"),
        Marker(at, "price_version", "claims-triage", "2026-11", "first seen", "first/2"),
        Marker(at, "release", None, "r7", None, "m"),
        Marker(at, "prompt_version", "policy-search", "v99", "first seen", "first/3"),
    ]
    numbers = insurer.numbers(records=records, told=Facts(markers=marked))
    claims = next(one for one in numbers.workflows if one.workflow == "claims-triage")
    assert [c.what for c in claims.changes] == ["price list 2026-11 first seen", "prompt v14 first seen", "release r7"]
