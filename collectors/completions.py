"""Records that a stream ended -> the call whose span was closed with the first byte."""

from bisect import bisect_left, bisect_right
from collections import defaultdict

from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part

_NEAR_S = 2.0
_MOST_NEAR = 64
"""Calls that ended at about the same time beyond which no more are compared."""


def attach(completions: list[Part], calls: list[Logical]) -> list[Logical]:
    """Give each completion record to the call that ended when the stream began; the calls, and what found none.

    A record states how long the stream took, so the stream began at its time less that duration. One that brings
    usage but finds no call is a call itself: the span of it was lost.
    """
    if not completions:
        return calls
    open_calls: dict[tuple[str, ...], list[Logical]] = defaultdict(list)
    for call in sorted(calls, key=_end):
        if not call.leaf.counts_tokens and not call.leaf.failed:
            open_calls[_like(call.leaf)].append(call)
    lost: list[Logical] = []
    for record in sorted(completions, key=lambda part: (part.end, part.key)):
        began = record.end - float(record.facts["duration_s"])
        alike = open_calls[_like(record)]
        first = bisect_left(alike, began - _NEAR_S, key=lambda call: call.leaf.end)
        last = bisect_right(alike, began + _NEAR_S, key=lambda call: call.leaf.end)
        near = [call for call in alike[first : min(last, first + _MOST_NEAR)] if call.leaf.start <= record.end]
        if near:
            chosen = min(near, key=lambda call: (abs(call.leaf.end - began), call.leaf.key))
            chosen.completion = record
            alike.remove(chosen)
        elif record.counts_tokens:
            lost.append(Logical(record))
    return [*calls, *lost]


def _end(call: Logical) -> tuple[float, tuple[str, str]]:
    return call.leaf.end, call.leaf.key


def _like(part: Part) -> tuple[str, ...]:
    return part.service, part.scope, str(part.facts.get("request_model"))
