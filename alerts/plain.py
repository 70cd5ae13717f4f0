"""Names from outside made harmless before they stand in a message: one line, bounded, no control or direction tricks.

Each channel still escapes what its own form gives a meaning to; this only removes what no form needs.
"""

import hashlib
import re
import unicodedata

MAX_NAME = 512
_ISOLATE, _POP = "\u2068", "\u2069"
_WORD_JOINER = "\u2060"
_MENTION = re.compile(r"@(?=(?:channel|here|everyone|all|group|team)\b)|(?<=<)(?=\S)", re.IGNORECASE)


def plain(text: str, limit: int = 120) -> str:
    """``text`` on one line of at most ``limit`` characters, without control, format and private characters.

    Text that runs from right to left keeps its order to itself (it is isolated), so that it cannot turn round
    the words beside it.
    """
    kept = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Zs"} else c
        for c in unicodedata.normalize("NFC", text[: limit * 4])
        if unicodedata.category(c) not in {"Cf", "Co", "Cs", "Cn"}
    )
    short = shorten(" ".join(kept.split()), limit)
    if any(unicodedata.bidirectional(c) in {"R", "AL"} for c in short):
        return _ISOLATE + shorten(short, limit - 2) + _POP
    return short


def shorten(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def name(text: str) -> str:
    """An identifying name that can be stored: at most `MAX_NAME` characters and no half of a surrogate pair.

    Two long names that differ stay different.
    """
    raw = text.encode(errors="replace")
    if len(text) <= MAX_NAME:
        return raw.decode()
    return raw.decode()[: MAX_NAME - 13] + "…" + hashlib.sha256(raw).hexdigest()[:12]


def no_mentions(text: str) -> str:
    """``text`` in which ``@everyone``, ``<!channel>`` and their like notify nobody, but read the same."""
    return _MENTION.sub(lambda found: found.group(0) + _WORD_JOINER, text)
