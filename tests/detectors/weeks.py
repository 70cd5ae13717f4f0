"""Made-up days for the comparison of weeks: one point per segment and day, with the noise that real levels have."""

from collections.abc import Callable

import numpy as np

from driftbell.collectors.point import Point, PointKey, Quantity
from driftbell.detectors.drift import DriftWatch
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Memory
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import WorkflowDetector

DAY = 86400
MONDAY = 1_772_409_600
Level = Callable[[int, str], float]
"""``(day, measure)`` -> factor on the usual level."""


def day_point(day: int, segment: str, calls: int, factor: dict[str, float], rng: np.random.Generator) -> Point:
    """``calls`` calls of one segment and day: log-normal tokens and cost, 5 % overrides, a score."""
    point = Point(PointKey(MONDAY + day * DAY, "claims", segment, None, "atlas", "v1"), calls)
    tokens = np.exp(rng.normal(7.0, 0.6, calls)) * factor["input_tokens"]
    for name, values in (
        ("input_tokens", tokens),
        ("cost", tokens * 3e-6),
        ("eval.ok", np.clip(rng.normal(0.8, 0.1, calls) * factor["eval.ok"], 0.01, 1.0)),
    ):
        point.quantities[name] = Quantity()
        for value in values.tolist():
            point.quantities[name].observe(value)
    point.rates["override"] = [int(rng.binomial(calls, min(0.05 * factor["override"], 1.0))), calls]
    point.rates["error"] = [int(rng.binomial(calls, 0.01)), calls]
    return point


def watched(
    days: int,
    seed: int,
    level: Level = lambda day, measure: 1.0,
    calls: Callable[[int], float] = lambda day: 120.0,
    wander: float = 0.03,
    cling: float = 0.5,
    settings: DetectorSettings | None = None,
    restart_every: int = 0,
    said: Callable[[DriftWatch, list[Finding]], None] = lambda watch, found: None,
) -> list[Finding]:
    """What the comparison of weeks tells in ``days`` days.

    Each measure's level wanders from day to day by ``wander`` (standard deviation of its logarithm), each day clinging
    to the one before; every weekday has its own level, and volume moves by half from day to day.
    """
    rng = np.random.default_rng(seed)
    chosen = settings or DetectorSettings()
    watch, memory = DriftWatch(WorkflowDetector("claims", chosen)), Memory()
    measures = ("input_tokens", "eval.ok", "override")
    weekdays = {measure: np.exp(rng.normal(0, 0.08, 7)) for measure in measures}
    away = dict.fromkeys(measures, 0.0)
    found: list[Finding] = []
    for day in range(days):
        factor = {}
        for measure in measures:
            away[measure] = cling * away[measure] + rng.normal(0, wander * (1 - cling**2) ** 0.5)
            factor[measure] = float(np.exp(away[measure]) * weekdays[measure][day % 7]) * level(day, measure)
        points = [
            day_point(day, segment, max(int(share * calls(day) * np.exp(rng.normal(0, 0.3))), 1), factor, rng)
            for segment, share in (("north", 0.6), ("south", 0.4))
        ]
        memory.days.update({point.key: point for point in points})
        if restart_every and day % restart_every == 0:
            taken = DriftWatch(WorkflowDetector("claims", chosen))
            taken.load(watch.dump())
            watch = taken
        start = MONDAY + day * DAY + DAY - 300
        told = watch.step(start, points, start + 360.0, memory)
        said(watch, told)
        found += told
    return found
