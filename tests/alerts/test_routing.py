"""Who is told, when, and why: routes, quiet hours, maintenance, silences, escalation, and what people do."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from driftbell.alerts import history
from driftbell.alerts.actions import ActionError, acknowledge, end_silence, judged, resolve, silence
from driftbell.alerts.incident import apply
from driftbell.alerts.lifecycle import absorb, new_incident
from driftbell.alerts.proof import sample_incident
from driftbell.alerts.record import Incident
from driftbell.alerts.routing import dry_run, quiet_until, receivers
from driftbell.alerts.settings import AlertSettings, Lifecycle
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding

HOUR = 3600.0
Make = Callable[..., Finding]
HOOK = {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:K"]}
PD = {"kind": "pagerduty", "routing_key": "env:PD"}


def settings(**sections: Any) -> AlertSettings:
    return AlertSettings.model_validate(
        {
            "channels": {"pager": HOOK, "chat": HOOK, "mail": HOOK, "pd": PD},
            "routes": [{"channels": ["chat"]}],
            **sections,
        }
    )


def incident(finding: Finding) -> Incident:
    made = new_incident(finding, 0)
    absorb(made, finding, Lifecycle())
    return made


def cycle(store: Store, now: float, config: AlertSettings, *findings: Finding) -> None:
    with store.write() as tx:
        apply(tx, findings, now, config)


def told(store: Store) -> list[tuple[str, str]]:
    rows = store.read().execute(
        "SELECT transition, channel FROM notifications WHERE state NOT IN ('superseded', 'withheld') ORDER BY id"
    )
    return [(row[0], row[1]) for row in rows]


ROUTES = [
    {"name": "high risk", "match": {"risk_tier": ["high"]}, "channels": ["pager"], "go_on": True},
    {"name": "claims", "match": {"workflow": ["claims-*"], "severity": ["page"]}, "channels": ["pd", "chat"]},
    {"name": "rest", "channels": ["mail"]},
]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["pd", "chat"]),
        ({"risk_tier": "high"}, ["pager", "pd", "chat"]),
        ({"severity": "ticket"}, ["mail"]),
        ({"workflow": "letters"}, ["mail"]),
        ({"workflow": "letters", "risk_tier": "high"}, ["pager", "mail"]),
    ],
)
def test_the_first_route_that_matches_decides(make: Make, changes: dict[str, Any], expected: list[str]) -> None:
    found = receivers(incident(make(**changes)), make().ts, settings(routes=ROUTES))
    assert [r.channel for r in found] == expected


def test_a_risky_series_inside_an_incident_is_enough_for_its_route(make: Make) -> None:
    both = incident(make(segment=None))
    absorb(both, make(metric="override", family="bypass", risk_tier="high", segment="minors"), Lifecycle())
    assert [r.channel for r in receivers(both, make().ts, settings(routes=ROUTES))] == ["pager", "pd", "chat"]


def test_maintenance_of_one_segment_does_not_hide_another(store: Store, make: Make, t0: float) -> None:
    config = settings(maintenance=[{"match": {"segment": ["low-risk"]}, "start": t0, "end": t0 + 5 * HOUR}])
    cycle(store, make().ts, config, make(segment=None, segments=("low-risk", "high-risk")))
    assert told(store) == [("opened", "chat")]


def test_pagerduty_rings_for_pages_only_unless_told_otherwise(make: Make) -> None:
    config = settings(routes=[{"channels": ["pd", "mail"]}])
    ticket = incident(make(severity="ticket"))
    assert [r.channel for r in receivers(ticket, 0.0, config) if not r.withheld] == ["mail"]
    assert dry_run(ticket, 0.0, config)[0] == "pd: not sent (routes[0], takes only page)"


def test_what_a_channel_is_not_sent_is_stored_with_its_reason(store: Store, make: Make) -> None:
    cycle(store, make().ts, settings(routes=[{"channels": ["pd", "mail"]}]), make(severity="ticket"))
    (open_one,) = history.listed(store.read(), "open")
    found = {d["channel"]: (d["state"], d["reason"]) for d in history.deliveries(store.read(), open_one.id)}
    assert found["pd"] == ("withheld", "new_incident; routes[0], takes only page")
    assert found["mail"] == ("pending", "new_incident; routes[0]")


def test_a_dry_run_says_who_gets_what_and_why(make: Make) -> None:
    config = settings(routes=ROUTES, escalation=[{"after": "15m", "channels": ["pager"]}])
    assert dry_run(incident(make()), make().ts, config) == [
        "pd: now (claims)",
        "chat: now (claims)",
        "pager: after 15 min if nobody acknowledges",
    ]


def test_a_dry_run_needs_no_real_incident() -> None:
    sample = sample_incident({"workflow": "claims-x", "risk_tier": "high", "severity": "page"}, 0.0)
    assert [r.channel for r in receivers(sample, 0.0, settings(routes=ROUTES))] == ["pager", "pd", "chat"]
    with pytest.raises(ValueError, match="no nonsense incident"):
        sample_incident({"family": "nonsense"}, 0.0)


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ({"routes": [{"channels": ["nowhere"]}]}, "names the channel 'nowhere', which is not defined"),
        ({"routes": [{"channels": ["chat"]}, {"channels": ["mail"]}]}, "can never match"),
        ({"routes": [{"match": {"owner": ["a"]}, "channels": ["chat"]}]}, "the last route must have no match"),
        ({"escalation": [{"after": "5m", "channels": ["none"]}]}, "names the channel 'none'"),
        ({"channels": {"a": {**HOOK, "fallback": "a"}}, "routes": []}, "names itself"),
        ({"channels": {"a": {**HOOK, "secrets": ["whsec_literal"]}}, "routes": []}, "env:NAME or file:PATH"),
        ({"quiet_hours": [{"start": "22:00", "end": "22:00"}]}, "differ"),
        ({"maintenance": [{"start": "2026-11-10T10:00:00", "end": "2026-11-10T12:00:00Z"}]}, "needs its zone"),
        ({"maintenance": [{"start": "2026-11-10T10:00:00Z", "end": "2036-11-10T12:00:00Z"}]}, "90 days at most"),
        ({"channels": {"a": {**HOOK, "url": "https://me:hunter2@x.example/"}}, "routes": []}, "env:NAME or file:PATH"),
        ({"routes": [{"channels": ["pd"]}]}, "severity ticket and info are left without a receiver"),
        ({"links": {"trace_url": "https://traces.example/"}}, "write {trace_id} where the id"),
        ({"lifecycle": {"settle": -1}}, "greater than or equal to 0"),
        ({"lifecycle": {"settle": float("nan")}}, "greater than or equal to 0"),
        ({"timezone": "Mars/Base"}, "unknown time zone"),
        ({"rout": []}, "Extra inputs are not permitted"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_as_a_whole(sections: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**sections)
    assert complaint in str(caught.value)
    assert "whsec_literal" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "routes",
    [
        [{"channels": ["pd", "chat"]}],
        [{"match": {"severity": ["ticket", "info"]}, "channels": ["chat"]}, {"channels": ["pd"]}],
        [{"match": {"severity": ["ticket", "info"]}, "channels": []}, {"channels": ["pd"]}],
    ],
)
def test_pagerduty_alone_at_the_end_is_right_where_somebody_thought_of_the_rest(routes: list[Any]) -> None:
    assert settings(routes=routes).routes


def test_steps_of_escalation_happen_in_their_order_however_they_are_written() -> None:
    steps = [{"after": "2h", "channels": ["mail"]}, {"after": "15m", "channels": ["chat"]}]
    assert [step.after for step in settings(escalation=steps).escalation] == [900.0, 7200.0]


def ts(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NIGHT = {"severities": ["ticket"], "start": "22:00", "end": "07:00", "timezone": "Europe/Berlin", "days": ["fri"]}


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-13T20:59:00", None),
        ("2026-11-13T21:00:00", "2026-11-14T06:00:00"),
        ("2026-11-14T05:59:00", "2026-11-14T06:00:00"),
        ("2026-11-14T06:00:00", None),
        ("2026-11-14T22:00:00", None),
    ],
)
def test_quiet_hours_hold_over_midnight_in_the_reader_s_zone(now: str, until: str | None) -> None:
    expected = ts(until) if until else None
    assert quiet_until("ticket", ts(now), settings(quiet_hours=[NIGHT])) == expected


def test_times_of_day_are_read_with_and_without_quotes() -> None:
    (hours,) = settings(quiet_hours=yaml.safe_load("[{start: 22:30, end: 06:15}]")).quiet_hours
    assert (hours.start, hours.end) == (time(22, 30), time(6, 15))
    with pytest.raises(ValidationError, match="in quotes"):
        settings(quiet_hours=yaml.safe_load("[{start: 22:30:00, end: 06:15}]"))


def test_quiet_hours_let_pages_through(make: Make) -> None:
    assert quiet_until("page", ts("2026-11-13T23:00:00"), settings(quiet_hours=[NIGHT])) is None


def test_a_ticket_that_ended_in_the_night_is_one_message_in_the_morning(store: Store, make: Make) -> None:
    config = settings(quiet_hours=[NIGHT])
    start = ts("2026-11-13T21:30:00")
    ticket = make(severity="ticket", ts=start, started_at=start)
    cycle(store, start, config, ticket)
    cycle(store, start + HOUR, config, replace(ticket, ts=start + HOUR, transition="cleared"))
    cycle(store, start + 4 * HOUR, config)
    assert told(store) == [("resolved", "chat")]
    (due,) = store.read().execute("SELECT due_at FROM notifications WHERE state = 'pending'").fetchone()
    assert due == ts("2026-11-14T06:00:00")


def test_maintenance_rings_nobody_until_it_is_over(store: Store, make: Make, t0: float) -> None:
    window = {"match": {"workflow": ["claims-*"]}, "start": t0, "end": t0 + 2 * HOUR, "reason": "migration"}
    config = settings(maintenance=[window])
    cycle(store, make().ts, config, make())
    cycle(store, t0 + HOUR, config)
    assert told(store) == []
    cycle(store, t0 + 2 * HOUR, config)
    assert told(store) == [("opened", "chat")]


def test_what_opens_and_ends_in_maintenance_is_never_told(store: Store, make: Make, t0: float) -> None:
    config = settings(maintenance=[{"start": t0, "end": t0 + 5 * HOUR}])
    cycle(store, make().ts, config, make())
    cycle(store, t0 + HOUR, config, replace(make(), ts=t0 + HOUR, transition="cleared"))
    cycle(store, t0 + 10 * HOUR, config)
    assert told(store) == []
    reasons = {e["reason"] for e in history.events(store.read(), history.listed(store.read(), "all")[0].id)}
    assert {"maintenance", "over_before_it_was_told"} <= reasons


def test_a_silence_ends_by_itself_and_then_what_is_open_is_told(store: Store, make: Make, t0: float) -> None:
    config = settings()
    with store.write() as tx:
        silence(tx, by="anna", now=t0, seconds=4 * HOUR, workflow="claims-triage")
    cycle(store, make().ts, config, make())
    assert told(store) == []
    cycle(store, t0 + 4 * HOUR, config)
    assert told(store) == [("opened", "chat")]


def test_a_silence_of_one_segment_keeps_the_others_loud(store: Store, make: Make, t0: float) -> None:
    with store.write() as tx:
        silence(tx, by="anna", now=t0, seconds=HOUR, segment="low-risk")
    cycle(store, make().ts, settings(), make())
    assert told(store) == [("opened", "chat")]


def test_a_silence_of_a_family_keeps_the_others_loud(store: Store, make: Make, t0: float) -> None:
    with store.write() as tx:
        silence(tx, by="anna", now=t0, seconds=HOUR, family="cost")
    other = make(family="silent", metric="calls", unit="calls/h", segment=None, direction=-1)
    cycle(store, make().ts, settings(), make(), other)
    rows = store.read().execute("SELECT message ->> 'family' FROM notifications").fetchall()
    assert rows == [("silent",)]


def test_a_silenced_incident_that_readers_know_of_still_tells_them_its_end(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, settings(), make())
    with store.write() as tx:
        silence(tx, by="anna", now=t0 + HOUR, seconds=48 * HOUR, incident_id=history.listed(tx, "open")[0].id)
    cycle(store, t0 + 2 * HOUR, settings(), replace(make(), ts=t0 + 2 * HOUR, transition="cleared"))
    cycle(store, t0 + 5 * HOUR, settings())
    assert told(store) == [("opened", "chat"), ("resolved", "chat")]


@pytest.mark.parametrize("seconds", [0.0, -5.0, 91 * 86_400.0, float("inf")])
def test_a_silence_without_a_near_end_is_refused(store: Store, t0: float, seconds: float) -> None:
    with store.write() as tx, pytest.raises(ActionError, match="needs an end"):
        silence(tx, by="anna", now=t0, seconds=seconds, workflow="w")


def test_a_silence_of_everything_is_refused(store: Store, t0: float) -> None:
    for given in ({}, {"workflow": "*"}, {"workflow": "**", "segment": "?*"}):
        with store.write() as tx, pytest.raises(ActionError, match="name what to silence"):
            silence(tx, by="anna", now=t0, seconds=60, **given)


@pytest.mark.parametrize(("pattern", "quiet"), [("claims-*", True), ("claims-triage", True), ("claims", False)])
def test_a_silence_names_workflows_as_routes_do(store: Store, make: Make, t0: float, pattern: str, quiet: bool) -> None:
    with store.write() as tx:
        silence(tx, by="anna", now=t0, seconds=HOUR, workflow=pattern)
    cycle(store, make().ts, settings(), make())
    assert (told(store) == []) == quiet


def test_a_name_with_signs_of_a_pattern_in_it_can_be_silenced_too(store: Store, make: Make, t0: float) -> None:
    with store.write() as tx:
        silence(tx, by="anna", now=t0, seconds=HOUR, workflow="w[1]")
    cycle(store, make().ts, settings(), make(workflow="w[1]"))
    assert told(store) == []


def test_a_silence_can_be_ended_early(store: Store, make: Make, t0: float) -> None:
    with store.write() as tx:
        made = silence(tx, by="anna", now=t0, seconds=HOUR, family="cost")
        end_silence(tx, made.id, t0 + 1)
        with pytest.raises(ActionError):
            end_silence(tx, made.id, t0 + 2)
    cycle(store, make().ts, settings(), make())
    assert told(store) == [("opened", "chat")]


ESCALATE = {"escalation": [{"after": "15m", "channels": ["pager"]}, {"after": "45m", "channels": ["mail"]}]}


def test_nobody_acknowledges_and_the_next_are_told_once_each(store: Store, make: Make) -> None:
    config = settings(**ESCALATE)
    cycle(store, make().ts, config, make())
    for minute in range(1, 120):
        cycle(store, make().ts + 60 * minute, config)
    assert told(store) == [("opened", "chat"), ("escalated", "pager"), ("escalated", "mail")]


def test_a_ticket_that_waits_for_the_morning_escalates_after_it_was_told(store: Store, make: Make) -> None:
    step = {"after": "15m", "channels": ["pager"], "severities": ["ticket"]}
    config = settings(quiet_hours=[NIGHT], escalation=[step])
    start = ts("2026-11-13T21:30:00")
    cycle(store, start, config, make(severity="ticket", ts=start, started_at=start))
    morning = ts("2026-11-14T06:00:00")
    for now in (start + HOUR, morning - 60, morning + 60):
        cycle(store, now, config)
    assert told(store) == [("opened", "chat")]
    cycle(store, morning + 1200, config)
    assert told(store) == [("opened", "chat"), ("escalated", "pager")]


def test_quiet_hours_that_begin_before_the_escalation_hold_it(store: Store, make: Make) -> None:
    step = {"after": "15m", "channels": ["pager"], "severities": ["ticket"]}
    config = settings(quiet_hours=[NIGHT], escalation=[step])
    evening = ts("2026-11-13T20:55:00")
    cycle(store, evening, config, make(severity="ticket", ts=evening, started_at=evening))
    cycle(store, evening + HOUR, config)
    assert told(store) == [("opened", "chat")]


def test_a_ticket_that_becomes_a_page_leaves_the_whole_time_to_acknowledge(store: Store, make: Make) -> None:
    config = settings(**ESCALATE)
    cycle(store, make().ts, config, make(severity="ticket"))
    raised = make().ts + 2 * HOUR
    cycle(store, raised, config, make(ts=raised))
    assert told(store) == [("opened", "chat"), ("updated", "chat")]
    cycle(store, raised + 900, config)
    assert told(store)[2:] == [("escalated", "pager")]


def test_an_acknowledgement_stops_the_escalation(store: Store, make: Make) -> None:
    config = settings(**ESCALATE)
    cycle(store, make().ts, config, make())
    with store.write() as tx:
        (open_one,) = history.listed(tx, "open")
        acknowledge(tx, open_one.id, "anna", make().ts + 60, config)
    cycle(store, make().ts + HOUR, config)
    assert told(store) == [("opened", "chat"), ("acknowledged", "chat")]


@pytest.mark.parametrize("verdict", ["false_alarm", "new_normal"])
def test_a_verdict_closes_the_incident_and_can_be_read_by_series(
    store: Store, make: Make, verdict: Any, t0: float
) -> None:
    config = settings()
    cycle(store, make().ts, config, make())
    with store.write() as tx:
        (open_one,) = history.listed(tx, "open")
        acknowledge(tx, open_one.id, "anna", t0 + HOUR, config, verdict)
    (found,) = judged(store.read(), t0)
    assert (found.verdict, found.series) == (verdict, (make().series,))
    assert told(store)[-1] == ("resolved", "chat")


def test_what_a_person_closed_stays_quiet_until_it_fires_anew(store: Store, make: Make, t0: float) -> None:
    config = settings()
    cycle(store, make().ts, config, make(id="one"))
    with store.write() as tx:
        resolve(tx, history.listed(tx, "open")[0].id, "anna", t0 + HOUR, config)
    for step in range(1, 50):
        now = t0 + (1 + step) * HOUR
        cycle(store, now, config, replace(make(), ts=now, transition="updated"))
    assert told(store) == [("opened", "chat"), ("resolved", "chat")]
    later = t0 + 60 * HOUR
    cycle(store, later, config, replace(make(id="two"), ts=later, started_at=later))
    assert told(store)[-1] == ("opened", "chat")


def test_acting_on_what_is_not_there_says_so(store: Store, t0: float) -> None:
    with store.write() as tx:
        for act in (acknowledge, resolve):
            with pytest.raises(ActionError, match="there is no incident"):
                act(tx, "inc-nope", "anna", t0, settings())


def test_a_broken_channel_is_told_everywhere_else(make: Make) -> None:
    broken = make(workflow="driftbell", family="instrument", metric="delivery", segment="chat")
    found = receivers(incident(broken), 0.0, settings(routes=[{"channels": ["chat", "mail"]}]))
    assert [r.channel for r in found] == ["mail"]
    alone = receivers(incident(broken), 0.0, settings())
    assert [r.channel for r in alone] != ["chat"]


def test_no_route_is_a_stored_reason(store: Store, make: Make) -> None:
    cycle(store, make().ts, settings(routes=[]), make())
    (open_one,) = history.listed(store.read(), "open")
    assert ("not_told", "no_route") in [(e["kind"], e["reason"]) for e in history.events(store.read(), open_one.id)]


def test_the_example_in_the_documentation_is_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "oncall.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = AlertSettings.model_validate(yaml.safe_load(example)["alerts"])
    assert {c.kind for c in config.channels.values()} == {"pagerduty", "slack", "email", "alertmanager"}
