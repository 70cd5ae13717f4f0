"""What is told through ClickHouse must be what is told through SQLite."""

import random

import pytest
from clickhouse import new_client, opened, told
from recorded_spans import EMITTERS, spans_of

from driftbell.collectors.batch import Batch
from driftbell.collectors.search import Wanted
from driftbell.collectors.store import Store


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    sqlite = Store.open(tmp_path_factory.mktemp("sqlite"))
    engine = opened(tmp_path_factory.mktemp("clickhouse"))
    yield sqlite, engine
    sqlite.close()
    engine.close()


def test_the_traffic_of_every_recorded_emitter_gives_the_same_rows_as_sqlite(two, all_calls):
    sqlite, engine = two
    for emitter in EMITTERS:
        spans = spans_of(emitter)
        sqlite.append(Batch(spans))
        engine.append(Batch(spans))
    assert told(engine, all_calls) == told(sqlite, all_calls)
    assert len(all_calls(engine)) > 150


def test_every_call_has_the_same_trail_as_on_sqlite(two, all_calls):
    sqlite, engine = two
    for call in all_calls(sqlite)[::25]:
        assert engine.trail(call.trace_id, call.span_id) == sqlite.trail(call.trace_id, call.span_id)


def test_the_pages_of_a_search_hold_what_those_of_sqlite_hold(two, all_calls):
    times = sorted(call.ts for call in all_calls(two[0]))
    some = (times[len(times) // 4], times[-len(times) // 4])
    for wanted in (Wanted(), Wanted(*some), Wanted(*some, status="ok")):
        expected, found = (pages(store, wanted, 60) for store in two)
        assert found == expected
        assert len(found) > 20


def pages(store, wanted, limit):
    """The calls of all pages, at most a hundred of them."""
    found, cursor = [], None
    for _ in range(100):
        page = store.search(wanted, limit, cursor)
        found += [(call.ts, call.trace_id, call.span_id) for call in page.calls]
        cursor = page.next
        if cursor is None:
            break
    return found


def test_spans_shuffled_split_and_sent_twice_to_two_receivers_give_the_rows_of_one_delivery(tmp_path, all_calls):
    spans = [span for emitter in EMITTERS[::4] for span in spans_of(emitter)]
    whole = opened(tmp_path / "whole")
    whole.append(Batch(spans))
    expected = told(whole, all_calls)
    client = new_client()
    one, other = opened(tmp_path / "one", client), opened(tmp_path / "other", client)
    shuffled = random.Random(5).sample(spans * 2, len(spans) * 2)
    for number, at in enumerate(range(0, len(shuffled), 29)):
        (one, other)[number % 2].append(Batch(shuffled[at : at + 29]))
        if number % 5 == 0:
            one.refresh_all()
    assert told(one, all_calls, {workflow.name for workflow in whole.workflows()}) == expected
