"""Batch: what one request brings to the store, and how storing it can fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.measurement import Measurement
from driftbell.collectors.span import Span
from driftbell.collectors.template import Filled


class StoreUnavailableError(Exception):
    """The store cannot write at the moment (locked, full, I/O error); nothing of the batch was kept.

    ``retry_after`` is in seconds. The same batch may be sent again.
    """

    def __init__(self, message: str, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverloadedError(StoreUnavailableError):
    """More is waiting to be written than the limits allow."""


class BadBatchError(Exception):
    """The batch cannot be understood and would fail again; nothing of it was kept."""


class TooLargeError(Exception):
    """The body exceeds a limit, before or after decompression; the message names the limit."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request body as received, or what of it belongs to one ``workflow``.

    ``signal`` is traces or logs; ``data`` is gzip.
    """

    signal: str
    encoding: str
    data: bytes
    workflow: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans to store and interpret, and finished records to store as they are.

    ``filled`` are spans that were read by a template, ``spans`` any others.
    ``refused`` counts what was refused before, by service. ``size`` is what the batch
    holds in memory, in bytes, as far as known; it counts towards the limit of what waits.
    """

    spans: Sequence[Span] = ()
    filled: Sequence[Filled] = ()
    calls: Sequence[Call] = ()
    judgements: Sequence[Judgement] = ()
    manual_tasks: Sequence[ManualTask] = ()
    markers: Sequence[Marker] = ()
    measurements: Sequence[Measurement] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    bodies: Sequence[Body] = ()
    size: int = 0


def where(error: BaseException) -> str:
    """Type and place of an error, without its message, which may quote what was sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
