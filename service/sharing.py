"""Answers that cost much: given to everybody who asks the same thing at about the same time.

Many readers of one dashboard ask the same question over and over, and working it out takes the processor from the
receiver. Asked at once, a question is worked out once. An answer is given again for `SHARE` times as long as it took to
work out, so that no question takes more than a twentieth of a core, however many ask it; a cheap one is always new.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

CHEAP: Final = 0.05
"""Seconds of CPU below which an answer is not kept."""
SHARE: Final = 20.0
LONGEST: Final = 15.0
"""Seconds that an answer is given again at most."""
MAX_KEPT: Final = 32
MAX_BODY: Final = 1 << 20


class Worked(NamedTuple):
    """An answer's body, and the seconds of CPU that it took."""

    body: bytes
    seconds: float


class Shared:
    """What is being worked out, and what was a moment ago. Used by one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def answer(self, question: str, work: Callable[[], Awaitable[Worked]]) -> bytes:
        """The body that answers ``question``; whatever ``work`` raises reaches all who wait for it."""
        until, body = self._kept.get(question, (0.0, b""))
        if self._clock() < until:
            return body
        running = self._running.get(question)
        if running is None:
            running = self._running[question] = asyncio.ensure_future(self._work(question, work))
            running.add_done_callback(lambda _: self._running.pop(question, None))
        return await asyncio.shield(running)  # one who goes away leaves the others their answer

    async def _work(self, question: str, work: Callable[[], Awaitable[Worked]]) -> bytes:
        body, seconds = await work()
        self._kept.pop(question, None)
        if seconds >= CHEAP and len(body) <= MAX_BODY:
            while len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[question] = self._clock() + min(SHARE * seconds, LONGEST), body
        return body
