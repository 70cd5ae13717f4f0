"""Retrievals -> the sources of the call that they served."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from driftbell.collectors.call import Source
from driftbell.collectors.dialects.documents import MAX_SOURCES
from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part
from driftbell.collectors.tree import Key, Tree

_SLACK_S = 0.01


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """One retrieval, whatever number of nested spans told of it; not ``seen`` if only its documents show."""

    part: Part
    sources: tuple[Source, ...] | None
    reranked: bool
    seen: bool = True


def assign_sources(calls: list[Logical], tree: Tree) -> None:
    """Set ``sources`` and ``retrieval_s`` of the calls; what a reranker kept stands for what it was given."""
    retrievals = _retrievals(tree)
    if not retrievals:
        return
    served: dict[int, list[_Retrieval]] = defaultdict(list)
    finder = _Finder(calls, tree)
    for retrieval in retrievals:
        call = finder.served_by(retrieval.part)
        if call is not None:
            served[id(call)].append(retrieval)
    for call in calls:
        mine = served.get(id(call), [])
        told = [one for one in mine if one.sources is not None]
        chosen = [one for one in told if one.reranked] or told
        if chosen:
            call.sources = tuple(source for one in chosen for source in one.sources or ())[:MAX_SOURCES]
        if any(one.seen for one in mine):
            call.retrieval_s = sum(one.part.end - one.part.start for one in mine if one.seen)


def _retrievals(tree: Tree) -> list[_Retrieval]:
    """The outermost retrieval spans, with the documents of whichever nested span has them."""
    inside: dict[Key, list[Part]] = defaultdict(list)
    tops: list[Part] = []
    telling = {part.trace_id for part in tree.parts if part.kind in ("retrieval", "rerank")}
    passed: dict[str, _Retrieval] = {}
    for part in tree.parts:
        if part.kind == "chain" and part.sources and part.trace_id not in telling:
            passed.setdefault(part.trace_id, _Retrieval(part, part.sources, False, seen=False))
        elif part.kind in ("retrieval", "rerank"):
            top = part
            for above in tree.ancestors(part):
                if above.kind in ("retrieval", "rerank"):
                    top = above
            inside[top.key].append(part)
            if top is part:
                tops.append(part)
    found = list(passed.values())
    for top in tops:
        told = [part for part in [top, *inside[top.key]] if part.sources is not None]
        best = next((part for part in told if part.sources), told[0] if told else None)
        reranked = any(part.kind == "rerank" for part in inside[top.key])
        found.append(_Retrieval(top, best.sources if best else None, reranked))
    return found


def _next(calls: list[Logical], ready: float) -> Logical | None:
    """The first of the calls, which are in order of time, that starts when the documents are there."""
    at = bisect_left(calls, ready, key=lambda call: call.leaf.start)
    return calls[at] if at < len(calls) else None


class _Finder:
    """Finds the call that a retrieval served."""

    def __init__(self, calls: Iterable[Logical], tree: Tree) -> None:
        self._tree = tree
        self._members: dict[Key, Logical] = {}
        self._beneath: dict[Key, list[Logical]] = defaultdict(list)
        self._in_trace: dict[str, list[Logical]] = defaultdict(list)
        self._embeddings: list[Logical] = []
        for call in sorted(calls, key=lambda one: (one.leaf.start, one.leaf.key)):
            if call.family == "embedding":
                self._embeddings.append(call)
            for part in call.members():
                self._members.setdefault(part.key, call)
            if call.family == "llm":
                for trace_id in sorted({part.trace_id for part in call.parts()}):
                    self._in_trace[trace_id].append(call)
                for part in call.parts():
                    for above in tree.ancestors(part):
                        self._beneath[above.key].append(call)

    def served_by(self, retrieval: Part) -> Logical | None:
        """The call around the retrieval, else the next one under the nearest common ancestor, or in its trace.

        A retrieval without any model call in its trace served nobody who can be seen; it is told with the embedding
        of its query.
        """
        ready = retrieval.end - _SLACK_S
        for above in self._tree.ancestors(retrieval):
            call = self._members.get(above.key)
            if call is not None and call.family == "llm":
                return call
            call = _next(self._beneath.get(above.key, []), ready)
            if call is not None:
                return call
        in_trace = self._in_trace.get(retrieval.trace_id, [])
        call = _next(in_trace, ready)
        if call is not None:
            return call
        if in_trace:
            return in_trace[-1]
        return self._query_embedding(retrieval)

    def _query_embedding(self, retrieval: Part) -> Logical | None:
        during = [
            call
            for call in self._embeddings
            if call.leaf.service == retrieval.service
            and retrieval.start - _SLACK_S <= call.leaf.start
            and call.leaf.end <= retrieval.end + _SLACK_S
        ]
        same_trace = [call for call in during if call.leaf.trace_id == retrieval.trace_id]
        return (same_trace or during)[-1] if same_trace or len(during) == 1 else None
