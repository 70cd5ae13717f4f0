"""Minute points as sums of a few minutes by segment and risk tier: all that a step of the detectors tells apart.

Points of different models and prompt versions are one here, so that what a step takes in is bounded by the segments of
a workflow and not by its calls. Adding up in two stages gives the same as in one, to the last bit, as long as points
come in the same order.
"""

from collections.abc import Iterable, Sequence

from driftbell.collectors.point import Point, PointKey, Quantity, merge
from driftbell.collectors.sums import Stored

Part = tuple[str | None, str | None]
"""Segment and risk tier."""


def by_part(points: Iterable[Point]) -> list[Point]:
    """The sum of ``points`` for every segment and risk tier, in the order in which these come first.

    A point that is alone is handed on as it is.
    """
    parts: dict[Part, list[Point]] = {}
    for point in points:
        parts.setdefault((point.key.segment, point.key.risk_tier), []).append(point)
    return [
        members[0] if len(members) == 1 else merge(members, _key(members[0].key, members[0].key.minute, part))
        for part, members in parts.items()
    ]


def bins_of(held: Iterable[Stored], length: int) -> dict[int, list[Point]]:
    """`by_part` of what is stored of the minutes of each interval of ``length`` s, by the start of the interval."""
    bins: dict[int, dict[Part, _Sum]] = {}
    for stored in held:
        key = stored.key
        start = key.minute // length * length
        sums = bins.get(start)
        if sums is None:
            sums = bins[start] = {}
        part = (key.segment, key.risk_tier)
        total = sums.get(part)
        if total is None:
            total = sums[part] = _Sum(_key(key, start, part))
        total.add(stored)
    return {start: [total.point() for total in sums.values()] for start, sums in bins.items()}


def _key(key: PointKey, start: int, part: Part) -> PointKey:
    return PointKey(start, key.workflow, *part, None, None)


class _Sum:
    """A point in the making; the values of its quantities are added up at the end."""

    __slots__ = ("_cells", "_point")

    def __init__(self, key: PointKey) -> None:
        self._point = Point(key)
        self._cells: dict[str, list[Sequence[float]]] = {}

    def add(self, stored: Stored) -> None:
        point, all_cells = self._point, self._cells
        point.calls += stored.calls
        point.manual += stored.manual
        rates, users = point.rates, point.users
        for name, (hits, trials) in stored.rates.items():
            cell = rates.get(name)
            if cell is None:
                rates[name] = [hits, trials]
            else:
                cell[0] += hits
                cell[1] += trials
        for name, told in stored.quantities.items():
            cells = all_cells.get(name)
            if cells is None:
                all_cells[name] = [told]
            else:
                cells.append(told)
        for user, n in stored.users.items():
            users[user] = users.get(user, 0) + n

    def point(self) -> Point:
        self._point.quantities = {name: _added(cells) for name, cells in self._cells.items()}
        return self._point


def _added(cells: Sequence[Sequence[float]]) -> Quantity:
    """The sum of ``[count, total, bucket, count, bucket, count, ...]``."""
    values = iter(cells[0])
    count, total = next(values), next(values)
    buckets = dict(zip(values, values, strict=True))
    for told in cells[1:]:
        values = iter(told)
        count += next(values)
        total += next(values)
        for index, n in zip(values, values, strict=True):
            buckets[index] = buckets.get(index, 0) + n
    return Quantity(count, total, buckets)  # type: ignore[arg-type]  # all but the total are whole numbers
