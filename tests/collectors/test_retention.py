from dataclasses import replace

import pytest

from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call, ManualTask
from driftbell.collectors.pricing import ModelPrice, PriceTable
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.store import FILE, Store
from driftbell.monitor import attributes as names

DAY = 86400.0
START = 1_760_000_000.0
EVER = (-1e12, 1e12)


@pytest.fixture
def now():
    """A clock that the test sets: ``now[0]``."""
    return [START]


@pytest.fixture
def aging(tmp_path, now):
    opened = Store.open(tmp_path, clock=lambda: now[0])
    yield opened
    opened.close()


def rows(store, table):
    return store.read().execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_calls_go_with_their_spans_and_the_points_stay(aging, now, spans, all_calls):
    old, new = spans.call(-60), spans.call(20 * DAY - 60)
    aging.append(Batch([old, spans.report(names.FEEDBACK_SPAN, old, -30, feedback=1)]))
    now[0] += 20 * DAY
    aging.append(Batch([new]))
    assert aging.retain(now[0] + 11 * DAY, RetentionPolicy()) == 1
    assert [call.trace_id for call in all_calls(aging)] == [new.trace_id]
    assert aging.judgements("answer") == []
    assert sum(point.calls for point in aging.points("answer", *EVER, "day")) == 2
    assert (rows(aging, "parts"), rows(aging, "chunks")) == (2, 1)  # where its spans are, and its call
    assert aging.integrity() == "ok"


def test_a_span_that_comes_after_its_hour_was_forgotten_is_counted_and_not_taken(aging, now, spans, all_calls):
    aging.append(Batch([spans.call(-60)]))
    now[0] += 31 * DAY
    aging.retain(now[0], RetentionPolicy())
    before = aging.points("answer", *EVER, "hour")
    aging.append(Batch([spans.call(-50), spans.call(30 * DAY)]))
    aging.refresh_all()
    assert len(all_calls(aging)) == 1
    assert sum(n for (_, counter), n in aging.trust_totals().items() if counter == "too_old") == 1
    assert aging.points("answer", *EVER, "hour")[: len(before)] == before


def test_minutes_that_nobody_has_evaluated_stay_as_long_as_hours_do(aging, now, spans):
    aging.append(Batch([spans.call(-60)]))
    now[0] += 20 * DAY
    aging.append(Batch([spans.call(20 * DAY - 60)]))

    def minutes(evaluated):
        aging.retain(now[0], RetentionPolicy(), evaluated)
        return len(aging.points("answer", *EVER, "minute"))

    assert (minutes({}), minutes({"answer": START - 3600})) == (2, 2)
    assert minutes({"answer": START + 3600}) == 1
    now[0] += 500 * DAY
    aging.append(Batch([spans.call(520 * DAY - 60)]))
    assert minutes({}) == 1


def test_a_late_call_is_added_to_its_hour_after_the_minutes_were_forgotten(aging, now, spans):
    aging.append(Batch([spans.call(0), spans.call(130)]))
    now[0] += 10 * DAY
    aging.append(Batch([spans.call(10 * DAY)]))
    aging.retain(now[0], RetentionPolicy())
    assert [p.calls for p in aging.points("answer", START - 60, START + DAY)] == []
    aging.append(Batch([spans.call(60)]))
    aging.refresh_all()
    assert sum(p.calls for p in aging.points("answer", START - 3600, START + 3600, "hour")) == 3
    assert sum(p.calls for p in aging.points("answer", *EVER, "day")) == 4


def test_history_that_was_loaded_late_is_not_forgotten_at_once(aging, now):
    aging.append(Batch(calls=[Call(1e9 + at * 60, "w") for at in range(100)]))
    aging.retain(now[0], RetentionPolicy())
    assert sum(p.calls for p in aging.points("w", *EVER)) == 100


def test_what_is_still_referred_to_survives_retention(aging, now, all_calls):
    aging.append(Batch(calls=[Call(START, "w", segment="s", attributes={"a": 1})]))
    aging.retain(now[0], RetentionPolicy())
    aging.append(Batch(calls=[Call(START + 1, "w", segment="s", attributes={"a": 1})]))
    aging.append(Batch(calls=[Call(START + 2, "w", segment="t", attributes={"b": 1})]))
    assert [(call.segment, call.attributes) for call in all_calls(aging)] == [
        ("s", {"a": 1}),
        ("s", {"a": 1}),
        ("t", {"b": 1}),
    ]


def test_a_policy_must_grow_from_fine_to_coarse():
    with pytest.raises(ValueError, match="minutes to calls to hours to days"):
        RetentionPolicy(minutes=40)


def test_a_deleted_user_is_nowhere_in_the_file(aging, now, spans, all_calls, points_are_exact, tmp_path):
    user = "5b2f0c7d9e1a4f38"
    mine = [spans.call(at, user_id=user, conversation_id="s-mine") for at in range(5)]
    others = [spans.call(at, user_id="77aa77aa77aa77aa") for at in range(7)]
    aging.append(Batch([*mine[:3], *others[:3], spans.report(names.FEEDBACK_SPAN, mine[0], 9, feedback=1)]))
    aging.append(Batch([*mine[3:], *others[3:]], manual_tasks=[ManualTask(START, "answer", user_id=user, id="t")]))
    aging.refresh_all()
    assert aging.delete_user(user) == 6
    assert {call.user_id for call in all_calls(aging)} == {"77aa77aa77aa77aa"}
    assert len(all_calls(aging)) == 7
    assert aging.manual_tasks("answer") == []
    points_are_exact(aging)
    aging.append(Batch([spans.call(50, user_id="77aa77aa77aa77aa"), others[0]]))
    assert len(all_calls(aging)) == 8
    aging.close()
    assert user.encode() not in (tmp_path / FILE).read_bytes()
    reopened = Store.open(tmp_path)
    dump = "\n".join(reopened.read().iterdump())
    assert user not in dump
    reopened.close()


def test_new_prices_reach_old_calls_and_their_points(aging, now, all_calls, points_are_exact):
    call = Call(START, "w", model="house-model", input_tokens=1_000_000, output_tokens=0, usage_source="provider")
    aging.append(Batch(calls=[call, replace(call, ts=START + 1, cost_usd=9.0, cost_source="provider")]))
    aging.refresh_all()
    assert aging.reprice(PriceTable({"house-model": ModelPrice(2.0, 4.0)}, public=False)) == 1
    assert [call.cost_usd for call in all_calls(aging)] == [2.0, 9.0]
    assert aging.reprice(PriceTable({"house-model": ModelPrice(2.0, 4.0)}, public=False)) == 0
    assert aging.reprice(PriceTable({}, public=False)) == 1
    assert [call.cost_source for call in all_calls(aging)] == ["unpriced", "provider"]
    points_are_exact(aging)


def test_new_prices_are_used_for_what_comes_later(aging, spans, all_calls):
    aging.reprice(PriceTable({"gpt-4o": ModelPrice(1.0, 1.0)}))
    aging.append(Batch([spans.call(0)]))
    assert all_calls(aging)[0].cost_usd == pytest.approx(120e-6)
