"""Calls that are counted together make the points that they make one after the other."""

import json
import math
import random

import pytest

from driftbell.collectors.point import bucket
from driftbell.collectors.rollup import Rollup
from driftbell.collectors.rows import DIMENSIONS, MEASURED, Told, measured_of
from driftbell.collectors.tally import tally


def named(numbers: random.Random) -> Told:
    """Names, of which a few calls have the same."""
    return Told(
        segment=numbers.choice([None, "a", "b"]),
        risk_tier=None,
        model=numbers.choice(["m", "n"]),
        prompt_version=numbers.choice([None, "v1", "v1"]),
        status=numbers.choice(["ok", "ok", "ok", "error", "timeout", "rate_limited", "cancelled"]),
        usage_source=numbers.choice(["provider", "estimated", "missing"]),
        dialect=numbers.choice(["record", "openinference", None]),
        finish_reason=numbers.choice([None, "stop", "length"]),
    )


def call(numbers: random.Random, dimensions: int) -> tuple:
    """A row with anything in any of its columns, and plain values in most."""
    sometimes = lambda value: value if numbers.random() < 0.8 else None  # noqa: E731
    tokens = numbers.choice([0, 1, 5, 1023, 1024, 2048, numbers.randrange(50_000), 2**24 - 1, 2**24])
    sources = [[f"d{n}", sometimes(numbers.random()), sometimes(3.0)] for n in range(numbers.randrange(3))]
    given = {
        "ts": 1_760_000_000 + numbers.random() * 130,
        "dimensions": dimensions,
        "user_id": sometimes(f"u{numbers.randrange(40)}"),
        "attempts": numbers.choice([1, 1, 1, 2, 7]),
        "fallback": sometimes(numbers.randrange(2)),
        "cost_usd": sometimes(numbers.choice([0.0, 2.0**-61, numbers.random(), 0.25])),
        "input_tokens": sometimes(tokens),
        "cached_tokens": sometimes(numbers.choice([0, tokens // 2, tokens, 3 * tokens])),
        "output_tokens": sometimes(numbers.choice([0, 1, 255, 256, tokens, numbers.randrange(9000)])),
        "refused": sometimes(numbers.randrange(2)),
        "format_ok": sometimes(numbers.randrange(2)),
        "ttft_ms": sometimes(numbers.expovariate(0.01)),
        "latency_ms": sometimes(numbers.choice([0.0, 1024.0, numbers.expovariate(0.001)])),
        "retrieval_ms": sometimes(numbers.random() * 50),
        "citations": sometimes(numbers.randrange(3)),
        "sources": numbers.choice([None, None, json.dumps(sources)]),
    }
    return tuple(given[name] for name in MEASURED)


@pytest.mark.parametrize("seed", range(12))
def test_calls_counted_together_make_the_same_points(seed):
    numbers = random.Random(seed)
    told = {number: named(numbers) for number in range(1, 40)}
    rows = [call(numbers, numbers.randrange(1, 40)) for _ in range(numbers.choice([1, 60, 700]))]
    one_by_one, together = Rollup(), Rollup()
    for row in rows:
        one_by_one.call(measured_of(row, "w", told[row[DIMENSIONS]]))
    cut = len(rows) // 3
    tally(together, "w", rows[:cut], told)
    tally(together, "w", rows[cut:], told)
    assert together.points() == one_by_one.points()


def test_calls_whose_names_are_gone_are_left_out():
    numbers = random.Random(5)
    told = {number: named(numbers) for number in (1, 2)}
    rows = [call(numbers, number) for number in (1, 2, 3) for _ in range(30)]
    whole, known = Rollup(), Rollup()
    tally(whole, "w", rows, told)
    tally(known, "w", rows[:60], told)
    assert whole.points() == known.points()


def test_values_at_the_edge_of_a_bucket_fall_where_they_do_alone():
    edges = [2.0 ** (n / 8) for n in range(-40, 200)]
    values = [value for edge in edges for value in (math.nextafter(edge, 0), edge, math.nextafter(edge, math.inf))]
    told = named(random.Random(1))._replace(status="ok")
    template = call(random.Random(1), 7)
    place = MEASURED.index("latency_ms")
    plain = {"attempts": 1, "ts": 0.0, "sources": None}
    fixed = [plain.get(name, value) for name, value in zip(MEASURED, template, strict=True)]
    counted = Rollup()
    tally(counted, "w", [(*fixed[:place], value, *fixed[place + 1 :]) for value in values], {7: told})
    (point,) = counted.points()
    expected: dict[int, int] = {}
    for value in values:
        expected[bucket(value)] = expected.get(bucket(value), 0) + 1
    assert point.quantities["latency_ms"].buckets == expected
