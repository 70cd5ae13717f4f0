"""What is told through ClickHouse must be what is told through SQLite."""

import random
from dataclasses import replace

import pytest
from clickhouse import new_client, opened
from recorded_spans import EMITTERS, spans_of

from driftbell.collectors.batch import Batch
from driftbell.collectors.store import Store

EVER = (-1e12, 1e12)


def told(store, all_calls, names=None) -> dict:
    """Everything that a store answers about what it holds (of the workflows named), points at all resolutions too."""
    store.refresh_all()
    found = {"calls": all_calls(store), "count": store.count_calls()}
    usage = store.usage(("workflow", "model"))
    found["usage"] = {
        tuple(one.group.values()): replace(one, cost_usd=None if one.cost_usd is None else pytest.approx(one.cost_usd))
        for one in usage
    }
    assert [one.calls for one in usage] == sorted((one.calls for one in usage), reverse=True)
    for workflow in store.workflows():
        name = workflow.name
        if names is not None and name not in names:
            assert store.points(name, *EVER, "day") == []  # only as long as the parent span was missing
            continue
        found[name] = (workflow.owner, workflow.risk_tier, workflow.first_ts, workflow.newest_ts)
        found[name, "said"] = (store.judgements(name), store.manual_tasks(name), store.markers(name))
        found[name, "slices"] = store.slices(name)
        for resolution in ("minute", "hour", "day"):
            found[name, resolution] = by_key(store.points(name, *EVER, resolution))
    found["totals"] = [(t.workflow, t.start, t.calls, t.rates) for t in store.totals(*EVER)]
    return found


def by_key(points) -> dict:
    """Points by key; a sum of floats depends on the order of its terms in the last bits."""
    return {
        p.key: (
            p.calls,
            p.manual,
            p.rates,
            p.users,
            {n: (q.count, q.buckets, pytest.approx(q.total)) for n, q in p.quantities.items()},
        )
        for p in points
    }


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
