"""Part: what one span says about calls, in canonical terms and without any of its content."""

from dataclasses import dataclass, field

from driftbell.collectors.call import Source
from driftbell.collectors.dialects.aliases import Fact
from driftbell.collectors.dialects.vocabulary import Kind


@dataclass(frozen=True, slots=True)
class Part:
    """One span as read.

    ``facts`` holds canonical fields (those of `Call` and a few that only merging needs). ``service`` names the
    emitting process as far as its resource tells. ``own`` marks spans of our own SDK, ``failed`` an error of
    whatever kind. ``generation`` marks a span that stands for one generation with all its attempts without being
    itself a request to a provider. ``sources`` is ``None`` when the span says nothing of retrieved documents.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: float
    end: float
    kind: Kind = "other"
    scope: str = ""
    service: str = ""
    dialect: str = "other"
    own: bool = False
    failed: bool = False
    generation: bool = False
    facts: dict[str, Fact] = field(default_factory=dict)
    sources: tuple[Source, ...] | None = None
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Identity of the span."""
        return self.trace_id, self.span_id

    @property
    def counts_tokens(self) -> bool:
        """Whether the span brings usage: tokens in or out that are not all zero."""
        return bool(self.facts.get("input_tokens")) or bool(self.facts.get("output_tokens"))
