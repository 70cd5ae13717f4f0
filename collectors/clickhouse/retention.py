"""Forgetting in ClickHouse: days of receipt are dropped whole, and one user's data is deleted row by row."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from driftbell.collectors.clickhouse import points, registry
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.registry import Registry
from driftbell.collectors.clickhouse.schema import DATED
from driftbell.collectors.refresh import DAY, HOUR
from driftbell.collectors.retention import RetentionPolicy, oldest_minute
from driftbell.collectors.rollup import MINUTE

MARKS_DAYS = 7.0
"""Days that marks are kept which are long done."""
_MARKS = ("arrived", "dirty")


def forget(client: Client, registered: Registry, now: float, policy: RetentionPolicy, version: int) -> int:
    """Forget what is older than ``policy`` says; how many days of spans it was.

    A day is dropped once all of it is too old, so that data is kept for up to a day longer than on SQLite.
    """
    last = math.floor((now - policy.calls * DAY) / DAY) - 1
    days = [day for day in _days(client, "spans") if day <= last]
    if days:
        _raise_floors(client, last, version)
    for table in DATED:
        if table in _MARKS:
            oldest = math.floor((now - MARKS_DAYS * DAY) / DAY) - 1
        elif table == "trust":
            oldest = math.floor((now - policy.trust * DAY) / DAY) - 1
        else:
            oldest = last
        for day in _days(client, table):
            if day <= oldest:
                client.command(f"ALTER TABLE {table} DROP PARTITION {day:d}")
    _raise_minutes(client, now, policy, version + 1)
    registered.reload()
    return len(days)


def _days(client: Client, table: str) -> list[int]:
    query = (
        "SELECT DISTINCT toInt64(partition) FROM system.parts "
        "WHERE database = currentDatabase() AND table = {table:String} AND active ORDER BY 1"
    )
    return [day for (day,) in client.query(query, {"table": table})]


def _raise_floors(client: Client, last: int, version: int) -> None:
    """Nothing that ended in an hour of which calls are gone can be taken any more: it could not be counted right."""
    known = registry.load(client)
    end = (last + 1) * DAY
    query = "SELECT workflow, max(ts) FROM calls FINAL WHERE received < {end:Float64} GROUP BY workflow"
    for name, newest in client.query(query, {"end": end}):
        floor = math.ceil(min(newest, end) / HOUR) * HOUR
        one = known[name]
        registry.save(client, replace(one, calls_purged=max(one.calls_purged or floor, floor)), version)


def _raise_minutes(client: Client, now: float, policy: RetentionPolicy, version: int) -> None:
    """From now on, hours before this are made from the calls, for their minutes are forgotten."""
    for one in registry.load(client).values():
        latest = min(now, one.workflow.newest_ts)
        floor = math.ceil((latest - policy.of(one.workflow.name).minutes * DAY) / HOUR) * HOUR
        if floor > (one.minutes_purged or -math.inf):
            registry.save(client, replace(one, minutes_purged=floor), version)


def forget_points(
    client: Client,
    mine: Callable[[str], bool],
    now: float,
    policy: RetentionPolicy,
    evaluated: Mapping[str, float] | None = None,
) -> None:
    """Forget the points of workflows that are ``mine``: who watches them knows that they are evaluated."""
    for name, one in registry.load(client).items():
        own, latest = policy.of(name), min(now, one.workflow.newest_ts)
        minute = oldest_minute(latest, own, name, evaluated)
        for resolution, start in ((MINUTE, minute), (HOUR, latest - own.hours * DAY), (DAY, latest - own.days * DAY)):
            given = {"r": resolution, "w": name, "before": int(start)}
            where = "resolution = {r:UInt32} AND workflow = {w:String} AND start < {before:Int64}"
            if mine(name) and client.query(f"SELECT 1 FROM points WHERE {where} LIMIT 1", given):
                client.command(f"DELETE FROM points WHERE {where}", given)


def forget_user(client: Client, user: str, now: float) -> int:
    """Forget every call, task and span of the user with this hash; how many calls and tasks it was."""
    given: dict[str, object] = {"user": user}
    records: list[tuple[str, int, int]] = []
    for table in ("calls", "manual_tasks"):
        query = f"SELECT toString(workflow), minute, home FROM {table} FINAL WHERE user_id = {{user:String}}"
        records += [(workflow, minute, home) for workflow, minute, home in client.query(query, given)]
    homes = sorted({home for *_, home in records if home})
    changed = {(workflow, minute) for workflow, minute, _ in records}
    told = "SELECT DISTINCT toString(workflow), minute FROM told WHERE home IN {homes:Array(Int64)} AND workflow != ''"
    changed |= {(workflow, minute) for workflow, minute in client.query(told, {"homes": homes})} if homes else set()
    points.mark_minutes(client, changed, now)
    _delete(client, ("spans", "links"), "trace IN {homes:Array(Int64)}", {"homes": homes})
    _delete(
        client,
        ("calls", "judgements", "manual_tasks", "markers", "told"),
        "home IN {homes:Array(Int64)}",
        {"homes": homes},
    )
    _delete(client, ("calls", "manual_tasks"), "user_id = {user:String}", given)
    points.mark_minutes(client, changed, now)  # again, for it may have been rebuilt in between
    return len(records)


def _delete(client: Client, tables: Iterable[str], where: str, given: dict[str, object]) -> None:
    if given.get("homes") == []:
        return
    for table in tables:
        client.command(f"DELETE FROM {table} WHERE {where}", given)


def strip_points(client: Client, user: str, version: int) -> None:
    """Take the user out of the points that name the heaviest users, also those that can no longer be made anew."""
    found = client.query(
        "SELECT resolution, toString(workflow), start FROM points FINAL "
        "WHERE arrayExists(body -> position(body, {named:String}) > 0, bodies)",
        {"named": json.dumps(user)},
    )
    for resolution, workflow, start in found:
        held = points.load(client, resolution, workflow, start, start + 1)
        for point in held:
            point.users.pop(user, None)
        points.replace_all(client, [((resolution, workflow, start), held)], version)
