"""What a configured process records with: ids, sampling, and the start of every span."""

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import SpanKind, TraceState

from driftbell.monitor.privacy import Privacy
from driftbell.monitor.span import SAMPLED, Attributes, DriftbellSpan, Later, Sink

if TYPE_CHECKING:
    from driftbell.monitor.pipeline import Pipeline

_RANDOM_ID = 0x02
ids = random.Random()
"""Our own generator: an application that seeds the global one must not make two processes send the same ids."""


def _new_trace_id() -> int:
    return ids.getrandbits(128) or 1


def _new_span_id() -> int:
    return ids.getrandbits(64) or 1


S = TypeVar("S", bound=DriftbellSpan)


class Recorder:
    """Replaced as a whole by the next `configure`.

    ``pipeline`` is the sink when the spans are exported by ourselves, ``processor`` where they go otherwise. A
    ``sampler`` of None is the default one: sampled, unless the parent is not.
    """

    def __init__(
        self,
        sink: Sink,
        sampler: Sampler | None,
        processor: SpanProcessor | None = None,
        pipeline: "Pipeline | None" = None,
    ) -> None:
        self.sink = sink
        self.privacy: Privacy = sink.privacy
        self.reads_content = sink.privacy.reads_content
        self.sampler = sampler
        self.processor = processor
        self.pipeline = pipeline
        self.new_trace_id: Callable[[], int] = _new_trace_id
        self.new_span_id: Callable[[], int] = _new_span_id

    def report(
        self, name: str, attributes: Attributes, at: int, later: Later | None = None, sampled_as: Sequence[int] = ()
    ) -> None:
        """Record a span of its own, without parent and length, that tells of the moment ``at`` (epoch nanoseconds).

        A sampler decides as for the trace ids of ``sampled_as``: one that samples a tenth of the calls by their trace
        ids is to take what is reported of that tenth, and no tenth of the tenth.
        """
        span = self.start(DriftbellSpan, name, attributes, None, otel_context.Context(), at, sampled_as)
        if later is not None:
            span.later(later)
        span.end(at)

    def start(
        self,
        kind: type[S],
        name: str,
        attributes: Attributes,
        parent: object,
        context: otel_context.Context,
        at: int | None = None,
        sampled_as: Sequence[int] = (),
    ) -> S:
        """Start a span of class ``kind`` as a child of ``parent``, the current span of ``context``.

        With ``sampled_as`` it is sampled if one of these trace ids would be, not by its own.
        """
        state: TraceState | None = None
        above: trace.Span | None = None
        if parent is None:
            trace_id, flags = self.new_trace_id(), SAMPLED | _RANDOM_ID
        elif isinstance(parent, DriftbellSpan):
            above, trace_id, flags, state = parent, parent.trace_id, parent.flags, parent._state
        elif isinstance(parent, trace.Span) and (theirs := parent.get_span_context()).is_valid:
            above, trace_id, flags, state = parent, theirs.trace_id, int(theirs.trace_flags), theirs.trace_state
        else:
            trace_id, flags = self.new_trace_id(), SAMPLED | _RANDOM_ID
        if self.sampler is not None:
            for asked in sampled_as or (trace_id,):
                result = self.sampler.should_sample(context, asked, name, SpanKind.INTERNAL, attributes)
                if result.decision is Decision.RECORD_AND_SAMPLE:
                    break
            flags = flags | SAMPLED if result.decision is Decision.RECORD_AND_SAMPLE else flags & ~SAMPLED
            state = result.trace_state
            attributes.update(result.attributes or {})
        span = kind(self.sink, name, trace_id, self.new_span_id(), flags, above, attributes, at)
        if state:
            span._state = state
        if self.processor is not None and flags & SAMPLED:
            self.processor.on_start(span, context)  # type: ignore[arg-type]  # all that a processor may use is there
        return span
