"""Records that a stream ended -> the call whose span was closed with the first byte."""

from collections import defaultdict

from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part

_NEAR_S = 2.0


def attach(completions: list[Part], calls: list[Logical]) -> list[Logical]:
    """Give each completion record to the call that ended when the stream began; the calls, and what found none.

    A record states how long the stream took, so the stream began at its time less that duration. One that brings
    usage but finds no call is a call itself: the span of it was lost.
    """
    open_calls: dict[tuple[str, ...], list[Logical]] = defaultdict(list)
    for call in calls:
        if not call.leaf.counts_tokens and not call.leaf.failed:
            open_calls[_like(call.leaf)].append(call)
    lost: list[Logical] = []
    for record in sorted(completions, key=lambda part: (part.end, part.key)):
        began = record.end - float(record.facts["duration_s"])
        near = [
            call
            for call in open_calls[_like(record)]
            if call.completion is None and abs(call.leaf.end - began) <= _NEAR_S and call.leaf.start <= record.end
        ]
        if near:
            min(near, key=lambda call: (abs(call.leaf.end - began), call.leaf.key)).completion = record
        elif record.counts_tokens:
            lost.append(Logical(record))
    return [*calls, *lost]


def _like(part: Part) -> tuple[str, ...]:
    return part.service, part.scope, str(part.facts.get("request_model"))
