"""Two instrumentations that tell of one call: side by side, or in traces that know nothing of each other."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part

_ID_SLACK_S = 1.0
_CONTAINED_SLACK_S = 0.05
_MOST_ALIKE = 64
"""Calls under one key beyond which they are not compared: they are load or a replay, not duplicates."""


def joined(calls: Iterable[Logical]) -> list[Logical]:
    """The calls in order of time, each once: views of the same call are absorbed by the innermost of them."""
    ordered = sorted(calls, key=_order)
    if len(ordered) < 2:
        return ordered
    ordered = _join(ordered, lambda call: sorted(call.ids()), _same_response)
    return _join(ordered, _usage_key, _same_usage)


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
        innermost_first = sorted(alike, key=lambda call: (call.leaf.end - call.leaf.start, _order(call)))
        for at, inner in enumerate(innermost_first):
            for outer in innermost_first[at + 1 :]:
                if id(inner) not in gone and id(outer) not in gone and same(inner, outer):
                    inner.absorb(outer)
                    gone.add(id(outer))
    return [call for call in calls if id(call) not in gone]


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
    if call.inner or not facts.get("input_tokens") or not facts.get("output_tokens"):
        return []
    return [(call.family, call.leaf.service, facts["input_tokens"], facts["output_tokens"])]


def _same_usage(one: Logical, other: Logical) -> bool:
    """Without a common id: equal tokens in one process, one interval inside the other, different instrumentation."""
    if {part.scope for part in one.parts()} & {part.scope for part in other.parts()}:
        return False
    if one.ids() and other.ids() and not _different_makes(one.ids(), other.ids()):
        return False
    models = {part.facts.get(name) for part in other.parts() for name in ("request_model", "response_model")}
    mine = {part.facts.get(name) for part in one.parts() for name in ("request_model", "response_model")}
    if not (models & mine) - {None}:
        return False
    return _inside(one, other)


def _different_makes(one: set[str], other: set[str]) -> bool:
    """Whether ids cannot be compared, because a framework gave the response an id of its own."""
    return not {identity[:4] for identity in one} & {identity[:4] for identity in other}
