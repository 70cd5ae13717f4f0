"""Spans -> calls: one logical call per row, whatever number of spans told of it.

`interpret` is a pure function of the *set* of spans it is given: order, batching and repeats do not matter.
The store keeps what each relevant span says (`reading.Reading`), indexes it by trace id and by link keys, and
combines everything that belongs together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker
from driftbell.collectors.completions import attach
from driftbell.collectors.compose import compose
from driftbell.collectors.duplicates import joined
from driftbell.collectors.events import event_span
from driftbell.collectors.fold import fold
from driftbell.collectors.links import LINK_LIMIT, link_keys
from driftbell.collectors.pricing import PriceTable, price
from driftbell.collectors.reading import Reading, prevails, reading_of
from driftbell.collectors.reports import Joiner
from driftbell.collectors.retrieved import assign_sources
from driftbell.collectors.span import Span
from driftbell.collectors.tree import Tree

__all__ = ["LINK_LIMIT", "Interpreted", "combine", "event_span", "interpret", "is_relevant", "link_keys"]


@dataclass(frozen=True, slots=True)
class Interpreted:
    """What a connected set of traces says; each tuple in a fixed order."""

    calls: tuple[Call, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    manual_tasks: tuple[ManualTask, ...] = ()
    markers: tuple[Marker, ...] = ()


def interpret(spans: Iterable[Span], prices: PriceTable) -> Interpreted:
    """The calls, judgements, manual tasks and markers that ``spans`` tell of."""
    return combine([reading for span in spans if (reading := reading_of(span)) is not None], prices)


def combine(readings: Iterable[Reading], prices: PriceTable) -> Interpreted:
    """`interpret` for spans that were read before."""
    unique = _unique(readings)
    tree = Tree(reading.part for reading in unique if reading.part is not None)
    logical, completions = fold(tree)
    logical = joined(attach(completions, logical))
    assign_sources(logical, tree)
    composed = [(one, price(compose(one, tree), prices)) for one in logical]
    if len(composed) > 1:
        composed.sort(key=lambda pair: (pair[1].ts, pair[1].trace_id, pair[1].span_id))
    told = [judgement for reading in unique for judgement in reading.judgements]
    joiner = Joiner(composed, tree) if told else None
    return Interpreted(
        tuple([call for _, call in composed]),
        () if joiner is None else tuple(joiner.join(judgement) for judgement in told),
        tuple(task for reading in unique for task in reading.manual_tasks),
        tuple(marker for reading in unique for marker in reading.markers),
    )


def is_relevant(span: Span) -> bool:
    """Whether a span can contribute to a call, judgement, manual task or marker.

    A span without any meaning of its own counts if it can stand between spans that have one, or name a workflow.
    """
    return reading_of(span) is not None


def _unique(readings: Iterable[Reading]) -> list[Reading]:
    """Each span once, in a fixed order; of two versions the one that `prevails`."""
    latest: dict[tuple[str, str], Reading] = {}
    for reading in readings:
        other = latest.get(reading.key)
        if other is None or prevails(reading, other):
            latest[reading.key] = reading
    return [latest[key] for key in sorted(latest)]
