"""Many calls at once -> the same points that `rollup.Rollup` makes of one after the other, in a third of the time.

`rollup` says which measure is taken of which call and why; here the same is said of columns, and a test holds the two
against each other. Sums are formed in the order of the calls, so that they agree to the last bit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftbell.collectors.point import BUCKETS_PER_OCTAVE, LARGEST, TOP_BUCKET, ZERO_BUCKET, Point, PointKey, Quantity
from driftbell.collectors.rollup import (
    CACHEABLE_FROM,
    CACHED_WEIGHT,
    FIRST_TOKEN_MS,
    INPUT_TOKEN_MS,
    MINUTE,
    OUTPUT_CLASSES,
    OUTPUT_TOKEN_MS,
    OUTPUT_WEIGHT,
    Rollup,
)
from driftbell.collectors.rows import DIMENSIONS, MEASURED, Told, measured_of

FEW = 48
"""Calls up to which one after the other is faster."""
_NEAR = 1e-6
"""Distance from the edge of a bucket at which the logarithm is taken again as `Point` does."""
_SMALLEST = 2.0**-60
_STRIDE = 1 << 14
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def tally(rollup: Rollup, workflow: str, rows: Sequence[tuple[Any, ...]], told: Mapping[int, Told]) -> None:
    """Add calls of a workflow, as rows of `rows.SELECT_MEASURED` with their names, to ``rollup``.

    Those whose names are not ``told`` are left out.
    """
    if len(rows) <= FEW or not {row[DIMENSIONS] for row in rows} <= told.keys():
        for row in rows:
            if row[DIMENSIONS] in told:
                rollup.call(measured_of(row, workflow, told[row[DIMENSIONS]]))
        return
    _Tally(rollup.point, workflow, rows, told).count()


def _number(column: Sequence[float | None]) -> Floats:
    if column[0] is None and column.count(None) == len(column):
        return np.full(len(column), np.nan)
    return np.array(column, dtype=np.float64)


class _Tally:
    """The points of some calls, and for each call which of them it belongs to.

    Names are looked at once per combination: ``said`` are these, ``which`` is that of each call.
    """

    def __init__(
        self,
        point: Callable[[PointKey], Point],
        workflow: str,
        rows: Sequence[tuple[Any, ...]],
        told: Mapping[int, Told],
    ) -> None:
        self._rows, self._workflow = rows, workflow
        self._column = dict(zip(MEASURED, zip(*rows, strict=True), strict=True))
        numbers = self._column["dimensions"]
        places = {number: at for at, number in enumerate(dict.fromkeys(numbers))}
        self._said = [told[number] for number in places]
        self._which = np.array([places[number] for number in numbers])
        self._output, self._given, self._cached, self._cost, self._attempts = (
            _number(self._column[name])
            for name in ("output_tokens", "input_tokens", "cached_tokens", "cost_usd", "attempts")
        )
        self._every = np.ones(len(rows), dtype=np.bool_)
        self._ok = self._ended("ok")
        self._at, self._points = self._placed(point)

    def _placed(self, point: Callable[[PointKey], Point]) -> tuple[Numbers, list[Point]]:
        """The place of each call among the points."""
        minutes = np.floor_divide(_number(self._column["ts"]), MINUTE).astype(np.int64)
        first, size = int(minutes.min()), len(self._said)
        held, where = np.unique((minutes - first) * size + self._which, return_inverse=True)
        places: dict[PointKey, int] = {}
        at = []
        for joint in held.tolist():
            minute, which = divmod(joint, size)
            key = PointKey((first + minute) * MINUTE, self._workflow, *self._said[which][:4])
            at.append(places.setdefault(key, len(places)))
        return np.array(at)[where], [point(key) for key in places]

    def count(self) -> None:
        """Take every measure."""
        for point, calls in zip(self._points, np.bincount(self._at).tolist(), strict=True):
            point.calls += calls
        for at, user in zip(self._at.tolist(), self._column["user_id"], strict=True):
            if user is not None:
                users = self._points[at].users
                users[user] = users.get(user, 0) + 1
        self._status()
        self._usage()
        self._answer()
        self._times()
        sources = self._column["sources"]
        if sources.count(None) < len(sources):
            for at in [at for at, held in enumerate(sources) if held is not None]:
                self._retrieved(at)

    def _status(self) -> None:
        error, timeout, limited = map(self._ended, ("error", "timeout", "rate_limited"))
        self._rate("error", self._every, error | timeout | limited)
        self._rate("timeout", timeout, timeout)
        self._rate("rate_limited", limited, limited)
        self._quantity("attempts", self._attempts, self._every)
        self._rate("retried", self._every, self._attempts > 1)
        self._flag("fallback", "fallback", self._every)

    def _usage(self) -> None:
        cost, given, cached, every = self._cost, self._given, self._cached, self._every
        self._rate("usage_missing", every, self._is(lambda said: said.usage_source != "provider") & self._ok)
        self._rate("unpriced", every, np.isnan(cost) & self._ok)
        self._quantity("cost", cost, every)
        self._quantity("input_tokens", given, every)
        told = ~np.isnan(cached) & (given > 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.minimum(cached / given, 1.0)
            self._quantity("cached_share", share, told & ((given >= CACHEABLE_FROM) | (cached > 0)))
            self._quantity("cached_tokens", cached, told)
            cached = np.minimum(np.nan_to_num(cached), given)
            weighed = given - cached + CACHED_WEIGHT * cached + OUTPUT_WEIGHT * np.nan_to_num(self._output)
            billed = np.where(self._is(lambda said: said.dialect == "record"), self._attempts, 1.0)
            self._quantity("price", 1e6 * cost / (billed * weighed), weighed > 0)

    def _answer(self) -> None:
        ok = self._ok
        self._flag("refused", "refused", ok)
        self._flag("format_failed", "format_ok", ok, inverse=True)
        finished = self._is(lambda said: said.finish_reason is not None)
        self._rate("truncated", ok & finished, self._is(lambda said: said.finish_reason == "length"))
        flags = self._column["refused"]
        refused = np.array([bool(flag) for flag in flags]) if any(flags) else ~self._every
        self._quantity("output_tokens", self._output, ok & ~refused)

    def _times(self) -> None:
        once = self._ok & (self._attempts == 1)
        latency, out = _number(self._column["latency_ms"]), np.nan_to_num(self._output)
        self._quantity("ttft_ms", _number(self._column["ttft_ms"]), once)
        self._quantity("latency_ms", latency, once)
        expected = FIRST_TOKEN_MS + INPUT_TOKEN_MS * np.nan_to_num(self._given) + OUTPUT_TOKEN_MS * out
        # The binary digits of a whole number, as `output_class` counts them.
        digits = np.minimum(np.frexp(np.maximum(out, 0.0))[1], OUTPUT_CLASSES - 1)
        self._by_class("slowness", latency / expected, once, digits)
        self._quantity("retrieval_ms", _number(self._column["retrieval_ms"]), self._ok)

    def _retrieved(self, at: int) -> None:
        """Retrieval is rare: it is taken call by call."""
        said = self._said[self._which[at]]
        if said.status == "ok":
            Rollup.retrieved(self._points[self._at[at]], measured_of(self._rows[at], self._workflow, said))

    def _ended(self, status: str) -> Mask:
        return self._is(lambda said: said.status == status)

    def _is(self, named: Callable[[Told], bool]) -> Mask:
        found: Mask = np.array([named(said) for said in self._said])[self._which]
        return found

    def _flag(self, rate: str, name: str, mask: Mask, *, inverse: bool = False) -> None:
        held = self._column[name]
        if held.count(None) == len(held):
            return
        known = np.array([flag is not None for flag in held])
        hits = np.array([bool(flag) != inverse for flag in held])
        self._rate(rate, mask & known, hits)

    def _rate(self, name: str, trials: Mask, hits: Mask) -> None:
        size = len(self._points)
        counted = np.bincount(self._at[trials], minlength=size).tolist()
        hit = np.bincount(self._at[trials & hits], minlength=size).tolist()
        for point, tried, n in zip(self._points, counted, hit, strict=True):
            if tried:
                cell = point.rates.get(name)
                if cell is None:
                    point.rates[name] = [n, tried]
                else:
                    cell[0] += n
                    cell[1] += tried

    def _quantity(self, name: str, values: Floats, mask: Mask) -> None:
        mask = mask & np.isfinite(values)
        _observe(self._at[mask], values[mask], lambda place: (self._points[place], name))

    def _by_class(self, name: str, values: Floats, mask: Mask, classes: Numbers) -> None:
        """A quantity of its own for each of the classes, of which there are `OUTPUT_CLASSES`."""
        mask = mask & np.isfinite(values)
        joint = self._at[mask] * OUTPUT_CLASSES + classes[mask]
        points = self._points
        _observe(joint, values[mask], lambda at: (points[at // OUTPUT_CLASSES], f"{name}|{at % OUTPUT_CLASSES}"))


def _observe(at: Numbers, values: Floats, place: Callable[[int], tuple[Point, str]]) -> None:
    """Count values where ``at`` says; ``place`` tells the point, and the name of the quantity, of such a number."""
    if not len(values):
        return
    values = np.clip(values, -LARGEST, LARGEST)
    cells: dict[int, Quantity] = {}
    counts = np.bincount(at)
    for number in np.flatnonzero(counts).tolist():
        point, name = place(number)
        cell = point.quantities.get(name)
        if cell is None:
            cell = point.quantities[name] = Quantity()
        cells[number] = cell
    so_far = [cell.total for cell in cells.values()]
    totals = np.bincount(np.concatenate((list(cells), at)), np.concatenate((so_far, values)))
    joint = at * _STRIDE + (_buckets(values) - ZERO_BUCKET)
    joint.sort()
    starts = np.flatnonzero(np.concatenate(([True], joint[1:] != joint[:-1])))
    held, times = joint[starts], np.diff(starts, append=len(joint)).tolist()
    numbers, indices = held // _STRIDE, (held % _STRIDE + ZERO_BUCKET).tolist()
    end = 0
    for (number, cell), until in zip(
        cells.items(), np.searchsorted(numbers, list(cells), "right").tolist(), strict=True
    ):
        cell.count += int(counts[number])
        cell.total = float(totals[number])
        first, end = end, until
        if not cell.buckets:
            cell.buckets.update(zip(indices[first:end], times[first:end], strict=True))
            continue
        for index, n in zip(indices[first:end], times[first:end], strict=True):
            cell.buckets[index] = cell.buckets.get(index, 0) + n


def _buckets(values: Floats) -> Numbers:
    """`point.bucket` of each value."""
    small = values < _SMALLEST
    values = np.where(small, 1.0, values)
    octaves = np.log2(values) * BUCKETS_PER_OCTAVE
    found = np.floor(octaves).astype(np.int64)
    near = np.abs(octaves - np.rint(octaves)) < _NEAR
    if near.any():
        half, power = np.frexp(values)
        whole = half == 0.5  # a power of two, whose logarithm is exact
        found[whole] = (power[whole] - 1) * BUCKETS_PER_OCTAVE
        for at in np.flatnonzero(near & ~whole).tolist():
            found[at] = math.floor(math.log2(values[at]) * BUCKETS_PER_OCTAVE)
    limited: Numbers = np.where(small, ZERO_BUCKET, np.minimum(found, TOP_BUCKET))
    return limited
