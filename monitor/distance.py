"""How much of a text a person changed: the Levenshtein distance, scaled to 0..1."""

from typing import Final

MAX_CHARACTERS: Final = 8000
"""Longer texts are compared by their beginning, so that no review can keep a thread busy for long."""


def edit_distance(before: str, after: str) -> float:
    """0 for equal texts, 1 when nothing is left: single-character edits over the length of the longer text.

    Bit-parallel (Myers 1999, in the form of Hyyrö 2003): one step for each character of ``after``, whatever the length
    of ``before``, on integers that hold a bit for each character of ``before``.
    """
    before, after = before[:MAX_CHARACTERS], after[:MAX_CHARACTERS]
    longest = max(len(before), len(after))
    if before == after:
        return 0.0
    if not before or not after:
        return 1.0
    places: dict[str, int] = {}
    for index, character in enumerate(before):
        places[character] = places.get(character, 0) | 1 << index
    last = 1 << len(before) - 1
    mask = (last << 1) - 1
    up, down, distance = mask, 0, len(before)
    for character in after:
        match = places.get(character, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        rise = (down | ~(diagonal | up)) & mask
        fall = up & diagonal
        distance += bool(rise & last) - bool(fall & last)
        rise = (rise << 1 | 1) & mask
        fall = fall << 1 & mask
        up = (fall | ~(diagonal | rise)) & mask
        down = rise & diagonal
    return distance / longest
