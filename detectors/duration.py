"""Lengths of time as people write them in a configuration or a command: ``30s``, ``15m``, ``4h``, ``2d``."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration(text: object) -> float:
    """Seconds of ``"90"``, ``90`` or ``"1h30m"``.

    Raises ValueError with the accepted form when the text is none of them.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    words = str(text).strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", words):
        return float(words)
    parts = _PART.findall(words)
    if not parts or _PART.sub("", words).strip():
        raise ValueError("write a length of time such as 30s, 15m, 4h, 2d or 1h30m")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A setting in seconds, written as a number or as a length of time."""
