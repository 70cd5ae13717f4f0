"""What can be said of a text without quoting it: enough to see that answers changed, too little to read them."""

import re
import zlib
from collections import Counter
from typing import Final

BUCKETS: Final = 16
_WORDS: Final = re.compile(r"\w{1,40}")
_SAMPLED_WORDS: Final = 400

_COMMON: Final = {
    code: frozenset(words.split())
    for code, words in (
        ("en", "the and of to is you that for with are this have not it your"),
        ("de", "der die und das ist nicht sie ich mit für auf ein eine den zu"),
        ("fr", "le la les et est vous pas une des que pour dans votre nous sur"),
        ("es", "el los las que una por para con está del usted su más como es"),
        ("it", "il che di per non una sono con della le gli è più questo lo"),
        ("pt", "o os que uma para com não você do da em seu mais por está"),
        ("nl", "de het een en van is niet u dat met voor zijn op je te"),
    )
}
"""Frequent words. Two more hits than any other language decide; otherwise there is no guess."""

_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)

_REFUSAL: Final = re.compile(
    r"(?i)\b(?:i(?:['’]m| am) (?:sorry|unable|not able)[^.]{0,60}(?:can(?:no|['’])t|unable|not able|assist|help)"
    r"|i (?:can(?:no|['’])t|cannot|won['’]t) (?:help|assist|provide|comply|answer|do that|fulfil)"
    r"|as an ai\b[^.]{0,40}(?:can(?:no|['’])t|unable|not able)"
    r"|(?:es tut mir leid|leider)[^.]{0,40}(?:kann|darf) ich[^.]{0,40}nicht"
    r"|je (?:suis désolée?|ne peux pas)[^.]{0,40}(?:pas|aider)"
    r"|lo siento[^.]{0,40}no puedo)"
)
_REFUSAL_WITHIN: Final = 300


def language(text: str) -> str | None:
    """A guess at the language (ISO 639-1), None when the text gives too little away."""
    sample = text[:2000]
    for code, script in _SCRIPTS:
        if len(script.findall(sample)) * 4 > len(sample):
            return code
    words = Counter(word.lower() for word in _WORDS.findall(sample)[:_SAMPLED_WORDS])
    hits = sorted(((sum(words[w] for w in common), code) for code, common in _COMMON.items()), reverse=True)
    (best, code), (second, _) = hits[0], hits[1]
    return code if best >= second + 2 else None


def refuses(text: str) -> bool:
    """Whether an answer begins like a refusal. Knows English, and the usual phrases in German, French and Spanish."""
    return _REFUSAL.search(text[:_REFUSAL_WITHIN]) is not None


def sketch(text: str) -> str:
    """The text's words spread over 16 buckets, each bucket's share as one hex digit (0: none, f: a quarter or more).

    Words fall into buckets by CRC-32, so texts on the same matters have like sketches, and no word can be read back:
    every bucket holds a sixteenth of all words there are. Empty for a text without words.
    """
    words = _WORDS.findall(text)[:_SAMPLED_WORDS]
    if not words:
        return ""
    counts = Counter(zlib.crc32(word.lower().encode("utf-8", "replace")) % BUCKETS for word in words)
    return "".join(f"{min(round(counts[bucket] * 60 / len(words)), 15):x}" for bucket in range(BUCKETS))
