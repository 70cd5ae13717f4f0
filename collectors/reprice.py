"""New prices for calls that are already stored."""

import sqlite3
from dataclasses import dataclass

from driftbell.collectors import rows
from driftbell.collectors.pricing import PriceTable, price
from driftbell.collectors.refresh import mark
from driftbell.collectors.rollup import MINUTE, minute_of

PORTION = 1000
"""Calls that one transaction looks at."""


@dataclass(frozen=True, slots=True)
class Repriced:
    """How many calls were looked at, how many got another price, and the last row of the portion (None at the end)."""

    seen: int
    changed: int
    last: int | None


def reprice(db: sqlite3.Connection, prices: PriceTable, since: float, until: float, after: int, now: float) -> Repriced:
    """Price one portion of the calls that ended in ``[since, until)`` again, rows beyond ``after``."""
    query = rows.SELECT_CALLS.replace("SELECT ", "SELECT c.id, c.workflow, ", 1)
    found = db.execute(
        query + "WHERE c.id > ? AND c.ts >= ? AND c.ts < ? ORDER BY c.id LIMIT ?", (after, since, until, PORTION)
    ).fetchall()
    changed = 0
    for row, workflow, *fields in found:
        call = rows.call_of(tuple(fields))
        again = price(call, prices)
        if (again.cost_usd, again.cost_source, again.price_version) == (
            *(call.cost_usd, call.cost_source),
            call.price_version,
        ):
            continue
        names = rows.call_names(again)
        number = rows.names_id(names)
        db.execute(rows.INSERT_DIMENSIONS, (number, *names))
        db.execute("UPDATE calls SET cost_usd = ?, dimensions = ? WHERE id = ?", (again.cost_usd, number, row))
        mark(db, [(MINUTE, workflow, minute_of(call.ts))], now)
        changed += 1
    return Repriced(len(found), changed, found[-1][0] if len(found) == PORTION else None)
