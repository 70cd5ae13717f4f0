"""Made-up series of many kinds with labelled anomalies, for `bench/series.py`.

Each kind follows something that people watch: counts of rides, posts and clicks, load of machines, temperatures,
response times, prices, a waveform. What is normal for a kind (bursts, seasons, steps, zeros, heavy tails, holes) is
drawn anew per series, as are place, kind and size of the anomalies; some of them are too small to be found by anybody.
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEARNT = 0.15
"""Share of a series at its start that holds no label and is not scored."""
DAY = 86400.0
Kind = Callable[[np.random.Generator, int, float], Floats]


@dataclass(frozen=True, slots=True)
class Series:
    """Values (NaN where missing) ``step`` seconds apart; ``windows`` are labelled rows, first and last."""

    name: str
    step: float
    values: Floats
    windows: tuple[tuple[int, int], ...]


def _clock(n: int, step: float) -> Floats:
    return np.arange(n) * step / DAY


def _ar(rng: np.random.Generator, n: int, phi: float) -> Floats:
    """AR(1) of unit variance."""
    noise = rng.normal(size=n) * math.sqrt(1 - phi * phi)
    found = np.empty(n)
    last = rng.normal()
    for i, shock in enumerate(noise.tolist()):
        last = phi * last + shock
        found[i] = last
    return found


def _day(rng: np.random.Generator, n: int, step: float) -> Floats:
    """A daily and weekly profile around 1, never below 0.1."""
    days = _clock(n, step)
    phase, second = rng.uniform(0, 1, 2)
    wave = 1 + rng.uniform(0.2, 0.6) * np.sin(2 * np.pi * (days + phase))
    wave += rng.uniform(0, 0.25) * np.sin(4 * np.pi * (days + second))
    weekend = (np.floor(days + phase) % 7) >= 5
    return np.maximum(wave * np.where(weekend, rng.uniform(0.5, 1.0), 1.0), 0.1)


def _rides(rng: np.random.Generator, n: int, step: float) -> Floats:
    return 10_000 * _day(rng, n, step) * np.exp(0.08 * _ar(rng, n, 0.9))


def _posts(rng: np.random.Generator, n: int, step: float) -> Floats:
    mean = rng.uniform(3, 60) * _day(rng, n, step) * np.exp(0.3 * _ar(rng, n, 0.8))
    mean *= np.where(rng.random(n) < 0.002, rng.pareto(1.5, n) + 2, 1.0)
    return rng.poisson(mean).astype(float)


def _load(rng: np.random.Generator, n: int, _: float) -> Floats:
    level = rng.uniform(2, 50)
    load = level * (1 + 0.05 * _ar(rng, n, rng.uniform(0, 0.7))) + rng.exponential(0.03 * level, n)
    every = int(rng.integers(12, 300))
    load[int(rng.integers(0, every)) :: every] += level * rng.uniform(0.2, 1.0)
    return np.clip(load, 0, 100)


def _network(rng: np.random.Generator, n: int, _: float) -> Floats:
    base = np.exp(rng.uniform(8, 14) + 0.4 * _ar(rng, n, 0.3))
    bursts = np.convolve(rng.random(n) < 0.01, np.ones(int(rng.integers(1, 6))))[:n] > 0
    return np.where(bursts, base * np.exp(np.abs(rng.normal(1.5, 0.8, n))), base)


def _price(rng: np.random.Generator, n: int, step: float) -> Floats:
    heavy = 0.1 * np.exp(0.25 * rng.standard_t(4, n) + 0.2 * _ar(rng, n, 0.95))
    return np.minimum(heavy, 20) * (0.8 + 0.2 * _day(rng, n, step))


def _temperature(rng: np.random.Generator, n: int, step: float) -> Floats:
    return 80 + 5 * _ar(rng, n, 0.998) + 1.5 * _ar(rng, n, 0.9) + rng.normal(0, 0.4, n) + 3 * _day(rng, n, step)


def _latency(rng: np.random.Generator, n: int, _: float) -> Floats:
    base = 50 * np.exp(0.2 * _ar(rng, n, 0.7))
    return base + np.where(rng.random(n) < 0.01, 40 * rng.pareto(2.0, n), 0)


def _metric(rng: np.random.Generator, n: int, step: float) -> Floats:
    trend = rng.uniform(-1, 1) * np.arange(n) / n
    return 1000 * (_day(rng, n, step) + trend + rng.uniform(0.02, 0.15) * rng.normal(size=n))


def _disk(rng: np.random.Generator, n: int, _: float) -> Floats:
    busy = rng.random(n) < rng.uniform(0.01, 0.3)
    return np.where(busy, np.round(rng.exponential(1e5, n)), 0.0)


def _steps(rng: np.random.Generator, n: int, _: float) -> Floats:
    changes = np.cumsum(rng.random(n) < rng.uniform(0.002, 0.02))
    levels = np.round(rng.normal(40, 4, int(changes[-1]) + 1))
    return levels[changes] + (rng.random(n) < 0.1)


def _wave(rng: np.random.Generator, n: int, _: float) -> Floats:
    period = rng.uniform(40, 200)
    phase = np.cumsum(1 + 0.05 * _ar(rng, n, 0.95)) / period
    shape = np.sin(2 * np.pi * phase) + 0.6 * np.sin(4 * np.pi * phase + 1) + 0.4 * np.cos(6 * np.pi * phase)
    return shape + rng.normal(0, 0.05, n)


def _walk(rng: np.random.Generator, n: int, _: float) -> Floats:
    return 500 + np.cumsum(rng.standard_t(5, n)) + rng.normal(0, 2, n)


KINDS: dict[str, tuple[Kind, tuple[float, ...]]] = {
    "rides": (_rides, (1800.0, 3600.0)),
    "posts": (_posts, (300.0,)),
    "load": (_load, (300.0,)),
    "network": (_network, (300.0,)),
    "price": (_price, (3600.0,)),
    "temperature": (_temperature, (300.0, 3600.0)),
    "latency": (_latency, (300.0, 60.0)),
    "metric": (_metric, (3600.0,)),
    "disk": (_disk, (300.0,)),
    "steps": (_steps, (300.0,)),
    "wave": (_wave, (60.0,)),
    "walk": (_walk, (300.0, 3600.0)),
}


def _spread(values: Floats) -> float:
    """What one row varies by: the usual absolute deviation, or the usual step where most rows are equal."""
    wide = float(np.quantile(values, 0.9) - np.quantile(values, 0.1)) / 2.56
    return wide or float(np.std(values)) or 1.0


def _spoil(rng: np.random.Generator, values: Floats, at: int) -> int:
    """Put one anomaly in at row ``at``; how many rows it takes."""
    n = len(values)
    spread = _spread(values[:at])
    size = spread * float(np.exp(rng.uniform(math.log(2.0), math.log(15.0)))) * (1 if rng.random() < 0.7 else -1)
    length = int(min(rng.integers(20, max(int(0.04 * n), 30)), n - at))
    part = slice(at, at + length)
    match int(rng.integers(0, 7)):
        case 0 | 1:
            length = int(rng.integers(1, 4))
            values[at : at + length] += 1.5 * size
        case 2:
            values[part] += size
        case 3:
            values[at:] += size
        case 4:
            values[part] = values[at - 1] if rng.random() < 0.6 else np.min(values[:at])
        case 5:
            middle = float(np.median(values[part]))
            values[part] = middle + (values[part] - middle) * float(rng.uniform(2.5, 6))
        case _:
            moved = int(rng.integers(length // 4 + 1, length + 2))
            values[part] = values[at - moved : at - moved + length][:length].copy() * float(rng.uniform(0.4, 0.8))
    return length


def series(kind: str, seed: int) -> Series:
    """One series of a kind."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    make, steps = KINDS[kind]
    step = float(rng.choice(steps))
    n = int(rng.integers(1400, 5000))
    values = make(rng, n, step)
    low = float(values.min())
    windows: list[tuple[int, int]] = []
    for part in range(int(rng.integers(1, 4))):
        at = int(n * (LEARNT + 0.05 + 0.27 * part + rng.uniform(0, 0.2)))
        length = _spoil(rng, values, at)
        windows.append((at - int(0.01 * n), min(at + max(length, 1) + int(0.02 * n), n - 1)))
    if low >= 0:
        values = np.maximum(values, 0.0)
    if rng.random() < 0.3:
        values[rng.random(n) < 0.01] = np.nan
    return Series(f"{kind}-{seed}", step, values, tuple(windows))


def from_folder(folder: Path) -> list[Series]:
    """Every ``*.csv`` of a folder with columns ``timestamp,value,label``: runs of a label other than 0 are windows."""
    found = []
    for file in sorted(folder.glob("*.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        values = np.array([float(row["value"] or "nan") for row in rows])
        marks = np.array([float(row["label"]) != 0 for row in rows])
        edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.astype(int), [0]))))
        times = [datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows]
        step = float(np.median(np.diff(times)))
        windows = tuple((int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True))
        found.append(Series(file.stem, step, values, windows))
    return found
