"""The tables in ClickHouse. Inserting the same again never counts twice.

Rows that are told again replace each other (``ReplacingMergeTree``, read with ``FINAL``); marks add up in one
direction only (``AggregatingMergeTree``: what is due is what was touched more often than it was done). Nothing is
computed on insert, for a view that is triggered by inserts would count every one of them.

Everything that leaves with age is in partitions of a day of receipt, so that forgetting is dropping. A minute of a
workflow is found by the index of minutes in the one or two days that have it, and in small granules.
"""

from dataclasses import fields

from driftbell.collectors.call import Call, Judgement, ManualTask
from driftbell.collectors.clickhouse.client import Client

DAY = 86400
_NAME = "LowCardinality(Nullable(String))"
_WHOLE, _REAL, _TEXT, _FLAG = "Nullable(Int64)", "Nullable(Float64)", "Nullable(String)", "Nullable(Bool)"
_TYPES = {
    **dict.fromkeys(
        (
            *("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "citations"),
            *("attempts", "feedback"),
        ),
        _WHOLE,
    ),
    **dict.fromkeys(
        ("cost_usd", "latency_ms", "ttft_ms", "retrieval_ms", "edit_distance", "review_ms", "score"), _REAL
    ),
    **dict.fromkeys(("streamed", "refused", "format_ok", "fallback"), _FLAG),
    **dict.fromkeys(
        (
            *("user_id", "session_id", "response_id", "sources", "label"),
            *("call_trace_id", "call_span_id"),
        ),
        _TEXT,
    ),
    **dict.fromkeys(("trace_id", "span_id", "attributes", "name"), "String"),
    "ts": "Float64",
    "workflow": "LowCardinality(String)",
}
CALL_FIELDS = tuple(each.name for each in fields(Call))
JUDGEMENT_FIELDS = tuple(each.name for each in fields(Judgement))
TASK_FIELDS = tuple(each.name for each in fields(ManualTask))
PLACE = ("minute", "key", "home", "received", "version", "gone")
"""Where a record is kept: its identity is its workflow, minute and ``key``; ``home`` is the trace it was read from."""
_PLACED = (
    "minute Int64, key Int64, home Int64, received Float64, version UInt64 CODEC(Delta, ZSTD), gone UInt8 DEFAULT 0"
)
_DURABLE = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
_SMALL_GRANULES = ", index_granularity_bytes = 65536"
"""A cycle reads the newest minutes of every workflow, which lie apart from each other among those of three days."""
DATED = ("spans", "links", "told", "calls", "judgements", "manual_tasks", "markers", "arrived", "dirty", "trust")
"""Tables that are partitioned by day of receipt."""


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(f"{'id_text' if name == 'id' else name} {_type(name)}" for name in names)


def _type(name: str) -> str:
    return "String" if name == "id" else _TYPES.get(name, _NAME)


def _records(table: str, names: tuple[str, ...]) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {table} ({_columns(names)}, {_PLACED}, "
        "INDEX by_minute minute TYPE minmax GRANULARITY 1) "
        f"ENGINE = ReplacingMergeTree(version, gone) PARTITION BY intDiv(toInt64(received), {DAY}) "
        f"ORDER BY (workflow, minute, key) {_DURABLE}, index_granularity = 1024"
    )


def _table(name: str, columns: str, engine: str, order: str, partition: str | None = None, more: str = "") -> str:
    by = "" if partition is None else f"PARTITION BY {partition} "
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = {engine} {by}ORDER BY ({order}) {_DURABLE}{more}"


_BY_RECEIPT = f"intDiv(toInt64(received), {DAY})"
_BY_SLOT = f"intDiv(slot, {DAY})"
_MARKS = "times SimpleAggregateFunction(sum, UInt64), done SimpleAggregateFunction(max, UInt64)"
_TIMES = "first SimpleAggregateFunction(min, Float64), touched SimpleAggregateFunction(max, Float64)"
_STATEMENTS = (
    _table(
        "spans",
        "trace Int64, part Int64, received Float64, service LowCardinality(String), data String CODEC(ZSTD(3))",
        "ReplacingMergeTree",
        "trace, part",
        _BY_RECEIPT,
    ),
    _table(
        "links",
        "base Int64, key Int64, trace Int64, received Float64",
        "ReplacingMergeTree",
        "base, key, trace",
        _BY_RECEIPT,
    ),
    _table("arrived", f"slot Int64, trace Int64, {_MARKS}", "AggregatingMergeTree", "slot, trace", _BY_SLOT),
    _table(
        "told",
        "home Int64, kind LowCardinality(String), workflow LowCardinality(String), minute Int64, key Int64, "
        "received Float64",
        "ReplacingMergeTree",
        "home, kind, workflow, minute, key",
        _BY_RECEIPT,
    ),
    _records("calls", CALL_FIELDS),
    _records("judgements", JUDGEMENT_FIELDS),
    _records("manual_tasks", TASK_FIELDS),
    _records("markers", ("ts", "kind", "workflow", "value", "text", "id")),
    _table(
        "dirty",
        f"slot Int64, resolution UInt32, workflow LowCardinality(String), start Int64, {_MARKS}, {_TIMES}",
        "AggregatingMergeTree",
        "slot, resolution, workflow, start",
        _BY_SLOT,
    ),
    _table(
        "points",
        "resolution UInt32, workflow LowCardinality(String), start Int64, version UInt64, series Array(String), "
        "bodies Array(String) CODEC(ZSTD(3)), spreads Array(String) CODEC(ZSTD(3))",
        "ReplacingMergeTree(version)",
        "resolution, workflow, start",
        f"(resolution, intDiv(start, {30 * DAY}))",
        _SMALL_GRANULES,
    ),
    _table("series", "workflow LowCardinality(String), names String", "ReplacingMergeTree", "workflow, names"),
    _table(
        "firsts",
        "workflow LowCardinality(String), kind LowCardinality(String), value String, "
        "ts SimpleAggregateFunction(min, Float64)",
        "AggregatingMergeTree",
        "workflow, kind, value",
    ),
    _table(
        "workflows",
        "name String, owner Nullable(String), risk_tier Nullable(String), first_ts Float64, newest_ts Float64, "
        "received Float64, calls_purged Nullable(Float64), minutes_purged Nullable(Float64), version UInt64",
        "ReplacingMergeTree(version)",
        "name",
    ),
    _table("progress", "name String, at Float64", "ReplacingMergeTree(at)", "name"),
    _table(
        "trust",
        "minute Int64, service LowCardinality(String), counter LowCardinality(String), value Float64, portion Int64, "
        "received Float64",
        "ReplacingMergeTree",
        "minute, service, counter, portion",
        _BY_RECEIPT,
    ),
)


def create(client: Client) -> None:
    """Create the tables that are not there."""
    for statement in _STATEMENTS:
        client.command(statement)
