"""Readings of one attribute value, whatever type it came in; every function is total and bounded.

Emitters send numbers as strings, JSON inside strings (sometimes twice), Python reprs, booleans as words. ``None``
means "cannot be read as that".
"""

import ast
import hashlib
import json
import re
from datetime import UTC, datetime

Structure = dict[str, object] | list[object]

MAX_STRUCTURE = 65_536
"""Characters of JSON, or a quarter of it of Python repr, beyond which a string is not parsed."""
MAX_TEXT = 200
NO_TEXT = ("null", "None", "none")
"""What some emitters write where there is nothing to say."""
_ENDS = 4096
MAX_COUNT = 1 << 53
MAX_LISTS = 3
"""Lists inside one another that a path enters."""
_MOST = 2.0**64
"""A time in nanoseconds is less. What is more, sums and prices would overflow with."""
_QUOTED = re.compile(r'^\s*"(.*)"\s*$', re.DOTALL)
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$")


def hashed(user: str) -> str:
    """The form in which the id of a user is kept that its sender did not hash."""
    return hashlib.blake2b(user.encode("utf-8", "replace"), digest_size=8).hexdigest()


def printable(name: str) -> str:
    """``name`` with a space for what no terminal shows as a character: controls, marks of direction, breaks."""
    if name.isprintable():
        return name
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


def text(value: object) -> str | None:
    """A short non-empty string, unquoted if it is a JSON string; ``None`` for anything else, also for longer text."""
    if not isinstance(value, str) or len(value) > 4 * MAX_TEXT:
        return None
    found = _unquoted(value).strip()
    if not found.isprintable():
        found = printable(found)
    return found if found and len(found) <= MAX_TEXT and found not in NO_TEXT else None


def model(value: object) -> str | None:
    """A short text that names something."""
    found = text(value)
    return None if found is None or found.lower() in ("unknown", "default", "none") else found


def digest(value: object) -> str | None:
    """A short digest of both ends of a text or structure, to tell equal requests without keeping them."""
    if not isinstance(value, (str, dict, list)) or not value:
        return None
    held = value if isinstance(value, str) else attribute_text(value)
    ends = f"{len(held)} {held[:_ENDS]} {held[-_ENDS:]}"
    return hashlib.blake2b(ends.encode("utf-8", "replace"), digest_size=8).hexdigest()


def number(value: object) -> float | None:
    """A number of any sensible size from an int, a float or a numeric string."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        stripped = _unquoted(value[:64]).strip()
        value = float(stripped) if _NUMBER.match(stripped) else None
    if isinstance(value, (int, float)):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if -_MOST < found < _MOST else None
    return None


def count(value: object) -> int | None:
    """A whole number that is not negative."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= MAX_COUNT else None


def share(value: object) -> float | None:
    """A number between 0 and 1."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def amount(value: object) -> float | None:
    """A number that is not negative."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def flag(value: object) -> bool | None:
    """A boolean, also as word or as 0/1."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(_unquoted(value[:16]).strip().lower())
    return bool(value) if value in (0, 1) and isinstance(value, (int, float)) else None


def structure(value: object) -> Structure | None:
    """A dict or list: as it is, or from JSON (also quoted twice), or from a Python repr."""
    for _ in range(3):
        if isinstance(value, (dict, list)):
            return value
        if not isinstance(value, str) or len(value) > MAX_STRUCTURE:
            return None
        stripped = value.strip()
        if stripped[:1] not in ("{", "[", '"'):
            return None
        value = _parsed(stripped)
    return None


def path(found: object, names: str) -> object:
    """The member at the dotted ``names`` of nested dicts (lists are entered at their first member), or ``None``."""
    for name in names.split("."):
        for _ in range(MAX_LISTS):
            if isinstance(found, list):
                found = found[0] if found else None
        if isinstance(found, str):
            found = structure(found)
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def timestamp(value: object) -> float | None:
    """Epoch seconds of an ISO 8601 time (UTC unless it says otherwise) or of a plausible epoch number."""
    if isinstance(value, str):
        stripped = _unquoted(value[:64]).strip()
        try:
            moment = datetime.fromisoformat(stripped)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    found = number(value)
    for unit in (1.0, 1e-3, 1e-6, 1e-9):
        if found is not None and 1e8 < found * unit < 5e9:
            return found * unit
    return None


def attribute_text(value: object) -> str:
    """A string to search in, at most `MAX_STRUCTURE` characters: strings as they are, structures as JSON."""
    if isinstance(value, str):
        return value[:MAX_STRUCTURE]
    if isinstance(value, (dict, list)):
        try:
            return json.dumps(value, default=str)[:MAX_STRUCTURE]
        except (ValueError, RecursionError):
            return ""
    return ""


def _unquoted(value: str) -> str:
    if '"' not in value[:1] and not value[:1].isspace():
        return value
    match = _QUOTED.match(value)
    return match.group(1) if match else value


def _parsed(source: str) -> object:
    try:
        return json.loads(source)
    except (ValueError, RecursionError):
        pass
    if len(source) > MAX_STRUCTURE // 4:
        return None
    try:
        return ast.literal_eval(source)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def first_text(value: object) -> str | None:
    """A short text, or the first of a list of them (also of a JSON list)."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = structure(value)
    if isinstance(value, list):
        return next((found for found in map(text, value[:16]) if found is not None), None)
    return text(value)


def any_text(value: object) -> str | None:
    """The beginning of a string of any length."""
    return value[:2000] if isinstance(value, str) and value else None
