"""From which minute of receipt on marks are looked for, so that a look costs little while nothing is left behind."""

SLACK_S = 3600
"""An insert that takes longer than this to be seen could be overlooked; the driver gives up much earlier."""


class Slots:
    """Remembers up to when all marks are done.

    Once an hour, and when the clock was set back, everything is looked at: another process may have marked with a
    clock that is wrong.
    """

    def __init__(self) -> None:
        self._done_until = 0
        self._everything_at = float("-inf")

    def first(self, now: float) -> int:
        """The first slot to look at."""
        if now < self._everything_at or now - self._everything_at >= SLACK_S:
            self._done_until = 0
            self._everything_at = now
        return self._done_until

    def settle(self, now: float, left: int | None = None) -> None:
        """All that was looked at is done, but for what begins at ``left``."""
        self._done_until = max(self._done_until, int(now) - SLACK_S if left is None else min(left, int(now) - SLACK_S))
