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
    USAGE_WINDOW_S,
    part_keys,
    response_number,
    service_detail,
    window_number,
)
from driftbell.collectors.reading import Reading
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


def sort_out(db: sqlite3.Connection, spans: Sequence[Filled], readings: Iterable[Reading]) -> Sorted:
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
    for reading in readings:
        trace = trace_key(reading.trace_id)
        tied.add(trace)
        for text in reading.keys:
            _hold(holder, tied, key_number(text), trace)
    links: list[Link] = []
    wide: set[int] = set()
    for trace, held in traces.items():
        for span in held:
            for key, of_all in _keys(span):
                links.append((key, trace))
                if key != of_all:
                    wide.add(of_all)
                if holder.setdefault(of_all, trace) != trace:
                    tied.update((holder[of_all], trace))
    tied |= {trace for key in holder.keys() & traces.keys() for trace in (key, holder[key])}
    tied |= _known(db, traces, holder, wide)
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


def _known(db: sqlite3.Connection, traces: dict[int, list[Filled]], holder: dict[int, int], wide: set[int]) -> set[int]:
    """The traces of which, or of whose keys, the store knows something."""
    exact = [key for key in holder if key not in wide]
    known = set(parts_of(db, traces))
    for key, _ in linked(db, [*exact, *traces], wide):
        for one in (key, key & ~DETAIL):
            if one in holder:
                known.add(holder[one])
            if one in traces:
                known.add(one)
    return known


def _keys(span: Filled) -> Collection[tuple[int, int]]:
    """The keys of a span as `links.part_keys` has them: the number that is stored, and that by which it is shared."""
    template, _, _, parent, _, end, values = span
    part = template.part
    if part.kind != "llm":
        if parent or part.kind not in ("retrieval", "embedding"):
            return ()
        return [(number, number) for number in map(key_number, part_keys(part_of(span)))]
    response = values[_RESPONSE]
    if response is None:
        return [(number, number) for number in map(key_number, part_keys(part_of(span)))]
    of_all = response_number(response)
    key = of_all | _detail(str(part.facts.get("service_name") or ""))
    if parent:
        return ((key, of_all),)
    given, out = values[_INPUT], values[_OUTPUT]
    tokens = f"{part.service} {part.facts.get('input_tokens', given)} {part.facts.get('output_tokens', out)}"
    usage = window_number("u", tokens, end * NANO, USAGE_WINDOW_S)
    return ((key, of_all), (usage, usage))


_detail = lru_cache(maxsize=1024)(service_detail)
