"""A row of numbers as one line of characters, for terminals."""

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"
"""For terminals whose encoding has no blocks."""


def sparkline(values: Sequence[float | None], encoding: str = "utf-8") -> str:
    """One character per value, from zero (or the least, if it is negative) to the largest; a gap for None."""
    try:
        BLOCKS.encode(encoding)
        levels = BLOCKS
    except (LookupError, UnicodeEncodeError):
        levels = PLAIN
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min([0.0, *known]), max(known, default=0.0)
    if high <= low:
        return "".join(" " if value is None else levels[0] for value in values)
    last = len(levels) - 1
    return "".join(
        " " if value is None or not math.isfinite(value) else levels[round((value - low) / (high - low) * last)]
        for value in values
    )
