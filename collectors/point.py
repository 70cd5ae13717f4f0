"""Point: everything the detectors may know about one minute of one slice of a workflow.

A rate is ``(hits, trials)``. A quantity is ``count, total`` and a histogram of logarithmic buckets, so that
adding two points is exact: ``add`` is associative and commutative in the counts.
"""

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Self

import orjson

BUCKETS_PER_OCTAVE = 8
"""Bucket ``i`` holds values in ``[2**(i/8), 2**((i+1)/8))``: 9 % wide, so a bucket's middle is within 4.5 %."""
ZERO_BUCKET = -1024
"""Holds zero, negative values and anything below ``2**-60``."""
TOP_BUCKET = 8 * 60
_SMALLEST = 2.0**-60
LARGEST = 2.0**60
"""A value beyond it counts as this: no sender can make a sum overflow."""
MAX_USERS = 16


def bucket(value: float) -> int:
    """Index of the logarithmic bucket of a finite value."""
    if value < _SMALLEST:
        return ZERO_BUCKET
    return min(math.floor(math.log2(value) * BUCKETS_PER_OCTAVE), TOP_BUCKET)


def bucket_middle(index: int) -> float:
    """The value that stands for a bucket (geometric middle; 0.0 for the zero bucket)."""
    return 0.0 if index == ZERO_BUCKET else 2.0 ** ((index + 0.5) / BUCKETS_PER_OCTAVE)


class PointKey(NamedTuple):
    """The slice a point speaks of; ``minute`` is the epoch second at which the interval starts."""

    minute: int
    workflow: str
    segment: str | None
    risk_tier: str | None
    model: str | None
    prompt_version: str | None


@dataclass(slots=True)
class Quantity:
    """Count, sum and log-bucket histogram ``{bucket: count}`` of a non-negative measure."""

    count: int = 0
    total: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)

    def observe(self, value: float) -> None:
        """Count one finite value."""
        value = min(max(value, -LARGEST), LARGEST)
        self.count += 1
        self.total += value
        # as `bucket`, without the call: this happens ten times per call record
        index = ZERO_BUCKET if value < _SMALLEST else min(math.floor(math.log2(value) * BUCKETS_PER_OCTAVE), TOP_BUCKET)
        self.buckets[index] = self.buckets.get(index, 0) + 1

    def add(self, other: Self) -> None:
        """Merge ``other`` into this quantity."""
        self.count += other.count
        self.total += other.total
        for index, n in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + n


@dataclass(slots=True)
class Point:
    """Measures of one slice and interval.

    ``rates``: name -> ``[hits, trials]``; ``quantities``: name -> `Quantity`; ``users``: calls of the heaviest
    users (at most `MAX_USERS`). A name that is absent was not observed.
    """

    key: PointKey
    calls: int = 0
    manual: int = 0
    rates: dict[str, list[int]] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)

    def rate(self, name: str, hit: bool) -> None:
        """Count one trial of the rate ``name``."""
        cell = self.rates.get(name)
        if cell is None:
            cell = self.rates[name] = [0, 0]
        cell[0] += hit
        cell[1] += 1

    def quantity(self, name: str, value: float) -> None:
        """Count one value of the quantity ``name``; the value must be finite."""
        cell = self.quantities.get(name)
        if cell is None:
            cell = self.quantities[name] = Quantity()
        cell.observe(value)

    def add(self, other: Self) -> None:
        """Merge ``other`` (any key) into this point."""
        self.calls += other.calls
        self.manual += other.manual
        for name, (hits, trials) in other.rates.items():
            cell = self.rates.get(name)
            if cell is None:
                self.rates[name] = [hits, trials]
            else:
                cell[0] += hits
                cell[1] += trials
        for name, quantity in other.quantities.items():
            mine = self.quantities.get(name)
            if mine is None:
                self.quantities[name] = Quantity(quantity.count, quantity.total, quantity.buckets.copy())
            else:
                mine.add(quantity)
        for user, n in other.users.items():
            self.users[user] = self.users.get(user, 0) + n

    def trim(self) -> None:
        """Keep only the heaviest users."""
        if len(self.users) > MAX_USERS:
            heaviest = sorted(self.users.items(), key=lambda item: (-item[1], item[0]))[:MAX_USERS]
            self.users = dict(heaviest)

    def encode(self) -> str:
        """The measures as compact JSON, the form in which the store keeps them."""
        body: dict[str, object] = {"c": self.calls}
        if self.manual:
            body["m"] = self.manual
        if self.rates:
            body["r"] = self.rates
        if self.quantities:
            body["q"] = {
                name: [q.count, q.total, *chain.from_iterable(sorted(q.buckets.items()))]
                for name, q in self.quantities.items()
            }
        if self.users:
            body["u"] = self.users
        return orjson.dumps(body).decode()

    @classmethod
    def decode(cls, key: PointKey, text: str, histograms: Container[str] | None = None) -> Self:
        """Inverse of `encode`; with ``histograms`` all other quantities come with count and total only."""
        return cls.read(key, orjson.loads(text), histograms)

    @classmethod
    def read(cls, key: PointKey, body: Any, histograms: Container[str] | None = None) -> Self:
        """`decode` of what was read from JSON, which becomes part of the point."""
        point = cls(key, calls=body["c"], manual=body.get("m", 0), rates=body.get("r", {}))
        for name, cells in body.get("q", {}).items():
            if histograms is not None and name not in histograms:
                point.quantities[name] = Quantity(cells[0], cells[1])
                continue
            cell = iter(cells)  # count, total, then bucket and count in turn
            point.quantities[name] = Quantity(next(cell), next(cell), dict(zip(cell, cell, strict=True)))
        point.users = body.get("u", {})
        return point


def merge(points: Iterable[Point], key: PointKey) -> Point:
    """The sum of ``points`` under a new key."""
    total = Point(key)
    for point in points:
        total.add(point)
    return total
