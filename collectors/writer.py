"""Group commit: batches that wait are written together, and each is answered after the one commit they share."""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from driftbell.collectors.batch import BadBatchError, OverloadedError, StoreUnavailableError, where
from driftbell.collectors.ingest import Prepared

GROUP_SPANS = 4096
"""Spans that one commit takes in at most (a single batch may hold more)."""
GROUP_BATCHES = 1024
log = logging.getLogger(__name__)


class Writer:
    """A thread that hands waiting batches, in order of arrival, to ``commit`` and then settles their futures.

    ``commit`` stores all of them or raises. At most ``max_batches`` and ``max_bytes`` wait; `submit` refuses more.
    """

    def __init__(self, commit: Callable[[Sequence[Prepared]], None], max_batches: int, max_bytes: int) -> None:
        self._commit = commit
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Prepared, Future[None]]] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="driftbell-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> tuple[int, int]:
        """Batches and bytes that wait for the next commit."""
        return len(self._waiting), self._bytes

    def submit(self, prepared: Prepared) -> Future[None]:
        """Queue a batch; the future is done after its commit. Raises `OverloadedError` when too much waits."""
        future: Future[None] = Future()
        with self._changed:
            if self._closing:
                raise StoreUnavailableError("the store is closed")
            full = len(self._waiting) >= self._max_batches or self._bytes + prepared.batch.size > self._max_bytes
            if full and self._waiting:
                raise OverloadedError("too much is waiting to be written", retry_after=1.0)
            self._waiting.append((prepared, future))
            self._bytes += prepared.batch.size
            self._changed.notify()
        return future

    def close(self, timeout: float) -> bool:
        """Write what waits and stop; false when that took longer than ``timeout`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                group = self._take()
            self._write(group)

    def _take(self) -> list[tuple[Prepared, Future[None]]]:
        group: list[tuple[Prepared, Future[None]]] = []
        spans = 0
        while self._waiting and len(group) < GROUP_BATCHES:
            spans += self._waiting[0][0].spans
            if group and spans > GROUP_SPANS:
                break
            group.append(self._waiting.popleft())
            self._bytes -= group[-1][0].batch.size
        return group

    def _write(self, group: list[tuple[Prepared, Future[None]]]) -> None:
        """Commit a group. When it fails for another reason than the store, each batch gets a chance of its own."""
        try:
            self._commit([prepared for prepared, _ in group])
        except Exception as error:
            if is_unavailable(error):
                log.warning("nothing of %d requests was stored: %s", len(group), error)
                _settle(group, unavailable(error))
            elif len(group) > 1:
                for one in group:
                    self._write([one])
            else:
                log.error("a batch was refused: %s", where(error))  # noqa: TRY400  # its text is private
                _settle(group, BadBatchError("the batch could not be understood"))
        else:
            _settle(group, None)


def is_unavailable(error: Exception) -> bool:
    """Whether the store failed (locked, full, damaged), and not what it was asked to store."""
    return isinstance(error, (StoreUnavailableError, sqlite3.OperationalError)) or type(error) is sqlite3.DatabaseError


def unavailable(error: Exception) -> StoreUnavailableError:
    """What a failure of SQLite means to the sender: try again later."""
    return error if isinstance(error, StoreUnavailableError) else StoreUnavailableError(f"cannot write: {error}")


def _settle(group: list[tuple[Prepared, Future[None]]], failure: Exception | None) -> None:
    for _, future in group:
        if not future.set_running_or_notify_cancel():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
