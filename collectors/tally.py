"""Many calls at once -> the same points that `rollup.Rollup` makes of one after the other, in a third of the time.

`rollup` says which measure is taken of which call and why; here the same is said of columns, and a test holds the two
against each other. Sums are formed in the order of the calls, so that they agree to the last bit.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftbell.collectors.point import BUCKETS_PER_OCTAVE, TOP_BUCKET, ZERO_BUCKET, Point, PointKey, Quantity
from driftbell.collectors.rollup import (
    CACHEABLE_FROM,
    CACHED_WEIGHT,
    FIRST_TOKEN_MS,
    INPUT_TOKEN_MS,
    MINUTE,
    OUTPUT_TOKEN_MS,
    OUTPUT_WEIGHT,
    Rollup,
    output_class,
)
from driftbell.collectors.rows import Measured, measured_of

FEW = 48
"""Calls up to which one after the other is faster."""
_NEAR = 1e-6
"""Distance from the edge of a bucket at which the logarithm is taken again as `Point` does."""
_SMALLEST = 2.0**-60
_STRIDE = 1 << 14
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def tally(rollup: Rollup, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add calls, as rows in the order of `rows.Measured`, to ``rollup``."""
    if len(rows) <= FEW:
        for row in rows:
            rollup.call(measured_of(row))
        return
    columns = dict(zip(Measured._fields, zip(*rows, strict=True), strict=True))
    _Tally(rollup.point, columns).count(rows)


def _number(column: Sequence[float | None]) -> Floats:
    if column[0] is None and column.count(None) == len(column):
        return np.full(len(column), np.nan)
    return np.array(column, dtype=np.float64)


class _Tally:
    """The points of some calls, and for each call which of them it belongs to."""

    def __init__(self, point: Callable[[PointKey], Point], columns: dict[str, tuple[Any, ...]]) -> None:
        self._columns = columns
        minutes = (np.floor_divide(_number(columns["ts"]), MINUTE).astype(np.int64) * MINUTE).tolist()
        names = (columns[name] for name in ("workflow", "segment", "risk_tier", "model", "prompt_version"))
        places: dict[tuple[Any, ...], int] = {}
        self._at = np.array([places.setdefault(key, len(places)) for key in zip(minutes, *names, strict=True)])
        self._points = [point(PointKey(*key)) for key in places]

    def count(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take every measure."""
        column = self._columns
        for point, calls in zip(self._points, np.bincount(self._at).tolist(), strict=True):
            point.calls += calls
        for at, user in zip(self._at.tolist(), column["user_id"], strict=True):
            if user is not None:
                users = self._points[at].users
                users[user] = users.get(user, 0) + 1
        ok = self._is("status", "ok")
        self._status(ok)
        self._usage(ok)
        self._answer(ok)
        for at in [at for at, sources in enumerate(column["sources"]) if sources is not None]:
            self._retrieved(rows[at], at)
        self._quantity("retrieval_ms", _number(column["retrieval_ms"]), ok)

    def _status(self, ok: Mask) -> None:
        timeout, limited = self._is("status", "timeout"), self._is("status", "rate_limited")
        every, attempts = np.ones_like(ok), _number(self._columns["attempts"])
        self._rate("error", every, self._is("status", "error") | timeout | limited)
        self._rate("timeout", timeout, timeout)
        self._rate("rate_limited", limited, limited)
        self._quantity("attempts", attempts, every)
        self._rate("retried", every, attempts > 1)
        self._flag("fallback", "fallback", every)

    def _usage(self, ok: Mask) -> None:
        column = self._columns
        cost, given, cached = (_number(column[name]) for name in ("cost_usd", "input_tokens", "cached_tokens"))
        every = np.ones_like(ok)
        self._rate("usage_missing", every, ~self._is("usage_source", "provider") & ok)
        self._rate("unpriced", every, np.isnan(cost) & ok)
        self._quantity("cost", cost, every)
        self._quantity("input_tokens", given, every)
        told = ~np.isnan(cached) & (given > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.minimum(cached / given, 1.0)
            self._quantity("cached_share", share, told & ((given >= CACHEABLE_FROM) | (cached > 0)))
            self._quantity("cached_tokens", cached, told)
            cached = np.minimum(np.nan_to_num(cached), given)
            out = np.nan_to_num(_number(column["output_tokens"]))
            weighed = given - cached + CACHED_WEIGHT * cached + OUTPUT_WEIGHT * out
            billed = np.where(self._is("dialect", "record"), _number(column["attempts"]), 1.0)
            self._quantity("price", 1e6 * cost / (billed * weighed), weighed > 0)

    def _answer(self, ok: Mask) -> None:
        column = self._columns
        self._flag("refused", "refused", ok)
        self._flag("format_failed", "format_ok", ok, inverse=True)
        reasons = column["finish_reason"]
        self._rate("truncated", ok & np.array([reason is not None for reason in reasons]), self._is(*_LENGTH))
        refused = np.array([bool(flag) for flag in column["refused"]])
        out = _number(column["output_tokens"])
        self._quantity("output_tokens", out, ok & ~refused)
        once = ok & (_number(column["attempts"]) == 1)
        latency = _number(column["latency_ms"])
        self._quantity("ttft_ms", _number(column["ttft_ms"]), once)
        self._quantity("latency_ms", latency, once)
        given = np.nan_to_num(_number(column["input_tokens"]))
        slowness = latency / (FIRST_TOKEN_MS + INPUT_TOKEN_MS * given + OUTPUT_TOKEN_MS * np.nan_to_num(out))
        tokens = column["output_tokens"]
        by_tokens = {each: output_class(each) for each in set(tokens)}
        classes = np.array([by_tokens[each] for each in tokens])
        for each in np.unique(classes[once]).tolist():
            self._quantity(f"slowness|{each}", slowness, once & (classes == each))

    def _retrieved(self, row: tuple[Any, ...], at: int) -> None:
        """Retrieval is rare: it is taken call by call."""
        call = measured_of(row)
        if call.status == "ok":
            Rollup.retrieved(self._points[self._at[at]], call)

    def _is(self, name: str, value: str) -> Mask:
        return np.array([held == value for held in self._columns[name]])

    def _flag(self, rate: str, name: str, mask: Mask, *, inverse: bool = False) -> None:
        held = self._columns[name]
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
        at, values = self._at[mask], values[mask]
        if not len(values):
            return
        counts = np.bincount(at)
        cells: dict[int, Quantity] = {}
        for place in np.flatnonzero(counts).tolist():
            quantities = self._points[place].quantities
            cell = quantities.get(name)
            if cell is None:
                cell = quantities[name] = Quantity()
            cells[place] = cell
        so_far = [cell.total for cell in cells.values()]
        totals = np.bincount(np.concatenate((list(cells), at)), np.concatenate((so_far, values)))
        for place, cell in cells.items():
            cell.count += int(counts[place])
            cell.total = float(totals[place])
        held, times = np.unique(at * _STRIDE + (_buckets(values) - ZERO_BUCKET), return_counts=True)
        for joint, n in zip(held.tolist(), times.tolist(), strict=True):
            place, index = divmod(joint, _STRIDE)
            buckets = cells[place].buckets
            index += ZERO_BUCKET
            buckets[index] = buckets.get(index, 0) + n


_LENGTH = ("finish_reason", "length")


def _buckets(values: Floats) -> NDArray[np.int64]:
    """`point.bucket` of each value."""
    small = values < _SMALLEST
    octaves = np.log2(np.where(small, 1.0, values)) * BUCKETS_PER_OCTAVE
    found = np.floor(octaves).astype(np.int64)
    for at in np.flatnonzero(np.abs(octaves - np.rint(octaves)) < _NEAR).tolist():
        if not small[at]:
            found[at] = math.floor(math.log2(values[at]) * BUCKETS_PER_OCTAVE)
    limited: NDArray[np.int64] = np.where(small, ZERO_BUCKET, np.minimum(found, TOP_BUCKET))
    return limited
