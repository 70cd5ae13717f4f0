"""What the next value of a series would be: levels, and the same time of the day or week, whichever was best so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

MEMORY = 0.01
"""Weight of the last row in the error of a forecast."""


@dataclass(slots=True)
class Level:
    """Exponential mean whose single steps are limited, so that one spike does not move it; quick while it is new."""

    rate: float
    mean: float | None = None
    rows: int = 0

    def forecast(self) -> float | None:
        """The mean; None before the first value."""
        return self.mean

    def learn(self, value: float | None, reach: float) -> None:
        """Take in a value (None: missing), at most ``reach`` from the mean."""
        if value is None:
            return
        self.rows += 1
        if self.mean is None:
            self.mean = value
            return
        step = value - self.mean
        self.mean += max(self.rate, 1.0 / self.rows) * max(-reach, min(reach, step))


@dataclass(slots=True)
class Season:
    """What the same phase of a period brought before, in bins of ``width`` rows joined by lines.

    With ``follow``, how far the last rows lay off it is added.
    """

    period: int
    width: float = 1.0
    follow: float = 0.0
    bins: list[float | None] = field(default_factory=list)
    at: int = 0
    off: float = 0.0
    rows: int = 0

    def __post_init__(self) -> None:
        self.bins = [None] * max(round(self.period / self.width), 1)

    def forecast(self) -> float | None:
        """The usual value of this phase; None in the first period."""
        if self.rows < self.period:
            return None
        usual = self._usual()
        return None if usual is None else usual + self.off

    def _usual(self) -> float | None:
        place = self.at / self.width - (0.5 if self.width > 1 else 0.0)
        first = math.floor(place)
        low, high = self.bins[first % len(self.bins)], self.bins[(first + 1) % len(self.bins)]
        if low is None or high is None or self.width <= 1:
            return low if self.width <= 1 else None
        share = place - first
        return low + share * (high - low)

    def learn(self, value: float | None, reach: float) -> None:
        """Take in the value of this phase (None: missing), at most ``reach`` from the usual one."""
        if value is not None:
            usual = self._usual() if self.rows >= self.period else None
            if usual is not None and self.follow:
                self.off += self.follow * max(-reach, min(reach, value - usual - self.off))
            place = min(int(self.at / self.width), len(self.bins) - 1)
            known = self.bins[place]
            rate = (0.3 if self.rows >= self.period else 1.0) / max(self.width / 2, 1.0)
            self.bins[place] = value if known is None else known + rate * max(-reach, min(reach, value - known))
        self.at = (self.at + 1) % self.period
        self.rows += 1


@dataclass(slots=True)
class Best:
    """Several forecasts; the one with the smallest usual error speaks."""

    models: Sequence[Level | Season]
    errors: list[float] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.errors = [0.0] * len(self.models)
        self.tried = [0] * len(self.models)

    def step(self, value: float | None, reach: float) -> float | None:
        """The forecast for ``value``, which is learned afterwards; None while there is none."""
        best, least = None, math.inf
        for i, model in enumerate(self.models):
            forecast = model.forecast()
            if forecast is not None:
                error = self.errors[i]
                if self.tried[i] and error < least:
                    best, least = forecast, error
                if value is not None:
                    self.tried[i] += 1
                    now = min(abs(value - forecast), reach)
                    self.errors[i] += max(MEMORY, 1.0 / self.tried[i]) * (now - error)
            model.learn(value, reach)
        return best
