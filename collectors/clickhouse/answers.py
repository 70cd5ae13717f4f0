"""What the store answers from ClickHouse: calls in pages, sums, judgements, manual tasks, markers and the trail."""

import json
from collections.abc import Sequence
from typing import Any

from driftbell.collectors.audit import MOST_SIBLINGS, Trail, speaks_of
from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.clickhouse import records
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.points import IN_WINDOW, window
from driftbell.collectors.clickhouse.spans import Stored
from driftbell.collectors.connect import gathered_from
from driftbell.collectors.firsts import VALUES_LIMIT
from driftbell.collectors.query import GROUPINGS, BadQueryError, CallPage, Usage
from driftbell.collectors.rollup import minute_of
from driftbell.collectors.rows import trace_key
from driftbell.collectors.search import Found, Wanted

_EVER = "minute >= {from:Int64} AND ts >= {since:Float64} AND ts < {until:Float64} "
_ORDER = "ts, trace_id, span_id"
_NEWEST = (1 / 64, 1 / 8)
_PLACE = "(ts, trace_id, span_id) {} ({{at:Float64}}, {{trace:String}}, {{span:String}})"


def call_page(
    client: Client, workflow: str | None, since: float, until: float, limit: int, cursor: str | None
) -> CallPage:
    """At most ``limit`` calls that ended in ``[since, until)``, after ``cursor``."""
    given: dict[str, Any] = window(workflow or "", since, until)
    where = IN_WINDOW if workflow is not None else _EVER
    if cursor is not None:
        where += "AND " + _PLACE.format(">") + " "
        given.update(_position(cursor))
    query = records.select("calls") + f"WHERE {where}ORDER BY {_ORDER} LIMIT {limit + 1}"
    found = tuple(map(records.call_of, client.query(query, given)))
    return CallPage(found[:limit], _cursor(found[limit - 1]) if len(found) > limit else None)


def search(client: Client, wanted: Wanted, limit: int, cursor: str | None) -> Found:
    """The newest calls that are ``wanted``; the engine looks at all of them, so that there is no limit of those."""
    given: dict[str, Any] = window(wanted.workflow or "", wanted.since, wanted.until)
    where = _EVER
    for name in ("workflow", "segment", "risk_tier", "model", "prompt_version", "status", "user_id"):
        value = getattr(wanted, name)
        if value is not None:
            where += f"AND {name} = {{of_{name}:String}} "
            given[f"of_{name}"] = value
    if wanted.text is not None:
        where += "AND positionCaseInsensitive(attributes, {text:String}) > 0 "
        given["text"] = json.dumps(wanted.text)[1:-1]
    if cursor is not None:
        where += "AND " + _PLACE.format("<") + " "
        given.update(_position(cursor))
    order = ", ".join(f"{name} DESC" for name in _ORDER.split(", "))
    query = records.select("calls") + f"WHERE {where}ORDER BY {order} LIMIT {limit + 1}"
    found: tuple[Call, ...] = ()
    for since in _ever_earlier(given["since"], given.get("at", given["until"])):
        rows = client.query(query, {**given, "since": since, "from": minute_of(since)})
        found = tuple(map(records.call_of, rows))
        if len(found) > limit:
            break
    return Found(found[:limit], _cursor(found[limit - 1]) if len(found) > limit else None, len(found))


def _ever_earlier(since: float, until: float) -> list[float]:
    """Where to begin to look for the newest, so that the whole time is looked through only when that is needed."""
    return [*(until - (until - since) * part for part in _NEWEST), since]


def usage(client: Client, group_by: Sequence[str], since: float, until: float) -> list[Usage]:
    """Usage of the calls that ended in ``[since, until)``, most calls first."""
    unknown = [name for name in group_by if name not in GROUPINGS]
    if unknown:
        raise BadQueryError(f"cannot group by {unknown[0][:40]!r}; use any of {', '.join(GROUPINGS)}")
    names = list(dict.fromkeys(group_by))
    columns = "".join(f"{name}, " for name in names)
    grouping = f"GROUP BY {', '.join(names)}" if names else ""
    found = client.query(
        f"SELECT {columns} count() AS n, countIf(status IN ('error', 'timeout', 'rate_limited')), sum(attempts), "
        "sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(cost_usd), countIf(cost_usd IS NULL) "
        f"FROM calls FINAL WHERE {_EVER}{grouping} HAVING n > 0 ORDER BY n DESC"
        + "".join(f", {name} NULLS FIRST" for name in names[:1]),
        window("", since, until),
    )
    size = len(names)
    return [Usage(dict(zip(names, row[:size], strict=True)), *row[size:]) for row in found]


def count_calls(client: Client, since: float, until: float) -> int:
    """How many calls ended in ``[since, until)``."""
    query = f"SELECT count() FROM calls FINAL WHERE {_EVER}"
    return int(client.query(query, window("", since, until))[0][0])


def judgements(client: Client, workflow: str, since: float, until: float) -> list[Judgement]:
    """The judgements of a workflow that were given in ``[since, until)``, by time."""
    query = records.select("judgements") + f"WHERE {IN_WINDOW}ORDER BY ts, id_text"
    return list(map(records.judgement_of, client.query(query, window(workflow, since, until))))


def manual_tasks(client: Client, workflow: str, since: float, until: float) -> list[ManualTask]:
    """The tasks of a workflow that were done without the AI in ``[since, until)``, by time."""
    query = records.select("manual_tasks") + f"WHERE {IN_WINDOW}ORDER BY ts, id_text"
    return list(map(records.task_of, client.query(query, window(workflow, since, until))))


def markers(client: Client, workflow: str | None, since: float, until: float) -> list[Marker]:
    """The markers in ``[since, until)``, by time; with a workflow, those of it and those of no workflow.

    A value that appears in the calls for the first time is a marker too, unless the same was announced.
    """
    given = {**window(workflow or "", since, until), "all": int(workflow is None)}
    mine = "({all:UInt8} OR workflow IN ('', {workflow:String})) "
    query = records.select("markers") + "WHERE ts >= {since:Float64} AND ts < {until:Float64} AND " + mine
    sent = list(map(records.marker_of, client.query(query, given)))
    announced = {(marker.kind, marker.workflow, marker.value) for marker in sent}
    seen = [
        Marker(ts, kind, name, value, "first seen", f"first/{kind}/{name}/{value}")
        for name, kind, value, ts in client.query(_FIRSTS + mine, given)
        if (kind, name, value) not in announced
    ]
    return sorted([*sent, *seen], key=lambda marker: (marker.ts, marker.id))


_FIRSTS = (
    "SELECT workflow, kind, value, t FROM (SELECT workflow, kind, value, min(ts) AS t, "
    "min(t) OVER (PARTITION BY workflow, kind) AS began, count() OVER (PARTITION BY workflow, kind) AS values "
    f"FROM firsts GROUP BY workflow, kind, value) WHERE t > began AND values <= {VALUES_LIMIT} "
    "AND t >= {since:Float64} AND t < {until:Float64} AND "
)


def trail(client: Client, trace_id: str, span_id: str) -> Trail | None:
    """The trail of the call with these ids (hex); None when there is no such call."""
    try:
        trace = trace_key(trace_id)
    except ValueError:
        return None
    calls = [call for call in map(records.call_of, _at_home(client, "calls", [trace])) if call.trace_id == trace_id]
    calls = sorted(calls, key=lambda call: call.ts)[:MOST_SIBLINGS]
    call = next((call for call in calls if call.span_id == span_id), None)
    if call is None:
        return None
    spans, tied = gathered_from(Stored(client), trace)
    told = map(records.judgement_of, _at_home(client, "judgements", sorted(tied)))
    judged = sorted((each for each in told if speaks_of(each, call)), key=lambda each: (each.ts, each.id))
    return Trail(call, tuple(judged), tuple(spans), tuple(other for other in calls if other is not call))


def _at_home(client: Client, kind: records.Kind, homes: list[int]) -> list[tuple[Any, ...]]:
    places = client.query(
        "SELECT DISTINCT toString(workflow), minute FROM told "
        "WHERE home IN {homes:Array(Int64)} AND kind = {kind:String}",
        {"homes": homes, "kind": kind},
    )
    given = {"workflows": [name for name, _ in places], "minutes": [at for _, at in places], "homes": homes}
    query = (
        "WHERE workflow IN {workflows:Array(String)} AND minute IN {minutes:Array(Int64)} "
        "AND home IN {homes:Array(Int64)}"
    )
    return client.query(records.select(kind) + query, given) if places else []


def _cursor(call: Call) -> str:
    return f"{call.ts!r}~{call.trace_id}~{call.span_id}"


def _position(cursor: str) -> dict[str, Any]:
    try:
        ts, trace_id, span_id = cursor.split("~")
        return {"at": float(ts), "trace": trace_id, "span": span_id}
    except ValueError:
        raise BadQueryError("cursor is not one that a previous page gave as next") from None
