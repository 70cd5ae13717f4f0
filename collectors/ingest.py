"""One group of requests into the store: connect, interpret, and write in one transaction."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import TypeVar

from driftbell.collectors import metered, rows
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call
from driftbell.collectors.chunk import CHUNK_READINGS, pack, pack_filled, reading_again
from driftbell.collectors.connect import Connected, Connection, connect
from driftbell.collectors.firsts import First, firsts_of, save_firsts
from driftbell.collectors.merge import Interpreted, combine
from driftbell.collectors.pricing import PriceTable, price
from driftbell.collectors.reading import Reading, reading_of
from driftbell.collectors.recent import Recent, calls_of
from driftbell.collectors.recipe import CALL_KINDS, Recipe, Variant, adds_nothing, is_forest, recipe_of
from driftbell.collectors.refresh import mark
from driftbell.collectors.rollup import MINUTE, minute_of
from driftbell.collectors.sorting import Sorted, sort_out
from driftbell.collectors.span import UNKNOWN, service_of
from driftbell.collectors.template import NANO, Filled, Template
from driftbell.collectors.trust import Counters, count_call, count_calls, count_filled, count_span, save_counters
from driftbell.collectors.workflows import Workflows

DIMENSIONS_REMEMBERED = 20_000
RECIPES_REMEMBERED = 20_000
TEMPLATE_NOTED_S = 86400.0
"""How often it is noted that a template is in use."""
INSERT_TEMPLATE = "INSERT INTO templates VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used = max(used, excluded.used)"
TS, COST = rows.CALL_COLUMNS.index("ts"), rows.CALL_COLUMNS.index("cost_usd")
_Said = TypeVar("_Said")
_NEVER, _FOREVER = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch with its spans read, which needs no lock: those that fit templates are ``filled``."""

    batch: Batch
    readings: Sequence[Reading]
    counters: Counters
    filled: Sequence[Filled] = ()

    @property
    def spans(self) -> int:
        """How many spans say something."""
        return len(self.readings) + len(self.filled)


def prepare(batch: Batch, now: float) -> Prepared:
    """Read the spans of a batch that was received at ``now``."""
    counters: Counters = Counter()
    for service, number in batch.refused.items():
        counters[service, "rejected"] += number
    services: dict[int, str] = {}
    readings = []
    for span in batch.spans:
        sender = services.get(id(span.resource))
        if sender is None:
            sender = services[id(span.resource)] = service_of(span.resource)
        count_span(counters, span, sender, now)
        reading = reading_of(span, sender)
        if reading is not None:
            readings.append(reading)
    count_filled(counters, batch.filled, now)
    filled = [span for span in batch.filled if not span[0].idle]
    return Prepared(replace(batch, spans=(), filled=()), readings, counters, filled)


@dataclass(slots=True)
class Rows:
    """Parameters of the statements of one transaction."""

    calls: list[rows.Row] = field(default_factory=list)
    common_calls: list[rows.Row] = field(default_factory=list)
    templates: dict[int, Template] = field(default_factory=dict)
    dimensions: dict[int, tuple[str | None, ...]] = field(default_factory=dict)
    attributes: dict[int, str] = field(default_factory=dict)
    judgements: list[rows.Row] = field(default_factory=list)
    manual_tasks: list[rows.Row] = field(default_factory=list)
    markers: list[rows.Row] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    dirty: set[tuple[int, int]] = field(default_factory=set)
    firsts: list[First] = field(default_factory=list)
    noted: dict[tuple[int, int], float] = field(default_factory=dict)
    too_old: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)
    marks: list[tuple[int, int]] = field(default_factory=list)
    """How many calls and common calls there were before the first trace that stands alone, and after each."""


class Ingest:
    """Writes groups of batches through one connection; the caller holds the lock of the writer."""

    def __init__(self, db: sqlite3.Connection, prices: PriceTable, workflows: Workflows) -> None:
        self.db = db
        self.prices = prices
        self._workflows = workflows
        self._recent = Recent(db)
        self._known_dimensions: set[int] = set()
        self._known_attributes: set[int] = set()
        self._noted: dict[tuple[int, int], float] = {}
        self.totals: Counters = Counter()
        self._dimension_ids: dict[tuple[str | None, ...], int] = {}
        self._known_templates: dict[int, float] = {}
        self._recipes: dict[object, Recipe | bool] = {}
        self._priced_with = prices

    def write(self, prepared: Sequence[Prepared], now: float) -> None:
        """Store what was prepared in one transaction at ``now``; raises what SQLite raises, with nothing kept."""
        try:
            self._recent.refresh(self.db)
            readings = [reading for one in prepared for reading in one.readings]
            told = sort_out(self.db, self._recent, [span for one in prepared for span in one.filled], readings)
            readings += [reading_again(span, span[0].service) for span in told.others]
            connection = connect(self.db, self._recent, readings) if readings else Connection()
            batches = [one.batch for one in prepared]
            counters: Counters = Counter()
            for one in prepared:
                counters.update(one.counters)
            new = Rows()
            for batch in batches:
                self._add(new, batch, None)
            self._add_alone(new, told, counters, now)
            for group in connection.groups:
                said = combine(group.readings, self.prices)
                self._add(new, said, min(group.traces), group.readings)
                count_calls(counters, group, said.calls)
            for reading in connection.duplicates:
                counters[reading.service or UNKNOWN, "duplicated"] += 1
            for counter, by_service in (("too_old", new.too_old), ("unnamed", new.unnamed)):
                counters.update({(service, counter): number for service, number in by_service.items()})
            self.db.execute("BEGIN IMMEDIATE")
            new.dirty |= self._measure(prepared)
            self._write(batches, connection, told, new, now)
            counters = +counters
            save_counters(self.db, counters, now)
            self.db.execute("COMMIT")
        except BaseException:
            self._workflows.forget()
            self._recent.forget()
            self._recipes.clear()
            if self.db.in_transaction:
                self.db.rollback()
            raise
        self._workflows.committed()
        self._recent.committed()
        self._known_dimensions.update(new.dimensions)
        if len(self._known_attributes) >= DIMENSIONS_REMEMBERED:
            self._known_attributes.clear()
        self._known_attributes.update(new.attributes)
        self._noted.update(new.noted)
        self._known_templates.update(dict.fromkeys(new.templates, now))
        self.totals.update(counters)

    def forget_names(self) -> None:
        """Names and keys may have been deleted: write names again when they are next needed, and read keys again."""
        self._recent.forget()
        self._known_dimensions.clear()
        self._known_attributes.clear()
        self._known_templates.clear()

    def _add_alone(self, new: Rows, told: Sorted, counters: Counters, now: float) -> None:
        """Turn traces that stand alone into rows; those without a recipe are combined like any other."""
        if self._priced_with is not self.prices or len(self._recipes) > RECIPES_REMEMBERED:
            self._recipes.clear()
            self._priced_with = self.prices
        new.marks.append((len(new.calls), 0))
        for trace, spans in told.alone.items():
            for span in spans:
                template = span[0]
                if self._known_templates.get(template.number, _NEVER) < now - TEMPLATE_NOTED_S:
                    new.templates[template.number] = template
            self._add_trace(new, trace, spans, counters)
            new.marks.append((len(new.calls), len(new.common_calls)))
        self._note(new, counters)

    def _add_trace(self, new: Rows, trace: int, spans: list[Filled], counters: Counters) -> None:
        """Turn a trace that stands alone into rows."""
        core = spans if len(spans) == 1 else spans.copy()
        recipe = self._recipe(core)
        if recipe is True:
            return
        if recipe is False:
            group = Connected({trace}, [reading_again(span, span[0].service) for span in spans], news=len(spans))
            said = combine(group.readings, self.prices)
            self._add(new, said, trace, group.readings)
            count_calls(counters, group, said.calls)
        else:
            self._cook(new, recipe, trace, core, counters)

    def _recipe(self, spans: list[Filled]) -> Recipe | bool:
        """The recipe of a trace; spans that add nothing to its call are taken out of ``spans`` first."""
        if len(spans) > 1:
            calls = [span for span in spans if span[0].part.kind in CALL_KINDS]
            if len(calls) == 1 and is_forest(spans) and all(s is calls[0] or adds_nothing(s, calls[0]) for s in spans):
                spans[:] = calls
        key: object = spans[0][0]
        if len(spans) > 1:
            ids = [span[2] for span in spans]
            key = tuple([(span[0], ids.index(span[3]) if span[3] in ids else -1) for span in spans])
        recipe = self._recipes.get(key)
        if recipe is None:
            recipe = self._recipes[key] = recipe_of(spans)
        return recipe

    def _cook(self, new: Rows, recipe: Recipe, trace: int, spans: Sequence[Filled], counters: Counters) -> None:
        """The row of the call of a trace, by its recipe."""
        row = recipe.fill(spans)
        priced = recipe.price(row, self.prices)
        if priced is None:
            call = price(recipe.whole(row, spans), self.prices)
            self._add(new, Interpreted((call,)), trace, service=spans[recipe.leaf][0].service)
            count_call(counters, spans[recipe.leaf][0].service, call, call.cost_usd is not None)
            return
        variant, ts = recipe.variant(priced, spans), row[TS]
        if not variant.times:  # the first of this transaction
            variant.number = self._workflows.number(variant.call.workflow, variant.service)
            variant.dimensions = self._dimensions(new, variant.names)
        if self._workflows.floors and ts < self._workflows.floors.get(variant.number, _NEVER):
            new.too_old[spans[recipe.leaf][0].service] += 1
            return
        if not variant.times:
            new.variants.append(variant)
        variant.times.append(ts)
        row[:4] = trace, variant.number, variant.dimensions, self._attributes_of(new, recipe, spans)
        if recipe.rare:
            new.calls.append(tuple(row))
        else:
            new.common_calls.append(rows.common(row))

    def _note(self, new: Rows, counters: Counters) -> None:
        """What follows from the calls that were made by recipes, for all of a kind at once."""
        for variant in new.variants:
            call, times = variant.call, variant.times
            variant.times = []
            number = variant.number
            first, last = min(times), max(times)
            self._workflows.saw_call(number, call, first)
            self._workflows.saw_call(number, call, last)
            self._first(new, number, variant.dimensions, call, first)
            if minute_of(first) == minute_of(last):
                new.dirty.add((number, minute_of(first)))
            else:
                new.dirty.update((number, minute) for minute in set(map(minute_of, times)))
            count_call(counters, variant.service, call, variant.priced, len(times))
            if self._workflows.is_other(number):
                counters[variant.service, "unnamed"] += len(times)

    def _measure(self, prepared: Sequence[Prepared]) -> set[tuple[int, int]]:
        """Store what metrics say of services that tell of no calls in spans; the minutes that change."""
        spans: dict[str, metered.Span] = {}
        for one in prepared:
            for reading in one.readings:
                if reading.part is not None and reading.part.kind in CALL_KINDS:
                    _extend(spans, reading.service, reading.part.start)
            for span in one.filled:
                if span[0].part.kind in CALL_KINDS:
                    _extend(spans, span[0].service, span[4] * NANO)
        changed = metered.saw_calls(self.db, spans)
        measurements = [each for one in prepared for each in one.batch.measurements]
        if measurements:
            changed |= metered.take(self.db, measurements, self._active, self.prices)
        return changed

    def _active(self, workflow: str, ts: float) -> int | None:
        """The number of a workflow that was active at ``ts``; None when its calls of that time are forgotten."""
        number = self._workflows.number(workflow)
        if ts < self._workflows.floors.get(number, _NEVER):
            return None
        self._workflows.saw(number, ts)
        return number

    def _add(
        self,
        new: Rows,
        said: Batch | Interpreted,
        home: int | None,
        readings: Sequence[Reading] = (),
        service: str = UNKNOWN,
    ) -> None:
        """Turn records into rows. ``home`` is one of the connected traces, ``readings`` the spans that they are of."""
        for call in said.calls:
            known = self._workflows.known(call.workflow)
            number = known or self._workflows.number(call.workflow, _sender(readings, call) if readings else service)
            if call.ts < self._workflows.floors.get(number, _NEVER):
                new.too_old[_sender(readings, call) or service] += 1
                continue
            self._workflows.saw_call(number, call, call.ts)
            if self._workflows.is_other(number):
                new.unnamed[_sender(readings, call) or service] += 1
            dimensions = self._dimensions(new, rows.call_names(call))
            self._first(new, number, dimensions, call, call.ts)
            at = home if home is None else rows.trace_key(call.trace_id)
            new.calls.append(rows.call_row(call, at, number, dimensions, self._attributes(new, call.attributes)))
            new.dirty.add((number, minute_of(call.ts)))
        for judgement in said.judgements:
            if judgement.workflow is None:
                new.judgements.append(rows.judgement_row(judgement, home, None))
                continue
            number = self._workflows.number(judgement.workflow)
            self._workflows.saw(number, judgement.ts)
            new.dirty.add((number, minute_of(judgement.ts)))
            new.judgements.append(rows.judgement_row(judgement, home, number))
        for task in said.manual_tasks:
            number = self._workflows.number(task.workflow)
            self._workflows.saw(number, task.ts)
            new.dirty.add((number, minute_of(task.ts)))
            new.manual_tasks.append(rows.task_row(task, home, number))
        new.markers.extend(rows.marker_row(marker, home) for marker in said.markers)

    def _first(self, new: Rows, workflow: int, dimensions: int, call: Call, ts: float) -> None:
        """Note values that may be new; what was noted is looked at again only for an earlier call."""
        key = (workflow, dimensions)
        if ts < self._noted.get(key, _FOREVER) and ts < new.noted.get(key, _FOREVER):
            new.firsts.extend(firsts_of(workflow, call, ts))
            new.noted[key] = ts

    def _dimensions(self, new: Rows, names: tuple[str | None, ...]) -> int:
        number = self._dimension_ids.get(names)
        if number is None:
            if len(self._dimension_ids) >= DIMENSIONS_REMEMBERED:
                self._dimension_ids.clear()
                self._known_dimensions.clear()
                self._noted.clear()
            number = self._dimension_ids[names] = rows.names_id(names)
        if number not in self._known_dimensions:
            new.dimensions[number] = names
        return number

    def _attributes_of(self, new: Rows, recipe: Recipe, spans: Sequence[Filled]) -> int | None:
        if recipe.attributes or recipe.fixed not in self._known_attributes:
            number = self._attributes(new, recipe.attributes_of(spans))
            recipe.fixed = None if recipe.attributes else number
            return number
        return recipe.fixed

    def _attributes(self, new: Rows, attributes: dict[str, object]) -> int | None:
        if not attributes:
            return None
        number = rows.digest(repr(attributes))
        if number not in self._known_attributes:
            new.attributes[number] = rows.attributes_text(attributes)
        return number

    def _write(self, batches: Sequence[Batch], connection: Connection, told: Sorted, new: Rows, now: float) -> None:
        db = self.db
        self._remove(connection, new)
        (last,) = db.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()
        parts = _write_chunks(db, connection, now)
        parts += _write_alone(db, told, _ranges(new, last + 1), now)
        db.executemany(INSERT_TEMPLATE, [(number, now, each.text()) for number, each in new.templates.items()])
        db.executemany(rows.INSERT_DIMENSIONS, [(number, *names) for number, names in new.dimensions.items()])
        db.executemany(rows.INSERT_ATTRIBUTES, list(new.attributes.items()))
        db.executemany(rows.INSERT_CALL, new.calls)
        db.executemany(rows.INSERT_COMMON_CALL, new.common_calls)
        alone = range(new.marks[0][0], new.marks[-1][0])
        numbered = enumerate(new.calls)  # SQLite numbers them one after the other
        parts += [(row[0], -last - 1 - at) for at, row in numbered if isinstance(row[0], int) and at not in alone]
        self._recent.add(db, connection.links + told.links, parts)
        db.executemany(rows.INSERT_JUDGEMENT, new.judgements)
        db.executemany(rows.INSERT_TASK, new.manual_tasks)
        db.executemany(rows.INSERT_MARKER, new.markers)
        kept = [(now, *astuple(body)) for batch in batches for body in batch.bodies]
        db.executemany("INSERT INTO bodies (received, signal, encoding, data, workflow) VALUES (?, ?, ?, ?, ?)", kept)
        mark(db, [(MINUTE, workflow, start) for workflow, start in new.dirty], now)
        self._workflows.save(db, now)
        save_firsts(db, new.firsts)

    def _remove(self, connection: Connection, new: Rows) -> None:
        """Take away what was read from the same traces before, now that more is known of them."""
        traces = {trace for group in connection.groups for trace in group.whole}
        if traces:
            whole, calls = json.dumps(list(traces)), json.dumps(calls_of(self.db, traces, self._recent))
            for table in ("calls", "judgements", "manual_tasks"):
                where = f"FROM {table} WHERE home IN (SELECT value FROM json_each(?1))"
                where += " AND id IN (SELECT value FROM json_each(?2))" if table == "calls" else " AND ?2 IS NOT NULL"
                query = f"SELECT workflow, ts {where} AND workflow IS NOT NULL"
                new.dirty.update((workflow, minute_of(ts)) for workflow, ts in self.db.execute(query, (whole, calls)))
                self.db.execute(f"DELETE {where}", (whole, calls))
            self.db.execute("DELETE FROM markers WHERE home IN (SELECT value FROM json_each(?))", (whole,))
        partial = {trace for group in connection.groups for trace in group.partial}
        if partial:
            calls = json.dumps(calls_of(self.db, partial, self._recent))
            again = [(row[0], row[rows.SPAN_ID], calls) for row in new.calls if row[0] in partial]
            where = "home = ? AND span_id = ? AND id IN (SELECT value FROM json_each(?))"
            self.db.executemany(f"DELETE FROM calls WHERE {where}", again)


def _sender(readings: Sequence[Reading], call: Call) -> str | None:
    """The service that sent a call; None when none of its spans came just now."""
    exact = next((r.service for r in readings if r.key == (call.trace_id, call.span_id)), "")
    return exact or next((r.service for r in readings if r.service), None)


def _extend(spans: dict[str, metered.Span], service: str, start: float) -> None:
    held = spans.get(service)
    if held is None or not held.first <= start <= held.newest:
        spans[service] = metered.Span(start, start).and_also(held)


def _write_chunks(db: sqlite3.Connection, connection: Connection, now: float) -> list[tuple[int, int]]:
    """Store what was said of traces that do not stand alone; by trace, the chunks in which it is."""
    parts: list[tuple[int, int]] = []
    insert = "INSERT INTO chunks (received, spans, data) VALUES (?, ?, ?)"
    for traces, readings in _portions(connection.new):
        chunk = db.execute(insert, (now, len(readings), pack(readings))).lastrowid or 0
        parts.extend((trace, chunk) for trace in traces)
    return parts


def _write_alone(
    db: sqlite3.Connection, told: Sorted, ranges: Sequence[tuple[int, int]], now: float
) -> list[tuple[int, int]]:
    """Like `_write_chunks` for traces that stand alone; ``ranges`` are where the numbers of their calls begin and end.

    There is one more of them than there are traces.
    """
    parts: list[tuple[int, int]] = []
    insert = (
        "INSERT INTO chunks (received, spans, data, calls_from, calls_until, more_from, more_until) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    at = 0
    for traces, spans in _portions(told.alone):
        (first, more), (end, last) = ranges[at], ranges[at + len(traces)]
        at += len(traces)
        row = (now, len(spans), pack_filled(spans), first, end, more, last)
        chunk = db.execute(insert, row).lastrowid or 0
        parts.extend([(trace, chunk) for trace in traces])
    return parts


def _ranges(new: Rows, first: int) -> list[tuple[int, int]]:
    """The numbers that calls and common calls will have from each mark on, when those of the first is ``first``."""
    common = first + len(new.calls)
    return [(first + calls, common + others) for calls, others in new.marks]


def _portions(traces: dict[int, list[_Said]]) -> Iterator[tuple[list[int], list[_Said]]]:
    """Traces, with what they say, in portions of about `CHUNK_READINGS` spans; a trace is not divided."""
    portion: list[int] = []
    held: list[_Said] = []
    for trace, said in traces.items():
        portion.append(trace)
        held += said
        if len(held) >= CHUNK_READINGS:
            yield portion, held
            portion, held = [], []
    if portion:
        yield portion, held
