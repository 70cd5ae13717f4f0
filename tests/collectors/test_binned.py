"""Points of a few minutes are the same sums whoever adds them up, and in as many stages as one likes."""

from hypothesis import given
from hypothesis import strategies as st

from driftbell.collectors.binned import bins_of, by_part
from driftbell.collectors.point import Point, PointKey
from driftbell.collectors.sums import stored_of

BIN = 300
NAMES = st.sampled_from([None, "a", "b"])
KEYS = st.builds(
    PointKey, st.integers(0, 11).map(lambda n: 60 * n), st.just("triage"), NAMES, NAMES, NAMES, st.just("v1")
)
MEASURED = st.tuples(st.sampled_from(["cost", "latency_ms", "slowness|3"]), st.floats(0.0, 1e9))
USERS = st.dictionaries(st.sampled_from("uvw"), st.integers(1, 9))


@st.composite
def minutes(draw) -> list[Point]:
    """Minute points in the order of a store, with values whose sums depend on the order of their terms."""
    made = []
    for key in sorted(draw(st.sets(KEYS, max_size=12)), key=lambda key: (key.minute, str(key))):
        point = Point(key, calls=draw(st.integers(0, 5)), manual=draw(st.integers(0, 2)), users=draw(USERS))
        for name, value in draw(st.lists(MEASURED, max_size=6)):
            point.quantity(name, value)
        for hit in draw(st.lists(st.booleans(), max_size=3)):
            point.rate("error", hit)
        made.append(point)
    return made


def told(points: list[Point]) -> list:
    """All that a point says, with the order of its names, but not when it begins and of which model it is."""
    return [
        (*p.key[2:4], p.calls, p.manual, list(p.rates.items()), list(p.quantities.items()), p.users) for p in points
    ]


@given(minutes())
def test_stored_minutes_add_up_to_what_the_points_add_up_to(points):
    bins = bins_of(map(stored_of, points), BIN)
    assert bins.keys() == {point.key.minute // BIN * BIN for point in points}
    for start, found in bins.items():
        within = [point for point in points if point.key.minute // BIN * BIN == start]
        assert told(found) == told(by_part(within))
        assert {point.key.minute for point in found} == {start}


@given(minutes())
def test_what_was_added_up_is_not_changed_by_adding_it_up_again(points):
    (once, *_) = [*bins_of(map(stored_of, points), 7200).values(), []]
    assert told(by_part(once)) == told(once)


@given(minutes())
def test_nothing_is_lost_between_models_and_versions(points):
    found = by_part(points)
    assert len({point.key[2:4] for point in found}) == len(found)
    assert sum(point.calls for point in found) == sum(point.calls for point in points)
    assert sum(q.count for p in found for q in p.quantities.values()) == sum(
        q.count for p in points for q in p.quantities.values()
    )
