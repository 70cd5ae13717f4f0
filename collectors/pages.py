"""Points in pages of whole intervals."""

import sqlite3
from dataclasses import dataclass

from driftbell.collectors import refresh
from driftbell.collectors.point import Point
from driftbell.collectors.sums import RESOLUTIONS, load_sums


@dataclass(frozen=True, slots=True)
class PointPage:
    """Points by start, and the start of the first interval after them (None at the end)."""

    points: list[Point]
    next: int | None


def point_page(
    db: sqlite3.Connection, workflow: str, resolution: str, since: float, until: float, limit: int, histograms: bool
) -> PointPage:
    """The points of a workflow that start in ``[since, until)``, about ``limit`` of them.

    An interval is never divided: a first one that alone has more than ``limit`` is answered whole. Without
    ``histograms`` quantities have their counts and totals only, which is read faster.
    """
    row = db.execute("SELECT id FROM workflows WHERE name = ?", (workflow,)).fetchone()
    if row is None:
        return PointPage([], None)
    place = (RESOLUTIONS[resolution], row[0])

    def load(since: float, until: float) -> list[Point]:
        if histograms:
            return refresh.load(db, *place, since, until)
        return list(load_sums(db, workflow, since, until, resolution))

    starts = (
        "SELECT start FROM points WHERE resolution = ? AND workflow = ? AND start {} ? AND start < ? ORDER BY start"
    )
    beyond = db.execute(starts.format(">=") + " LIMIT 1 OFFSET ?", (*place, since, until, limit)).fetchone()
    if beyond is None:
        return PointPage(load(since, until), None)
    following = beyond[0]
    page = load(since, following)
    if not page:
        later = db.execute(starts.format(">") + " LIMIT 1", (*place, following, until)).fetchone()
        page = load(following, following + 1)
        following = None if later is None else later[0]
    return PointPage(page, following)
