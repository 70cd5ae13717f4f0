"""How far the telemetry itself can be trusted: counters per sending service and minute of receipt.

They tell a broken instrument from a real change: a service that suddenly loses spans or stops sending usage must not
raise a cost alarm. They are kept apart from the points, which speak of the calls.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from driftbell.collectors.call import Call
from driftbell.collectors.connect import Connected
from driftbell.collectors.rollup import minute_of
from driftbell.collectors.span import UNKNOWN, Span
from driftbell.collectors.template import NANO, Filled, Template
from driftbell.monitor.attributes import DROPPED_SPANS

COUNTERS = (
    *("received", "rejected", "duplicated", "late", "too_old", "ahead", "sampled"),
    *("sdk_dropped", "lag_ms", "ahead_ms"),
    *("calls", "unpriced", "usage_missing", "usage_estimated", "unnamed"),
)
"""Spans received, rejected as invalid, seen before, ended more than `LATE_S` before they came, too old to be taken,
ended more than `AHEAD_S` after they came (a clock is wrong), standing for others that the sender left out, lost inside
the application; milliseconds by which all together came after their end, or before it (at most `FURTHEST_S` each);
calls, and those of them without a price, without usage, with usage that the sender estimated, of a workflow beyond the
limit. A call is counted when it is first told of."""
LATE_S = 600.0
AHEAD_S = 5.0
FURTHEST_S = 3600.0
SERVICES = 500
"""Services with counters of their own in one minute; the rest is counted together."""
OTHER = "(other)"

Counters = Counter[tuple[str, str]]
"""``(service, counter) -> amount``."""


@dataclass(frozen=True, slots=True)
class TrustPoint:
    """The counters of one service in the minute that starts at ``minute`` (epoch seconds); absent means zero."""

    minute: int
    service: str
    counters: dict[str, float] = field(default_factory=dict)


def count_span(counters: Counters, span: Span, service: str, now: float) -> None:
    """Count what can be told from a span as it comes, received at ``now``."""
    counters[service, "received"] += 1
    counters[service, "sampled"] += span.sampled
    _count_end(counters, service, span.end, now)
    lost = span.attributes.get(DROPPED_SPANS)
    if isinstance(lost, int) and 0 < lost < 2**31:
        counters[service, "sdk_dropped"] += lost


def count_filled(counters: Counters, spans: Sequence[Filled], now: float) -> None:
    """`count_span` for spans that fit templates, received at ``now``."""
    for template, number in Counter([span[0] for span in spans]).items():
        counters[template.service, "received"] += number
    late, wall = int((now - LATE_S) / NANO), int(now / NANO)
    lag: Counter[Template] = Counter()
    for span in spans:
        if late <= span[5] <= wall:
            lag[span[0]] += wall - span[5]
        else:
            _count_end(counters, span[0].service, span[5] * NANO, now)
    for template, nanos in lag.items():
        counters[template.service, "lag_ms"] += nanos // 1_000_000


def _count_end(counters: Counters, service: str, end: float, now: float) -> None:
    if end > now:
        counters[service, "ahead_ms"] += round(1e3 * min(end - now, FURTHEST_S))
        counters[service, "ahead"] += end > now + AHEAD_S
    else:
        counters[service, "lag_ms"] += round(1e3 * min(now - end, FURTHEST_S))
        counters[service, "late"] += end < now - LATE_S


def count_call(counters: Counters, service: str, call: Call, priced: bool, times: int = 1) -> None:
    """Count ``times`` calls of traces that were not known before."""
    counters[service, "calls"] += times
    if not priced:
        counters[service, "unpriced"] += times
    if call.usage_source != "provider":
        counters[service, f"usage_{call.usage_source}"] += times


def count_calls(counters: Counters, group: Connected, calls: Iterable[Call]) -> None:
    """Count the calls of traces that were not known before."""
    if group.whole or group.partial:
        return
    services = {reading.key: reading.service for reading in group.readings}
    for call in calls:
        service = services.get((call.trace_id, call.span_id)) or UNKNOWN
        count_call(counters, service, call, call.cost_usd is not None)


def save_counters(db: sqlite3.Connection, counters: Counters, now: float) -> None:
    """Add ``counters`` to the minute of ``now``; services beyond `SERVICES` are counted as one."""
    if not counters:
        return
    minute = minute_of(now)
    known = {name for (name,) in db.execute("SELECT DISTINCT service FROM trust WHERE minute = ?", (minute,))}
    rows: Counters = Counter()
    for (service, counter), amount in counters.items():
        if service not in known and len(known) >= SERVICES:
            service = OTHER
        known.add(service)
        rows[service, counter] += amount
    db.executemany(
        "INSERT INTO trust VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(minute, service, counter, amount) for (service, counter), amount in rows.items()],
    )


def load_points(db: sqlite3.Connection, since: float, until: float, service: str | None) -> list[TrustPoint]:
    """The counters of minutes that start in ``[since, until)``, by minute and service."""
    rows = db.execute(
        "SELECT minute, service, counter, value FROM trust "
        "WHERE minute >= ? AND minute < ? AND (?3 IS NULL OR service = ?3) ORDER BY minute, service",
        (since, until, service),
    )
    points: dict[tuple[int, str], TrustPoint] = {}
    for minute, name, counter, value in rows:
        points.setdefault((minute, name), TrustPoint(minute, name)).counters[counter] = value
    return list(points.values())


def load_sums(db: sqlite3.Connection, since: float, until: float, step: int) -> list[TrustPoint]:
    """The counters of each service added up over steps of ``step`` seconds from ``since`` on, by time."""
    rows = db.execute(
        "SELECT CAST((minute - ?1) / ?3 AS INTEGER) * ?3 + ?1, service, counter, sum(value) FROM trust "
        "WHERE minute >= ?1 AND minute < ?2 GROUP BY 1, 2, 3 ORDER BY 1, 2",
        (int(since), until, step),
    )
    points: dict[tuple[int, str], TrustPoint] = {}
    for minute, name, counter, value in rows:
        points.setdefault((minute, name), TrustPoint(minute, name)).counters[counter] = value
    return list(points.values())
