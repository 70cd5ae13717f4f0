"""Reading: all that one span says, without any of its content. It is what the store keeps of a span."""

from dataclasses import dataclass, field, replace

from driftbell.collectors.call import Judgement, ManualTask, Marker
from driftbell.collectors.dialects.documents import RESULT_EVENT
from driftbell.collectors.dialects.kinds import connects
from driftbell.collectors.dialects.read import read
from driftbell.collectors.dialects.timing import FIRST_TOKEN
from driftbell.collectors.links import part_keys, report_keys
from driftbell.collectors.part import Part
from driftbell.collectors.reports import JUDGING_EVENTS, is_report, judgements, manual_tasks, markers
from driftbell.collectors.span import Span


@dataclass(frozen=True, slots=True)
class Reading:
    """A span as read: what it says of a call (``part``), or what it reports, and the keys that tie it to others.

    ``(trace_id, span_id)`` is its identity; ``judgements`` are not yet joined to their call.
    """

    trace_id: str
    span_id: str
    end: float
    part: Part | None = None
    judgements: tuple[Judgement, ...] = ()
    manual_tasks: tuple[ManualTask, ...] = ()
    markers: tuple[Marker, ...] = ()
    keys: tuple[str, ...] = ()
    service: str = field(default="", compare=False, repr=False)
    """Name of the sending service; known on arrival, not kept."""

    @property
    def key(self) -> tuple[str, str]:
        """Identity of the span."""
        return self.trace_id, self.span_id


def reading_of(span: Span, service: str = "") -> Reading | None:
    """What ``span``, sent by ``service``, says; ``None`` if that can contribute to nothing."""
    if is_report(span):
        said = [span]
        return Reading(
            span.trace_id,
            span.span_id,
            span.end,
            judgements=tuple(judgements(said)),
            manual_tasks=tuple(manual_tasks(said)),
            markers=tuple(markers(said)),
            keys=report_keys(span),
            service=service,
        )
    part = read(span)
    if part.kind == "other" and not connects(span):
        return None
    judged = tuple(judgements([span])) if span.events else ()
    return Reading(span.trace_id, span.span_id, span.end, part, judged, keys=part_keys(part), service=service)


def event_matters(name: str) -> bool:
    """Whether anything is read from a span event of this name."""
    if name in ("exception", "gen_ai.choice") or name in JUDGING_EVENTS or name.startswith(RESULT_EVENT):
        return True
    return FIRST_TOKEN.search(name[:80]) is not None


def prevails(one: Reading, other: Reading) -> bool:
    """Which of two versions of a span counts: a rule that does not depend on the order of arrival."""
    return one != other and _weight(one) > _weight(other)


def _weight(reading: Reading) -> tuple[float, int, str]:
    said = 0 if reading.part is None else len(reading.part.facts) + len(reading.part.extra)
    part = reading.part
    held = "" if part is None else repr((sorted(part.facts.items()), sorted(part.extra.items())))
    return reading.end, said, held + repr(reading if part is None else replace(reading, part=_bare(part)))


def _bare(part: Part) -> Part:
    """A part without what has no order of its own."""
    return replace(part, facts={}, extra={})
