"""The letter: short, plain, complete, the same in every form."""

import json
import re
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbell.alerts.weekly.letter import MAX_WORDS, compose, words_before_details
from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.recommend import recommend
from driftbell.alerts.weekly.render import MAX_HTML, as_json, render
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.weeks import Days, week_named
from driftbell.collectors.call import Call
from driftbell.collectors.rollup import rollup

JARGON = (
    "drift",
    "p-value",
    "psi",
    "sigma",
    "adwin",
    "significan",
    "distribution",
    "variance",
    "deviation",
    "confidence interval",
    "null hypothesis",
    "false discovery",
    "percentile",
    "p95",
    "decomposition",
    "divisia",
)


@pytest.fixture(scope="module")
def whole(insurer, records):
    return insurer.numbers(records=records)


@pytest.fixture(scope="module")
def single(insurer, records):
    return insurer.numbers(("claims-triage",), records)


@pytest.fixture(params=["whole", "single"])
def numbers(request):
    return request.getfixturevalue(request.param)


def text_of(numbers, insurer) -> str:
    return render(compose(numbers, insurer.SETTINGS)).text


def test_it_is_short_and_the_subject_fits_a_phone(numbers, insurer):
    letter = compose(numbers, insurer.SETTINGS)
    assert words_before_details(letter) <= MAX_WORDS
    assert len(letter.subject) <= 90
    assert "decision" in letter.subject or "nothing to decide" in letter.subject


def test_it_uses_no_word_of_statistics(numbers, insurer):
    rendered = render(compose(numbers, insurer.SETTINGS))
    for text in (rendered.subject, rendered.text, re.sub(r"<style.*?</style>|<[^>]*>", " ", rendered.html, flags=re.S)):
        words = text.lower().replace("driftbell", "")
        assert not [word for word in JARGON if word in words]


def test_it_says_what_happened_who_should_act_and_how_sure_that_is(single, insurer):
    text = " ".join(text_of(single, insurer).split())
    assert "Each accepted suggestion cost 6.43c, up from the usual 4.71c" in text
    assert "longer inputs in high-risk" in text
    assert "Owner: Claims AI (likely cause)" in text
    assert "(128 of 938)" in text
    assert "review score “groundedness”" in text
    assert "no real change" in text
    assert "Tue 09:12 prompt v14 live" in text


def test_the_parts_as_printed_add_up_to_the_change_as_printed(single, insurer):
    text = " ".join(text_of(single, insurer).split())
    found = re.search(r"The change of ([\d.]+)c in cost per accepted suggestion is exactly: (.*?)\. ", text)
    parts = [float(part) for part in re.findall(r"([+-][\d.]+)c", found[2])]
    assert sum(parts) == pytest.approx(float(found[1]), abs=1e-9)
    assert float(found[1]) == pytest.approx(6.43 - 4.71)


def test_quiet_features_take_one_line_and_the_worst_comes_first(whole, insurer):
    text = text_of(whole, insurer)
    assert text.count("Letter drafting") == 1
    assert "QUIET  Letter drafting: same as usual" in text
    assert text.index("Policy search") < text.index("Claims triage")


def test_every_number_names_the_command_that_recomputes_it(numbers, insurer):
    letter = compose(numbers, insurer.SETTINGS)
    body = as_json(numbers, letter, recommend(numbers))
    for one in body["workflows"]:
        assert all(figure["recompute"] == one["recompute"] for figure in one["figures"])
        assert one["recompute"].startswith("driftbell summary --week 2026-W46 --zone Europe/Berlin --workflow ")
    assert all(one["recompute"].startswith("driftbell ") for one in body["recommendations"])
    assert "driftbell summary" in render(letter).text
    assert json.loads(json.dumps(body)) == body


def test_the_same_numbers_give_the_same_bytes(numbers, insurer):
    assert render(compose(numbers, insurer.SETTINGS)) == render(compose(numbers, insurer.SETTINGS))


def test_html_and_text_tell_the_same(numbers, insurer):
    letter = compose(numbers, insurer.SETTINGS)
    rendered = render(letter)
    for said in (letter.headline, *(one.text for one in letter.advice)):
        assert said in " ".join(rendered.text.split())
        assert said.replace(">", "&gt;") in rendered.html.replace("&#34;", '"')


def test_people_are_never_named(numbers, insurer):
    everything = render(compose(numbers, insurer.SETTINGS))
    body = json.dumps(as_json(numbers, compose(numbers, insurer.SETTINGS), ()))
    for text in (everything.text, everything.html, body):
        assert not re.search(r"\bu\d{1,2}\b", text)


def test_a_late_summary_says_so_at_the_top(single, insurer):
    text = render(compose(single, insurer.SETTINGS, late_since=insurer.WEEK.end + 8 * 3600)).text
    assert text.startswith("This summary is late: it was due Mon 16 Nov 08:00.")


def test_a_week_without_calls_says_so_instead_of_staying_silent(insurer):
    letter = compose(insurer.numbers(records=[], told=Facts()), insurer.SETTINGS)
    assert "no calls were received" in letter.subject
    assert "No calls were received this week" in render(letter).text


def test_a_week_as_usual_asks_for_nothing(insurer, records):
    letter = compose(insurer.numbers(("letter-*",), records, told=Facts()), insurer.SETTINGS)
    assert letter.subject == "Letter drafting, 9-15 Nov: as usual - nothing to decide"
    assert letter.advice == ()
    assert letter.headline.startswith("A week like the others: each successful call cost 1.40c.")


def made_of(names):
    week = week_named("2026-W46")
    days = Days(week)
    calls = [
        Call(
            days.edges[day] + i, name, segment=name, model=name, cost_usd=0.1 * (3 if day >= 28 else 1), input_tokens=9
        )
        for name in names
        for day in range(35)
        for i in range(8)
    ]
    return weekly_numbers(
        rollup(calls), week, Facts(gaps=[f"gap of {name}" for name in names][:3]), WeeklySettings(), EVERYONE
    )


hostile = st.text(st.sampled_from(string.printable + "<>&\"'{}%\u202e\u2066é中\x00"), min_size=1, max_size=80)


@settings(max_examples=25, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=4, unique=True))
def test_names_from_outside_cannot_break_the_mail(names):
    letter = compose(made_of(names), WeeklySettings())
    rendered = render(letter)
    assert len(rendered.subject) <= 90
    assert "\n" not in rendered.subject
    assert words_before_details(letter) <= MAX_WORDS
    body = rendered.html.split("<body", 1)[1]
    assert not re.search(r"<(?!/?(?:table|tr|td|th|p|h1|h2|h3|span|div|b|a|body|html|tbody)\b)[a-z]", body)


def test_sixty_loud_features_still_fit_into_the_mail():
    numbers = made_of([f"feature-number-{i}" for i in range(60)])
    letter = compose(numbers, WeeklySettings())
    rendered = render(letter)
    assert len(rendered.html.encode()) <= MAX_HTML
    assert words_before_details(letter) <= MAX_WORDS
    assert len(letter.advice) == 3


def test_rows_that_did_not_fit_are_mentioned():
    numbers = made_of([f"feature-number-{i}" for i in range(60)])
    text = render(compose(numbers, WeeklySettings())).text
    assert re.search(r"WORST FIRST \(\d+ OF 60 ", text)
    assert re.search(r"DETAILS of \d+ of 60 features; the rest: driftbell summary --week 2026-W46", text)


@pytest.mark.parametrize("workflows", [("*",), ("letter-drafting",)])
def test_a_first_week_is_not_said_to_be_as_usual(insurer, records, workflows):
    first = [record for record in records if record.ts >= insurer.WEEK.start]
    numbers = insurer.numbers(workflows, first, told=Facts())
    rendered = render(compose(numbers, insurer.SETTINGS))
    told = rendered.subject + rendered.text.partition("DETAILS")[0]
    assert "first week" in rendered.subject
    assert "compare with" in rendered.text.splitlines()[0] + rendered.text.splitlines()[1]
    for claim in ("as usual", "like the others"):
        assert claim not in told


def test_a_feature_that_needs_a_decision_is_never_said_to_be_unchanged(insurer):
    told = [
        replace(
            one,
            workflow=f"feature-{i}",
            title=f"feature-{i}: cost per call up 62% (1c -> 2c)",
            ended_at=insurer.WEEK.end - 3600,
            extra_usd=50.0 - i,
        )
        for i, one in enumerate(insurer.facts(insurer.WEEK).told)
    ]
    week = week_named("2026-W46")
    days = Days(week)
    calls = [
        Call(days.edges[day] + i, f"feature-{n}", model="m", cost_usd=0.01)
        for n in range(4)
        for day in range(35)
        for i in range(40)
    ]
    rules = {"feature-3": {"worth_per_outcome": 0.005, "stop": {"above_worth_weeks": 2}}}
    settings = WeeklySettings.model_validate({"workflows": rules})
    numbers = weekly_numbers(rollup(calls), week, Facts(told=told), settings, EVERYONE)
    letter = compose(numbers, settings)
    asked = {one.workflow for one in recommend(numbers) if one.is_decision}
    assert asked == {"feature-0", "feature-1", "feature-3"}
    assert {row.cells[0]: row.cells[-1] for row in letter.rows} == {
        "feature-0": "incident: cost per call up 62%, over now, cost $50",
        "feature-1": "incident: cost per call up 62%, over now, cost $49",
        "feature-3": "costs more than its worth",
        "All 4 together": "usually $11",
    }
    assert letter.subject.endswith("figures as usual, 2 incidents, all over - 3 decisions")
    assert letter.headline == (
        "No figure of 4 AI features changed, but there were 2 incidents, all over; the worst, feature-0: cost per call "
        "up 62%, over now, cost $50. 3 decisions for you."
    )
    assert ("QUIET", ("feature-2: same as usual",)) in [(s.name, s.lines) for s in letter.sections]


def test_the_alarms_are_told_beside_what_was_promised(insurer, records):
    facts = insurer.facts(insurer.WEEK)
    false = [replace(facts.told[0], id=f"i{i}", verdict="false_alarm") for i in range(2)]
    numbers = insurer.numbers(records=records, told=replace(facts, told=[*false, facts.told[1]]))
    text = " ".join(text_of(numbers, insurer).split())
    kept = "2 as false (promised: at most 1 a month per feature, so about 3)"
    assert f"3 pages in four weeks, 2 acknowledged, {kept}" in text
    alarms = as_json(numbers, compose(numbers, insurer.SETTINGS), ())["alarms"]
    assert (alarms["pages"], alarms["acknowledged"], alarms["false_pages"]) == (3, 2, 2)
    assert alarms["promised_false_pages"] == pytest.approx(3 * 28 / 30.44)
    alone = insurer.numbers(("claims-triage",), records, told=replace(facts, told=false))
    assert "2 as false (more than promised: at most 1 a month)" in " ".join(text_of(alone, insurer).split())


def test_alarms_that_nobody_judged_are_not_said_to_be_right(insurer, records):
    facts = insurer.facts(insurer.WEEK)
    numbers = insurer.numbers(records=records, told=replace(facts, told=[replace(facts.told[0], verdict=None)]))
    text = " ".join(text_of(numbers, insurer).split())
    assert "1 page in four weeks, none acknowledged, so nobody knows how many were false (promised: " in text


def test_a_first_week_tells_nothing_of_the_usual(insurer, records):
    first = [record for record in records if record.ts >= insurer.WEEK.start]
    text = render(compose(insurer.numbers(("claims-triage",), first, told=Facts()), insurer.SETTINGS)).text
    assert "Calls" in text
    assert "as usual" not in text
    assert "usual -" not in text
