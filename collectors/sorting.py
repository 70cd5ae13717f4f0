"""Which traces of a group of requests stand alone: nothing stored and nothing else received belongs to them.

Most do. Of those that do not, the rest of the way is `connect`, which looks at every span of everything connected.
"""

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from driftbell.collectors.connect import key_number, linked, parts_of
from driftbell.collectors.links import (
    DETAIL,
    detail,
    part_keys,
    response_numbers,
    usage_number,
)
from driftbell.collectors.reading import Reading
from driftbell.collectors.recent import Recent
from driftbell.collectors.rows import trace_key
from driftbell.collectors.shape import PLACES
from driftbell.collectors.template import NANO, Filled, Template, part_of

_RESPONSE, _INPUT, _OUTPUT = (PLACES[name] for name in ("response_id", "input_tokens", "output_tokens"))
Link = tuple[int, int]
"""Number of a key, and of the trace that is found by it."""


@dataclass(slots=True)
class Sorted:
    """``alone`` are traces that nothing else belongs to; ``others`` are the spans of all other traces.

    ``links`` are the keys by which the traces ``alone`` are to be found.
    """

    alone: dict[int, list[Filled]] = field(default_factory=dict)
    others: list[Filled] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def sort_out(db: sqlite3.Connection, recent: Recent, spans: Sequence[Filled], readings: Iterable[Reading]) -> Sorted:
    """Sort out ``spans`` that came together with other ``readings``."""
    traces: dict[int, list[Filled]] = {}
    numbers = _trace_keys(spans)
    for trace, span in zip(numbers, spans, strict=True):
        held = traces.get(trace)
        if held is None:
            traces[trace] = [span]
        else:
            held.append(span)
    tied = {trace for trace, held in traces.items() if len(held) > 1 and not _is_one(held)}
    keys = _Keys(tied)
    for reading in readings:
        trace = trace_key(reading.trace_id)
        tied.add(trace)
        for text in reading.keys:
            if text[0] == "v":
                keys.use([(key_number(text), trace)])
            elif text[0] != "u":
                keys.hold([key_number(text)], [trace])
    links = _links(spans, numbers, keys)
    holder = keys.holder
    tied |= {trace for key in holder.keys() & traces.keys() for trace in (key, holder[key])}
    for told in keys.again.values():
        if len({key for key, _ in told}) > 1:
            tied.update(trace for _, trace in told)
    tied |= _known(db, recent, traces, keys)
    if not tied:
        return Sorted(traces, [], links)
    alone = {trace: held for trace, held in traces.items() if trace not in tied}
    others = [span for trace, held in traces.items() if trace in tied for span in held]
    return Sorted(alone, others, [link for link in links if link[1] in alone])


def _trace_keys(spans: Sequence[Filled]) -> tuple[int, ...]:
    return struct.unpack(f">{2 * len(spans)}q", b"".join([span[1] for span in spans]))[1::2]


def _is_one(spans: Sequence[Filled]) -> bool:
    """Whether spans with the same number of a trace are of one trace, and each of them is there once."""
    return len({span[1] for span in spans}) == 1 and len({span[2] for span in spans}) == len(spans)


@dataclass(slots=True)
class _Keys:
    """The keys of what came together.

    ``holder`` has the first trace of each key that ties on its own, as it is shared; of those in ``wide`` the store
    has details. ``usages`` has the first link of each usage, ``again`` all links of those that came more than once.
    """

    tied: set[int]
    holder: dict[int, int] = field(default_factory=dict)
    wide: set[int] = field(default_factory=set)
    usages: dict[int, Link] = field(default_factory=dict)
    again: dict[int, list[Link]] = field(default_factory=dict)

    def hold(self, keys: Sequence[int], traces: Sequence[int]) -> None:
        """Each of ``keys`` is of the trace in the same place."""
        fresh = dict(zip(keys, traces, strict=True))
        if len(fresh) == len(keys) and self.holder.keys().isdisjoint(fresh):
            self.holder.update(fresh)
            return
        for key, trace in zip(keys, traces, strict=True):
            first = self.holder.setdefault(key, trace)
            if first != trace:
                self.tied.update((first, trace))

    def use(self, links: Sequence[Link]) -> None:
        """Each of ``links`` is of a usage."""
        known = self.usages
        for link in links:
            key = link[0] & ~DETAIL
            first = known.setdefault(key, link)
            if first is not link:
                self.again.setdefault(key, [first]).append(link)

    def told(self, key: int) -> Sequence[Link]:
        """The links of the usage ``key``, without its detail."""
        first = self.usages.get(key)
        return () if first is None else self.again.get(key) or (first,)


def _links(spans: Sequence[Filled], numbers: Sequence[int], keys: _Keys) -> list[Link]:
    """The keys of ``spans``, whose traces have ``numbers``, as the store has them; takes note of them in ``keys``."""
    by_way: dict[_Way, list[tuple[int, Filled]]] = {}
    links: list[Link] = []
    for one in zip(numbers, spans, strict=True):
        trace, span = one
        way = _way(span[0])
        if way is _NONE or (way is None and span[3]):
            continue
        if way is None or span[6][_RESPONSE] is None:
            texts, usage = _text_keys(span)
            keys.hold(texts, [trace] * len(texts))
            links += [(text, trace) for text in texts]
            if usage is not None:
                links.append((usage, trace))
                keys.use(links[-1:])
            continue
        held = by_way.get(way)
        if held is None:
            by_way[way] = [one]
        else:
            held.append(one)
    for way, told in by_way.items():
        traces = [trace for trace, _ in told]
        of_all = response_numbers([span[6][_RESPONSE] for _, span in told])
        keys.hold(of_all, traces)
        keys.wide.update(of_all)
        service = way.service_detail
        links += zip([number | service for number in of_all], traces, strict=True)
        used = [(way.usage(span), trace) for trace, span in told if not span[3]]
        keys.use(used)
        links += used
    return links


def _known(db: sqlite3.Connection, recent: Recent, traces: dict[int, list[Filled]], keys: _Keys) -> set[int]:
    """The traces of which, or of whose keys, the store knows something."""
    holder, wide = keys.holder, keys.wide
    exact = [key for key in holder if key not in wide] if len(wide) < len(holder) else []
    known = set(parts_of(db, recent, traces))
    for key, _ in linked(db, recent, [*exact, *traces], wide | keys.usages.keys()):
        told = keys.told(key & ~DETAIL)
        if any(key != mine for mine, _ in told):
            known.update(trace for _, trace in told)
        for one in (key, key & ~DETAIL):
            if one in holder:
                known.add(holder[one])
            if one in traces:
                known.add(one)
    return known


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """How the keys of spans with a response follow from their values."""

    service: str
    service_detail: int
    scope_detail: int
    given: object
    out: object

    def usage(self, span: Filled) -> int:
        """The key of the usage of a span."""
        values = span[6]
        given = values[_INPUT] if self.given is None else self.given
        out = values[_OUTPUT] if self.out is None else self.out
        return usage_number(self.service, given, out, span[5] * NANO) | self.scope_detail


_NONE = _Way("", 0, 0, None, None)
"""Of spans without keys."""


@lru_cache(maxsize=8192)
def _way(template: Template) -> _Way | None:
    """That of the spans of a template, which many have in common; ``None`` if each has to be looked at by itself."""
    part = template.part
    if part.kind == "llm":
        facts = part.facts
        given, out = facts.get("input_tokens"), facts.get("output_tokens")
        return _way_of(part.service, str(facts.get("service_name") or ""), part.scope, given, out)
    return None if part.kind in ("retrieval", "embedding") else _NONE


@lru_cache(maxsize=1024, typed=True)
def _way_of(service: str, named: str, scope: str, given: object, out: object) -> _Way:
    return _Way(service, detail(named), detail(scope), given, out)


def _text_keys(span: Filled) -> tuple[list[int], int | None]:
    """The keys of a span as `links.part_keys` has them, that of its usage apart."""
    texts = part_keys(part_of(span))
    usage = next((key_number(text) for text in texts if text[0] == "v"), None)
    return [key_number(text) for text in texts if text[0] not in "uv"], usage
