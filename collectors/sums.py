"""Stored points read without the histograms that nobody needs: counts, sums and the few histograms asked for."""

import sqlite3
from collections.abc import Container, Iterator

from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.press import release
from driftbell.collectors.rollup import MINUTE

RESOLUTIONS = {"minute": MINUTE, "hour": 60 * MINUTE, "day": 24 * 60 * MINUTE}
"""Length of an interval in seconds."""


def load_sums(
    db: sqlite3.Connection,
    workflow: str,
    since: float,
    until: float,
    resolution: str,
    histograms: Container[str] = (),
) -> Iterator[Point]:
    """The points of a workflow that start in ``[since, until)``, by start; only ``histograms`` have their buckets."""
    found = db.execute(
        "SELECT p.start, p.segment, p.risk_tier, p.model, p.prompt_version, p.body FROM workflows w "
        "JOIN points p ON p.workflow = w.id WHERE w.name = ? AND p.resolution = ? AND p.start >= ? AND p.start < ? "
        "ORDER BY p.start, p.row",
        (workflow, RESOLUTIONS[resolution], since, until),
    )
    for start, segment, risk_tier, model, prompt_version, body in found:
        key = PointKey(start, workflow, segment, risk_tier, model, prompt_version)
        yield Point.decode(key, release(body), histograms)
