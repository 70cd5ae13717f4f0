"""The one place where errors of our own end: told once a minute in production, raised under test.

The log line names the place and the error's class. It never holds the error's message, because that may quote a prompt.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

logger = logging.getLogger("driftbell")

SECONDS_BETWEEN_LINES: Final = 60.0


class SettingError(ValueError):
    """An argument of `configure` that cannot be used. The message says which and why, and quotes no secret."""


class Voice:
    """Writes at most one log line per ``SECONDS_BETWEEN_LINES``, and says how many lines it swallowed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # a finalizer that runs in here may have something to say as well
        self._quiet_until = float("-inf")
        self._swallowed = 0

    def say(self, message: str, *args: object) -> None:
        """Log a warning, or count it when the last one is less than a minute old. Never raises."""
        now = self._clock()
        with self._lock:
            if now < self._quiet_until:
                self._swallowed += 1
                return
            self._quiet_until = now + SECONDS_BETWEEN_LINES
            swallowed, self._swallowed = self._swallowed, 0
        if swallowed:
            message += f" ({swallowed} more messages since the last one)"
        try:
            logger.warning(message, *args)
        except Exception:  # a logging handler of the application that raises must not reach its calls
            return

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would stay locked for ever in the child."""
        self._lock = threading.RLock()


voice = Voice()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=voice.after_fork)


def refused(error: SettingError) -> None:
    """Tell of a wrong setting, at once and in its own words. The application starts without being recorded."""
    logger.error("driftbell is off: %s", error)


def strict() -> bool:
    """Whether our own errors are raised (``DRIFTBELL_STRICT=1``, as our tests do) instead of logged."""
    return os.environ.get("DRIFTBELL_STRICT") == "1"


def failed(what: str, error: BaseException) -> None:
    """Report an error of our own that happened while doing ``what``. Raises it again only when `strict`."""
    if strict():
        raise error
    voice.say("driftbell could not %s: %s at %s; the application is not affected", what, _name(error), _place(error))


def _name(error: BaseException) -> str:
    return type(error).__qualname__


def _place(error: BaseException) -> str:
    frame: TracebackType | None = error.__traceback__
    place = "unknown place"
    while frame is not None:
        code = frame.tb_frame.f_code
        if "driftbell" in frame.tb_frame.f_globals.get("__name__", ""):
            place = f"{os.path.basename(code.co_filename)}:{frame.tb_lineno}"  # noqa: PTH119
        frame = frame.tb_next
    return place
