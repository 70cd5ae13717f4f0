"""What the stored calls add to a message: examples, who is touched, money per hour, and at the end how bad it was."""

from dataclasses import replace

import pytest
from running_service import CALL, NOW

from driftbell.alerts.impact import Course, Impact
from driftbell.alerts.incident import apply
from driftbell.alerts.message import Message, decode
from driftbell.alerts.render import headline, rows
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Judgement, Source
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Bound, Finding
from driftbell.service.evidence import Evidence
from driftbell.service.migrations import MIGRATIONS

STARTED = NOW - 3600
HOOK = {"kind": "webhook", "url": "http://127.0.0.1:9", "secrets": ["env:HOOK"]}
SETTINGS = AlertSettings.model_validate({"channels": {"hook": HOOK}, "routes": [{"channels": ["hook"]}]})


def trace(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def store(tmp_path):
    """Two segments of 60 calls an hour for six hours; in `amer` the last hour's cost three times as much as before."""
    opened = Store.open(tmp_path, MIGRATIONS, clock=lambda: NOW)
    made = []
    for minute in range(6 * 60):
        for offset, segment in enumerate(("emea", "amer")):
            number = 2 * minute + offset + 1
            tokens = 3000 if minute < 60 and segment == "amer" else 1000
            ids = {"trace_id": trace(number), "span_id": f"{number:016x}"}
            made.append(replace(PRICED, ts=NOW - 60 * minute - 30 + offset, segment=segment, **priced(tokens), **ids))
    opened.append(Batch(calls=made))
    opened.refresh_all()
    yield opened
    opened.close()


PRICED = replace(CALL, output_tokens=0, cost_source="computed", usage_source="provider")


def priced(tokens: int) -> dict[str, object]:
    return {"input_tokens": tokens, "cost_usd": tokens * 1e-5}


def finding(**changes) -> Finding:
    fields = {
        "ts": NOW, "transition": "fired", "workflow": "triage", "family": "cost", "metric": "cost_per_call",
        "direction": 1, "unit": "usd", "segment": "amer", "observed": 0.03, "usual": 0.01, "n": 60,
        "started_at": STARTED, "calls_per_hour": 60.0,
    }  # fmt: skip
    return Finding(**{**fields, **changes})


def told(store, now: float, *findings: Finding) -> Message:
    """The message that these findings bring."""
    with store.write() as tx:
        apply(tx, findings, now, SETTINGS, Evidence(store))
        (text,) = tx.execute("SELECT message FROM notifications ORDER BY id DESC LIMIT 1").fetchone()
    return decode(text)


def shown(message: Message) -> dict[str, str]:
    return {row.label: row.text for row in rows(message, "UTC")}


def test_an_opening_names_calls_that_show_it_whom_it_touches_and_what_it_costs(store):
    message = told(store, NOW, finding(usd_per_hour=1.2))
    assert len(message.trace_ids) == 3
    calls = {call.trace_id: call for call in store.calls(limit=10_000).calls}
    assert {(calls[t].segment, calls[t].input_tokens) for t in message.trace_ids} == {("amer", 3000)}
    assert (
        shown(message)["Users"] == "about 60 calls an hour, 50% of all; no effect seen on quality, reliability or use"
    )
    assert shown(message)["Traces"] == ", ".join(message.trace_ids)


def test_money_is_counted_from_the_calls_where_no_finding_has_a_price(store):
    message = told(store, NOW, finding(metric="input_tokens", unit="tokens", observed=3000.0, usual=1000.0))
    assert message.usd_per_hour == pytest.approx(60 * 0.02, rel=0.05)


def test_a_surge_costs_its_extra_calls(store):
    surge = finding(metric="calls", unit="calls/h", segment=None, observed=120.0, usual=20.0)
    assert told(store, NOW, surge).usd_per_hour == pytest.approx(100 * 0.02, rel=0.05)


def test_the_end_tells_the_worst_hour_the_total_and_the_level_now(store):
    told(store, NOW, finding(usd_per_hour=50.0))
    after = [replace(PRICED, ts=NOW + 30 * i, segment="amer", **priced(1000)) for i in range(200)]
    store.append(Batch(calls=after))
    store.refresh_all()
    told(store, NOW + 60, finding(ts=NOW + 60, transition="cleared", observed=None, usual=None))
    message = told(store, NOW + 3 * 3600)
    assert (message.transition, message.peak, message.back_to) == ("resolved", "3.0c", "1.0c")
    assert message.extra_usd == pytest.approx(60 * 0.02, rel=0.1)
    assert shown(message)["Cost"] == "$1.20 more than usual in all"
    assert "; 64 calls" in shown(message)["Lasted"]
    assert shown(message)["Now"] == "1.0c (usual 1.0c)"


def test_the_end_of_a_surge_speaks_of_the_opening_and_not_of_the_night(store):
    surge = finding(metric="calls", unit="calls/h", segment=None, observed=120.0, usual=50.0)
    told(store, NOW, surge)
    told(store, NOW + 600, replace(surge, ts=NOW + 600, observed=20.0, usual=0.0))
    told(store, NOW + 900, replace(surge, ts=NOW + 900, transition="cleared", observed=20.0, usual=0.0))
    message = told(store, NOW + 4 * 3600)
    assert shown(message)["Was"].startswith("triage: calls up 140% (50/hour -> 120/hour)")
    assert "0/hour)" not in shown(message).get("Now", "").replace("120/hour)", "")
    assert message.peak == "120/hour"


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({"family": "reliability", "metric": "status", "unit": "share"}, {"status": "error"}),
        ({"family": "retrieval", "metric": "n_sources", "unit": "share"}, {"sources": ()}),
        ({"family": "quality", "metric": "refused", "unit": "share"}, {"refused": True}),
        ({"family": "quality", "metric": "format_ok", "unit": "share"}, {"format_ok": False}),
        ({"family": "quality", "metric": "output_tokens", "unit": "share"}, {"finish_reason": "length"}),
        ({"family": "reliability", "metric": "latency_ms", "unit": "ms", "observed": 9000.0}, {"latency_ms": 9500.0}),
        (
            {"family": "retrieval", "metric": "top_score", "unit": "score", "direction": -1, "observed": 0.4},
            {"sources": (Source("a", 0.3),)},
        ),
        (
            {"family": "instrument", "metric": "cost_per_call", "unit": "share"},
            {"model": "unheard-of", "cost_usd": None},
        ),
    ],
)
def test_the_examples_are_calls_with_the_fault(store, changes, call):
    bad = [
        replace(
            PRICED,
            **{"ts": NOW - 9 + i, "segment": "amer", "trace_id": trace(900_000 + i), "span_id": f"{i:016x}", **call},
        )
        for i in range(5)
    ]
    store.append(Batch(calls=bad))
    store.refresh_all()
    found = told(store, NOW, finding(**{"observed": 0.3, "usual": 0.01, **changes}))
    assert found.trace_ids == (trace(900_004), trace(900_003), trace(900_002))


def test_the_examples_of_a_score_are_the_calls_that_were_judged_badly(store):
    said = [
        Judgement(NOW - 60 + i, "triage", "amer", evaluation="grounded", score=score, call_trace_id=trace(1 + 2 * i))
        for i, score in enumerate((0.9, 0.2, 0.3, 0.95, 0.1, 0.4))
    ]
    store.append(Batch(judgements=said))
    low = finding(family="quality", metric="eval.grounded", unit="score", direction=-1, observed=0.5, usual=0.9)
    assert told(store, NOW, low).trace_ids == (trace(11), trace(9), trace(5))


def test_silence_and_what_the_store_does_not_know_bring_nothing(store):
    quiet = finding(family="silent", metric="calls", unit="calls/h", direction=-1, segment=None, observed=0.0)
    assert told(store, NOW, quiet).trace_ids == ()
    with store.write() as tx:
        (change,) = apply(tx, [finding(workflow="unheard-of")], NOW, SETTINGS)
    assert Evidence(store).impact(change.incident, NOW) == Impact()
    assert Evidence(store).course(change.incident, NOW) == Course()


def test_nothing_of_what_was_asked_or_answered_reaches_an_incident_or_a_message(store):
    canary = "canary-7f3a the patient said"
    attributes = {"gen_ai.prompt": canary, "llm.output_messages.0": canary, "custom": canary}
    secret = replace(PRICED, ts=NOW - 5, segment="amer", attributes=attributes, trace_id=trace(77), span_id="7" * 16)
    store.append(Batch(calls=[replace(secret, **priced(3000))]))
    store.refresh_all()
    message = told(store, NOW, finding(usd_per_hour=1.2))
    assert message.trace_ids[0] == trace(77)
    for table in ("incidents", "incident_events", "notifications"):
        rows_of = store.read().execute(f"SELECT * FROM {table}").fetchall()
        assert canary not in repr(rows_of)


def test_a_limit_that_is_kept_again_says_so(store):
    slow = finding(family="reliability", metric="latency_ms", unit="ms", observed=6200.0, usual=None,
                   bound=Bound(5000.0, "p95"))  # fmt: skip
    assert told(store, NOW, slow).title == "triage: response time p95 over 5.0 s (6.2 s)"
    told(store, NOW + 60, replace(slow, ts=NOW + 60, transition="cleared", observed=None))
    end = told(store, NOW + 3 * 3600)
    assert headline(end, "UTC").startswith("[RESOLVED] triage: response time p95 back under 5.0 s after")
    assert shown(end)["Closed"] == "by itself: response time p95 back under 5.0 s, for 2 h 59 min now"
