"""Logical: one call in the making, with every part that speaks of it."""

from dataclasses import dataclass, field
from typing import Self

from driftbell.collectors.call import Source
from driftbell.collectors.part import Part

DIMENSIONS = frozenset(
    {
        "workflow",
        "workflow_name",
        "function_name",
        "segment",
        "risk_tier",
        "owner",
        "prompt_name",
        "prompt_version",
        "user_id",
        "session_id",
    }
)
"""Facts that an ancestor lends to the calls below it."""


@dataclass(slots=True, eq=False)
class Logical:
    """``leaf`` is the request to the provider (its last attempt), ``failures`` the attempts before it.

    ``outer`` are spans of the same call around or beside the leaf, nearest first; ``context`` are ancestors that
    only lend their labels. ``inner`` are the calls that one span of our own SDK sums up, if there are several.
    ``sealed`` calls were made inside a tool or an agent: they are not the same call as a model span around it.
    ``tries`` counts the attempts that had a span, ``filled`` are token counts that follow from the total of a frame,
    ``completion`` is the record that a stream ended, ``sources`` and ``retrieval_s`` are what the retrievals before
    the call found and took.
    """

    leaf: Part
    outer: list[Part] = field(default_factory=list)
    failures: list[Part] = field(default_factory=list)
    context: list[Part] = field(default_factory=list)
    requests: list[Part] = field(default_factory=list)
    events: list[Part] = field(default_factory=list)
    inner: list["Logical"] = field(default_factory=list)
    tries: int = 1
    filled: dict[str, int] = field(default_factory=dict)
    completion: Part | None = None
    sources: tuple[Source, ...] | None = None
    retrieval_s: float | None = None
    sealed: bool = False

    @property
    def family(self) -> str:
        """``embedding`` or ``llm``: calls of different families are never the same call."""
        return "embedding" if self.leaf.kind == "embedding" else "llm"

    @property
    def own(self) -> bool:
        """Whether a span of our own SDK speaks of the call."""
        return any(part.own for part in self.parts())

    def parts(self) -> list[Part]:
        """Every part that is the call itself: the leaf, then outwards."""
        return [self.leaf, *self.outer]

    def members(self) -> list[Part]:
        """Every part whose identity stands for this call."""
        return [*self.parts(), *self.failures, *(part for one in self.inner for part in one.members())]

    def ids(self) -> set[str]:
        """The provider's response ids."""
        return {str(part.facts["response_id"]) for part in self.parts() if "response_id" in part.facts}

    def span(self) -> tuple[float, float]:
        """Start and end over the leaf and what is around it."""
        parts = self.parts()
        return min(part.start for part in parts), max(part.end for part in parts)

    def label(self, ancestor: Part) -> None:
        """Let an ancestor that is not the call lend its labels."""
        if not DIMENSIONS.isdisjoint(ancestor.facts):
            self.context.append(ancestor)

    def absorb(self, other: Self) -> None:
        """Take in another view of the same call, which is around or beside this one."""
        self.outer += other.parts()
        self.failures += other.failures
        self.context += other.context
        self.requests += other.requests
        self.events += other.events

    def retry(self, earlier: Self) -> None:
        """Take in an attempt that failed before this one was made."""
        self.failures = [*earlier.failures, *earlier.parts(), *self.failures]
        self.tries += earlier.tries
        self.requests += earlier.requests
