"""A point of an hour that is kept in two columns is the same point, and its sums are told by one of them."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from driftbell.collectors.clickhouse.spread import apart, joined
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.sums import SPREADS, read_stored

KEY = PointKey(3600, "triage", "emea", None, "atlas", None)
NAMES = st.sampled_from(["cost", "price", "slowness|7", *sorted(SPREADS)])
VALUES = st.lists(st.tuples(NAMES, st.floats(0.0, 1e12)), max_size=20)


@given(VALUES, st.integers(0, 3), st.booleans())
def test_apart_and_joined_a_point_is_what_it_was(values, users, hit):
    point = Point(KEY, calls=len(values), users={f"user-{n}": n + 1 for n in range(users)})
    point.rate("error", hit)
    for name, value in values:
        point.quantity(name, value)
    body, spread = apart(point.encode())
    assert Point.read(KEY, joined(body, spread)) == point
    assert joined(point.encode(), "") == orjson.loads(point.encode())
    told = read_stored(KEY, body)
    assert told.users == point.users
    for name, quantity in point.quantities.items():
        assert told.quantities[name][:2] == [quantity.count, quantity.total]
        assert len(told.quantities[name]) == 2 + (2 * len(quantity.buckets) if name in SPREADS else 0)
