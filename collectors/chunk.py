"""Readings as compressed chunks: the form in which the store keeps what it received, to combine it again.

There are two forms. Spans that fit templates are kept as the number of the template, ids, times and values, by column.
Any other reading is kept in full, with the names of the columns, so that a field that is added later, or taken away,
does not make old chunks unreadable. The first byte tells the forms apart.
"""

import json
import sqlite3
import struct
import zlib
from array import array
from collections.abc import Container, Iterable, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from itertools import accumulate, repeat, zip_longest
from operator import attrgetter, sub
from typing import Any

import orjson

from driftbell.collectors.call import Judgement, ManualTask, Marker, Source
from driftbell.collectors.columns import digits_of, numbers_of, planes, texts_of
from driftbell.collectors.links import part_keys
from driftbell.collectors.part import Part
from driftbell.collectors.reading import Reading
from driftbell.collectors.rows import trace_key
from driftbell.collectors.shape import KEPT_FROM
from driftbell.collectors.template import Filled, Template, part_of

CHUNK_READINGS = 64
"""Readings per chunk: looking at one trace again costs the decoding of a chunk."""
_DIGITS = 3
_FILLED = (2, _DIGITS)
"""Forms of chunks of spans that fit templates; the second keeps digits apart (see `columns`)."""
_HEAD = struct.Struct("<BIIq")
"""Form, number of spans, number of those with a parent, and the earliest end (ns)."""
_ID = 32
_TYPES = (Part, Judgement, ManualTask, Marker)
_COLUMNS = [[field.name for field in fields(kind)] for kind in _TYPES]
_part, _judgement, _task, _marker = (attrgetter(*columns) for columns in _COLUMNS)


def pack(readings: Sequence[Reading]) -> bytes:
    """``readings`` as one compressed chunk: a line with the columns, then per reading its trace id and its row."""
    return zlib.compress(text_of(readings).encode(), 6)


def text_of(readings: Sequence[Reading]) -> str:
    """The lines that `pack` compresses, for a store that compresses by itself."""
    return "\n".join([_encode(_COLUMNS), *(reading.trace_id + _encode(_row(reading)) for reading in readings)])


def pack_filled(spans: Sequence[Filled]) -> bytes:
    """Spans that fit templates as one chunk: ids as they are, for they cannot be compressed, and the rest by column."""
    templates, traces, ids, parents, starts, ends, values = zip(*spans, strict=True)
    numbers = {template.number: None for template in templates}
    index = {number: at for at, number in enumerate(numbers)}
    width = max(map(len, values))
    columns = [*zip_longest(*values)] if min(map(len, values)) < width else [*zip(*values, strict=True)]
    plain: dict[int, Sequence[Any]] = {}
    digits: dict[int, tuple[Any, ...]] = {}
    raw: list[bytes] = []
    for at, column in enumerate(columns):
        if column.count(None) == len(column):
            continue
        found = digits_of(column)
        if found is None:
            plain[at] = column
        else:
            digits[at] = found[0]
            raw.append(found[1])
    said = {
        "t": list(numbers),
        "n": [index[template.number] for template in templates],
        "p": [len(parent) and 1 for parent in parents],
        "v": plain,
        "x": digits,
    }
    first = min(ends)
    moments, lengths = planes([end - first for end in ends]), planes(map(sub, ends, starts))
    text = orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS)
    return b"".join(
        (
            _HEAD.pack(_DIGITS, len(spans), sum(map(bool, parents)), first),
            *traces,
            *ids,
            *parents,
            zlib.compress(moments + lengths + text, 1),
            *raw,
        )
    )


def unpack(db: sqlite3.Connection, data: bytes, traces: Container[int] | None = None) -> list[Reading]:
    """The readings of a chunk; of the traces with these keys only, if given: the others are not even decoded.

    ``db`` holds the templates.
    """
    if data[0] in _FILLED:
        return [reading_again(one) for one in _filled(db, data, traces)]
    return read_text(zlib.decompress(data).decode(), traces)


def read_text(text: str, traces: Container[int] | None = None) -> list[Reading]:
    """Inverse of `text_of`."""
    first, *lines = text.split("\n")
    columns = json.loads(first)
    known = [[name if name in now else None for name in then] for then, now in zip(columns, _COLUMNS, strict=True)]
    return [
        _reading(known, json.loads(line[_ID:])) for line in lines if traces is None or trace_key(line[:_ID]) in traces
    ]


def _filled(db: sqlite3.Connection, data: bytes, traces: Container[int] | None) -> list[Filled]:
    form, count, with_parent, first = _HEAD.unpack_from(data)
    ids, parents = _HEAD.size + 16 * count, _HEAD.size + 24 * count
    expander = zlib.decompressobj()
    rest = expander.decompress(data[parents + 8 * with_parent :])
    numbers = numbers_of if form == _DIGITS else partial(array, "q")
    moments, lengths = numbers(rest[: 8 * count]), numbers(rest[8 * count : 16 * count])
    said = orjson.loads(rest[16 * count :])
    keys = struct.unpack_from(f">{2 * count}q", data, _HEAD.size)[1::2]
    wanted = range(count) if traces is None else [at for at, key in enumerate(keys) if key in traces]
    templates = _templates(db, {said["t"][said["n"][at]] for at in wanted})
    size = max([KEPT_FROM, *(int(place) + 1 for kind in ("v", "x") for place in said.get(kind, ()))])
    columns: list[Iterable[Any]] = [repeat(None)] * size
    for place, column in said["v"].items():
        columns[int(place)] = [column[at] for at in wanted]
    digits = expander.unused_data
    for place, kind in said.get("x", {}).items():
        columns[int(place)], digits = texts_of(kind, digits, count, wanted)
    parent_at = list(accumulate(said["p"], initial=0))
    return [
        (
            templates[said["t"][said["n"][at]]],
            data[_HEAD.size + 16 * at : _HEAD.size + 16 * at + 16],
            data[ids + 8 * at : ids + 8 * at + 8],
            data[parents + 8 * parent_at[at] : parents + 8 * parent_at[at + 1]],
            first + moments[at] - lengths[at],
            first + moments[at],
            values,
        )
        for at, values in zip(wanted, zip(*columns, strict=False), strict=False)
    ]


def _templates(db: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, Template]:
    query = "SELECT id, text FROM templates WHERE id IN (SELECT value FROM json_each(?))"
    return {number: _template(text) for number, text in db.execute(query, (json.dumps(list(numbers)),))}


_template = lru_cache(maxsize=4096)(Template.of_text)


def reading_again(filled: Filled, service: str = "") -> Reading:
    """A span that fits a template as `reading.reading_of` would have read it."""
    part = part_of(filled)
    return Reading(part.trace_id, part.span_id, part.end, part, keys=part_keys(part), service=service)


def _row(reading: Reading) -> tuple[object, ...]:
    if reading.part is not None and not reading.judgements:
        return (_part(reading.part),)
    said = (
        [_judgement(judgement) for judgement in reading.judgements],
        [_task(task) for task in reading.manual_tasks],
        [_marker(marker) for marker in reading.markers],
    )
    if reading.part is not None:
        return (_part(reading.part), *said)
    return (None, *said, reading.trace_id, reading.span_id, reading.end, reading.keys)


def _reading(columns: list[list[str | None]], row: list[Any]) -> Reading:
    held, *said = row
    records: list[tuple[Any, ...]] = [(), (), ()]
    for at, (kind, names, given) in enumerate(zip(_TYPES[1:], columns[1:], said[:3], strict=False)):
        records[at] = tuple(kind(**_named(names, values)) for values in given)
    if held is None:
        trace_id, span_id, end, keys = said[3:]
        return Reading(trace_id, span_id, end, None, records[0], records[1], records[2], tuple(keys))
    named = _named(columns[0], held)
    if named["sources"] is not None:
        named["sources"] = tuple(Source(*source) for source in named["sources"])
    part = Part(**named)
    return Reading(part.trace_id, part.span_id, part.end, part, records[0], records[1], records[2], part_keys(part))


def _named(names: list[str | None], values: list[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if name is not None}


def _source(value: object) -> object:
    if isinstance(value, Source):
        return value.id, value.score, value.age_days
    raise TypeError(f"a reading cannot hold {type(value).__name__}")


_encode = json.JSONEncoder(separators=(",", ":"), default=_source, check_circular=False).encode
