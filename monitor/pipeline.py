"""From an ended span to the receiver: a bounded queue, one sending thread, and a count of all that is lost."""

import os
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from driftbell.monitor import attributes as names
from driftbell.monitor import guard, wire
from driftbell.monitor.exporter import Answer, Sender
from driftbell.monitor.privacy import Privacy
from driftbell.monitor.span import DriftbellSpan, Later, Sink

QUEUE_FULL: Final = "queue_full"
REFUSED: Final = "refused"
UNREACHABLE: Final = "unreachable"
UNENCODABLE: Final = "unencodable"
FAILED: Final = "failed"
AT_EXIT: Final = "exit"
AFTER_SHUTDOWN: Final = "after_shutdown"

_MAX_TRIES: Final = 6
_LONGEST_PAUSE: Final = 30.0


class Limits(NamedTuple):
    """Bounds: spans waiting, spans per request, seconds between requests, for one request, and for the exit."""

    queue: int = 8192
    batch: int = 512
    delay: float = 1.0
    timeout: float = 10.0
    exit: float = 1.5

    @classmethod
    def from_environment(cls, exit_seconds: float, timeout: float) -> "Limits":
        """The standard ``OTEL_BSP_*`` variables over the defaults; values that are no positive numbers are ignored."""
        default = cls()
        queue = max(int(_positive("OTEL_BSP_MAX_QUEUE_SIZE", default.queue)), 1)
        batch = max(int(_positive("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default.batch)), 1)
        delay = _positive("OTEL_BSP_SCHEDULE_DELAY", default.delay * 1000) / 1000
        return cls(queue, min(batch, queue), delay, timeout, exit_seconds)


def _positive(variable: str, default: float) -> float:
    try:
        given = float(os.environ[variable])
    except (KeyError, ValueError):
        return default
    return given if 0 < given < float("inf") else default


class Pipeline:
    """A `Sink` that exports by itself. The thread starts with the first span, so a fork before it costs nothing."""

    def __init__(
        self,
        sender: Sender,
        resource: Resource,
        scope: InstrumentationScope,
        limits: Limits,
        privacy: Privacy,
        max_attributes: int = 128,
        max_length: int = 16384,
        complete: Later | None = None,
    ) -> None:
        self.resource = resource
        self.scope = scope
        self.limits = limits
        self.privacy = privacy
        self.max_attributes = max_attributes
        self.max_length = max_length
        self._complete = complete
        self.dropped: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._sender = sender
        self._queue: deque[DriftbellSpan] = deque()
        self._closed = False
        self._successor: Sink | None = None
        self._forked = False
        self._reset()

    def _reset(self) -> None:
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stop = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        self._start_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None

    def replaced_by(self, sink: Sink) -> None:
        """Hand calls that are still running to ``sink`` when they end; another pipeline goes on with our counts."""
        self._successor = sink
        if isinstance(sink, Pipeline):
            sink.dropped, sink._told = self.dropped, self._told

    def after_fork(self, resource: Resource) -> None:
        """In the child: the parent sends what was waiting, and its thread and connection do not exist here."""
        self.resource = resource
        self._queue.clear()
        self.dropped.clear()
        self._told.clear()
        self._sender.close()
        self._forked = True
        self._reset()

    def ended(self, span: DriftbellSpan) -> None:
        """Queue the span, or count it as lost when the queue is full.

        Takes no lock that is not reentrant: finalizers end calls too, and they run wherever memory is allocated.
        """
        if self._closed and self._successor is not None:
            self._successor.ended(span)
            return
        queue = self._queue
        waiting = len(queue)
        if self._closed or waiting >= self.limits.queue:
            self.lose(AFTER_SHUTDOWN if self._closed else QUEUE_FULL, 1)
            return
        queue.append(span)
        if self._thread is None:
            self._start()
        elif waiting + 1 >= self.limits.batch and self._wake.empty():
            self._wake.put(None)

    def lose(self, reason: str, count: int) -> None:
        """Count lost spans, and say so at most once a minute."""
        self.dropped[reason] += count
        guard.voice.say("driftbell lost %d spans so far (%s)", self.dropped.total(), reason)

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="driftbell-export", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is shutting down, or no thread can be had: try with the next span
                self._thread = None
                return
            if self._forked:
                _before_the_exit_of_a_fork(self.shutdown, self.limits.exit)

    def _run(self) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while True:
            with suppress(Empty):
                self._wake.get(timeout=self.limits.delay)
            self._drain()
            if self._closed and not self._queue:
                self._sender.close()
                return

    def _drain(self) -> None:
        while self._queue:
            batch: list[DriftbellSpan] = []
            with self._idle:
                while self._queue and len(batch) < self.limits.batch:
                    batch.append(self._queue.popleft())
                self._busy = len(batch)
            try:
                self._export(batch)
            except Exception as error:  # the boundary of the thread: without it one bad batch would end all export
                self.dropped[FAILED] += len(batch)
                guard.failed("export spans", error)
            finally:
                with self._idle:
                    self._busy = 0
                    self._idle.notify_all()

    def _export(self, batch: list[DriftbellSpan]) -> None:
        encoded = self._encode(batch)
        if not encoded:
            return
        lost = self.dropped - self._told
        body = wire.request(self.resource, self.scope, encoded)
        answer = self._send(body)
        if not answer.taken:
            reason = UNREACHABLE if answer.retry else REFUSED
            self.dropped[reason if not self._closed else AT_EXIT] += len(encoded)
            guard.voice.say("driftbell lost %d spans: the receiver answered %s", len(encoded), answer.reason)
            return
        self._told += lost
        if answer.rejected:
            self.lose(REFUSED, min(answer.rejected, len(encoded)))

    def _encode(self, batch: list[DriftbellSpan]) -> list[bytes]:
        lost = self.dropped - self._told
        encoded: list[bytes] = []
        for span in batch:
            try:
                span.complete(self._complete)
                if lost and not encoded:
                    span.tell(loss_attributes(lost))
                encoded.append(wire.span(span))
            except Exception as error:  # one bad span must not cost its batch
                self.dropped[UNENCODABLE] += 1
                guard.failed("encode a span", error)
        return encoded

    def _send(self, body: bytes) -> Answer:
        """Try until taken, refused for good, out of tries, or out of time at the exit."""
        pause = 1.0
        for tries_left in reversed(range(_MAX_TRIES)):
            answer = self._sender.send(body, self._time_left(self.limits.timeout))
            if answer.taken or not answer.retry or not tries_left or self._closed:
                break
            self._stop.wait(max(pause * random.uniform(0.8, 1.2), answer.retry_after or 0.0))
            pause = min(pause * 2, _LONGEST_PAUSE)
        return answer

    def _time_left(self, seconds: float) -> float:
        if self._deadline is None:
            return seconds
        return max(min(seconds, self._deadline - time.monotonic()), 0.05)

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued so far was sent or lost; False when ``timeout`` seconds were not enough."""
        if self._queue and self._thread is None:
            self._start()
        until = time.monotonic() + timeout
        if self._wake.empty():
            self._wake.put(None)
        with self._idle:
            return self._idle.wait_for(lambda: not self._queue and not self._busy, until - time.monotonic())

    def shutdown(self, timeout: float) -> None:
        """Send what is waiting for at most ``timeout`` seconds, then count the rest as lost."""
        if self._closed:
            return
        if self._queue and self._thread is None:
            self._start()
        self._deadline = time.monotonic() + timeout
        self._closed = True
        self._stop.set()
        self._wake.put(None)
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout)
        left = len(self._queue) + self._busy
        self._queue.clear()
        if left:
            self.lose(AT_EXIT, left)


def _before_the_exit_of_a_fork(shutdown: Callable[[float], None], seconds: float) -> None:
    """Shut down before a forked worker exits: those of multiprocessing, and of Celery, run no exit handlers."""
    for library in ("multiprocessing.util", "billiard.util"):
        finalize = getattr(sys.modules.get(library), "Finalize", None)
        if finalize is not None:
            finalize(None, shutdown, args=(seconds,), exitpriority=0)


def loss_attributes(lost: Counter[str]) -> dict[str, int]:
    """What a span says of the spans lost since the last one that could say it: in all and by reason."""
    by_reason = {f"{names.DROPPED_SPANS}.{reason}": count for reason, count in lost.items()}
    return {names.DROPPED_SPANS: lost.total(), **by_reason}
