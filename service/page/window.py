"""The span of time that a page shows, and the width of its bins."""

import math
from dataclasses import dataclass

from starlette.requests import Request

from driftbell.service.api_input import BadRequestError
from driftbell.service.page import asked as given

HOUR, DAY = 3600, 86400
RANGES = {"6h": 6 * HOUR, "24h": DAY, "3d": 3 * DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
"""What can be chosen; any other span can be given as ``since`` and ``until``."""
LONGEST = 400 * DAY
_WIDTHS = ((12 * HOUR, 300), (1.5 * DAY, 900), (10 * DAY, HOUR), (33 * DAY, 3 * HOUR), (math.inf, DAY))
"""Up to which length bins have which width (s)."""


@dataclass(frozen=True, slots=True)
class Window:
    """``[since, until)`` in epoch seconds on the grid of bins ``width`` seconds wide.

    ``name`` is the chosen range; None for a span that was given as such.
    """

    since: int
    until: int
    width: int
    name: str | None = None

    @property
    def asked(self) -> dict[str, object]:
        """The parameters that lead to the same window."""
        if self.name is not None:
            return {"range": self.name}
        return {"since": self.since, "until": self.until}

    @property
    def length(self) -> int:
        """Seconds."""
        return self.until - self.since

    def hourly(self) -> "Window":
        """The same span in bins of an hour."""
        return Window(self.since // HOUR * HOUR, -(-self.until // HOUR) * HOUR, HOUR, self.name)

    def daily(self) -> "Window":
        """The same span in bins of a day."""
        return Window(self.since // DAY * DAY, -(-self.until // DAY) * DAY, DAY, self.name)


def around(since: float, until: float, name: str | None = None) -> Window:
    """The window that covers a span, with bins that suit its length."""
    length = max(until - since, 2 * HOUR)
    width = next(width for most, width in _WIDTHS if length <= most)
    end = math.ceil(until / width) * width
    return Window(int(min(since, until - length) // width) * width, end, width, name)


def asked_for(request: Request, now: float, default: str = "7d") -> Window:
    """The window that a URL names; raises `BadRequestError` for one that it cannot mean."""
    since, until = given.time(request, "since"), given.time(request, "until")
    if since is None and until is None:
        name = given.text(request, "range", default) or default
        if name not in RANGES:
            raise BadRequestError(f"range must be one of {', '.join(RANGES)}")
        return around(now - RANGES[name], now, name)
    end = now if until is None else until
    begin = end - DAY if since is None else since
    if begin >= end:
        raise BadRequestError("since must lie before until")
    if end - begin > LONGEST:
        raise BadRequestError("the span is too long to be drawn; take at most 400 days")
    return around(begin, end)
