"""Which process owns which workflow."""

import hashlib
import re
from dataclasses import dataclass

MOST = 256
_TEXT = re.compile(r"(\d{1,3})/(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th of ``count`` processes that watch; the first of them also interprets spans for all.

    What a workflow hashes to never changes, so that a process that is started again owns the same ones.
    """

    index: int = 0
    count: int = 1

    @property
    def interprets(self) -> bool:
        """Whether this process turns spans into calls."""
        return self.index == 0

    def owns(self, workflow: str) -> bool:
        """Whether this process watches ``workflow``."""
        found = hashlib.blake2b(workflow.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(found, "big") % self.count == self.index


def parse_shard(text: str) -> Shard:
    """``0/4`` as the first of four; raises ValueError that says what to write."""
    found = _TEXT.fullmatch(text)
    if found is None or not int(found[1]) < int(found[2]) <= MOST:
        raise ValueError(f"{text!r} is no shard; write I/N, for example 0/4 for the first of four (at most {MOST})")
    return Shard(int(found[1]), int(found[2]))
