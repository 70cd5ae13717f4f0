"""Taking personal data and secrets out of a text before it leaves the process."""

import re
from collections.abc import Callable, Iterable
from typing import Final

Finder = tuple[str, re.Pattern[str], Callable[[str], bool] | None]


def _luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    numbers = [int(character) for character in digits if character.isdecimal()]
    if not 13 <= len(numbers) <= 19:
        return False
    doubled = [2 * n - 9 if n > 4 else 2 * n for n in numbers[-2::-2]]
    return (sum(numbers[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """The check digits of an IBAN (ISO 13616: letters as numbers, remainder of 97 is 1)."""
    compact = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _phone(text: str) -> bool:
    return 8 <= sum(character.isdecimal() for character in text) <= 15


def _mixed(text: str) -> bool:
    """Long runs of letters and digits mixed are keys; long words and long numbers alone are not."""
    return any(c.isdecimal() for c in text) and any(c.isalpha() for c in text)


_FINDERS: Final[tuple[Finder, ...]] = (
    ("key", re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,8000}(?:-----END [A-Z ]{0,30}-----)?"), None),
    ("token", re.compile(r"\beyJ[\w-]{8,2000}\.[\w-]{4,4000}\.[\w-]{0,1000}"), None),
    ("key", re.compile(r"\b(?:sk|pk|rk)[-_][\w-]{16,200}|\bgh[pousr]_\w{20,255}|\bxox[abeoprs]-[\w-]{10,250}"), None),
    ("key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}|\bglpat-[\w-]{20,64}|\bhf_\w{30,64}"), None),
    ("token", re.compile(r"(?i)\b(?:bearer|basic)\s{1,3}[\w.~+/=-]{12,4000}"), None),
    (
        "secret",
        re.compile(
            r"(?i)(?<![^\W_])(?:password|passwd|pwd|(?:secret|api|access|private)[_-]?key|secret|token|signature|sig)\b"
            r"(?:\W{1,4}|\\{1,3}[\"']\s?[:=]\s?\\{0,3}[\"']?)[^\s\"'&,;]{6,500}"
        ),
        None,
    ),
    ("email", re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), None),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b"), _iban),
    ("iban", re.compile(r"\b[A-Za-z]{2}\d{2}[A-Za-z0-9]{11,30}\b"), _iban),
    ("card", re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), _luhn),
    ("phone", re.compile(r"(?<![\w.])(?:\+|00|\(?0)\d{0,3}[\d ()./-]{6,20}\d(?!\w)"), _phone),
    ("key", re.compile(r"\b[A-Za-z0-9_+/-]{32,500}={0,2}"), _mixed),
)


def redacted(text: str, own: Iterable[re.Pattern[str]] = ()) -> str:
    """``text`` with e-mail addresses, phone and card numbers, IBANs, keys, tokens and ``own`` patterns replaced.

    Each find becomes its kind in brackets, such as ``[email]``; what ``own`` patterns find becomes ``[redacted]``.
    """
    for pattern in own:
        text = pattern.sub("[redacted]", text)
    for kind, pattern, check in _FINDERS:
        text = pattern.sub(_replacement(kind, check), text)
    return text


def _replacement(kind: str, check: Callable[[str], bool] | None) -> Callable[[re.Match[str]], str]:
    def replace(found: re.Match[str]) -> str:
        return found[0] if check is not None and not check(found[0]) else f"[{kind}]"

    return replace
