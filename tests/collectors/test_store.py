import itertools
import math
import sqlite3
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Migrations

from driftbell.collectors import connect
from driftbell.collectors.batch import BadBatchError, Batch, OverloadedError, StoreUnavailableError
from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.query import BadQueryError
from driftbell.collectors.store import FILE, Store
from driftbell.monitor import attributes as names

EVER = (-1e12, 1e12)


def test_a_stored_call_reads_back_as_it_was(store, spans, put, all_calls):
    sent = spans.call(3.5, segment="gold", user_id="u1", response_id="chatcmpl-1", prompt_version="v2")
    put(sent)
    (call,) = all_calls(store)
    assert (call.workflow, call.segment, call.model, call.prompt_version) == ("answer", "gold", "gpt-4o", "v2")
    assert (call.input_tokens, call.output_tokens, call.usage_source) == (100, 20, "provider")
    assert (call.trace_id, call.span_id, call.ts) == (sent.trace_id, sent.span_id, sent.end)
    assert call.latency_ms == pytest.approx(1000)


def test_every_field_of_a_finished_record_survives(store, all_calls):
    call = Call(
        ts=1e9,
        workflow="w",
        segment="s",
        cost_usd=0.1,
        refused=False,
        streamed=True,
        sources=(),
        citations=0,
        status="error",
        error_type="E",
        attributes={"a": [1, 2], "b": "x"},
    )
    store.append(Batch(calls=[call]))
    assert all_calls(store) == [call]


def test_the_same_spans_sent_again_change_nothing(store, spans, put, all_calls, points_are_exact):
    sent = [spans.call(i) for i in range(40)]
    put(*sent)
    before = all_calls(store)
    put(*sent)
    put(*sent[3:9], spans.call(99))
    assert all_calls(store)[:40] == before
    assert len(all_calls(store)) == 41
    assert store.trust_totals()["shop", "duplicated"] == 46
    points_are_exact(store)


@given(order=st.permutations(range(9)), cuts=st.sets(st.integers(1, 8)), again=st.lists(st.integers(0, 8), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_batches_and_repeats_do_not_matter(tmp_path_factory, spans, order, cuts, again, all_calls):
    everything = _a_story(type(spans)())
    whole, parts = (Store.open(tmp_path_factory.mktemp("s")) for _ in range(2))
    whole.append(Batch(everything))
    shuffled = [everything[i] for i in [*order, *again]]
    for since, until in itertools.pairwise([0, *sorted(cuts), len(shuffled)]):
        parts.append(Batch(shuffled[since:until]))
    for one in (whole, parts):
        one.refresh_all()
    assert all_calls(parts) == all_calls(whole)
    assert parts.judgements("answer") == whole.judgements("answer")
    assert parts.points("answer", *EVER) == whole.points("answer", *EVER)
    assert parts.points("answer", *EVER) == parts.recount("answer", *EVER)
    whole.close()
    parts.close()


def _a_story(spans):
    """Two traces with nested calls, and judgements of them in traces of their own: nine spans."""
    trace = spans.trace_id()
    outer = spans.call(10, trace)
    inner = replace(spans.call(9.9, trace, outer.span_id), scope="openai.instrumentation")
    other = spans.call(70, segment="gold")
    calls = [outer, inner, other, spans.call(71), spans.call(200)]
    return [
        *calls,
        spans.report(names.FEEDBACK_SPAN, outer, 80, feedback=-1),
        spans.report(names.OVERRIDE_SPAN, other, 95, override_kind="edited", edit_distance=0.4),
        spans.report(names.OUTCOME_SPAN, other, 300, outcome="resolved"),
        spans.report(names.EVALUATION_SPAN, outer, 400, evaluation_name="grounded", evaluation_score=0.5),
    ]


def test_a_judgement_that_comes_before_its_call_waits_for_it(store, spans, put):
    call = spans.call(0, segment="gold")
    put(spans.report(names.FEEDBACK_SPAN, call, 5, feedback=-1))
    assert store.judgements("answer") == []
    put(call)
    (judgement,) = store.judgements("answer")
    assert (judgement.segment, judgement.model, judgement.feedback) == ("gold", "gpt-4o", -1)


def test_a_late_part_of_a_trace_corrects_call_and_points(store, spans, put, all_calls, points_are_exact):
    trace = spans.trace_id()
    root = spans.call(10, trace, workflow="answer")
    inner = replace(spans.call(9.5, trace, root.span_id), scope="other.instrumentation")
    put(inner)
    points_are_exact(store)
    assert len(all_calls(store)) == 1
    put(root)
    assert len(all_calls(store)) == 1
    points_are_exact(store)


def test_late_parts_of_many_traces_that_come_together_find_them_all(store, spans, put, all_calls, monkeypatch):
    monkeypatch.setattr(connect, "LOAD_LIMIT", 20)
    roots = []
    for at in range(60):  # each is stored by itself, and so in a piece of its own
        root = spans.call(at + 0.5, workflow="answer", input_tokens=at + 1)
        put(replace(spans.call(at, root.trace_id, root.span_id, input_tokens=at + 1), scope="other.instrumentation"))
        roots.append(root)
    put(*roots)
    assert len(all_calls(store)) == 60
    assert sum(call.input_tokens for call in all_calls(store)) == sum(range(61))


def test_an_endless_trace_stays_bounded_and_counts_every_call(store, spans, put, all_calls):
    trace = spans.trace_id()
    for at in range(150):
        put(spans.call(at, trace))
    assert len(all_calls(store)) == 150


def test_concurrent_senders_all_find_their_calls(store, spans, all_calls):
    batches = [Batch([spans.call(i * 10 + j) for j in range(10)]) for i in range(40)]
    threads = [
        threading.Thread(target=lambda part=part: [store.append(b) for b in part])
        for part in (batches[::2], batches[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(all_calls(store)) == 400


def test_a_locked_database_refuses_and_keeps_nothing(store, spans, put, all_calls):
    put(spans.call(0))
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError) as refused:
        put(spans.call(1))
    assert refused.value.retry_after > 0
    other.execute("ROLLBACK")
    other.close()
    assert len(all_calls(store)) == 1
    put(spans.call(2))
    assert len(all_calls(store)) == 2


def test_a_full_disk_refuses_keeps_nothing_and_recovers(store, spans, put, all_calls):
    put(spans.call(0))
    with store.write() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailableError):
        put(*[spans.call(i, owner=f"o{i}" * 30) for i in range(2000)])
    assert len(all_calls(store)) == 1
    assert store.integrity() == "ok"
    store._connection.execute("PRAGMA max_page_count = 1073741823")
    put(spans.call(3))
    assert len(all_calls(store)) == 2


def test_a_batch_that_cannot_be_understood_fails_alone(store, spans, all_calls):
    bad = [Batch(calls=[Call(1e9, "w", input_tokens=2**80)]), Batch(calls=[Call(1e9, "w", segment=["s"])])]
    with store.write():
        batches = [Batch([spans.call(1)]), *bad, Batch([spans.call(2)])]
        futures = [store.submit(lambda batch=batch: batch, 0) for batch in batches]
    failures = [future.exception(10) for future in futures]
    assert [type(failure) for failure in failures] == [type(None), BadBatchError, BadBatchError, type(None)]
    assert len(all_calls(store)) == 2


def test_more_than_the_limit_is_refused_while_the_writer_is_held_up(tmp_path, spans, wait_until):
    store = Store.open(tmp_path, max_waiting=3)
    with store.write():
        waiting = [store.submit(lambda: Batch([spans.call(0)]), 0)]
        wait_until(lambda: store.waiting[0] == 0)
        waiting += [store.submit(lambda at=at: Batch([spans.call(at)]), 0) for at in range(3)]
        with pytest.raises(OverloadedError):
            store.submit(lambda: Batch([spans.call(9)]), 0)
    for future in waiting:
        future.result(10)
    store.close()


def test_a_transaction_that_fails_leaves_nothing(store):
    def write_and_fail() -> None:
        with store.write() as db:
            db["workflows"].insert({"id": 77, "name": "x", "first_ts": 0, "newest_ts": 0, "received": 0})
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    assert store.workflows() == []


def test_other_packages_bring_their_own_tables(tmp_path):
    mine = Migrations("mine")

    @mine()
    def create(db):
        db["notes"].create({"id": int, "text": str}, pk="id")

    for _ in range(2):
        store = Store.open(tmp_path, [mine])
        with store.write() as db:
            db["notes"].upsert({"id": 1, "text": "kept"}, pk="id")
        assert store.read().execute("SELECT text FROM notes").fetchall() == [("kept",)]
        store.close()


def test_a_restart_goes_on_where_it_was(tmp_path, spans, all_calls, points_are_exact):
    call = spans.call(5)
    first = Store.open(tmp_path)
    first.append(Batch([call]))
    first.close()
    second = Store.open(tmp_path)
    second.append(Batch([call, spans.call(6), spans.report(names.FEEDBACK_SPAN, call, 9, feedback=1)]))
    assert len(all_calls(second)) == 2
    assert len(second.judgements("answer")) == 1
    points_are_exact(second)
    second.close()


def test_pages_hold_every_call_once_also_at_equal_times(store, spans, put):
    put(*[spans.call(i // 7, workflow=f"w{i % 3}") for i in range(100)])
    seen, cursor = [], None
    while True:
        page = store.calls(limit=9, cursor=cursor)
        assert len(page.calls) <= 9
        seen += [(call.trace_id, call.ts) for call in page.calls]
        cursor = page.next
        if cursor is None:
            break
    assert len(set(seen)) == len(seen) == 100
    assert [ts for _, ts in seen] == sorted(ts for _, ts in seen)


def test_a_bad_cursor_says_what_to_do(store):
    with pytest.raises(BadQueryError, match="cursor"):
        store.calls("answer", cursor="nonsense")


def test_usage_sums_what_is_known_and_says_null_for_what_is_not(store):
    known = Call(1e9, "a", model="m", input_tokens=5, cost_usd=0.5, cost_source="computed", attempts=3)
    store.append(Batch(calls=[known, replace(known, input_tokens=None, cost_usd=None, status="error"), Call(1e9, "b")]))
    a, b = store.usage(["workflow", "model"])
    assert (a.group, a.calls, a.errors, a.attempts) == ({"workflow": "a", "model": "m"}, 2, 1, 6)
    assert (a.input_tokens, a.cost_usd, a.unpriced_calls) == (5, 0.5, 1)
    assert (b.group, b.input_tokens, b.cost_usd, b.unpriced_calls) == ({"workflow": "b", "model": None}, None, None, 1)
    assert store.usage([], 2e9) == []
    with pytest.raises(BadQueryError, match="colour"):
        store.usage(["colour"])


def test_manual_tasks_and_judgements_are_in_the_points(store, points_are_exact):
    store.append(
        Batch(
            judgements=[Judgement(60.0, "w", override="edited", id="j1")] * 2,
            manual_tasks=[ManualTask(61.0, "w", id="m1"), ManualTask(62.0, "w", id="m2")],
        )
    )
    points_are_exact(store)
    (point,) = [p for p in store.points("w", 0, 120) if p.manual]
    assert point.manual == 2
    assert [p.rates["override"] for p in store.points("w", 0, 120) if "override" in p.rates] == [[1, 1]]


@pytest.mark.parametrize("calls", [3, 60])
def test_senseless_numbers_stop_no_points(store, spans, put, points_are_exact, calls):
    for cost in (1e300, 1.7e308):
        costly = {"cost_amount": cost, "cost_source": "provider", "retrieval_ms": cost, "time_to_first_chunk": cost}
        put(*(spans.call(at / 100, **costly, input_tokens=2**53, output_tokens=1) for at in range(calls)))
    finished = Call(
        1_760_000_000.0, "answer", cost_usd=1.7e308, cost_source="provider", input_tokens=1, latency_ms=-1.7e308
    )
    store.append(Batch(calls=[finished] * calls))
    points_are_exact(store)
    for resolution in ("minute", "hour", "day"):
        for point in store.points("answer", *EVER, resolution=resolution):
            assert all(math.isfinite(quantity.total) for quantity in point.quantities.values())
    assert sum(total.calls for total in store.totals(*EVER)) == 3 * calls


def test_minutes_wait_until_they_are_quiet_unless_someone_needs_them(tmp_path):
    now = [1000.0]
    store = Store.open(tmp_path, clock=lambda: now[0])
    store.append(Batch(calls=[Call(960.0, "w")]))
    assert store.refresh_points() is False
    assert store.points("w", *EVER) == []
    store.refresh_points(until=970.0)
    assert [p.calls for p in store.points("w", *EVER)] == [1]
    store.append(Batch(calls=[Call(961.0, "w")]))
    now[0] += 10
    store.refresh_points()
    assert [p.calls for p in store.points("w", *EVER)] == [2]
    store.close()


def test_series_beyond_the_limit_are_one_series(store, monkeypatch):
    monkeypatch.setattr("driftbell.collectors.refresh.SERIES_LIMIT", 5)
    store.append(Batch(calls=[Call(1e9 + i, "w", segment=f"s{i}") for i in range(20)]))
    store.refresh_all()
    counted = {p.key.segment: p.calls for p in store.points("w", *EVER, resolution="day")}
    assert len(counted) == 6
    assert counted["(other)"] == 15


def test_workflows_beyond_the_limit_are_one_workflow(store):
    store._workflows._limit = 3
    store.append(Batch(calls=[Call(1e9, f"w{i}") for i in range(10)]))
    assert {w.name for w in store.workflows()} == {"w0", "w1", "w2", "(other)"}
    assert {u.group["workflow"]: u.calls for u in store.usage()}["(other)"] == 7


def test_the_store_knows_how_far_each_workflow_has_come(store, spans, put):
    assert store.newest("answer") is None
    put(spans.call(5), spans.call(2))
    newest, received = store.newest("answer")
    assert (newest, received) == (spans.call(5).end, store.clock())


def test_a_sender_from_the_future_does_not_take_its_workflow_along(store, spans, put):
    put(spans.call(500), spans.call(10_000_000))
    assert store.newest("answer") == (store.clock(), store.clock())


def test_a_change_nobody_announced_is_a_marker_and_an_announced_one_is_not_doubled(store):
    calls = [Call(1e9, "w", model="a"), Call(1e9 + 50, "w", model="b"), Call(1e9 + 40, "w", model="b")]
    store.append(Batch(calls=calls))
    (marker,) = store.markers("w")
    assert (marker.kind, marker.value, marker.ts) == ("model", "b", 1e9 + 40)
    store.append(Batch(markers=[Marker(1e9 + 39, "model", "w", "b", id="m")]))
    assert [m.ts for m in store.markers("w")] == [1e9 + 39]


def test_bodies_are_kept_only_on_request(store, spans):
    assert list(store.bodies(*EVER)) == []


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailableError, match=FILE):
        Store.open(tmp_path)
