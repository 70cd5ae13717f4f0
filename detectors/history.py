"""History: where stored points are read back, the store of the live service or the memory of a replay."""

from typing import Literal, Protocol

from driftbell.collectors.call import Marker
from driftbell.collectors.point import Point
from driftbell.collectors.trust import TrustPoint


class History(Protocol):
    """Where stored points are read back: `driftbell.collectors.store.Store`, or the memory of a replay."""

    def points(
        self, workflow: str, since: float, until: float, resolution: Literal["minute", "hour", "day"] = "minute"
    ) -> list[Point]:
        """Points that start in ``[since, until)``."""
        ...

    def markers(self, workflow: str | None = None, since: float = ..., until: float = ...) -> list[Marker]:
        """Markers of a workflow (and those of all workflows) in ``[since, until)``."""
        ...

    def trust(self, since: float, until: float) -> list[TrustPoint]:
        """What was counted of the telemetry in the minutes of ``[since, until)``, by service."""
        ...
