"""New prices for calls that are already stored in ClickHouse."""

from collections.abc import Callable

from driftbell.collectors.clickhouse import points, records
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.records import Place
from driftbell.collectors.pricing import PriceTable, price
from driftbell.collectors.rollup import MINUTE, minute_of

PORTION = 10 * MINUTE
"""Seconds of calls of one workflow that are looked at together."""


def reprice(
    client: Client,
    prices: PriceTable,
    since: float,
    until: float,
    clock: Callable[[], float],
    version: Callable[[float], int],
    seen: Callable[[int], object],
) -> int:
    """Price the calls that ended in ``[since, until)`` again; how many changed."""
    given = points.window("", since, until)
    query = (
        "SELECT DISTINCT toString(workflow), intDiv(minute, {step:Int64}) * {step:Int64} FROM calls "
        "WHERE ts >= {since:Float64} AND ts < {until:Float64} ORDER BY 1, 2"
    )
    changed = 0
    for workflow, start in client.query(query, {**given, "step": PORTION}):
        window = points.window(workflow, max(since, start), min(until, start + PORTION))
        changed += _portion(client, prices, window, clock(), version, seen)
    return changed


def _portion(
    client: Client,
    prices: PriceTable,
    window: dict[str, object],
    now: float,
    version: Callable[[float], int],
    seen: Callable[[int], object],
) -> int:
    names = (*records.COLUMNS["calls"], "key", "home", "received")
    found = client.query(records.select("calls", names) + f"WHERE {points.IN_WINDOW}", window)
    number = version(now)
    rows, minutes = [], set()
    for *row, key, home, received in found:
        call = records.call_of(row)
        again = price(call, prices)
        if again == call:
            continue
        place = Place("calls", call.workflow, minute_of(call.ts), key)
        rows.append(records.row_of(place, again, home, received, number))
        minutes.add((place.workflow, place.minute))
    points.mark_minutes(client, minutes, now)
    client.insert("calls", records.columns("calls"), rows)
    points.mark_minutes(client, minutes, now)  # again, for it may have been rebuilt in between
    seen(len(found))
    return len(rows)
