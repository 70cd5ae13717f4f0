"""Spans of a tree -> logical calls: every span hands the calls below it to its parent, which wraps or labels them.

The rules speak of structure, of what encloses and what follows what, and not of emitters.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from driftbell.collectors.duplicates import joined
from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part
from driftbell.collectors.tree import Key, Tree

_RETRY_GAP_S = 300.0
_OVERLAP_S = 0.002
_BILLED = frozenset(
    {
        *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
        *("provider_cost", "reported_cost", "cost", "response_id"),
    }
)
"""Facts that say which request was made and what it used."""
_LENT = frozenset({"segment", "risk_tier", "owner", "user_id", "session_id"})
"""Facts that hold for the calls inside a call of another workflow as well."""


@dataclass(slots=True)
class _Below:
    """What the spans below a span handed up."""

    calls: list[Logical] = field(default_factory=list)
    requests: list[Part] = field(default_factory=list)
    events: list[Part] = field(default_factory=list)


def fold(tree: Tree) -> tuple[list[Logical], list[Part]]:
    """The logical calls of a tree, and the completion records that still have to find their call."""
    if len(tree.parts) == 1 and tree.parts[0].kind in ("llm", "embedding") and not _is_completion(tree.parts[0]):
        return [Logical(tree.parts[0])], []  # the common case, for which the rest would do the same at length
    below: dict[Key, _Below] = defaultdict(_Below)
    completions: list[Part] = []
    calls: list[Logical] = []
    for part in tree.children_first():
        here = below.pop(part.key, None) or _Below()
        if _is_completion(part):
            completions.append(part)
            continue
        up = _fold_one(part, here)
        parent = tree.parent(part)
        if parent is None:
            calls += up.calls
            continue
        there = below[parent.key]
        there.calls += up.calls
        there.requests += up.requests
        there.events += up.events
    return joined(calls), completions


def _is_completion(part: Part) -> bool:
    """A call takes time: a model span without length that states a duration reports the end of another span."""
    return part.kind == "llm" and part.end - part.start < 1e-6 and "duration_s" in part.facts


def _fold_one(part: Part, below: _Below) -> _Below:
    match part.kind:
        case "llm" | "embedding":
            return _model(part, below)
        case "agent" | "chain":
            return _Below(_step(part, below.calls), below.requests)
        case "http":
            return _Below(below.calls, [*below.requests, part])
        case "attempt":  # counted by the call that came after it, with whatever was tried in it
            return _Below()
        case "event":
            return _Below(below.calls, [], [part])
        case "tool":
            for call in below.calls:
                call.sealed = True
    calls = _retried(below.calls, _asks_again)
    for call in calls:
        call.label(part)
    return _Below(calls, below.requests if part.kind == "other" else [])


def _model(part: Part, below: _Below) -> _Below:
    """A model span is the call itself, another view of the one call below it, or a frame around several."""
    family = "embedding" if part.kind == "embedding" else "llm"
    same: list[Logical] = []
    others: list[Logical] = []
    for call in below.calls:
        is_same = call.family == family and (part.own or not call.sealed) and not (part.own and call.own)
        (same if is_same else others).append(call)
    if part.own and not same and any(call.own for call in others):
        return _around_own(part, others, below)
    for call in others:
        call.label(part)
    if not same and not part.own and _repeats(part, [call for call in others if call.family == family]):
        return _Below(others)
    same = _retried(joined(same), _is_attempt)
    if same and _is_another(part, same):
        for call in same:
            call.label(part)
        return _Below([Logical(part, requests=below.requests, events=below.events), *same, *others])
    if not same:
        call = Logical(part, requests=below.requests, events=below.events)
    elif len(same) == 1:
        call = same[0]
        call.outer.append(part)
        call.events += below.events
    elif part.own:
        call = Logical(part, inner=same)
    else:
        for call in same:
            call.label(part)
        _fill_gap(part, same)
        return _Below([*same, *others])
    return _Below([call, *others])


def _around_own(part: Part, inside: list[Logical], below: _Below) -> _Below:
    """A span of our own SDK around calls of our own SDK.

    A response of its own makes it a call beside them, and so does a workflow that none of them names: its traffic,
    time, outcome and judgements are its own. Otherwise it lends its labels. Usage is told once, by the call nearest
    to the request.
    """
    nested = [call for call in inside if call.own]
    retold = _retells(part, nested)
    named = {one.facts.get("workflow") for call in nested for one in call.parts() if one.own}
    if (retold or not part.counts_tokens) and part.facts.get("workflow") in named:
        for call in inside:
            call.label(part)
        return _Below(inside)
    lent = replace(part, facts={name: fact for name, fact in part.facts.items() if name in _LENT})
    for call in inside:
        call.label(lent)
    if retold:
        part = replace(part, facts={name: fact for name, fact in part.facts.items() if name not in _BILLED})
    return _Below([Logical(part, requests=below.requests, events=below.events), *inside])


def _retells(part: Part, calls: list[Logical]) -> bool:
    """Whether the usage of a span is that of a call inside it, or of all of them."""
    mine = part.facts.get("response_id")
    if mine is not None:
        return any(mine in call.ids() for call in calls)
    usages = [_tokens(call.leaf) for call in calls]
    return part.counts_tokens and _tokens(part) in (sum(usages), *usages)


def _repeats(part: Part, calls: list[Logical]) -> bool:
    """Whether a model span says no more than the calls that were made inside tools and agents below it."""
    if not calls or "response_id" in part.facts:
        return False
    inside = sum(_tokens(call.leaf) for call in calls)
    return _tokens(part) <= inside


def _is_another(part: Part, calls: list[Logical]) -> bool:
    """Whether a model span is a call beside those below it: another response, and usage that is not theirs."""
    mine = part.facts.get("response_id")
    theirs = {identity for call in calls for identity in call.ids()}
    if part.own or mine is None or mine in theirs or not all(call.ids() for call in calls):
        return False
    comparable = any(identity[:4] == str(mine)[:4] for identity in theirs)
    usages = [_tokens(call.leaf) for call in calls]
    return comparable and part.counts_tokens and _tokens(part) not in (sum(usages), *usages)


def _tokens(part: Part) -> int:
    found = (part.facts.get("input_tokens"), part.facts.get("output_tokens"))
    return sum(count for count in found if isinstance(count, int))


def _step(part: Part, calls: list[Logical]) -> list[Logical]:
    """An agent or a chain lends its labels; only where nothing below it is a call does its own usage count."""
    mine = [call for call in calls if call.family == "llm"]
    others = [call for call in calls if call.family != "llm"]
    if part.kind == "agent":
        mine = _retried(joined(mine), _is_worth_another)
    else:
        mine = _retried(mine, _asks_again)
    calls = [*mine, *others]
    if not mine and part.counts_tokens:
        calls = [*calls, Logical(part)]
    elif part.counts_tokens:
        _fill_gap(part, mine)
    for call in calls:
        call.label(part)
        call.sealed = call.sealed or part.kind == "agent"
    return calls


def _retried(calls: list[Logical], is_retry: Callable[[Logical, Logical], bool]) -> list[Logical]:
    """Failed calls joined to the one that followed them, where that was a retry."""
    if not any(call.leaf.failed for call in calls):
        return calls
    kept: list[Logical] = []
    for call in sorted(calls, key=lambda one: (one.leaf.start, one.leaf.end, one.leaf.key)):
        before = kept[-1] if kept else None
        if before is not None and before.leaf.failed and _follows(before, call) and is_retry(before, call):
            call.retry(before)
            kept[-1] = call
        else:
            kept.append(call)
    return kept


def _follows(before: Logical, call: Logical) -> bool:
    return call.family == before.family and -_OVERLAP_S <= call.leaf.start - before.span()[1] <= _RETRY_GAP_S


def _is_attempt(_before: Logical, _call: Logical) -> bool:
    """Under a span that stands for one call, whatever follows a failure is another attempt."""
    return True


def _is_worth_another(before: Logical, call: Logical) -> bool:
    """In an agent, a call of the same model after a failure that another try may mend."""
    same_model = call.leaf.facts.get("request_model") == before.leaf.facts.get("request_model")
    return same_model and "hopeless" not in before.leaf.facts


def _asks_again(before: Logical, call: Logical) -> bool:
    """Anywhere else, only if the very same question is asked."""
    asked = before.leaf.facts.get("asked")
    return asked is not None and asked == call.leaf.facts.get("asked") and _is_worth_another(before, call)


def _fill_gap(total: Part, calls: list[Logical]) -> None:
    """If exactly one call has no usage and the frame states the sum, the difference is the usage of that call."""
    silent = [call for call in calls if not any(part.counts_tokens for part in call.parts())]
    if len(silent) != 1 or silent[0].leaf.failed or not total.counts_tokens:
        return
    found: dict[str, int] = {}
    for name in ("input_tokens", "output_tokens"):
        stated = total.facts.get(name)
        known = [part.facts.get(name) for call in calls for part in call.parts()[:1] if call is not silent[0]]
        if not isinstance(stated, int) or not all(isinstance(count, int) for count in known):
            return
        found[name] = stated - sum(count for count in known if isinstance(count, int))
    if min(found.values()) > 0:
        silent[0].filled = found
