"""Calls that are counted together make the points that they make one after the other."""

import json
import math
import random

import pytest

from driftbell.collectors.point import bucket
from driftbell.collectors.rollup import Rollup
from driftbell.collectors.rows import Measured, measured_of
from driftbell.collectors.tally import tally


def call(numbers: random.Random) -> tuple:
    """A row with anything in any of its columns, and plain values in most."""
    sometimes = lambda value: value if numbers.random() < 0.8 else None  # noqa: E731
    tokens = numbers.choice([0, 1, 5, 1023, 1024, 2048, numbers.randrange(50_000)])
    sources = [[f"d{n}", sometimes(numbers.random()), sometimes(3.0)] for n in range(numbers.randrange(3))]
    given = {
        "ts": 1_760_000_000 + numbers.random() * 130,
        "workflow": "w",
        "segment": numbers.choice([None, "a", "b"]),
        "risk_tier": None,
        "model": numbers.choice(["m", "n"]),
        "prompt_version": sometimes("v1"),
        "user_id": sometimes(f"u{numbers.randrange(40)}"),
        "status": numbers.choice(["ok", "ok", "ok", "error", "timeout", "rate_limited", "cancelled"]),
        "attempts": numbers.choice([1, 1, 1, 2, 7]),
        "fallback": sometimes(numbers.randrange(2)),
        "usage_source": numbers.choice(["provider", "estimated", "missing"]),
        "cost_usd": sometimes(numbers.choice([0.0, 2.0**-61, numbers.random(), 0.25])),
        "input_tokens": sometimes(tokens),
        "cached_tokens": sometimes(numbers.choice([0, tokens // 2, tokens, 3 * tokens])),
        "output_tokens": sometimes(numbers.choice([0, 1, 256, numbers.randrange(9000)])),
        "dialect": numbers.choice(["record", "openinference", None]),
        "refused": sometimes(numbers.randrange(2)),
        "format_ok": sometimes(numbers.randrange(2)),
        "finish_reason": sometimes(numbers.choice(["stop", "length"])),
        "ttft_ms": sometimes(numbers.expovariate(0.01)),
        "latency_ms": sometimes(numbers.choice([0.0, 1024.0, numbers.expovariate(0.001)])),
        "retrieval_ms": sometimes(numbers.random() * 50),
        "citations": sometimes(numbers.randrange(3)),
        "sources": numbers.choice([None, None, json.dumps(sources)]),
    }
    return tuple(given[name] for name in Measured._fields)


@pytest.mark.parametrize("seed", range(12))
def test_calls_counted_together_make_the_same_points(seed):
    numbers = random.Random(seed)
    rows = [call(numbers) for _ in range(numbers.choice([1, 60, 700]))]
    one_by_one, together = Rollup(), Rollup()
    for row in rows:
        one_by_one.call(measured_of(row))
    cut = len(rows) // 3
    tally(together, rows[:cut])
    tally(together, rows[cut:])
    assert together.points() == one_by_one.points()


def test_values_at_the_edge_of_a_bucket_fall_where_they_do_alone():
    edges = [2.0 ** (n / 8) for n in range(-40, 200)]
    values = [value for edge in edges for value in (math.nextafter(edge, 0), edge, math.nextafter(edge, math.inf))]
    template = call(random.Random(1))
    place = Measured._fields.index("latency_ms")
    plain = {"status": "ok", "attempts": 1, "ts": 0.0, "sources": None}
    fixed = [plain.get(name, value) for name, value in zip(Measured._fields, template, strict=True)]
    counted = Rollup()
    tally(counted, [(*fixed[:place], value, *fixed[place + 1 :]) for value in values])
    (point,) = counted.points()
    expected: dict[int, int] = {}
    for value in values:
        expected[bucket(value)] = expected.get(bucket(value), 0) + 1
    assert point.quantities["latency_ms"].buckets == expected
