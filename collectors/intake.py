"""From a request body to the store, the same for HTTP and gRPC: inflate, decode, queue, within limits."""

import gzip
import logging
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

from driftbell.collectors.batch import BadBatchError, Batch, Body, OverloadedError, StoreUnavailableError, where
from driftbell.collectors.decode import (
    Encoding,
    MalformedError,
    TooManyError,
    decode_logs,
    decode_metrics,
    decode_traces,
    read_traces,
)
from driftbell.collectors.merge import event_span
from driftbell.collectors.span import Span
from driftbell.collectors.store import Store
from driftbell.collectors.template import Filled, Templates

Signal = Literal["traces", "logs", "metrics"]
LARGE = 4 << 20
"""Bodies beyond this size are decoded one at a time, for they take up to thirty times as much memory while they are."""
MAX_MEMBERS = 64
"""Parts of which a gzip body may consist; senders make one, and each of many empty ones would copy the rest."""
log = logging.getLogger(__name__)
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")


class TooLargeError(Exception):
    """The body exceeds a limit, before or after decompression; the message names the limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what senders may ask. Sizes in bytes, times in seconds.

    ``body`` bounds a request before and ``inflated`` after decompression; ``in_flight`` and ``in_flight_bytes`` bound
    the requests that are being received or wait for their commit; ``keep_bodies`` stores every body as it came.
    """

    body: int = 64 << 20
    inflated: int = 64 << 20
    in_flight: int = 1024
    in_flight_bytes: int = 256 << 20
    receive_timeout: float = 60.0
    commit_timeout: float = 30.0
    keep_bodies: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """A body that was decoded: the future of its commit, and what of it was refused."""

    done: Future[None] | None
    rejected: int = 0
    message: str = ""


class Intake:
    """Decodes bodies and hands them to the store; counts what is in flight and refuses more than the limits."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.requests: Counter[tuple[str, str]] = Counter()
        """``(signal, outcome) -> requests``, for metrics."""
        self._one_large = threading.Lock()
        self._lock = threading.Lock()
        self._templates = Templates()
        self._in_flight = 0
        self._bytes = 0

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
        """Decode one body and queue what it says.

        Raises `TooLargeError`, `MalformedError`, `BadBatchError`, `OverloadedError` or `StoreUnavailableError`.
        """
        try:
            return self._accept(signal, body, encoding, gzipped)
        except TooManyError as error:
            raise TooLargeError(str(error)) from None
        except (MalformedError, TooLargeError, StoreUnavailableError):
            raise
        except MemoryError:
            raise OverloadedError("out of memory", retry_after=5.0) from None
        except Exception as error:
            log.error("%s could not be understood: %s", signal, where(error))  # noqa: TRY400  # its text is private
            raise BadBatchError("the body could not be understood") from None

    def _accept(self, signal: Signal, body: bytes, encoding: Encoding, gzipped: bool) -> Accepted:
        plain = inflate(body, self.limits.inflated) if gzipped else body
        if not plain:
            return Accepted(None)
        if signal == "metrics":
            return self._accept_metrics(plain, encoding)
        with self._one_large if len(plain) > LARGE else nullcontext():
            filled, spans, refused, message = self._decode(signal, plain, encoding)
        kept = None
        if self.limits.keep_bodies:
            kept = Body(signal, encoding, body if gzipped else gzip.compress(body, 1))
        if not spans and not filled and not refused and kept is None:
            return Accepted(None)
        batch = Batch(spans, filled, refused=refused, body=kept, size=len(plain))
        return Accepted(self.store.submit(batch), sum(refused.values()), message)

    def _decode(
        self, signal: Signal, body: bytes, encoding: Encoding
    ) -> tuple[Sequence[Filled], Sequence[Span], Mapping[str, int], str]:
        if signal == "traces" and encoding == "protobuf":
            found = read_traces(body, self._templates)
            return found.filled, found.spans, found.refused, found.error_message
        return (), *_decode(signal, body, encoding)

    def _accept_metrics(self, body: bytes, encoding: Encoding) -> Accepted:
        with self._one_large if len(body) > LARGE else nullcontext():
            metrics = decode_metrics(body, encoding)
        if not metrics.measurements:
            return Accepted(None, metrics.rejected, metrics.error_message)
        batch = Batch(measurements=metrics.measurements, size=len(body))
        return Accepted(self.store.submit(batch), metrics.rejected, metrics.error_message)

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


def _decode(signal: Signal, body: bytes, encoding: Encoding) -> tuple[list[Span], Mapping[str, int], str]:
    if signal == "traces":
        traces = decode_traces(body, encoding)
        return traces.spans, traces.refused, traces.error_message
    logs = decode_logs(body, encoding)
    events = [span for span in map(event_span, logs.records) if span is not None]
    return events, logs.refused, logs.error_message
