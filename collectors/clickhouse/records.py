"""Calls, judgements, manual tasks and markers as rows of ClickHouse, and back."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from driftbell.collectors.call import Call, Judgement, ManualTask, Marker, Source
from driftbell.collectors.clickhouse.schema import CALL_FIELDS, JUDGEMENT_FIELDS, PLACE, TASK_FIELDS
from driftbell.collectors.rollup import minute_of
from driftbell.collectors.rows import Measured, attributes_text, digest

Kind = Literal["calls", "judgements", "manual_tasks", "markers"]
Record = Call | Judgement | ManualTask | Marker
MARKER_FIELDS = ("ts", "kind", "workflow", "value", "text", "id")
FIELDS: dict[Kind, tuple[str, ...]] = {
    "calls": CALL_FIELDS,
    "judgements": JUDGEMENT_FIELDS,
    "manual_tasks": TASK_FIELDS,
    "markers": MARKER_FIELDS,
}
COLUMNS: dict[Kind, tuple[str, ...]] = {
    kind: tuple("id_text" if name == "id" else name for name in names) for kind, names in FIELDS.items()
}
_SOURCES, _ATTRIBUTES = CALL_FIELDS.index("sources"), CALL_FIELDS.index("attributes")
NOWHERE = ""
"""The workflow of what belongs to none in particular, which a sorting key cannot leave out."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a record is known by: ``key`` within a minute of a workflow."""

    kind: Kind
    workflow: str
    minute: int
    key: int


@dataclass(slots=True)
class Placed:
    """Records by their place; the same record has the same place whenever it is told."""

    rows: dict[Place, tuple[Record, int]] = field(default_factory=dict)
    _times: Counter[object] = field(default_factory=Counter)

    def add(self, kind: Kind, record: Record, home: int, workflow: str | None) -> Place:
        """Take in a record that was read from the trace ``home`` (0: from none)."""
        place = Place(kind, workflow or NOWHERE, minute_of(record.ts), self._key(kind, record))
        self.rows[place] = (record, home)
        return place

    def _key(self, kind: Kind, record: Record) -> int:
        name = f"{record.trace_id}{record.span_id}" if isinstance(record, Call) else record.id
        if name:
            return digest(name)
        text = f"{kind} {record!r}"
        self._times[text] += 1
        return digest(f"{text} {self._times[text]}")


def row_of(place: Place, record: Record, home: int, now: float, version: int) -> tuple[Any, ...]:
    """A row with the columns ``COLUMNS[kind]`` and `schema.PLACE`."""
    given: list[Any] = [getattr(record, name) for name in FIELDS[place.kind]]
    if isinstance(record, Call):
        sources = record.sources
        given[_SOURCES] = None if sources is None else _dump([[s.id, s.score, s.age_days] for s in sources])
        given[_ATTRIBUTES] = attributes_text(record.attributes)
    given[FIELDS[place.kind].index("workflow")] = place.workflow
    return (*given, place.minute, place.key, home, now, version, 0)


def gone_row(place: Place, home: int, now: float, version: int) -> tuple[Any, ...]:
    """A row that takes the place of one that is no longer told."""
    given = [_NOTHING.get(name) for name in FIELDS[place.kind]]
    given[FIELDS[place.kind].index("workflow")] = place.workflow
    return (*given, place.minute, place.key, home, now, version, 1)


_NOTHING: dict[str, Any] = {"ts": 0.0, "trace_id": "", "span_id": "", "attributes": "", "id": ""}


def columns(kind: Kind) -> tuple[str, ...]:
    """The columns of `row_of` and `gone_row`."""
    return COLUMNS[kind] + PLACE


def select(kind: Kind, names: Sequence[str] = ()) -> str:
    """The beginning of a question for records that are there now."""
    return f"SELECT {', '.join(names or COLUMNS[kind])} FROM {kind} FINAL "


def call_of(row: Sequence[Any]) -> Call:
    """A call from a row of ``select("calls")``."""
    given = list(row)
    if given[_SOURCES] is not None:
        given[_SOURCES] = tuple(Source(*source) for source in json.loads(given[_SOURCES]))
    given[_ATTRIBUTES] = json.loads(given[_ATTRIBUTES] or "{}")
    return Call(*given)


def measured_of(row: Sequence[Any]) -> Measured:
    """A call, as far as measures are taken of it."""
    sources = row[-1]
    found = None if sources is None else tuple(Source(*source) for source in json.loads(sources))
    return Measured._make((*row[:-1], found))


def judgement_of(row: Sequence[Any]) -> Judgement:
    """A judgement from a row of ``select("judgements")``."""
    return Judgement(*_somewhere(JUDGEMENT_FIELDS, row))


def task_of(row: Sequence[Any]) -> ManualTask:
    """A manual task from a row of ``select("manual_tasks")``."""
    return ManualTask(*row)


def marker_of(row: Sequence[Any]) -> Marker:
    """A marker from a row of ``select("markers")``."""
    return Marker(*_somewhere(MARKER_FIELDS, row))


def _somewhere(names: Sequence[str], row: Sequence[Any]) -> Iterable[Any]:
    return (None if name == "workflow" and value == NOWHERE else value for name, value in zip(names, row, strict=True))


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)
