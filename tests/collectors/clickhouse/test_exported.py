"""The tables of the Collector's ClickHouse exporter: the same calls as over OTLP, each span once, whenever it comes."""

from dataclasses import replace

import pytest
from clickhouse import new_client, opened
from emitter_spans import T0, chat, span
from exported_table import create, export
from recorded_spans import EMITTERS, spans_of

from driftbell.collectors.batch import Batch
from driftbell.collectors.clickhouse.exported import PAGE, ExportedSpans, TableError, covered, joined
from driftbell.collectors.store import Store

LONG = 1e9


def reader(client, store, back=LONG, now=T0 + 3600, table="otel_traces"):
    return ExportedSpans(client, table, store, back, lambda: now)


@pytest.fixture
def table():
    client = new_client()
    create(client)
    return client


def comparable(call):
    """A call without what the exporter does not keep: attributes that nothing is read from are text there."""
    times = {name: getattr(call, name) for name in ("latency_ms", "ttft_ms", "retrieval_ms")}
    close = {name: None if value is None else pytest.approx(value, abs=1e-3) for name, value in times.items()}
    return replace(call, attributes={}, ts=pytest.approx(call.ts, abs=1e-6), **close)


def by_span(calls):
    return {(call.trace_id, call.span_id): comparable(call) for call in calls}


def test_the_traffic_of_every_recorded_emitter_gives_the_calls_that_it_gives_over_otlp(tmp_path, table, all_calls):
    direct, exported = Store.open(tmp_path / "direct"), Store.open(tmp_path / "exported")
    try:
        for emitter in EMITTERS:
            direct.append(Batch(spans_of(emitter)))
            export(table, spans_of(emitter))
        from_table = reader(table, exported)
        while from_table.read():
            pass
        expected, found = by_span(all_calls(direct)), by_span(all_calls(exported))
        assert len(found) > 150
        assert found == expected
        for workflow in direct.workflows():
            told = exported.judgements(workflow.name)
            assert [replace(one, ts=0) for one in told] == [replace(o, ts=0) for o in direct.judgements(workflow.name)]
    finally:
        direct.close()
        exported.close()


def test_what_our_sdk_says_is_read_from_text(tmp_path, table, all_calls):
    said = {
        "gen_ai.operation.name": "chat",
        "driftbell.workflow": "refunds",
        "driftbell.format_ok": False,
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.prompt.version": "14",
        "driftbell.prompt.version": "14",
        "user.id": "42",
    }
    ours = span("refunds", None, 0.0, 3.0, scope="driftbell", a=said)
    direct, exported = Store.open(tmp_path / "direct"), Store.open(tmp_path / "exported")
    try:
        direct.append(Batch([ours]))
        export(table, [ours])
        reader(table, exported).read()
        (expected,), (found,) = all_calls(direct), all_calls(exported)
        assert comparable(found) == comparable(expected)
        assert (found.format_ok, found.input_tokens, found.finish_reason) == (False, 900, "stop")
    finally:
        direct.close()
        exported.close()


def test_each_span_is_taken_once_however_late_and_in_however_many_inserts(tmp_path, table, all_calls):
    store = opened(tmp_path)
    early, late, later = (chat(None, at) for at in (1000.0, 10.0, 20.0))
    export(table, [early])
    first = reader(table, store)
    assert not first.read()
    export(table, [late])
    first.read()
    table.command("OPTIMIZE TABLE otel_traces FINAL")
    first.read()
    export(table, [later, early])
    again = reader(table, store)
    again.read()
    again.read()
    store.refresh_all()
    assert sorted(call.ts for call in all_calls(store)) == sorted(one.end for one in (early, late, later))
    received = sum(point.counters.get("received", 0) for point in store.trust(0, 4e9))
    assert received == 4  # a merged part of blocks that were read is not read again
    store.close()


def test_a_part_that_is_read_half_is_gone_on_with_after_a_restart(tmp_path, table, monkeypatch, all_calls):
    monkeypatch.setattr("driftbell.collectors.clickhouse.exported.PORTION", 1)
    monkeypatch.setattr("driftbell.collectors.clickhouse.exported.PAGE", 10)
    export(table, [chat(None, float(at)) for at in range(35)])
    store = Store.open(tmp_path)
    try:
        looks = 1
        while reader(table, store).read():
            looks += 1
        assert looks == 4
        assert len(all_calls(store)) == 35
        assert PAGE > 10
    finally:
        store.close()


class Merging:
    """A client whose table merges its parts before the ``at``-th question about rows is answered."""

    def __init__(self, client, at):
        self._client, self._at = client, at

    def query(self, sql, given=None):
        if "_part_offset" in sql:
            self._at -= 1
            if self._at == 0:
                self._client.command("OPTIMIZE TABLE otel_traces FINAL")
        return self._client.query(sql, given)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_parts_that_are_merged_while_they_are_read_lose_nothing(tmp_path, table, all_calls, at):
    for moment in (0.0, 100.0, 200.0):
        export(table, [chat(None, moment)])
    store = Store.open(tmp_path)
    try:
        looking = reader(Merging(table, at), store)
        assert looking.read()
        while looking.read():
            pass
        assert len(all_calls(store)) == 3
    finally:
        store.close()


def test_only_what_began_since_the_first_look_or_shortly_before_is_taken(tmp_path, table, all_calls):
    export(table, [chat(None, -10 * 86400.0), chat(None, 0.0)])
    store = Store.open(tmp_path)
    try:
        reader(table, store, back=86400.0).read()
        reader(table, store, back=LONG).read()
        assert len(all_calls(store)) == 1
    finally:
        store.close()


def test_a_span_that_cannot_be_used_is_counted_and_the_others_are_taken(tmp_path, table, monkeypatch, all_calls):
    monkeypatch.setattr("driftbell.collectors.clickhouse.exported.MAX_SPAN_BYTES", 10_000)
    good, bad, large = chat(), replace(chat(), trace_id="7"), chat()
    large = replace(large, attributes={**large.attributes, "long": "x" * 20_000})
    export(table, [bad, good, large])
    store = Store.open(tmp_path)
    try:
        reader(table, store).read()
        assert len(all_calls(store)) == 1
        assert store.trust_totals()["shop", "rejected"] == 2
    finally:
        store.close()


def test_another_table_is_refused_with_what_to_do(tmp_path, table):
    create(table, "as_json", attributes="JSON")
    store = Store.open(tmp_path)
    try:
        with pytest.raises(TableError, match="no table nowhere: the Collector's exporter makes it"):
            reader(table, store, table="nowhere")
        with pytest.raises(TableError, match="attributes as Map: ResourceAttributes is JSON"):
            reader(table, store, table="as_json")
        with pytest.raises(TableError, match="letters, digits"):
            reader(table, store, table="a; DROP TABLE b")
    finally:
        store.close()


def test_blocks_that_touch_are_one_and_a_gap_is_not_covered():
    blocks = joined([(5, 7), (1, 2), (3, 4), (9, 9)])
    assert blocks == [(1, 7), (9, 9)]
    assert covered(blocks, (2, 6))
    assert not covered(blocks, (7, 9))
