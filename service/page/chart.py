"""Charts as SVG without a script: a line, the band of what is usual, incidents as shaded spans, changes as marks.

The drawing stretches with the page (its own coordinates are not those of the letters beside it), so one chart serves
every width. Templates draw what is worked out here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from driftbell.alerts.wording import percent, quantity
from driftbell.detectors.band import Reading
from driftbell.service.page.window import DAY, HOUR, Window

WIDE, HIGH = 1000, 300
"""The coordinates of a drawing: x to the right, y downwards."""
_ROOM = 1.15
"""The highest value stands this far below the upper edge."""
_BEYOND = 1.6
"""How far, in multiples of what is seen, the band may stretch the scale."""
_LEAST_TOP = {"share": 0.02, "usd": 1e-6}
"""The least value at the upper edge, by unit: nothing but zeros needs no scale that shows less."""
_STEPS = (5.0, 2.0, 1.0, 0.5, 0.2)
_LABELLED = 0.88
"""Part of the height up to which a level has room for its label."""
_TICKS = (HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY)


@dataclass(frozen=True, slots=True)
class Shade:
    """A span to be shaded, such as an incident; ``tone`` is its severity. ``since`` and ``until`` are epoch s."""

    since: float
    until: float
    label: str
    href: str
    tone: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to be marked: something changed on purpose."""

    ts: float
    label: str


@dataclass(frozen=True, slots=True)
class Placed:
    """Something at ``x`` percent of the width (and ``width`` percent wide), or at ``y`` percent of the height."""

    label: str
    x: float = 0.0
    width: float = 0.0
    y: float = 0.0
    href: str = ""
    tone: str = ""
    ts: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a template needs. ``line``, ``dots``, ``usual`` and ``band`` are path data in the coordinates above.

    ``dots`` are readings without a neighbour, which a line does not show.

    ``values`` and ``expected`` are what is read off when one points at a bin, written out; ``last`` is the newest.
    """

    window: Window
    width: int
    line: str
    dots: str
    usual: str
    band: str
    rules: tuple[Placed, ...]
    ticks: tuple[Placed, ...]
    shades: tuple[Placed, ...]
    marks: tuple[Placed, ...]
    first: int
    values: tuple[str, ...]
    expected: tuple[str, ...]
    summary: str

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.line and not self.dots


def draw(
    window: Window,
    width: int,
    readings: Sequence[Reading],
    unit: str,
    shades: Iterable[Shade] = (),
    marks: Iterable[Mark] = (),
) -> Drawing:
    """Work out one chart over ``window``; the readings are of bins ``width`` seconds wide."""
    low, high = _scale(readings, unit)

    def x(ts: float) -> float:
        return WIDE * (ts - window.since) / window.length

    def y(value: float) -> float:
        return HIGH * (1 - (min(max(value, low - (high - low)), 3 * high) - low) / (high - low))

    middles = [(x(r.start + width / 2), r) for r in readings]
    seen = _runs(middles, _observed)
    known = [[(at, r) for at, r in run] for run in _runs(middles, lambda r: r.low is not None)]
    return Drawing(
        window=window,
        width=width,
        line="".join(_path([(at, y(r.value)) for at, r in run]) for run in seen if len(run) > 1),  # type: ignore[arg-type]
        dots="".join(f"M{at:.0f} {y(r.value):.0f}h0" for ((at, r), *more) in seen if not more),  # type: ignore[arg-type]
        usual="".join(_path([(at, y(r.usual)) for at, r in run]) for run in known),  # type: ignore[arg-type]
        band="".join(_area([(at, y(r.low), y(r.high)) for at, r in run]) for run in known),  # type: ignore[arg-type]
        rules=tuple(Placed(_rule(value, unit), y=round(y(value) / HIGH * 100, 2)) for value in _levels(low, high)),
        ticks=_ticks(window),
        shades=tuple(_placed(window, shade) for shade in shades if _meets(window, shade)),
        marks=tuple(
            Placed(m.label, x=_percent(window, m.ts), ts=m.ts) for m in marks if window.since <= m.ts < window.until
        ),
        first=readings[0].start if readings else window.since,
        values=tuple("–" if r.value is None else quantity(r.value, unit) for r in readings),
        expected=tuple(_expected(r, unit) for r in readings),
        summary=_summary(readings, unit),
    )


def _observed(reading: Reading) -> bool:
    return reading.value is not None


def _scale(readings: Sequence[Reading], unit: str) -> tuple[float, float]:
    """The values at the lower and the upper edge."""
    seen = [v for r in readings for v in (r.value, r.usual) if v is not None and math.isfinite(v)]
    if not seen:
        return 0.0, 1.0
    top = max(seen)
    wide = [r.high for r in readings if r.high is not None]
    high = max(top, min(max(wide, default=top), _BEYOND * top), _LEAST_TOP.get(unit, 0.0))
    if unit == "score":
        floor = min([*seen, *(r.low for r in readings if r.low is not None)])
        low = max(0.0, floor - 0.15 * max(high - floor, 0.02))
        above = high + 0.15 * (high - low)
        return low, max(min(1.0, above) if high <= 1.0 else above, low + 0.02)
    if unit == "share":
        return 0.0, min(high * _ROOM, max(1.0, high))
    return 0.0, high * _ROOM or 1.0


def _levels(low: float, high: float) -> list[float]:
    """Two or three round values between the edges, with room for their labels."""
    size = 10.0 ** math.floor(math.log10(high - low))
    for step in (size * part for part in _STEPS):
        first = math.floor(low / step) + 1
        found = [i * step for i in range(first, first + 5) if i * step <= low + _LABELLED * (high - low)]
        if len(found) >= 2:
            return found
    return []


def _rule(value: float, unit: str) -> str:
    if unit == "share":
        return percent(value).replace(".0%", "%")
    written = quantity(value, unit)
    return written.replace("/hour", "") if unit in ("usd/h", "calls/h") else written


def _runs(points: Sequence[tuple[float, Reading]], has: object) -> list[list[tuple[float, Reading]]]:
    """Stretches of neighbouring bins that have something."""
    assert callable(has)
    runs: list[list[tuple[float, Reading]]] = [[]]
    for point in points:
        if has(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        (x, y) = points[0]
        return f"M{x - 1:.0f} {y:.0f}h2"
    return "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in points)


def _area(points: Sequence[tuple[float, float, float]]) -> str:
    if len(points) == 1:
        x, low, high = points[0]
        points = [(x - 1, low, high), (x + 1, low, high)]
    upper = "L".join(f"{x:.0f} {high:.0f}" for x, _, high in points)
    lower = "L".join(f"{x:.0f} {low:.0f}" for x, low, _ in reversed(points))
    return f"M{upper}L{lower}Z"


def _percent(window: Window, ts: float) -> float:
    return round(100 * (ts - window.since) / window.length, 2)


def _meets(window: Window, shade: Shade) -> bool:
    return shade.since < window.until and shade.until > window.since


def _placed(window: Window, shade: Shade) -> Placed:
    left = max(_percent(window, shade.since), 0.0)
    right = min(_percent(window, min(shade.until, window.until)), 100.0)
    return Placed(shade.label, x=left, width=round(max(right - left, 0.4), 2), href=shade.href, tone=shade.tone)


def _ticks(window: Window) -> tuple[Placed, ...]:
    """About five moments on round hours or days of UTC; the script of the page moves them to the reader's zone."""
    step = next((step for step in _TICKS if window.length / step <= 6), _TICKS[-1])
    first = -(-window.since // step) * step
    moments = range(first, window.until, step)
    return tuple(Placed("", x=_percent(window, ts), ts=ts) for ts in moments if 3 <= _percent(window, ts) <= 97)


def _expected(reading: Reading, unit: str) -> str:
    if reading.low is None or reading.high is None:
        return ""
    return f"{quantity(reading.low, unit)} to {quantity(reading.high, unit)}"


def _summary(readings: Sequence[Reading], unit: str) -> str:
    """The chart in one sentence, for who cannot see it."""
    seen = [r for r in readings if r.value is not None]
    if not seen:
        any_calls = any(r.n for r in readings)
        return "Too little time has passed to tell." if any_calls else "Nothing was observed in this span."
    values = [r.value for r in seen if r.value is not None]
    text = f"From {quantity(min(values), unit)} to {quantity(max(values), unit)}, last {quantity(values[-1], unit)}."
    outside = sum(1 for r in seen if r.low is not None and not r.low <= (r.value or 0.0) <= (r.high or 0.0))
    known = sum(1 for r in seen if r.low is not None)
    return text + (f" {outside} of {known} readings lie outside of what is usual." if known else "")


def spark(values: Sequence[float | None], high: int = 20) -> str:
    """Path data of a small line over ``len(values)`` steps, ``high`` units high; empty without two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    top = max(known) or 1.0
    runs: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is not None:
            runs[-1].append(f"{at} {high - 1 - (high - 2) * value / top:.1f}")
        elif runs[-1]:
            runs.append([])
    return "".join("M" + "L".join(run) for run in runs if len(run) > 1)
