"""Stored points read without what nobody needs of them: without most histograms, or without making points at all."""

import sqlite3
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.press import release
from driftbell.collectors.rollup import MINUTE

RESOLUTIONS = {"minute": MINUTE, "hour": 60 * MINUTE, "day": 24 * 60 * MINUTE}
"""Length of an interval in seconds."""


SPREADS = frozenset({"latency_ms", "review_ms"})
"""Quantities of which even who adds up sums asks how the values lay."""


class Stored(NamedTuple):
    """A point as it is stored, to be added up without making a `Point` of it.

    ``rates``: name -> ``[hits, trials]``. ``quantities``: name -> ``[count, total]``, which buckets may follow, each
    with its count: they do in minutes, and for `SPREADS` in hours and days too. ``users``: calls of the heaviest users.
    """

    key: PointKey
    calls: int
    manual: int
    rates: Mapping[str, Sequence[int]]
    quantities: Mapping[str, Sequence[float]]
    users: Mapping[str, int]


def read_stored(key: PointKey, text: str) -> Stored:
    """Read what `Point.encode` wrote."""
    body = orjson.loads(text)
    return Stored(key, body["c"], body.get("m", 0), body.get("r", {}), body.get("q", {}), body.get("u", {}))


def stored_of(point: Point) -> Stored:
    """What would be stored of ``point``."""
    return read_stored(point.key, point.encode())


@lru_cache(maxsize=10_000)
def names_of(text: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Segment, risk tier, model and prompt version out of the JSON list in which they are stored."""
    segment, risk_tier, model, prompt_version = orjson.loads(text)
    return segment, risk_tier, model, prompt_version


def load_sums(
    db: sqlite3.Connection,
    workflow: str,
    since: float,
    until: float,
    resolution: str,
    histograms: Container[str] = (),
) -> Iterator[Point]:
    """The points of a workflow that start in ``[since, until)``, by start; only ``histograms`` have their buckets."""
    for key, body in _bodies(db, workflow, since, until, resolution):
        yield Point.decode(key, body, histograms)


def load_stored(db: sqlite3.Connection, workflow: str, since: float, until: float, resolution: str) -> Iterator[Stored]:
    """Like `load_sums`, as it is stored."""
    for key, body in _bodies(db, workflow, since, until, resolution):
        yield read_stored(key, body)


def _bodies(
    db: sqlite3.Connection, workflow: str, since: float, until: float, resolution: str
) -> Iterator[tuple[PointKey, str]]:
    found = db.execute(
        "SELECT p.start, p.segment, p.risk_tier, p.model, p.prompt_version, p.body FROM workflows w "
        "JOIN points p ON p.workflow = w.id WHERE w.name = ? AND p.resolution = ? AND p.start >= ? AND p.start < ? "
        "ORDER BY p.start, p.row",
        (workflow, RESOLUTIONS[resolution], since, until),
    )
    for start, segment, risk_tier, model, prompt_version, body in found:
        yield PointKey(start, workflow, segment, risk_tier, model, prompt_version), release(body)
