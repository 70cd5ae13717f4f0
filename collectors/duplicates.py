"""Two instrumentations that tell of one call: side by side, or in traces that know nothing of each other."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part

_ID_SLACK_S = 1.0
_CONTAINED_SLACK_S = 0.05
_DATE = re.compile(r"-(\d[\d-]{3,9}|latest)$")
_STREAM_GAP_S = 30.0
_MOST_ALIKE = 64
"""Calls under one key beyond which they are not compared: they are load or a replay, not duplicates."""


def joined(calls: Iterable[Logical]) -> list[Logical]:
    """The calls in order of time, each once: views of the same call are absorbed by the innermost of them."""
    ordered = sorted(calls, key=_order)
    if len(ordered) < 2:
        return ordered
    ordered = _join(ordered, lambda call: sorted(call.ids()), _same_response)
    ordered = _join(ordered, _usage_key, _same_usage)
    return _join(ordered, _place, _continues)


def _order(call: Logical) -> tuple[float, float, tuple[str, str]]:
    return (call.leaf.start, call.leaf.end, call.leaf.key)


def _join(
    calls: list[Logical], keys: Callable[[Logical], Sequence[object]], same: Callable[[Logical, Logical], bool]
) -> list[Logical]:
    by_key: dict[object, list[Logical]] = defaultdict(list)
    for call in calls:
        for key in keys(call):
            by_key[key].append(call)
    gone: set[int] = set()
    for alike in by_key.values():
        if not 1 < len(alike) <= _MOST_ALIKE:
            continue
        for inner, outer in _pairs(alike):
            if id(inner) not in gone and id(outer) not in gone and same(inner, outer):
                inner.absorb(outer)
                gone.add(id(outer))
    return [call for call in calls if id(call) not in gone]


def _pairs(calls: list[Logical]) -> list[tuple[Logical, Logical]]:
    """Each pair with the shorter call first; those that differ least in length before others."""
    shortest_first = sorted(calls, key=lambda call: (_length(call), _order(call)))
    pairs = [(one, other) for at, one in enumerate(shortest_first) for other in shortest_first[at + 1 :]]
    return sorted(pairs, key=lambda pair: (_length(pair[1]) - _length(pair[0]), _order(pair[0]), _order(pair[1])))


def _length(call: Logical) -> float:
    return call.leaf.end - call.leaf.start


def _same_response(one: Logical, other: Logical) -> bool:
    """The same response id at the same time in one process, told by different instrumentation.

    Equal instrumentation under equal names is a replay or a test double with a fixed id, not a second view. Two
    SDKs in one process may give it two identities: then one view has to enclose the other and no count may differ.
    """
    if one.family != other.family or _voices(one) & _voices(other):
        return False
    if one.leaf.service == other.leaf.service:
        (start, end), (other_start, other_end) = one.span(), other.span()
        return start <= other_end + _ID_SLACK_S and other_start <= end + _ID_SLACK_S
    return _same_name(one.leaf, other.leaf) and _inside(one, other) and _no_contradiction(one.leaf, other.leaf)


def _same_name(one: Part, other: Part) -> bool:
    names = {str(part.facts.get("service_name", "unknown_service")) for part in (one, other)}
    return len(names) == 1 or any(name.startswith("unknown_service") for name in names)


def _no_contradiction(one: Part, other: Part) -> bool:
    return all(
        one.facts.get(name, other.facts.get(name)) == other.facts.get(name, one.facts.get(name))
        for name in ("input_tokens", "output_tokens")
    )


def _inside(inner: Logical, outer: Logical) -> bool:
    (start, end), (outer_start, outer_end) = inner.span(), outer.span()
    return outer_start - _CONTAINED_SLACK_S <= start and end <= outer_end + _CONTAINED_SLACK_S


def _voices(call: Logical) -> set[tuple[str, str]]:
    return {(part.scope, part.name) for part in call.parts()}


def _usage_key(call: Logical) -> list[tuple[object, ...]]:
    facts = call.leaf.facts
    if call.inner:
        return []
    tokens = (facts.get("input_tokens"), facts.get("output_tokens"))
    return [(call.family, call.leaf.service, call.leaf.failed, *tokens)]


def _same_usage(one: Logical, other: Logical) -> bool:
    """Without a common id: one process, one interval inside the other, different instrumentation, the same model.

    The key has seen to it that tokens, or the lack of them, and failure are equal.
    """
    if _scopes(one) & _scopes(other) or not _same_model(one, other):
        return False
    if one.ids() and other.ids() and not _different_makes(one.ids(), other.ids()):
        return False
    return _inside(one, other)


def _scopes(call: Logical) -> set[str]:
    return {part.scope for part in call.parts()}


def _same_model(one: Logical, other: Logical) -> bool:
    """Whether a model of one is a model of the other, or a dated version of it."""
    return any(_undated(mine) == _undated(theirs) for mine in _models(one) for theirs in _models(other))


def _undated(model: str) -> str:
    return _DATE.sub("", model)


def _models(call: Logical) -> set[str]:
    named = {part.facts.get(name) for part in call.parts() for name in ("request_model", "response_model")}
    return {str(model) for model in named if model is not None}


def _place(call: Logical) -> list[tuple[str, str]]:
    outermost = call.parts()[-1]
    return [(outermost.trace_id, outermost.parent_id)] if outermost.parent_id and call.family == "llm" else []


def _continues(one: Logical, other: Logical) -> bool:
    """A view that ended before the stream began, and the client's span of that stream beside it.

    The early view has neither usage nor id; the other one follows it under the same parent.
    """
    early, late = sorted((one, other), key=_order)
    if early.leaf.counts_tokens or early.ids() or early.leaf.failed or early.own or late.own:
        return False
    gap = late.leaf.start - early.span()[1]
    follows = -_CONTAINED_SLACK_S <= gap <= _STREAM_GAP_S
    return follows and not _scopes(early) & _scopes(late) and _same_model(early, late)


def _different_makes(one: set[str], other: set[str]) -> bool:
    """Whether ids cannot be compared, because a framework gave the response an id of its own."""
    return not {identity[:4] for identity in one} & {identity[:4] for identity in other}
