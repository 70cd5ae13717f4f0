"""Spans find what they belong to whether its keys are new, on their way into order, or in order."""

import itertools
import random
import sqlite3

import pytest
from emitter_spans import chat, span

from driftbell.collectors import recent
from driftbell.collectors.batch import Batch, StoreUnavailableError
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.store import Store
from driftbell.monitor import attributes as names

START = 1_760_000_000.0
DAY = 86400


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Keys begin to move when there are ten of them."""
    monkeypatch.setattr(recent, "MOVED_AT", 10)


@pytest.fixture
def reopen(tmp_path):
    stores = []

    def again(folder: str = "store") -> Store:
        for each in stores:
            each.close()
        stores[:] = [Store.open(tmp_path / folder, clock=lambda: START + 1000, busy_timeout=0.05)]
        return stores[0]

    yield again
    for each in stores:
        each.close()


def sent(spans, count: int) -> list:
    """Calls with another call below them, feedback on each, and calls that stand alone."""
    made = []
    for at in range(count):
        call = spans.call(at, input_tokens=100 + at, response_id=f"resp-{at}", user_id=f"u{at % 4}")
        below = spans.call(at + 0.5, trace_id=call.trace_id, parent_id=call.span_id, input_tokens=100 + at)
        made += [call, below, spans.report(names.FEEDBACK_SPAN, call, at + 5, feedback=1), spans.call(at)]
    return made


def told(store: Store, all_calls) -> tuple:
    return all_calls(store), store.judgements("answer")


@pytest.mark.parametrize("seed", range(4))
def test_spans_in_pieces_make_the_same_calls_while_keys_move_and_after_a_restart(seed, reopen, spans, all_calls):
    everything = sent(spans, 30)
    store = reopen("whole")
    store.append(Batch(everything))
    expected = told(store, all_calls)
    store = reopen()
    numbers = random.Random(seed)
    shuffled = numbers.sample(everything * 2, len(everything) * 2)
    while shuffled:
        size = numbers.choice([1, 1, 5, 40])
        store.append(Batch(shuffled[:size]))
        del shuffled[:size]
        if numbers.random() < 0.1:
            store = reopen()
    assert told(store, all_calls) == expected
    assert store.integrity() == "ok"


def test_new_keys_are_few_and_the_others_in_order(reopen, spans, tmp_path):
    store = reopen()
    for each in sent(spans, 50):
        store.append(Batch([each]))
    with sqlite3.connect(tmp_path / "store" / "driftbell.db") as db:
        waiting = sum(len(links) + len(parts) for links, parts in db.execute("SELECT links, parts FROM unsorted")) / 16
        (ordered,) = db.execute("SELECT (SELECT count(*) FROM links) + (SELECT count(*) FROM parts)").fetchone()
    assert waiting < 40 < ordered


def test_a_transaction_that_fails_leaves_no_keys_behind(reopen, spans, all_calls, tmp_path):
    store = reopen()
    first, late = sent(spans, 20), spans.call(3, segment="late")
    store.append(Batch(first[:40]))
    other = sqlite3.connect(tmp_path / "store" / "driftbell.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        store.append(Batch([*first[40:], late]))
    other.execute("ROLLBACK")
    other.close()
    store.append(Batch([*first[40:], late]))
    whole = reopen("whole")
    whole.append(Batch([*first, late]))
    expected = told(whole, all_calls)
    assert told(reopen(), all_calls) == expected


@pytest.mark.parametrize("size", [1, 80])
def test_what_is_forgotten_stays_forgotten_and_what_is_kept_is_still_found(size, reopen, spans, all_calls):
    store = reopen()
    everything = sent(spans, 20)
    for at in range(0, len(everything), size):
        store.append(Batch(everything[at : at + size]))
    (user,) = {call.user_id for call in all_calls(store) if call.input_tokens == 101}
    assert store.delete_user(user) > 0
    left = all_calls(store)
    assert user not in {call.user_id for call in left}
    store.append(Batch([each for each in everything if each.trace_id in {call.trace_id for call in left}]))
    assert all_calls(store) == left
    trail = store.trail(left[0].trace_id, left[0].span_id)
    assert trail is not None
    assert trail.call == left[0]
    store.retain(START + 60 * DAY, RetentionPolicy())
    assert all_calls(store) == []
    with store.write() as db:
        held = {table: db[table].count for table in ("chunks", "parts", "links", "unsorted", "judgements")}
    assert set(held.values()) == {0}


def test_the_keys_that_another_process_wrote_are_known(reopen, spans, all_calls, tmp_path):
    store = reopen()
    call = spans.call(1, input_tokens=500)
    store.append(Batch([spans.call(0)]))
    beside = Store.open(tmp_path / "store", clock=lambda: START + 1000)
    beside.append(Batch([call]))
    beside.close()
    store.append(Batch([call, spans.report(names.FEEDBACK_SPAN, call, 9, feedback=-1)]))
    assert len(all_calls(store)) == 2
    assert [each.call_span_id for each in store.judgements("answer")] == [call.span_id]


def test_views_of_one_call_find_each_other_among_equal_calls_of_one_instrumentation(reopen, all_calls):
    """Two calls with equal usage at one moment, one of which a framework tells of as well."""
    usage = {"run_type": "llm", "model": "gpt-4o", "usage": '{"prompt_tokens": 100, "completion_tokens": 10}'}
    framework = span("model", at=0.5, took=1.4, scope="framework", a=usage)
    inside, apart = chat(at=0.6, took=1.2), chat(at=0.1, took=1.5)
    for number, order in enumerate(itertools.permutations([framework, inside, apart])):
        store = reopen(f"store-{number}")
        for each in order:
            store.append(Batch([each]))
        assert len(all_calls(store)) == 2


def test_an_old_store_finds_the_calls_of_its_traces(reopen, spans, all_calls, tmp_path):
    everything = sent(spans, 5)
    store = reopen()
    store.append(Batch(everything))
    expected = told(store, all_calls)
    with store.write() as db:
        recent.settle(db.conn)
        db.execute("DELETE FROM parts WHERE chunk < 0")
        db.execute("CREATE INDEX calls_by_home ON calls (home)")
        db.execute("DROP TABLE unsorted")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'keep_keys_unsorted'")
    store = reopen()
    store.append(Batch(everything))
    assert told(store, all_calls) == expected
