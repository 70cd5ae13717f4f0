"""Group commit: requests that wait are read and written together, and each is answered after the commit they share.

One thread does all the work that takes long, in turns: it reads the waiting requests, commits what they say, and then
gives a moment to work set aside, as rebuilding points. Threads that did these at the same time would not be faster,
for one interpreter runs one of them at a time, and every row that is written would wait for the others' turn.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from driftbell.collectors.batch import BadBatchError, OverloadedError, StoreUnavailableError, TooLargeError, where
from driftbell.collectors.ingest import Prepared
from driftbell.collectors.otlp import MalformedError

GROUP_SPANS = 1024
"""Spans from which on a commit takes no further request; a single request may hold more."""
GROUP_REQUESTS = 1024
ASIDE_S = 0.02
"""Time that work set aside gets between two commits, and at least one step of it."""
STALLED_S = 1.0
"""Age of the oldest waiting request at which no more is taken: something holds the store up."""
TELLING_BYTES = 16 << 10
"""Bytes from which on a group tells the time per byte, and not that of a commit."""
_WEIGHT = 0.2
"""How much the newest group counts in the running estimate of the time per byte."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Limit:
    """What may wait: requests, their bytes, and how long (s) the last of them would wait for its turn."""

    requests: int
    size: int
    wait: float


@dataclass(slots=True, eq=False)
class _Request:
    read: Callable[[], Prepared]
    size: int
    since: float
    done: Future[None] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _Aside:
    steps: Iterator[object]
    done: Future[None] = field(default_factory=Future)


class Writer:
    """A thread that reads waiting requests, hands them to ``commit``, and then settles their futures.

    ``commit`` stores all of a group or raises. `submit` refuses what exceeds ``limit``.
    """

    def __init__(self, commit: Callable[[Sequence[Prepared]], None], limit: Limit) -> None:
        self._commit = commit
        self._limit = limit
        self._waiting: deque[_Request] = deque()
        self._aside: deque[_Aside] = deque()
        self._bytes = 0
        self._in_hand = 0
        self._s_per_byte = 0.0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="driftbell-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> tuple[int, int]:
        """Requests and bytes that wait for the next commit."""
        return len(self._waiting), self._bytes

    def submit(self, read: Callable[[], Prepared], size: int) -> Future[None]:
        """Queue a request of ``size`` bytes, to be read by ``read``; the future is done after its commit.

        Raises `OverloadedError` when too much waits; the future fails with what ``read`` or the commit raise.
        """
        request = _Request(read, size, time.monotonic())
        with self._changed:
            if self._closing:
                raise StoreUnavailableError("the store is closed")
            if self._waiting and self._is_full(size, request.since):
                raise OverloadedError("too much is waiting to be written", retry_after=1.0)
            self._waiting.append(request)
            self._bytes += size
            self._changed.notify()
        return request.done

    def run_aside(self, steps: Iterator[object]) -> Future[None]:
        """Take ``steps``, which are short each, between commits; the future is done after the last."""
        aside = _Aside(steps)
        with self._changed:
            if self._closing:
                raise StoreUnavailableError("the store is closed")
            self._aside.append(aside)
            self._changed.notify()
        return aside.done

    def close(self, timeout: float) -> bool:
        """Write what waits and stop; false when that took longer than ``timeout`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _is_full(self, size: int, now: float) -> bool:
        limit = self._limit
        if len(self._waiting) >= limit.requests or self._bytes + size > limit.size:
            return True
        if now - self._waiting[0].since > STALLED_S:
            return True
        return (self._bytes + self._in_hand) * self._s_per_byte > limit.wait

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._aside or self._closing):
                    self._changed.wait()
                if self._closing and not self._waiting:
                    break
            self._write_group()
            self._step_aside()
        for aside in self._aside:
            aside.done.set_exception(StoreUnavailableError("the store is closed"))

    def _write_group(self) -> None:
        """Read and commit a group of the requests that wait."""
        began = time.monotonic()
        group: list[tuple[Prepared, _Request]] = []
        spans = 0
        while spans < GROUP_SPANS and len(group) < GROUP_REQUESTS and (request := self._next()) is not None:
            prepared = _read(request)
            if prepared is None:
                continue
            spans += prepared.spans
            group.append((prepared, request))
        if group:
            self._write(group)
        if self._in_hand >= TELLING_BYTES:
            took = (time.monotonic() - began) / self._in_hand
            self._s_per_byte = took if not self._s_per_byte else self._s_per_byte + _WEIGHT * (took - self._s_per_byte)
        self._in_hand = 0

    def _next(self) -> _Request | None:
        with self._changed:
            if not self._waiting:
                return None
            request = self._waiting.popleft()
            self._bytes -= request.size
            self._in_hand += request.size
            return request

    def _step_aside(self) -> None:
        until = time.monotonic() + ASIDE_S
        while self._aside:
            aside = self._aside[0]
            try:
                next(aside.steps)
            except StopIteration:
                self._aside.popleft()
                aside.done.set_result(None)
            except Exception as error:  # whatever it is belongs to whoever waits for it
                self._aside.popleft()
                aside.done.set_exception(error)
            if time.monotonic() >= until:
                return

    def _write(self, group: list[tuple[Prepared, _Request]]) -> None:
        """Commit a group. When it fails for another reason than the store, each request gets a chance of its own."""
        failure: Exception | None = None
        try:
            self._commit([prepared for prepared, _ in group])
        except Exception as error:
            if is_unavailable(error):
                log.warning("nothing of %d requests was stored: %s", len(group), error)
                failure = unavailable(error)
            elif len(group) > 1:
                for one in group:
                    self._write([one])
                return
            else:
                log.error("a batch was refused: %s", where(error))  # noqa: TRY400  # its text is private
                failure = BadBatchError("the batch could not be understood")
        for _, request in group:
            _settle(request.done, failure)


def _read(request: _Request) -> Prepared | None:
    """What a request says; ``None`` if that cannot be read, which its sender is told."""
    try:
        return request.read()
    except (MalformedError, TooLargeError, StoreUnavailableError, BadBatchError) as error:
        _settle(request.done, error)
    except MemoryError:
        _settle(request.done, OverloadedError("out of memory", retry_after=5.0))
    except Exception as error:
        log.error("a request could not be understood: %s", where(error))  # noqa: TRY400  # its text is private
        _settle(request.done, BadBatchError("the body could not be understood"))
    return None


def is_unavailable(error: Exception) -> bool:
    """Whether the store failed (locked, full, damaged), and not what it was asked to store."""
    return isinstance(error, (StoreUnavailableError, sqlite3.OperationalError)) or type(error) is sqlite3.DatabaseError


def unavailable(error: Exception) -> StoreUnavailableError:
    """What a failure of SQLite means to the sender: try again later."""
    return error if isinstance(error, StoreUnavailableError) else StoreUnavailableError(f"cannot write: {error}")


def _settle(done: Future[None], failure: Exception | None) -> None:
    if not done.set_running_or_notify_cancel():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
