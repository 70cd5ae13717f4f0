"""What may leave the process: hashed ids always; content and fingerprints only where the application allowed it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from driftbell.monitor.guard import SettingError

_KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class Privacy:
    """The privacy settings of a process. ``all_fingerprints`` overrides the list of workflows."""

    hash_key: bytes = b"driftbell"
    capture: frozenset[str] = frozenset()
    fingerprint: frozenset[str] = frozenset()
    all_fingerprints: bool = False
    redact: tuple[re.Pattern[str], ...] = ()

    @property
    def reads_content(self) -> bool:
        """Whether any workflow's texts are looked at."""
        return bool(self.capture or self.fingerprint or self.all_fingerprints)

    def hashed(self, raw: str | int) -> str:
        """A keyed hash of a user or session id, 16 hex digits; the same id gives the same hash under one key.

        BLAKE2b with a key (RFC 7693): without the key an id cannot be found by hashing candidates. Raises `TypeError`
        for anything but text and whole numbers, whose text form could be anything.
        """
        import hashlib  # not needed by applications that name no users

        if not isinstance(raw, (str, int)):
            raise TypeError("an id must be a text or a whole number")
        text = str.__str__(raw) if isinstance(raw, str) else int.__repr__(raw)
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, key=self.hash_key[:_KEY_BYTES])
        return digest.hexdigest()

    def redacted(self, text: str) -> str:
        """``text`` without personal data and secrets."""
        from driftbell.monitor.redact import redacted  # its patterns are compiled only when captured

        return redacted(text, self.redact)


def patterns(given: Iterable[str | re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """The application's own patterns, compiled; raises `SettingError` naming the one that is no regular expression."""
    compiled = []
    for pattern in given:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise SettingError(f"redact: {pattern!r:.80} is no regular expression: {error}") from None
    return tuple(compiled)
