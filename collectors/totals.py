"""Sums over the points of every workflow, read without building the points: the numbers of an overview."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from driftbell.collectors.press import release


@dataclass(slots=True)
class Totals:
    """What one workflow did in the interval that starts at ``start`` (epoch s), all its series together.

    ``rates``: name -> ``[hits, trials]``; ``sums``: name -> ``[count, total]`` of a quantity; ``latency``: log-bucket
    histogram of the response time. A name that is absent was not observed.
    """

    workflow: str
    start: int
    calls: int = 0
    manual: int = 0
    rates: dict[str, list[int]] = field(default_factory=dict)
    sums: dict[str, list[float]] = field(default_factory=dict)
    latency: dict[int, int] = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        """Add those of another interval."""
        self.calls += other.calls
        self.manual += other.manual
        for name, (hits, trials) in other.rates.items():
            rate = self.rates.setdefault(name, [0, 0])
            rate[0] += hits
            rate[1] += trials
        for name, (count, total) in other.sums.items():
            cell = self.sums.setdefault(name, [0, 0.0])
            cell[0] += count
            cell[1] += total
        for index, n in other.latency.items():
            self.latency[index] = self.latency.get(index, 0) + n

    def take(self, body: str) -> None:
        """Add a stored point (see `driftbell.collectors.point.Point.encode`)."""
        read = json.loads(body)
        self.calls += read["c"]
        self.manual += read.get("m", 0)
        for name, (hits, trials) in read.get("r", {}).items():
            rate = self.rates.get(name)
            if rate is None:
                self.rates[name] = [hits, trials]
            else:
                rate[0] += hits
                rate[1] += trials
        for name, (count, total, *pairs) in read.get("q", {}).items():
            cell = self.sums.get(name)
            if cell is None:
                self.sums[name] = [count, total]
            else:
                cell[0] += count
                cell[1] += total
            if name == "latency_ms":
                for index, n in zip(pairs[::2], pairs[1::2], strict=True):
                    self.latency[index] = self.latency.get(index, 0) + n


def load_totals(db: sqlite3.Connection, resolution: int, since: float, until: float) -> Iterator[Totals]:
    """One `Totals` per workflow and interval that starts in ``[since, until)``, by workflow and start."""
    for number, name in db.execute("SELECT id, name FROM workflows ORDER BY name").fetchall():
        held: Totals | None = None
        rows = db.execute(
            "SELECT start, body FROM points WHERE resolution = ? AND workflow = ? AND start >= ? AND start < ? "
            "ORDER BY start",
            (resolution, number, since, until),
        )
        for start, body in rows:
            if held is None or held.start != start:
                if held is not None:
                    yield held
                held = Totals(name, start)
            held.take(release(body))
        if held is not None:
            yield held


def count_points(db: sqlite3.Connection, resolution: int, workflow: int, since: float, until: float) -> int:
    """How many points are stored of intervals that start in ``[since, until)``."""
    query = "SELECT count(*) FROM points WHERE resolution = ? AND workflow = ? AND start >= ? AND start < ?"
    return int(db.execute(query, (resolution, workflow, since, until)).fetchone()[0])
