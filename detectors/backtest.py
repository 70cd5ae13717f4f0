"""Any ``timestamp,value`` series, scored online: how unlikely is this row, if the series goes on as it did?

Eleven signs are taken of every row: how far it lies above or below the best forecast of the next value, and above or
below what is usual at this time; the same over the last few and the last fifty rows; livelier or calmer than usual;
equal for how long. Each is judged by its own past (`Excursions`), the smallest chance counts, times eleven. As chances
so small are read off fitted tails, the result is judged by its own past once more. The score is ``-log10`` of the
chance per row, comparable between series. Nothing looks ahead, and a row costs the logarithm of what is remembered.
"""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from driftbell.detectors.excursion import Excursions
from driftbell.detectors.forecast import Best, Level, Season

MOST_ROWS = 5_000_000
"""Rows of one file: what fits into memory."""
WARM_UP = 100
"""Rows before which nothing is scored."""
FREAK = 1e6
"""A residual counts at most so many times the usual one."""
SIGNS = 11
EPISODE = 4.0
"""Score from which an episode runs: half a false one in 10,000 rows, as measured by `bench/series.py`."""
GAP = 12
"""Rows below it after which an episode is over."""
DAY = 86400.0
LARGEST = 1e150
"""Larger values count as this one, so that no difference of two overflows."""


LONGEST_NUMBER = 400
"""Characters of a value; no float needs more. The csv module's own limit is whatever the process has set it to."""


class Row(NamedTuple):
    """One row as read; ``at`` in UTC epoch seconds, ``value`` None for a missing one."""

    timestamp: str
    at: float
    value: float | None


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
class _Scale:
    """Usual size of residuals; single ones are limited."""

    rate: float
    usual: float | None = None
    rows: int = 0

    def learn(self, residual: float) -> None:
        size = abs(residual)
        if self.usual is None:
            self.usual = size or None
            return
        self.rows += 1
        limited = min(size, 5 * self.usual) if self.rows > 20 else size
        self.usual += max(self.rate, 1.0 / (self.rows + 1)) * (limited - self.usual)


class Backtest:
    """Scores the values of one evenly spaced series, one after the other."""

    def __init__(self, step: float | None) -> None:
        """``step``: seconds between rows, from which the daily and weekly period follow; None when not known."""
        day = round(DAY / step) if step and 4 <= DAY / step <= 3000 else 0
        quick: list[Level | Season] = [Level(1.0), Level(0.4), Level(0.05)]
        slow: list[Level | Season] = [Level(0.003)]
        if day:
            for period, width in ((day, 1.0), (day, day / 48), (7 * day, 1.0), (7 * day, day / 48)):
                if width >= 1.0:
                    quick.append(Season(period, width, follow=0.1))
                    slow.append(Season(period, width))
        self._quick, self._slow = Best(quick), Best(slow)
        self._near, self._far = _Scale(0.005), _Scale(0.003)
        self._short = self._long = 0.0
        self._stir: float | None = None
        self._last: float | None = None
        self._same = 0
        self._past = [Excursions() for _ in range(SIGNS)]
        self._strange = Excursions()
        self._rows = 0

    def skip(self, rows: int) -> None:
        """Rows that never came (-1: the next one is for the same time again); the time of day goes on without them."""
        self._quick.skip(rows)
        self._slow.skip(rows)

    def score(self, value: float | None) -> float | None:
        """Score of the next value; None for a missing value or while the series is being learned."""
        if value is not None:
            value = max(-LARGEST, min(LARGEST, value)) if math.isfinite(value) else None
        near, far = self._near.usual, self._far.usual
        quick = self._quick.step(value, 4 * near if near else math.inf)
        slow = self._slow.step(value, 4 * far if far else math.inf)
        if value is None:
            return None
        if quick is None or slow is None:
            self._last = value
            return None
        signs = self._signs(value, value - quick, value - slow)
        self._rows += 1
        highest = 0.0
        for sign, past in zip(signs, self._past, strict=True):
            highest = max(highest, past.score(sign))
            past.learn(sign)
        highest = max(highest - math.log10(len(signs)), 0.0)
        # A series that is strange again and again has heavier tails than its fits say: it is judged by that, too.
        score = self._strange.score(highest)
        self._strange.learn(highest)
        return None if self._rows <= WARM_UP else score

    def _signs(self, value: float, residual: float, off: float) -> tuple[float, ...]:
        """What may be strange about a value, each the stranger the larger."""
        floor = max(1e-9 * abs(value), 1e-300)
        near = _limited(residual / max(self._near.usual or abs(residual), floor))
        far = _limited(off / max(self._far.usual or abs(off), floor))
        self._near.learn(residual)
        self._far.learn(off)
        calm = max(-8.0, min(8.0, far))
        self._short += (calm - self._short) / 6
        self._long += (calm - self._long) / 50
        move = abs(value - self._last) if self._last is not None else 0.0
        stir = min(move / max(self._near.usual or move, floor), 10.0)
        self._stir = stir if self._stir is None else self._stir + (stir - self._stir) / 24
        self._same = self._same + 1 if move == 0.0 else 0
        self._last = value
        lively = math.log(self._stir + 1e-3)
        short, long = self._short, self._long
        return near, -near, far, -far, short, -short, long, -long, lively, -lively, math.log1p(self._same)


def _limited(standard: float) -> float:
    return max(-FREAK, min(FREAK, standard))


def score_rows(rows: Iterable[Row], step: float | None) -> Iterator[Scored]:
    """Score rows in the order of time; where they are not ``step`` seconds apart, the time of day still counts."""
    backtest = Backtest(step)
    begin: float | None = None
    before = -1
    for row in rows:
        if step:
            begin = row.at if begin is None else begin
            place = round((row.at - begin) / step)
            backtest.skip(place - before - 1)
            before = place
        yield Scored(row.timestamp, row.value, backtest.score(row.value))


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


def read_series(path: Path) -> tuple[list[Row], float | None]:
    """Rows of a CSV file with the columns ``timestamp`` and ``value`` in the order of time, and the usual step (s).

    A time stamp is ISO 8601, ``YYYY-MM-DD HH:MM:SS`` or epoch seconds; an empty value is missing. Raises
    `BadSeriesError`.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            rows = list(_read(reader, path))
        except csv.Error as error:
            raise BadSeriesError(f"{path}, line {reader.line_num}: {error}") from None
    rows.sort(key=lambda row: row.at)
    steps = sorted(b.at - a.at for a, b in pairwise(rows) if b.at > a.at)
    return rows, steps[len(steps) // 2] if steps else None


def _read(reader: "csv.DictReader[str]", path: Path) -> Iterator[Row]:
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if "timestamp" not in names or "value" not in names:
        raise BadSeriesError(f"{path} needs a first line 'timestamp,value'")
    for number, line in enumerate(reader, 1):
        if number > MOST_ROWS:
            raise BadSeriesError(f"{path} has more than {MOST_ROWS:,} rows; split it")
        stamp, text = (line[names["timestamp"]] or "").strip(), (line[names["value"]] or "").strip()
        try:
            at = _seconds(stamp)
            if len(text) > LONGEST_NUMBER:
                raise ValueError(f"a number of {len(text):,} characters: {text[:20]}...")
            value = float(text) if text and text.lower() not in ("null", "none") else None
        except (ValueError, OverflowError) as error:
            raise BadSeriesError(f"{path}, line {reader.line_num}: {str(error)[:200]}") from None
        yield Row(stamp, at, value if value is None or math.isfinite(value) else None)


def _seconds(stamp: str) -> float:
    try:
        at = float(stamp)
    except ValueError:
        moment = datetime.fromisoformat(stamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not abs(at) < 1e15:
        raise ValueError(f"{stamp} is no time: epoch seconds or ISO 8601 are")
    return at
