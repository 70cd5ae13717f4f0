"""How far the telemetry can be trusted, counted by several processes: each portion under a number of its own."""

from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.rollup import minute_of
from driftbell.collectors.trust import Counters, TrustPoint

_COLUMNS = ("minute", "service", "counter", "value", "portion", "received")


def save_counters(client: Client, counters: Counters, now: float, portion: int) -> None:
    """Add ``counters`` to the minute of ``now``; the same ``portion`` again adds nothing."""
    rows = [(minute_of(now), service, name, float(n), portion, now) for (service, name), n in counters.items() if n]
    client.insert("trust", _COLUMNS, rows)


def load_sums(client: Client, since: float, until: float, step: int, service: str | None = None) -> list[TrustPoint]:
    """The counters of each service added up over steps of ``step`` seconds from ``since`` on, by time."""
    began = int(since) if step != 60 else 0
    query = (
        "SELECT intDiv(minute - {began:Int64}, {step:Int64}) * {step:Int64} + {began:Int64} AS start, "
        "service, counter, sum(value) FROM trust FINAL WHERE minute >= {since:Float64} AND minute < {until:Float64} "
        "AND ({all:UInt8} OR service = {service:String}) GROUP BY start, service, counter ORDER BY start, service"
    )
    given = {"began": began, "step": step, "since": since, "until": until}
    whose = {"all": int(service is None), "service": service or ""}
    points: dict[tuple[int, str], TrustPoint] = {}
    for start, name, counter, value in client.query(query, given | whose):
        points.setdefault((start, name), TrustPoint(start, name)).counters[counter] = value
    return list(points.values())
