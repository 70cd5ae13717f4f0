"""What may leave the process: hashed ids by default, never content."""

import hashlib
from dataclasses import dataclass
from typing import Any

_KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class Privacy:
    """The privacy settings of a process."""

    hash_key: bytes = b"driftbell"

    def hashed(self, raw: Any) -> str:
        """A keyed hash of a user or session id, 16 hex digits; the same id gives the same hash under one key.

        BLAKE2b with a key (RFC 7693): without the key an id cannot be found by hashing candidates.
        """
        text = raw if isinstance(raw, str) else repr(raw) if isinstance(raw, int) else str(raw)
        return hashlib.blake2b(
            text.encode("utf-8", "replace"), digest_size=8, key=self.hash_key[:_KEY_BYTES]
        ).hexdigest()
