"""Which traces of a group of requests stand alone: nothing stored and nothing else received belongs to them.

Most do. Of those that do not, the rest of the way is `connect`, which looks at every span of everything connected.
"""

import sqlite3
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from driftbell.collectors.connect import key_number, linked, parts_of
from driftbell.collectors.links import (
    DETAIL,
    detail,
    part_keys,
    response_number,
    usage_number,
)
from driftbell.collectors.reading import Reading
from driftbell.collectors.recent import Recent
from driftbell.collectors.rows import trace_key
from driftbell.collectors.shape import PLACES
from driftbell.collectors.template import NANO, Filled, part_of

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
    for trace, span in zip(_trace_keys(spans), spans, strict=True):
        held = traces.get(trace)
        if held is None:
            traces[trace] = [span]
        else:
            held.append(span)
    tied = {trace for trace, held in traces.items() if len(held) > 1 and not _is_one(held)}
    holder: dict[int, int] = {}
    usages: dict[int, list[Link]] = {}
    for reading in readings:
        trace = trace_key(reading.trace_id)
        tied.add(trace)
        for text in reading.keys:
            if text[0] == "v":
                _use(usages, key_number(text), trace)
            elif text[0] != "u":
                _hold(holder, tied, key_number(text), trace)
    links: list[Link] = []
    wide: set[int] = set()
    for trace, held in traces.items():
        for span in held:
            keys, usage = _keys(span)
            if usage is not None:
                links.append((usage, trace))
                _use(usages, usage, trace)
            for key, of_all in keys:
                links.append((key, trace))
                if key != of_all:
                    wide.add(of_all)
                if holder.setdefault(of_all, trace) != trace:
                    tied.update((holder[of_all], trace))
    tied |= {trace for key in holder.keys() & traces.keys() for trace in (key, holder[key])}
    for told in usages.values():
        if len({key for key, _ in told}) > 1:
            tied.update(trace for _, trace in told)
    tied |= _known(db, recent, traces, holder, wide, usages)
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


def _hold(holder: dict[int, int], tied: set[int], key: int, trace: int) -> None:
    first = holder.setdefault(key, trace)
    if first != trace:
        tied.update((first, trace))


def _use(usages: dict[int, list[Link]], key: int, trace: int) -> None:
    usages.setdefault(key & ~DETAIL, []).append((key, trace))


def _known(
    db: sqlite3.Connection,
    recent: Recent,
    traces: dict[int, list[Filled]],
    holder: dict[int, int],
    wide: set[int],
    usages: dict[int, list[Link]],
) -> set[int]:
    """The traces of which, or of whose keys, the store knows something."""
    exact = [key for key in holder if key not in wide]
    known = set(parts_of(db, recent, traces))
    for key, _ in linked(db, recent, [*exact, *traces], wide | usages.keys()):
        told = usages.get(key & ~DETAIL)
        if told is not None and any(key != mine for mine, _ in told):
            known.update(trace for _, trace in told)
        for one in (key, key & ~DETAIL):
            if one in holder:
                known.add(holder[one])
            if one in traces:
                known.add(one)
    return known


def _keys(span: Filled) -> tuple[Collection[tuple[int, int]], int | None]:
    """The keys of a span as `links.part_keys` has them: the number that is stored, and that by which it is shared.

    That of its usage comes apart.
    """
    template, _, _, parent, _, end, values = span
    part = template.part
    if part.kind != "llm":
        if parent or part.kind not in ("retrieval", "embedding"):
            return (), None
        return _text_keys(span)
    response = values[_RESPONSE]
    if response is None:
        return _text_keys(span)
    of_all = response_number(response)
    keys = ((of_all | _detail(str(part.facts.get("service_name") or "")), of_all),)
    if parent:
        return keys, None
    facts = part.facts
    given, out = facts.get("input_tokens", values[_INPUT]), facts.get("output_tokens", values[_OUTPUT])
    return keys, usage_number(part.service, given, out, end * NANO) | _detail(part.scope)


def _text_keys(span: Filled) -> tuple[Collection[tuple[int, int]], int | None]:
    texts = part_keys(part_of(span))
    usage = next((key_number(text) for text in texts if text[0] == "v"), None)
    return [(number, number) for number in (key_number(text) for text in texts if text[0] not in "uv")], usage


_detail = lru_cache(maxsize=1024)(detail)
