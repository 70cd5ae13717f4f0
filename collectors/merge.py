"""Spans -> calls: one logical call per row, whatever number of spans told of it.

`interpret` is a pure function of the *set* of spans it is given: order, batching and repeats do not matter.
The store keeps relevant spans (`is_relevant`), indexes them by trace id and by `link_keys`, and calls `interpret`
on everything that belongs together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.decode import LogRecord
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.span import Span

LINK_LIMIT = 32
"""A link key that more traces than this share says nothing and is to be ignored by the store."""


@dataclass(frozen=True, slots=True)
class Interpreted:
    """What a connected set of traces says; each tuple in a fixed order."""

    calls: tuple[Call, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    manual_tasks: tuple[ManualTask, ...] = ()
    markers: tuple[Marker, ...] = ()


def interpret(spans: Iterable[Span], prices: PriceTable) -> Interpreted:
    """The calls, judgements, manual tasks and markers that ``spans`` tell of."""
    raise NotImplementedError


def link_keys(span: Span) -> tuple[str, ...]:
    """Keys that tie a span to spans of other traces; at most four, each at most 80 characters.

    ``t:<trace id>`` names another trace outright (a judgement of a call in that trace); any other key ties the
    traces of all spans that carry it.
    """
    raise NotImplementedError


def is_relevant(span: Span) -> bool:
    """Whether a span can contribute to a call, judgement, manual task or marker."""
    raise NotImplementedError


def event_span(record: LogRecord) -> Span | None:
    """A log record as a zero-length child of the span it speaks of, or ``None`` when it says nothing of a call.

    The result is stored and interpreted like any span: its id is a digest of the record, so one sent twice is one.
    """
    raise NotImplementedError
