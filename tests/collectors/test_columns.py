"""Columns of a chunk say the same after they were packed."""

from hypothesis import given
from hypothesis import strategies as st

from driftbell.collectors.columns import FEW, digits_of, numbers_of, planes, texts_of

HEX = st.text("0123456789abcdef", min_size=6, max_size=6)


@given(st.lists(st.none() | HEX.map("chatcmpl-".__add__), min_size=2 * FEW, max_size=80), st.binary())
def test_ids_that_differ_in_digits_come_back_whoever_has_one(column, rest):
    packed = digits_of(column)
    if packed is not None:
        kind, digits = packed
        assert texts_of(kind, digits + rest, len(column), range(len(column))) == (column, rest)
        assert texts_of(kind, digits + rest, len(column), [3, 9]) == ([column[3], column[9]], rest)


@given(st.lists(st.none() | st.text("0fFg-é", max_size=3) | st.integers() | st.floats(allow_nan=False), max_size=30))
def test_whatever_else_a_column_holds_is_left_alone_or_comes_back(column):
    packed = digits_of(column)
    if packed is not None:
        kind, digits = packed
        assert texts_of(kind, digits, len(column), range(len(column))) == (column, b"")


def test_ids_take_half_their_digits():
    column = [f"chatcmpl-{number * 7919:024x}" for number in range(40)]
    packed = digits_of(column)
    assert packed is not None
    assert len(packed[1]) <= 40 * 12


def test_equal_texts_and_capital_digits_are_not_packed():
    assert digits_of(["abcd"] * 20) is None
    assert digits_of([f"{number:04X}" for number in range(60_000, 60_020)]) is None


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_come_back_from_their_bytes(numbers):
    assert list(numbers_of(planes(numbers))) == numbers
