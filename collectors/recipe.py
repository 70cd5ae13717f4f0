"""Recipe: how the one call of a trace follows from its spans, when all of these fit templates.

Most traces are one call with spans around it that lend labels. What `fold` and `compose` make of such a trace
depends on its templates and on who is whose parent, and on values and times only in that some of them are taken over.
Which ones is found by combining the spans twice, with other values the second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from driftbell.collectors import rows
from driftbell.collectors.call import Call
from driftbell.collectors.completions import attach
from driftbell.collectors.compose import FEATURES, compose
from driftbell.collectors.duplicates import joined
from driftbell.collectors.fold import fold
from driftbell.collectors.logical import DIMENSIONS
from driftbell.collectors.part import Part
from driftbell.collectors.pricing import (
    PARTS,
    REPORTED_COST,
    TIER,
    UNTIERED,
    PriceTable,
    Rate,
    is_complete,
    rate_of,
    tier_of,
)
from driftbell.collectors.retrieved import assign_sources
from driftbell.collectors.shape import LABELS, PLACES, Value
from driftbell.collectors.template import NANO, Filled, part_of
from driftbell.collectors.tree import Tree

DAY = 86400
CALL_KINDS = ("llm", "embedding")
_LENDING = ("agent", "chain", "tool", "http", "other")
"""Kinds that lend labels to a call or nothing; all others make a call depend on what was when."""
_TTFT = (PLACES["ttft_s"], PLACES["ttft_ms"])
_PROBED = (
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("response_id", "session_id", "user_id", "ttft_ms", "cost_usd", "retrieval_ms"),
)
"""Fields of a call that can be values of a span."""
_INPUT, _OUTPUT, _CACHED, _WRITTEN, _TTFT_MS, _COST = (
    rows.CALL_COLUMNS.index(name)
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "ttft_ms", "cost_usd")
)
_TRACE, _SPAN, _TS, _LATENCY = (rows.CALL_COLUMNS.index(name) for name in ("trace_id", "span_id", "ts", "latency_ms"))
VARIANTS_REMEMBERED = 5000
_LENT = frozenset(DIMENSIONS) | frozenset(FEATURES) | {"retrieval_ms"}
"""What the spans around a call can say of it."""
_TOKENS = frozenset({"input_tokens", "output_tokens"})


@dataclass(slots=True, eq=False)
class Variant:
    """The calls of one recipe with the same labels, priced in the same way; ``times`` are those at hand.

    ``number`` and ``dimensions`` are how the store knows workflow and names, as long as there are ``times``.
    """

    call: Call
    names: tuple[str | None, ...]
    service: str
    priced: bool
    times: list[float] = field(default_factory=list)
    number: int = 0
    dimensions: int = 0


@dataclass(slots=True)
class Priced:
    """How calls of a recipe are priced on a day; without a ``rate`` the cost is in the row already, or not known."""

    call: Call
    rate: Rate | None
    variants: dict[tuple[Value | None, ...], Variant] = field(default_factory=dict)


@dataclass(slots=True)
class Recipe:
    """``call`` is the call without what varies; ``leaf`` the position of the span that has its times and ids.

    ``columns`` are ``(column of the row, span, place)``, ``labels`` ``(field of the call, span, place)`` and
    ``attributes`` ``(attribute, span, place)``. ``rare`` tells whether it may have any of
    the columns `rows.RARE`; ``fixed`` is the number of the attributes where none varies.
    """

    leaf: int
    call: Call
    row: list[Any]
    columns: tuple[tuple[int, int, int], ...]
    labels: tuple[tuple[str, int, int], ...]
    attributes: tuple[tuple[str, int, int], ...]
    rare: bool = True
    fixed: int | None = None
    days: dict[int, Priced | None] = field(default_factory=dict)

    def fill(self, spans: Sequence[Filled]) -> list[Any]:
        """The row of the call, without its numbers in the store and without a cost that has to be reckoned."""
        _, trace, span, _, start, end, _ = spans[self.leaf]
        row = self.row.copy()
        for column, at, place in self.columns:
            row[column] = spans[at][6][place]
        ended = end * NANO
        latency = (ended - start * NANO) * 1e3
        row[_TRACE], row[_SPAN], row[_TS], row[_LATENCY] = trace, span, ended, latency
        first = row[_TTFT_MS]
        if first is not None and first > latency + 1:
            row[_TTFT_MS] = None
        return row

    def price(self, row: list[Any], prices: PriceTable) -> Priced | None:
        """How the call of ``row`` is priced, with its cost put in; ``None`` if that has to be asked."""
        day = int(row[_TS] // DAY)
        if day not in self.days:
            self.days[day] = self._priced(day, prices)
        priced = self.days[day]
        if priced is None or priced.rate is None:
            return priced
        given, out = row[_INPUT], row[_OUTPUT]
        if max(given, out or 0) > UNTIERED:
            return None
        row[_COST] = priced.rate.usd(given, out, row[_CACHED], row[_WRITTEN])
        return priced

    def whole(self, row: list[Any], spans: Sequence[Filled]) -> Call:
        """The call of ``row`` as a record, not yet priced."""
        given = dict(zip(rows.CALL_COLUMNS, row, strict=True))
        taken = {name: given[name] for name in (*_PROBED, "ts", "latency_ms")}
        ids = {name: given[name].hex() for name in ("trace_id", "span_id")}
        call = self._labelled(self.call, spans)
        return replace(call, **taken, **ids, attributes=self.attributes_of(spans))

    def variant(self, priced: Priced, spans: Sequence[Filled]) -> Variant:
        """That of the call of ``spans``."""
        labels = tuple([spans[at][6][place] for _, at, place in self.labels])
        found = priced.variants.get(labels)
        if found is None:
            if len(priced.variants) >= VARIANTS_REMEMBERED:
                priced.variants.clear()
            call = self._labelled(priced.call, spans)
            is_priced = priced.rate is not None or call.cost_source == "provider"
            found = Variant(call, rows.call_names(call), spans[self.leaf][0].service, is_priced)
            priced.variants[labels] = found
        return found

    def _labelled(self, call: Call, spans: Sequence[Filled]) -> Call:
        """``call`` with the labels that vary."""
        return replace(call, **{name: spans[at][6][place] for name, at, place in self.labels}) if self.labels else call

    def attributes_of(self, spans: Sequence[Filled]) -> dict[str, object]:
        """The attributes of the call, with those that vary."""
        return {**self.call.attributes, **{name: spans[at][6][place] for name, at, place in self.attributes}}

    def _priced(self, day: int, prices: PriceTable) -> Priced | None:
        call = self.call
        if call.cost_source == "provider":
            return Priced(call, None)
        tier = tier_of(call.attributes)
        known = None if call.input_tokens is None else rate_of(call.provider, call.model, day, prices, tier)
        if known == "ask" or any(name.endswith(TIER) for name, _, _ in self.attributes):
            return None
        if known is not None:
            call = replace(
                call, cost_source="computed" if is_complete(call) else "partial", price_version=known.version
            )
        elif any(name == REPORTED_COST for name, _, _ in self.attributes):
            return None
        return Priced(call, known)


def recipe_of(spans: Sequence[Filled]) -> Recipe | bool:
    """The recipe of a trace like ``spans``; False if it has none, True if it holds no call."""
    parts = [part_of(span) for span in spans]
    calls = [at for at, part in enumerate(parts) if part.kind in CALL_KINDS]
    totals = any(part.counts_tokens for part in parts if part.kind not in CALL_KINDS)
    if any(part.kind not in (*CALL_KINDS, *_LENDING) or "duration_s" in part.facts for part in parts):
        return False
    if len(calls) > 1 or not is_forest(spans) or (totals and not any(parts[at].counts_tokens for at in calls)):
        return False
    if not calls:
        return True
    leaf = calls[0]
    one = _composed(parts, parts[leaf])
    probes = [_probe(span, at) for at, span in enumerate(spans)]
    other_parts = [part_of(span) for span in probes]
    other = _composed(other_parts, other_parts[leaf])
    return False if one is None or other is None else _difference(probes, leaf, one, other)


def adds_nothing(span: Filled, leaf: Filled) -> bool:
    """Whether a call ``leaf`` that names its workflow is the same call without ``span`` in its trace."""
    part, facts, of_leaf = span[0].part, span[0].said, leaf[0].said
    lent = facts & _LENT
    harmless = part.kind in _LENDING and not (part.kind == "http" and part.failed) and "duration_s" not in facts
    return harmless and "workflow" in of_leaf and lent <= of_leaf and not (_TOKENS & facts and not _TOKENS & of_leaf)


def is_forest(spans: Sequence[Filled]) -> bool:
    """Whether no span is an ancestor of itself, and none is there twice."""
    parents = {span[2]: span[3] for span in spans}
    for above in parents.values():
        steps = 0
        while above in parents:
            above, steps = parents[above], steps + 1
            if steps > len(parents):
                return False
    return len(parents) == len(spans)


def _composed(parts: Sequence[Part], leaf: Part) -> Call | None:
    """The one call of ``parts``, told by ``leaf`` alone; ``None`` if it is not like that."""
    tree = Tree(parts)
    calls, completions = fold(tree)
    calls = joined(attach(completions, calls))
    assign_sources(calls, tree)
    if completions or len(calls) != 1:
        return None
    (call,) = calls
    if call.leaf is not leaf or call.outer or call.inner or call.failures or call.completion or call.filled:
        return None
    return compose(call, tree)


def _probe(span: Filled, at: int) -> Filled:
    """``span`` with values of its own that no other span of the trace has."""
    values: list[Value | None] = []
    for place, value in enumerate(span[6]):
        unique = 1000 * (at + 1) + place
        if isinstance(value, str):
            values.append(f"probe-{unique}")
        elif place in _TTFT and value is not None:
            values.append(unique * 1e-9)
        else:
            values.append(None if value is None else type(value)(unique))
    return (*span[:6], values)


def _difference(probes: Sequence[Filled], leaf: int, one: Call, other: Call) -> Recipe | bool:
    """What of the call ``one`` was taken from which value, judged by the call of ``probes``."""
    places = {value: (at, place) for at, span in enumerate(probes) for place, value in enumerate(span[6]) if value}
    columns: list[tuple[int, int, int]] = []
    labels: list[tuple[str, int, int]] = []
    bare = one
    for name in (*_PROBED, *sorted(LABELS)):
        mine, theirs = getattr(one, name), getattr(other, name)
        if theirs is None or theirs not in places:
            if mine != theirs and name != "ttft_ms":
                return False
            continue
        at, place = places[theirs]
        if name in LABELS:
            labels.append((name, at, place))
            continue
        columns.append((rows.CALL_COLUMNS.index(name), at, place))
        if name not in ("input_tokens", "output_tokens"):  # whether these are known decides how the call is priced
            bare = _replaced(bare, {name: None})
    attributes = tuple((name, *places[value]) for name, value in other.attributes.items() if value in places)
    fixed = {name: value for name, value in one.attributes.items() if name not in {name for name, _, _ in attributes}}
    if PARTS in fixed or any(other.attributes.get(name) != value for name, value in fixed.items()):
        return False
    bare = replace(bare, attributes=fixed)
    if replace(other, **_without(one)) != replace(one, attributes=other.attributes):
        return False
    row = list(rows.call_row(bare, None, 0, 0, None))
    given = {name for name, value in zip(rows.CALL_COLUMNS, row, strict=True) if value is not None}
    rare = not rows.RARE.isdisjoint(given | {rows.CALL_COLUMNS[column] for column, _, _ in columns})
    return Recipe(leaf, bare, row, tuple(columns), tuple(labels), attributes, rare)


def _replaced(call: Call, fields: dict[str, Any]) -> Call:
    return replace(call, **fields)


def _without(one: Call) -> dict[str, Any]:
    return {name: getattr(one, name) for name in (*_PROBED, *LABELS)}
