"""An incident opens once, is updated for a reason, ends on evidence, and does not chatter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlite_utils import Database

from driftbell.alerts import history
from driftbell.alerts.impact import Course, Impact
from driftbell.alerts.incident import IncidentChange, apply
from driftbell.alerts.line import incident_line
from driftbell.alerts.message import build, decode
from driftbell.alerts.record import Incident
from driftbell.alerts.render import rows
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings, Lifecycle
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Bound, Cause, Finding

HOUR = 3600.0
Make = Callable[..., Finding]
SETTINGS = AlertSettings.model_validate(
    {
        "channels": {"hook": {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:HOOK"]}},
        "routes": [{"channels": ["hook"]}],
    }
)


def cycle(store: Store, now: float, *findings: Finding, settings: AlertSettings = SETTINGS) -> list[IncidentChange]:
    with store.write() as tx:
        return apply(tx, findings, now, settings)


def told(store: Store) -> list[str]:
    """The messages that were written, in order."""
    rows = store.read().execute("SELECT transition FROM notifications WHERE state != 'withheld' ORDER BY id")
    return [row[0] for row in rows]


def only(store: Store) -> Incident:
    (incident,) = history.listed(store.read(), "all")
    return incident


def at(finding: Finding, ts: float, transition: Any = None) -> Finding:
    return replace(finding, ts=ts, transition=transition or finding.transition)


def test_a_finding_opens_one_incident_and_one_message(store: Store, make: Make) -> None:
    (change,) = cycle(store, make().ts, make())
    assert (change.transition, told(store)) == ("opened", ["opened"])
    assert change.incident.opened_at == make().ts


def test_the_same_finding_again_changes_nothing(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(id="f1"))
    before = only(store)
    cycle(store, make().ts, make(id="f1"))
    assert only(store) == before
    assert told(store) == ["opened"]


def test_a_series_that_goes_on_firing_sends_nothing_more(store: Store, make: Make) -> None:
    for step in range(200):
        cycle(store, make().ts + step * 300, at(make(), make().ts + step * 300, "fired" if step == 0 else "updated"))
    assert told(store) == ["opened"]


def test_it_resolves_when_every_series_stayed_good(store: Store, make: Make, t0: float) -> None:
    cost, tokens = make(), make(metric="input_tokens", unit="tokens", observed=24_000.0, usual=12_000.0)
    cycle(store, cost.ts, cost, tokens)
    cycle(store, t0 + 4 * HOUR, at(cost, t0 + 4 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    assert only(store).state == "open"
    cycle(store, t0 + 10 * HOUR, at(tokens, t0 + 10 * HOUR, "cleared"))
    cycle(store, t0 + 13 * HOUR)
    incident = only(store)
    assert (incident.state, incident.ended_at, told(store)) == ("resolved", t0 + 10 * HOUR, ["opened", "resolved"])


def test_the_extra_cost_is_the_rate_over_the_time_it_was_bad(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make(usd_per_hour=20.0))
    cycle(store, t0 + 2 * HOUR, at(make(usd_per_hour=30.0), t0 + 2 * HOUR, "updated"))
    cycle(store, t0 + 3 * HOUR, at(make(), t0 + 3 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    assert only(store).extra_usd == pytest.approx(20 * 2 + 30 * 1)


def test_an_end_names_no_level_that_is_no_better_than_the_alarm(store: Store, make: Make, t0: float) -> None:
    surge = make(metric="calls", unit="calls/h", observed=23.0, usual=13.0)
    cycle(store, surge.ts, surge)
    cycle(store, t0 + HOUR, replace(at(surge, t0 + HOUR, "cleared"), observed=26.0))
    cycle(store, t0 + 4 * HOUR)
    incident = only(store)
    message = build(incident, "resolved", "all_series_cleared", t0 + 4 * HOUR, SETTINGS)
    assert (incident.state, message.back_to, message.over) == ("resolved", None, "calls back to usual")


def test_an_incident_that_is_over_is_listed_as_readers_were_told_of_it(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, at(make(observed=0.2), t0 + HOUR, "updated"))
    assert "-> 20c" in str(incident_line(only(store))["title"])
    cycle(store, t0 + 2 * HOUR, at(make(), t0 + 2 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    assert f"[PAGE] {incident_line(only(store))['title']}" == only(store).subject


def test_no_data_is_told_as_such_and_never_resolves(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, at(make(), t0 + HOUR, "no_data"))
    cycle(store, t0 + 1000 * HOUR)
    assert only(store).state == "unknown"
    assert told(store) == ["opened", "unknown"]


def test_nothing_from_the_detectors_never_resolves(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    for hour in range(100):
        cycle(store, t0 + hour * HOUR)
    assert only(store).state == "open"
    assert told(store) == ["opened"]


def test_data_that_comes_back_says_whether_it_is_over(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, at(make(), t0 + HOUR, "no_data"))
    cycle(store, t0 + 5 * HOUR, at(make(), t0 + 5 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    assert only(store).state == "resolved"
    assert told(store)[-1] == "resolved"


def test_calls_that_come_back_make_an_unknown_incident_open_again(store: Store, make: Make, t0: float) -> None:
    silent = make(family="silent", metric="calls", direction=-1, unit="calls/h", segment=None, cause=Cause())
    cycle(store, make().ts, make())
    lost = t0 + 2 * HOUR
    cycle(store, lost, at(silent, lost, "fired"), at(make(), lost, "no_data"))
    back = t0 + 3 * HOUR
    cycle(store, back, at(silent, back, "cleared"))
    cycle(store, back + 6 * HOUR)
    states = {i.family: i.state for i in history.listed(store.read(), "all")}
    assert states == {"cost": "open", "silent": "resolved"}


def test_one_end_of_a_metric_ends_every_statistic_of_it(store: Store, make: Make, t0: float) -> None:
    fields = {"family": "retrieval", "metric": "n_sources", "segment": None, "cause": Cause(), "usd_per_hour": None}
    empty = make(**fields, direction=1, unit="share", observed=0.4, usual=0.02)
    fewer = make(**fields, direction=-1, unit="sources", observed=1.1, usual=4.8)
    cycle(store, make().ts, empty, fewer)
    cycle(store, t0 + HOUR, at(fewer, t0 + HOUR, "cleared"))
    cycle(store, t0 + 4 * HOUR)
    assert only(store).state == "resolved"


def test_nights_without_data_do_not_ring_every_night(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    for step in range(1, 12):
        ts = t0 + step * HOUR
        cycle(store, ts, at(make(), ts, "no_data" if step % 2 else "updated"))
    assert told(store) == ["opened", "unknown", "updated"]


@pytest.mark.parametrize("period_minutes", [10, 30, 90, 180])
def test_a_value_that_swings_round_its_limit_for_a_day_gives_two_messages(
    store: Store, make: Make, t0: float, period_minutes: int
) -> None:
    half = period_minutes * 30.0
    for step in range(int(24 * HOUR / half)):
        ts = t0 + step * half
        cycle(store, ts, at(make(), ts, "cleared" if step % 2 else "fired"))
    end = t0 + 24 * HOUR
    cycle(store, end, at(make(), end, "cleared"))
    for hour in range(1, 30):
        cycle(store, end + hour * HOUR)
    assert told(store) == ["opened", "resolved"]
    assert only(store).flapping


def test_it_is_the_same_incident_when_it_comes_back_within_a_day(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + 2 * HOUR, at(make(), t0 + 2 * HOUR, "cleared"))
    cycle(store, t0 + 5 * HOUR)
    (change,) = cycle(store, t0 + 8 * HOUR, at(make(), t0 + 8 * HOUR, "fired"))
    assert change.transition == "reopened"
    assert (only(store).reopened, told(store)) == (1, ["opened", "resolved", "opened"])


def test_it_is_a_new_incident_when_it_comes_back_days_later(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make(id="a"))
    cycle(store, t0 + 2 * HOUR, at(make(), t0 + 2 * HOUR, "cleared"))
    cycle(store, t0 + 5 * HOUR)
    later = t0 + 80 * HOUR
    cycle(store, later, replace(make(id="b"), ts=later, started_at=later))
    newest, oldest = history.listed(store.read(), "all")
    assert (newest.previous, oldest.state) == (1, "resolved")


def test_readers_hear_of_a_raised_severity_at_once(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(severity="ticket"))
    cycle(store, make().ts + 60, at(make(severity="page"), make().ts + 60, "updated"))
    assert told(store) == ["opened", "updated"]


def test_a_cause_that_wavers_cannot_chatter(store: Store, make: Make) -> None:
    sure, unsure = make().cause, Cause(text="Cause not found.")
    cycle(store, make().ts, make())
    for step in range(1, 288):
        ts = make().ts + step * 300
        cycle(store, ts, at(make(cause=unsure if step % 2 else sure), ts, "updated"))
    assert 1 < len(told(store)) <= 9


def test_new_segments_are_told_once(store: Store, make: Make) -> None:
    cycle(store, make().ts, make())
    for step in range(1, 20):
        ts = make().ts + step * 1200
        cycle(store, ts, at(make(segments=("high-risk", "low-risk")), ts, "updated"))
    assert told(store) == ["opened", "updated"]


def test_a_segment_that_follows_the_whole_workflow_is_no_news(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(segment=None))
    for step, segment in enumerate(("emea", "amer", "apac"), 1):
        ts = make().ts + step * HOUR
        cycle(store, ts, at(make(segment=segment), ts))
    assert told(store) == ["opened"]


def test_the_whole_workflow_after_one_segment_is_news(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(segment="emea"))
    ts = make().ts + HOUR
    cycle(store, ts, at(make(segment=None), ts))
    assert told(store) == ["opened", "updated"]


def test_another_metric_in_another_segment_is_no_news(store: Store, make: Make) -> None:
    cycle(store, make().ts, make())
    slow = make(family="reliability", metric="latency_ms", unit="ms", segment="low-risk", ts=make().ts + HOUR)
    cycle(store, slow.ts, slow)
    assert told(store) == ["opened"]


def test_every_decision_has_a_stored_reason(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, at(make(), t0 + HOUR, "cleared"))
    reasons = [(e["kind"], e["reason"]) for e in history.events(store.read(), only(store).id)]
    assert reasons == [
        ("finding", "opened"),
        ("told", "new_incident"),
        ("finding", "settling"),
        ("not_told", "settling"),
    ]


def test_a_restart_with_open_incidents_says_nothing_new(open_store: Callable[[], Store], make: Make, t0: float) -> None:
    cycle(open_store(), make().ts, make())
    again = open_store()
    assert cycle(again, t0 + HOUR, at(make(), t0 + HOUR, "updated")) == []
    assert told(again) == ["opened"]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["fired", "updated", "cleared", "no_data", "quiet"]),
            st.sampled_from(["cost_per_call", "input_tokens", "latency_ms"]),
            st.floats(60, 4 * HOUR),
        ),
        max_size=40,
    )
)
def test_whatever_comes_the_incident_is_never_resolved_without_evidence(
    steps: list[tuple[str, str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    db = Database(memory=True)
    MIGRATIONS.apply(db)
    now, firing = 1_794_302_040.0, set[str]()
    for transition, metric, gap in steps:
        now += gap
        found = []
        if transition != "quiet":
            found = [Finding(now, transition, "w", "cost", metric, 1, "usd", observed=2.0, usual=1.0, started_at=now)]  # type: ignore[arg-type]
        apply(db, found, now, SETTINGS)
        if transition in {"fired", "updated"}:
            firing.add(metric)
        elif transition == "cleared":
            firing.discard(metric)
        live = {
            m.finding.metric
            for i in history.listed(db, "open")
            for m in i.members.values()
            if m.state in {"firing", "no_data"}
        }
        assert firing <= live


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["fired", "updated", "cleared", "no_data"]),
            st.sampled_from(["page", "ticket"]),
            st.sampled_from([(), ("a",), ("b", "c")]),
            st.sampled_from([Cause(), Cause(keys={"segment": "a"}, confidence="possible")]),
        ),
        min_size=100,
        max_size=288,
    )
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_whatever_one_series_does_in_a_day_there_are_few_messages(steps: list[tuple[Any, Any, Any, Cause]]) -> None:
    db = Database(memory=True)
    MIGRATIONS.apply(db)
    now = 1_794_302_040.0
    for transition, severity, segments, cause in steps:
        now += 300
        found = Finding(
            now, transition, "w", "cost", "spend", 1, "usd/h", severity=severity, segments=segments, cause=cause,
            observed=2.0, usual=1.0, started_at=now,
        )  # fmt: skip
        apply(db, [found], now, SETTINGS)
    assert db.execute("SELECT count(*) FROM notifications").fetchone()[0] <= 12


def test_an_end_speaks_of_the_series_that_readers_were_told_of(store: Store, make: Make, t0: float) -> None:
    whole = make(metric="ai_share", unit="share", direction=1, segment=None, observed=0.19, usual=0.10)
    part = replace(whole, segment="amer", observed=0.25)
    cycle(store, whole.ts, whole, part)
    later = t0 + HOUR
    cycle(store, later, replace(at(whole, later, "updated"), observed=0.11), replace(at(part, later), observed=0.5))
    cycle(store, t0 + 2 * HOUR, at(whole, t0 + 2 * HOUR, "cleared"), at(part, t0 + 2 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    message = build(only(store), "resolved", "all_series_cleared", t0 + 9 * HOUR, SETTINGS)
    assert "(10% -> 19%)" in message.subject
    assert (message.segment, message.usual) == (None, "10%")


def test_the_worst_is_never_better_than_what_readers_were_told(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make(observed=0.08))
    cycle(store, t0 + HOUR, at(make(observed=0.05), t0 + HOUR, "updated"))
    cycle(store, t0 + 2 * HOUR, at(make(), t0 + 2 * HOUR, "cleared"))
    cycle(store, t0 + 9 * HOUR)
    incident = only(store)
    for seen, said in ((0.06, ("8.0c", None)), (0.09, ("9.0c", t0))):
        incident.course = Course(calls=900, peak=seen, peak_at=t0)
        message = build(incident, "resolved", "all_series_cleared", t0 + 9 * HOUR, SETTINGS)
        assert (message.peak, message.peak_at) == said


def test_nothing_is_ruled_out_of_the_segments_where_one_of_them_shows_it(store: Store, make: Make) -> None:
    cause = Cause(ruled_out=("model mix", "segment: all moved alike"))
    cycle(store, make().ts, make(cause=cause))
    (row,) = store.read().execute("SELECT message FROM notifications").fetchall()
    message = decode(row[0])
    assert (message.segment, message.ruled_out) == ("high-risk", ("model mix",))


def test_a_configured_limit_is_told_as_the_rule_and_not_as_the_cause(store: Store, make: Make) -> None:
    text = "The configured limit: over 5 s for 15 min."
    broken = make(metric="latency_ms", unit="ms", family="reliability", observed=9300.0, usual=None,
                  cause=Cause(text=text), bound=Bound(5000.0, "p95"))  # fmt: skip
    cycle(store, broken.ts, broken)
    (row,) = store.read().execute("SELECT message FROM notifications").fetchall()
    said = {row.label: row.text for row in rows(decode(row[0]), "UTC")}
    assert (said["Rule"], said["Cause"]) == (text, "not found")


def test_a_line_of_json_names_the_calls_that_show_it(store: Store, make: Make) -> None:
    class Look:
        def impact(self, _incident: Incident, _now: float) -> Impact:
            return Impact(trace_ids=("a" * 32, "b" * 32))

        def course(self, _incident: Incident, _now: float) -> Course:
            return Course()

    with store.write() as tx:
        apply(tx, [make()], make().ts, SETTINGS, look=Look())
    assert incident_line(only(store))["trace_ids"] == ["a" * 32, "b" * 32]


def test_what_opens_again_says_since_when_it_is_there_again(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, at(make(), t0 + HOUR, "cleared"))
    cycle(store, t0 + 4 * HOUR)
    cycle(store, t0 + 9 * HOUR, replace(at(make(), t0 + 9 * HOUR), started_at=t0 + 8.75 * HOUR))
    (*_, row) = store.read().execute("SELECT message FROM notifications ORDER BY id").fetchall()
    said = {row.label: row.text for row in rows(decode(row[0]), "UTC")}
    assert said["Since"].startswith("Tue 10 Nov 17:59 UTC, for 15 min (the first time Tue 10 Nov 09:14 UTC); 312 calls")


@pytest.mark.parametrize(("usd_per_hour", "severity"), [(0.1, "ticket"), (0.3, "page"), (None, "page")])
def test_nobody_is_woken_for_less_money_than_was_agreed(
    store: Store, make: Make, usd_per_hour: float | None, severity: str
) -> None:
    config = SETTINGS.model_copy(update={"lifecycle": Lifecycle(page_from_usd_per_day=5.0)})
    cycle(store, make().ts, make(usd_per_hour=usd_per_hour), settings=config)
    assert only(store).severity == severity
    reasons = {event["reason"] for event in history.events(store.read(), only(store).id)}
    assert ("too_cheap_to_page" in reasons) == (severity == "ticket")


def test_a_change_that_becomes_dear_wakes_somebody(store: Store, make: Make, t0: float) -> None:
    config = SETTINGS.model_copy(update={"lifecycle": Lifecycle(page_from_usd_per_day=5.0)})
    cycle(store, make().ts, make(usd_per_hour=0.1), settings=config)
    cycle(store, t0 + HOUR, at(make(usd_per_hour=9.0), t0 + HOUR, "updated"), settings=config)
    assert (only(store).severity, told(store)) == ("page", ["opened", "updated"])
