"""From a request body to the store, the same for HTTP and gRPC: inflate, decode, queue, within limits."""

import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from driftbell.collectors.batch import Batch, OverloadedError, TooLargeError
from driftbell.collectors.decode import (
    Encoding,
    MalformedError,
    TooManyError,
    decode_logs,
    decode_metrics,
    decode_traces,
    read_traces,
)
from driftbell.collectors.keeping import kept_bodies
from driftbell.collectors.merge import event_span
from driftbell.collectors.pricing import load_public_list
from driftbell.collectors.store import Store
from driftbell.collectors.template import Templates

Signal = Literal["traces", "logs", "metrics"]
MAX_MEMBERS = 64
"""Parts of which a gzip body may consist; senders make one, and each of many empty ones would copy the rest."""
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what senders may ask. Sizes in bytes, times in seconds.

    ``body`` bounds a request before and ``inflated`` after decompression; ``in_flight`` and ``in_flight_bytes`` bound
    the requests that are being received or wait for their commit; ``keep_bodies``
    names the workflows (``claims-*``) whose spans are stored as they came; ``*`` stands for whole bodies.
    """

    body: int = 64 << 20
    inflated: int = 64 << 20
    in_flight: int = 1024
    in_flight_bytes: int = 256 << 20
    receive_timeout: float = 60.0
    commit_timeout: float = 30.0
    keep_bodies: tuple[str, ...] = ()


@dataclass(slots=True)
class Accepted:
    """A body that was taken; once its commit is ``done``, what of it was refused."""

    done: Future[None] | None = None
    rejected: int = 0
    message: str = ""


class Intake:
    """Decodes bodies and hands them to the store; counts what is in flight and refuses more than the limits."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.requests: Counter[tuple[str, str]] = Counter()
        """``(signal, outcome) -> requests``, for metrics."""
        self._lock = threading.Lock()
        self._templates = Templates()
        self._in_flight = 0
        self._bytes = 0
        threading.Thread(target=load_public_list, name="driftbell-prices").start()

    @property
    def in_flight(self) -> tuple[int, int]:
        """Requests being worked on, and the bytes that they hold."""
        return self._in_flight, self._bytes

    @contextmanager
    def admit(self) -> Iterator["Admission"]:
        """A place among the requests in flight; raises `OverloadedError` when there is none."""
        with self._lock:
            if self._in_flight >= self.limits.in_flight:
                raise OverloadedError("too many requests in flight", retry_after=1.0)
            self._in_flight += 1
        admission = Admission(self)
        try:
            yield admission
        finally:
            with self._lock:
                self._in_flight -= 1
                self._bytes -= admission.held

    def accept(self, signal: Signal, body: bytes, encoding: Encoding, gzipped: bool) -> Accepted:
        """Queue one body to be decoded and stored.

        Raises `OverloadedError` or `StoreUnavailableError`; the future fails with these, with `TooLargeError`,
        `MalformedError` or `BadBatchError`.
        """
        accepted = Accepted()
        if body:
            read = partial(self._read, signal, body, encoding, gzipped, accepted)
            accepted.done = self.store.submit(read, len(body))
        return accepted

    def _read(self, signal: Signal, body: bytes, encoding: Encoding, gzipped: bool, accepted: Accepted) -> Batch:
        plain = inflate(body, self.limits.inflated) if gzipped else body
        try:
            batch, accepted.rejected, accepted.message = self._decode(signal, plain, encoding)
        except TooManyError as error:
            raise TooLargeError(str(error)) from None
        if self.limits.keep_bodies and plain and signal != "metrics":
            return replace(batch, bodies=kept_bodies(signal, encoding, plain, self.limits.keep_bodies))
        return batch

    def _decode(self, signal: Signal, body: bytes, encoding: Encoding) -> tuple[Batch, int, str]:
        if signal == "metrics":
            metrics = decode_metrics(body, encoding)
            return Batch(measurements=metrics.measurements), metrics.rejected, metrics.error_message
        if signal == "logs":
            logs = decode_logs(body, encoding)
            events = [span for span in map(event_span, logs.records) if span is not None]
            return Batch(events, refused=logs.refused), logs.rejected, logs.error_message
        if encoding == "protobuf":
            traces = read_traces(body, self._templates)
        else:
            traces = decode_traces(body, encoding)
        return Batch(traces.spans, traces.filled, refused=traces.refused), traces.rejected, traces.error_message

    def grow(self, amount: int) -> None:
        """Count bytes that a request holds; raises `OverloadedError` when all together hold too many."""
        with self._lock:
            if self._bytes + amount > self.limits.in_flight_bytes:
                raise OverloadedError("too many bytes in flight", retry_after=1.0)
            self._bytes += amount


class Admission:
    """The place of one request among those in flight."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.held = 0

    def expect(self, size: int) -> None:
        """Raise `TooLargeError` when a body of ``size`` bytes would exceed the limit."""
        limit = self._intake.limits.body
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")

    def hold(self, amount: int) -> None:
        """Count ``amount`` more bytes; raises `TooLargeError` or `OverloadedError`."""
        self.expect(self.held + amount)
        self._intake.grow(amount)
        self.held += amount


def inflate(data: bytes, limit: int) -> bytes:
    """Gunzip at most ``limit`` bytes; raises `TooLargeError` beyond and `MalformedError` for a damaged stream."""
    pieces: list[bytes] = []
    size = 0
    while data:
        if len(pieces) == MAX_MEMBERS:
            raise MalformedError(f"the gzip body has more than {MAX_MEMBERS} parts")
        stream = zlib.decompressobj(wbits=31)
        try:
            piece = stream.decompress(data, limit - size + 1)
        except zlib.error:
            raise MalformedError("the body is not valid gzip") from None
        size += len(piece)
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes after decompression")
        if not stream.eof:
            raise MalformedError("the gzip body is truncated")
        pieces.append(piece)
        data = stream.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
