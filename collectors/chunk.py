"""Readings as compressed chunks: the form in which the store keeps what it received, to combine it again.

A chunk holds some dozen readings and the names of its columns, so that a field that is added later, or taken away,
does not make old chunks unreadable.
"""

import json
import zlib
from collections.abc import Container, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from driftbell.collectors.call import Judgement, ManualTask, Marker, Source
from driftbell.collectors.links import part_keys
from driftbell.collectors.part import Part
from driftbell.collectors.reading import Reading
from driftbell.collectors.rows import trace_key

CHUNK_READINGS = 64
"""Readings per chunk: looking at one trace again costs the decoding of a chunk."""
_ID = 32
_TYPES = (Part, Judgement, ManualTask, Marker)
_COLUMNS = [[field.name for field in fields(kind)] for kind in _TYPES]
_part, _judgement, _task, _marker = (attrgetter(*columns) for columns in _COLUMNS)


def pack(readings: Sequence[Reading]) -> bytes:
    """``readings`` as one compressed chunk: a line with the columns, then per reading its trace id and its row."""
    lines = [_encode(_COLUMNS), *(reading.trace_id + _encode(_row(reading)) for reading in readings)]
    return zlib.compress("\n".join(lines).encode(), 6)


def unpack(data: bytes, traces: Container[int] | None = None) -> list[Reading]:
    """Inverse of `pack`; of the traces with these keys only, if given: the others are not even decoded."""
    first, *lines = zlib.decompress(data).decode().split("\n")
    columns = json.loads(first)
    known = [[name if name in now else None for name in then] for then, now in zip(columns, _COLUMNS, strict=True)]
    return [
        _reading(known, json.loads(line[_ID:])) for line in lines if traces is None or trace_key(line[:_ID]) in traces
    ]


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
