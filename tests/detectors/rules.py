"""Made-up points for the rules beside the sequential tests, and a station that is stepped through them."""

from collections.abc import Callable, Iterable

from driftbell.collectors.point import Point, PointKey, Quantity
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Memory
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.station import Station
from driftbell.detectors.workflow import BIN

MONDAY = 1_772_409_600
"""Monday 2 March 2026, 00:00 UTC."""
HOUR, DAY = 3600, 86400
Bin = Callable[[int], Iterable[Point]]


def point(start: int, calls: int, segment: str | None = None, **measures: tuple[int, int] | list[float]) -> Point:
    """``calls`` calls of one minute; a pair is a rate ``(hits, trials)``, a list the values of a quantity."""
    made = Point(PointKey(start, "claims", segment, None, "atlas", "v1"), calls)
    for name, measure in measures.items():
        if isinstance(measure, tuple):
            made.rates[name] = list(measure)
        else:
            made.quantities[name] = Quantity()
            for value in measure:
                made.quantities[name].observe(value)
    return made


def told(settings: dict, days: float, bins: Bin, restart_every: int = 0) -> list[Finding]:
    """Findings of ``days`` of bins from Monday on; the station is put away and taken up every so many bins."""
    chosen = DetectorSettings.model_validate(settings)
    station, memory = Station("claims", chosen), Memory()
    found: list[Finding] = []
    for i, start in enumerate(range(MONDAY, MONDAY + int(days * DAY), BIN)):
        points = list(bins(start))
        memory.add(points)
        if restart_every and i % restart_every == 0:
            station = Station.restore("claims", *station.dump(), chosen)
        found += station.step(start, points, memory)
    return found


def limits(**limit: object) -> dict:
    """Settings with one limit."""
    return {"limits": [limit]}
