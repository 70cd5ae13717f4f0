"""Columns of a chunk: values of many spans, in the form that takes least.

Ids are random, so no compression makes them shorter than what they say: texts that are equally long and differ in
hex digits only are kept as these digits' bytes. Numbers are taken apart by byte, so that their zeros stand together.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

FEW = 8
"""Values up to which nothing is gained."""
_WORD = 8


def digits_of(column: Sequence[Any]) -> tuple[tuple[str, int, list[int] | None], bytes] | None:
    """Texts that differ in hex digits only, as what all begin with, digits' bytes of each, who has one, and the bytes.

    ``None`` if ``column`` is not of that kind. Who has one is not told where all have.
    """
    present = [value for value in column if value is not None] if None in column else column
    if len(present) < FEW or set(map(type, present)) != {str} or len(set(map(len, present))) > 1:
        return None
    lowest, highest = min(present), max(present)
    size, same = len(lowest), 0
    while same < size and lowest[same] == highest[same]:
        same += 1
    same -= (size - same) & 1
    if not 0 <= same < size:
        return None
    text = "".join([value[same:] for value in present])
    try:
        made = bytes.fromhex(text)
    except ValueError:
        return None
    if made.hex() != text:
        return None
    held = None if present is column else [int(value is not None) for value in column]
    return (lowest[:same], (size - same) // 2, held), made


def texts_of(kind: Sequence[Any], data: bytes, count: int, wanted: Sequence[int]) -> tuple[list[str | None], bytes]:
    """Inverse of `digits_of` for those ``wanted`` of ``count`` values, and what follows them in ``data``."""
    first, width, held = kind
    places: Sequence[int | None] = wanted
    if held is not None:
        before = [*accumulate(held, initial=0)]
        places = [before[at] if held[at] else None for at in wanted]
    texts = [None if at is None else first + data[at * width : (at + 1) * width].hex() for at in places]
    return texts, data[width * (count if held is None else sum(held)) :]


def planes(numbers: Iterable[int]) -> bytes:
    """Signed 64-bit numbers, the lowest byte of all of them first."""
    raw = array("q", numbers).tobytes()
    return b"".join([raw[byte::_WORD] for byte in range(_WORD)])


def numbers_of(data: bytes) -> Sequence[int]:
    """Inverse of `planes`."""
    found: list[int] = np.frombuffer(data, np.uint8).reshape(_WORD, -1).T.copy().view("<i8").ravel().tolist()
    return found
