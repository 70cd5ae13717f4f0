"""History: where stored points are read back, the store of the live service or the memory of a replay."""

from typing import Literal, Protocol

from driftbell.collectors.call import Marker
from driftbell.collectors.point import Point
from driftbell.collectors.trust import TrustPoint

HOUR = 3600
SETTLED = 20 * HOUR
"""Hours that ended longer ago are read as hours; the newest may not be summed yet, and minutes are kept for a day."""


class History(Protocol):
    """Where stored points are read back: `driftbell.collectors.store.Store`, or the memory of a replay."""

    def points(
        self, workflow: str, since: float, until: float, resolution: Literal["minute", "hour", "day"] = "minute"
    ) -> list[Point]:
        """Points that start in ``[since, until)``."""
        ...

    def bins(self, workflow: str, since: float, until: float, length: int) -> dict[int, list[Point]]:
        """The minutes of ``[since, until)`` as `driftbell.collectors.binned.bins_of` adds them up."""
        ...

    def markers(self, workflow: str | None = None, since: float = ..., until: float = ...) -> list[Marker]:
        """Markers of a workflow (and those of all workflows) in ``[since, until)``."""
        ...

    def trust(self, since: float, until: float) -> list[TrustPoint]:
        """What was counted of the telemetry in the minutes of ``[since, until)``, by service."""
        ...


def points_since(history: History, workflow: str, begin: float, until: int) -> list[Point]:
    """Points of ``[begin, until)`` (epoch s): by minute, and by whole hours where these are summed for certain.

    So it does not matter when minutes are forgotten: live, after a restart and in a replay it is the same.
    """
    minute, summed = int(begin // 60) * 60, (until - SETTLED) // HOUR * HOUR
    first = -(-minute // HOUR) * HOUR
    if summed <= first:
        return history.points(workflow, minute, until, "minute")
    return [*history.points(workflow, first, summed, "hour"), *history.points(workflow, summed, until, "minute")]
