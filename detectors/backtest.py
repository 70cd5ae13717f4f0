"""Any ``timestamp,value`` series, scored online: how unlikely is this point, or this run of points, if all is normal?

The score is ``-log10`` of a chance. Single points are judged by the tail of their own past residuals (peaks over
threshold, a generalised Pareto tail fitted by moments; Pickands 1975), runs by a two-sided CUSUM whose own past
excursions say how high it climbs by itself (their tail is exponential also under dependence). Nothing looks ahead.
"""

import csv
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

WARM_UP = 200
"""Points before which nothing is scored."""
KEPT = 4000
"""Residuals remembered for the tail."""
FREAK = 1e4
"""A residual of so many times the usual one is scored but not learned: it is no value of this series."""
EPISODE = 4.3
"""Score from which an episode runs: half a false one in 10,000 points."""
GAP = 12
"""Points below it after which an episode is over."""
DAY = 86400.0


class Scored(NamedTuple):
    """One row; ``value`` None for a missing one, ``score`` None while it is not known."""

    timestamp: str
    value: float | None
    score: float | None


class Episode(NamedTuple):
    """A run of unlikely rows, from the first to the last."""

    start: str
    end: str
    peak: float
    rows: int


class BadSeriesError(ValueError):
    """A file that is no series; the message says what to write."""


@dataclass(slots=True)
class _Level:
    """Exponential mean whose single steps are limited, so that one spike does not move it."""

    rate: float
    mean: float | None = None

    def forecast(self) -> float | None:
        return self.mean

    def learn(self, value: float, reach: float) -> None:
        if self.mean is None:
            self.mean = value
            return
        step = value - self.mean
        self.mean += self.rate * max(-reach, min(reach, step))


@dataclass(slots=True)
class _Season:
    """What the same phase of the period brought before, plus how far the last points lay off it."""

    period: int
    seen: list[float | None] = field(default_factory=list)
    at: int = 0
    off: float = 0.0

    def forecast(self) -> float | None:
        if len(self.seen) < self.period:
            return None
        usual = self.seen[self.at]
        return None if usual is None else usual + self.off

    def learn(self, value: float | None, reach: float) -> None:
        if len(self.seen) < self.period:
            # A freak must not become what is usual for its phase.
            freak = value is None or abs(value) > 1e6 * reach
            self.seen.append(None if freak else value)
            return
        usual = self.seen[self.at]
        if value is not None:
            if usual is None:
                self.seen[self.at] = value
            else:
                self.off += 0.1 * (max(-reach, min(reach, value - usual - self.off)))
                self.seen[self.at] = usual + 0.3 * max(-reach, min(reach, value - usual))
        self.at = (self.at + 1) % self.period


@dataclass(slots=True)
class _Tail:
    """Past absolute residuals in order of size and of time; the chance of a larger one."""

    ordered: list[float] = field(default_factory=list)
    by_time: deque[float] = field(default_factory=deque)

    def add(self, size: float) -> None:
        insort(self.ordered, size)
        self.by_time.append(size)
        if len(self.by_time) > KEPT:
            del self.ordered[bisect_left(self.ordered, self.by_time.popleft())]

    def score(self, size: float, share: float = 0.04) -> float:
        """``-log10`` of the chance of a value of at least ``size``."""
        n = len(self.ordered)
        over = max(int(share * n), 8)
        limit = self.ordered[n - over - 1]
        if size <= limit:
            place = bisect_left(self.ordered, size)
            return -math.log10((n - place + 0.5) / (n + 1.0))
        excess = [value - limit for value in self.ordered[n - over :]]
        mean = math.fsum(excess) / over
        variance = math.fsum((e - mean) ** 2 for e in excess) / over
        if mean <= 0:
            return -math.log10(0.5 / (n + 1.0)) if size > limit else 0.0
        shape = min(max(0.5 * (1 - mean * mean / variance), 0.0), 0.4) if variance > 0 else 0.0
        scale = mean * (1 - shape)
        y = size - limit
        log_tail = -y / scale if shape < 1e-6 else -math.log1p(shape * y / scale) / shape
        return -(math.log10(over / n) + log_tail / math.log(10))


class Backtest:
    """Scores the values of one evenly spaced series, one after the other."""

    def __init__(self, step: float | None) -> None:
        """``step``: seconds between rows, from which the daily and weekly period follow; None when not known."""
        self._models: list[_Level | _Season] = [_Level(0.05), _Level(0.4)]
        self._errors: list[float | None] = [None, None]
        for period in (DAY, 7 * DAY):
            rows = round(period / step) if step else 0
            if 4 <= rows <= 20_000:
                self._models.append(_Season(rows))
                self._errors.append(None)
        self._scale: float | None = None
        self._tail = _Tail()
        self._climbs = [_Climb(), _Climb()]
        self._rows = 0

    def score(self, value: float | None) -> float | None:
        """Score of the next value; None for a missing value or while the series is being learned."""
        if value is None or not math.isfinite(value):
            for model in self._models:
                if isinstance(model, _Season):
                    model.learn(None, math.inf)
            return None
        forecasts = [model.forecast() for model in self._models]
        best = self._best(forecasts)
        reach = math.inf if self._scale is None else 4.0 * self._scale
        for i, forecast in enumerate(forecasts):
            if forecast is not None:
                error = min(abs(value - forecast), reach)
                before = self._errors[i]
                self._errors[i] = error if before is None else before + 0.01 * (error - before)
        for model in self._models:
            model.learn(value, reach)
        if best is None:
            return None
        return self._judge(value - best, abs(best))

    def _best(self, forecasts: list[float | None]) -> float | None:
        known = [(self._errors[i], i) for i, f in enumerate(forecasts) if f is not None and self._errors[i] is not None]
        if known:
            return forecasts[min(known)[1]]
        return next((f for f in forecasts if f is not None), None)

    def _judge(self, residual: float, size: float) -> float | None:
        scale = self._scale
        if scale is None or scale <= 0:
            self._scale = abs(residual) or None
            return None
        floor = 1e-9 * size
        standard = residual / max(scale, floor)
        if abs(standard) > FREAK:
            return self._tail.score(abs(standard)) if self._rows > WARM_UP else None
        self._scale = max(scale + 0.01 * (min(abs(residual), 5 * scale) - scale), floor, 1e-300)
        self._rows += 1
        score = None
        runs = [
            climb.step(sign * max(-4.0, min(4.0, standard))) for climb, sign in zip(self._climbs, (1, -1), strict=True)
        ]
        if self._rows > WARM_UP:
            score = max(self._tail.score(abs(standard)), *(run for run in runs)) - math.log10(3.0)
            score = max(score, 0.0)
        self._tail.add(abs(standard))
        return score


@dataclass(slots=True)
class _Climb:
    """CUSUM of one direction and the heights that it reached by itself so far."""

    height: float = 0.0
    peak: float = 0.0
    peaks: _Tail = field(default_factory=_Tail)
    steps: int = 0

    def step(self, standard: float) -> float:
        """Take in one standardised residual (mean absolute value 1); ``-log10`` of the chance of this height."""
        self.steps += 1
        self.height = max(0.0, self.height + standard - 0.75)
        self.peak = max(self.peak, self.height)
        known = len(self.peaks.ordered)
        if self.height == 0.0:
            if self.peak > 0.0:
                self.peaks.add(self.peak)
            self.peak = 0.0
            return 0.0
        if known < 30:
            return 0.0
        # Chance per row that an excursion as high as this one begins.
        return max(self.peaks.score(self.height, 0.1) - math.log10(min(known / max(self.steps, 1), 1.0)), 0.0)


def score_rows(rows: Iterable[tuple[str, float | None]], step: float | None) -> Iterator[Scored]:
    """Score rows of an evenly spaced series in order."""
    backtest = Backtest(step)
    for timestamp, value in rows:
        yield Scored(timestamp, value, backtest.score(value))


def episodes(rows: Iterable[Scored]) -> list[Episode]:
    """Runs of rows with a score of at least `EPISODE`, gaps of up to `GAP` rows included."""
    found: list[Episode] = []
    quiet = GAP + 1
    for row in rows:
        if row.score is None or row.score < EPISODE:
            quiet += 1
            continue
        if quiet > GAP:
            found.append(Episode(row.timestamp, row.timestamp, row.score, 1))
        else:
            last = found[-1]
            found[-1] = Episode(last.start, row.timestamp, max(last.peak, row.score), last.rows + 1)
        quiet = 0
    return found


def read_series(path: Path) -> tuple[list[tuple[str, float | None]], float | None]:
    """Rows of a CSV file with the columns ``timestamp`` and ``value``, and the usual step in seconds.

    A time stamp is ISO 8601, ``YYYY-MM-DD HH:MM:SS`` or epoch seconds; an empty value is missing. Raises
    `BadSeriesError`.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        if "timestamp" not in names or "value" not in names:
            raise BadSeriesError(f"{path} needs a first line 'timestamp,value'")
        rows: list[tuple[str, float | None]] = []
        times: list[float] = []
        for number, line in enumerate(reader, 2):
            stamp, text = (line[names["timestamp"]] or "").strip(), (line[names["value"]] or "").strip()
            try:
                times.append(_seconds(stamp))
                value = float(text) if text and text.lower() not in ("nan", "null", "none") else None
            except ValueError as error:
                raise BadSeriesError(f"{path}, line {number}: {error}") from None
            rows.append((stamp, value if value is None or math.isfinite(value) else None))
    steps = sorted(b - a for a, b in pairwise(times) if b > a)
    return rows, steps[len(steps) // 2] if steps else None


def _seconds(stamp: str) -> float:
    try:
        return float(stamp)
    except ValueError:
        pass
    moment = datetime.fromisoformat(stamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
