"""Charts stay in their frame whatever they are given, and say in words what they show."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbell.collectors.point import Point, PointKey
from driftbell.detectors.band import Reading
from driftbell.service.page.chart import HIGH, WIDE, Mark, Shade, draw, spark
from driftbell.service.page.waterfall import waterfall
from driftbell.service.page.window import DAY, HOUR, RANGES, around

VALUES = st.none() | st.floats(0, 1e12, allow_nan=False)
NO_UNITS = str.maketrans("", "", "$c,+")
UNITS = ("usd", "usd/h", "share", "score", "ms", "tokens", "days", "calls/h")


@st.composite
def series(draw_from) -> list[Reading]:
    """Readings of neighbouring bins, some without a value or without anything usual."""
    found = []
    for i, value in enumerate(draw_from(st.lists(VALUES, max_size=40))):
        usual = draw_from(VALUES) if value is not None else None
        band = () if usual is None else (usual, usual / 2, usual * 2)
        found.append(Reading(i * HOUR, 0 if value is None else 9, value, *band))
    return found


@given(series(), st.sampled_from(UNITS))
def test_nothing_is_drawn_beside_the_frame_that_is_not_cut_off_by_it(readings, unit):
    made = draw(around(0, 40 * HOUR), HOUR, readings, unit, [Shade(-5.0, 9e9, "x", "", "page")], [Mark(HOUR, "y")])
    for path in (made.line, made.usual, made.band):
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
        assert all(math.isfinite(n) and abs(n) <= 4 * max(WIDE, HIGH) for n in numbers)
    for placed in (*made.rules, *made.ticks, *made.shades, *made.marks):
        assert 0 <= placed.x <= 100
        assert 0 <= placed.y <= 100
        assert placed.x + placed.width <= 100.01
    assert len(made.rules) <= 5
    assert made.summary


def test_scores_above_one_stay_in_the_frame():
    readings = [Reading(i * HOUR, 9, value) for i, value in enumerate([11.0, 14.5, 12.0])]
    made = draw(around(0, 3 * HOUR), HOUR, readings, "score")
    heights = [float(y) for y in re.findall(r" (-?\d+)", made.line)]
    assert all(0 <= y <= HIGH for y in heights)


def test_a_gap_in_the_data_is_a_gap_in_the_line():
    readings = [Reading(i * HOUR, 5, value) for i, value in enumerate([1.0, 2.0, None, 3.0])]
    made = draw(around(0, 4 * HOUR), HOUR, readings, "usd")
    assert made.line.count("M") == made.dots.count("M") == 1
    assert made.values == ("$1.00", "$2.00", "–", "$3.00")


def test_the_summary_tells_what_the_picture_shows():
    readings = [Reading(0, 5, 1.0, 1.0, 0.5, 1.5), Reading(HOUR, 5, 4.0, 1.0, 0.5, 1.5)]
    summary = draw(around(0, 2 * HOUR), HOUR, readings, "usd").summary
    assert summary == "From $1.00 to $4.00, last $4.00. 1 of 2 readings lie outside of what is usual."


@pytest.mark.parametrize(("name", "length"), RANGES.items())
def test_every_range_has_bins_that_can_be_told_apart(name, length):
    window = around(1e9 - length, 1e9, name)
    assert 24 <= window.length / window.width <= 300
    assert window.since % window.width == window.until % window.width == 0
    assert window.since <= 1e9 - length
    assert window.until >= 1e9


def test_a_small_line_needs_two_values():
    assert spark([None, 3.0, None]) == ""
    assert spark([0.0, 3.0, None, 1.0, 2.0]).count("M") == 2
    assert spark([0.0, 0.0]) == "M0 19.0L1 19.0"


def priced(segment: str, calls: int, cost: float, tokens: float) -> Point:
    point = Point(PointKey(0, "w", segment, None, "m", None), calls=calls)
    for _ in range(calls):
        point.quantity("cost", cost)
        point.quantity("input_tokens", tokens)
        point.quantity("output_tokens", 50)
        point.quantity("attempts", 1)
    return point


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.001, 9), st.floats(10, 9000))
def test_the_bars_of_a_waterfall_lead_from_before_to_now(few, many, cost, tokens):
    before = [priced("a", many, 0.02, 500), priced("b", few, 0.01, 300)]
    after = [priced("a", few, cost, tokens), priced("b", many, 0.01, 300)]
    made = waterfall(before, after)
    assert made is not None
    assert made.parts_sum == pytest.approx(made.after - made.before, rel=1e-9, abs=1e-12)
    first, *parts, last = (float(bar.shown.translate(NO_UNITS)) for bar in made.bars)
    assert first + sum(parts) == pytest.approx(last, abs=1e-9), "as they are read, too"
    assert last - first == pytest.approx(float(made.change.translate(NO_UNITS)), abs=1e-9)
    assert [made.bars[0].kind, made.bars[-1].kind] == ["before", "after"]
    for bar in made.bars:
        assert bar.left >= -0.01
        assert bar.left + bar.width <= 100.4


def test_there_is_no_waterfall_without_a_price_on_both_sides():
    assert waterfall([], [priced("a", 1, 0.1, 10)]) is None
    assert waterfall([Point(PointKey(0, "w", None, None, None, None), calls=3)], [priced("a", 1, 0.1, 10)]) is None


def test_a_day_is_the_widest_bin():
    assert around(0, 300 * DAY).width == DAY
