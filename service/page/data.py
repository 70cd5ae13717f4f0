"""Points of a workflow as the page draws them: merged to bins, restricted to a slice, with what was usual."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from driftbell.alerts import history
from driftbell.alerts.record import Incident
from driftbell.collectors.point import Point, PointKey, Quantity, merge
from driftbell.collectors.store import Resolution, Store
from driftbell.detectors.band import Reading, Spans, readings, value_of, volumes
from driftbell.service.page.panels import KNOWN, Panel, shows
from driftbell.service.page.window import DAY, HOUR, Window

LEARNED_FROM = 16 * DAY
"""How long before the window the hours begin from which the band is learned: what the detectors remember well."""
MOST_INCIDENTS = 200
MOST_POINTS = 20_000
"""Points that are read for one page: a workflow with very many slices is shown by day."""
ENOUGH = 20
"""Observations that a bin must hold in the middle case."""
TIMES = (1, 2, 4, 6, 12, 24)
"""How many bins are made one, at most so that `FEWEST_BINS` of at most `WIDEST` s remain."""
FEWEST_BINS, WIDEST = 14, DAY


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a workflow that is looked at; None takes everything."""

    segment: str | None = None
    risk_tier: str | None = None
    model: str | None = None
    prompt_version: str | None = None

    def takes(self, key: PointKey) -> bool:
        """Whether a point belongs to it."""
        return (
            self.segment in (None, key.segment)
            and self.risk_tier in (None, key.risk_tier)
            and self.model in (None, key.model)
            and self.prompt_version in (None, key.prompt_version)
        )

    @property
    def asked(self) -> dict[str, object]:
        """As parameters of a URL."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}


WHOLE = Slice()


class Measures:
    """The measures that are read: of every panel, or of one. What no panel shows is left out where points are read."""

    def __init__(self, panel: Panel | None = None) -> None:
        panels = KNOWN.values() if panel is None else [panel]
        self._evaluations = panel is None
        self._names = {each.measure if each.series is None else each.series.measure for each in panels}

    def __contains__(self, name: object) -> bool:
        return name in self._names or (self._evaluations and str(name).startswith("eval."))

    def only(self, point: Point) -> Point:
        """A point with nothing else in it (itself, changed)."""
        point.rates = {name: cell for name, cell in point.rates.items() if name in self}
        point.quantities = {name: cell for name, cell in point.quantities.items() if name in self}
        point.users = {}
        return point


EVERY = Measures()


@dataclass(frozen=True, slots=True)
class Material:
    """What the charts of one workflow are drawn from: ``shown`` one point per bin, ``hours`` to learn from."""

    window: Window
    shown: tuple[Point, ...]
    hours: tuple[Point, ...]
    incidents: tuple[Incident, ...]
    now: float

    @property
    def measures(self) -> set[str]:
        """Names of everything that was observed in the window."""
        names: set[str] = set()
        for point in self.shown:
            names.update(point.rates, point.quantities)
            if point.manual:
                names.add("manual")
        return names

    def readings(self, panel: Panel) -> tuple[int, list[Reading]]:
        """The width of the bins (s) and the readings of a series; bins grow until they hold enough to say anything."""
        known = spans(self.incidents, panel)
        if panel.series is None:
            return self.window.width, volumes(self.hours, self.shown, self.window.width, self.now, panel.measure, known)
        width, shown = self.window.width, list(self.shown)
        plain: list[Point] | None = None
        for times in TIMES:
            wider = self.window.width * times
            if wider > WIDEST or self.window.length / wider < FEWEST_BINS:
                break
            width = wider
            if times > 1 and shown:
                plain = plain or [_plain(point, panel.series.measure) for point in self.shown]
                shown = binned(plain, width, shown[0].key.minute, self.window.until)
            sizes = [n for n, _ in (value_of(point, panel.series) for point in shown) if n]
            if not sizes or median(sizes) >= ENOUGH:
                break
        return width, readings(self.hours, shown, panel.series, known)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The points of a workflow as they are kept, for `of` to make charts of any part of it.

    ``known`` lie in the window; ``hours`` begin some days earlier.
    """

    window: Window
    known: tuple[Point, ...]
    hours: tuple[Point, ...]
    incidents: tuple[Incident, ...]
    now: float

    def of(self, part: Slice = WHOLE) -> Material:
        """What the charts of one part are drawn from."""
        window = self.window
        begin = min((point.key.minute for point in self.hours), default=window.until)
        hours = binned((point for point in self.hours if part.takes(point.key)), HOUR, begin, window.until)
        first = max(window.since, min((point.key.minute for point in self.known), default=window.until))
        if HOUR <= window.width < DAY:  # hours that are added up already
            mine = [point for point in hours if point.key.minute >= first]
        else:
            mine = [point for point in self.known if part.takes(point.key)]
        shown = binned(mine, window.width, first, window.until)
        return Material(window, tuple(shown), tuple(hours), self.incidents, self.now)


def load(store: Store, workflow: str, asked: Window, minutes_from: float, wanted: Measures = EVERY) -> Loaded:
    """Read the points of a window and of the days before it, at most about `MOST_POINTS` of each.

    Minutes are kept from ``minutes_from`` (epoch s) on only; before, and where there are too many, the bins are wider.
    """

    def read(since: int, resolution: Resolution) -> list[Point]:
        return [wanted.only(point) for point in store.sums(workflow, since, window.until, resolution, wanted)]

    window = asked
    if window.width < HOUR:
        too_many = store.held(workflow, window.since, window.until, "minute") > MOST_POINTS
        window = window.hourly() if window.since < minutes_from or too_many else window
    before = window.since - LEARNED_FROM
    if window.width < DAY and store.held(workflow, before, window.until, "hour") > MOST_POINTS:
        window = window.daily()
    hours = read(before, "hour") if window.width < DAY else []
    if window.width >= DAY:
        fine = read(window.since, "day")
    elif window.width >= HOUR:
        fine = [point for point in hours if point.key.minute >= window.since]
    else:
        fine = read(window.since, "minute")
    about = history.between(store.read(), before, window.until, workflow, MOST_INCIDENTS)
    return Loaded(window, tuple(fine), tuple(hours), tuple(about), store.clock())


def _plain(point: Point, measure: str) -> Point:
    """What is shown of one measure: counts and sums, which are added up quickly."""
    quantity, rate = point.quantities.get(measure), point.rates.get(measure)
    return Point(
        point.key,
        point.calls,
        point.manual,
        {} if rate is None else {measure: rate},
        {} if quantity is None else {measure: Quantity(quantity.count, quantity.total)},
    )


def binned(points: Iterable[Point], width: int, since: int, until: int) -> list[Point]:
    """One point per bin from ``since`` on, empty ones too, each the sum of what starts in it (not to be changed)."""
    bins: dict[int, list[Point]] = {start: [] for start in range(since // width * width, until, width)}
    for point in points:
        held = bins.get(point.key.minute // width * width)
        if held is not None:
            held.append(point)
    return [
        members[0]
        if len(members) == 1 and members[0].key.minute == start
        else merge(members, PointKey(start, "", None, None, None, None))
        for start, members in bins.items()
    ]


def spans(incidents: Sequence[Incident], panel: Panel) -> Spans:
    """When incidents that hold the series of ``panel`` were open."""
    found = []
    for incident in incidents:
        if any(shows(panel, member.finding) for member in incident.members.values()):
            end = incident.ended_at or incident.resolved_at
            found.append((incident.started_at, float("inf") if end is None else end))
    return found
