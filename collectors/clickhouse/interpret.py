"""Traces that were touched -> their calls, as they are now. One process does it for all receivers.

Every step may be repeated: what a trace tells is a function of its spans, a record has the same place whenever it is
told, and a trace is marked as done last. The places of what it told are written before the records themselves, so that
what is told no longer can always be found and taken away; the workflow's newest call is told after all of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from driftbell.collectors.batch import Batch
from driftbell.collectors.clickhouse import points, records, spans
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.records import Kind, Place, Placed
from driftbell.collectors.clickhouse.registry import Registry
from driftbell.collectors.clickhouse.slots import Slots
from driftbell.collectors.clickhouse.trust import save_counters
from driftbell.collectors.connect import Connected, connect_to
from driftbell.collectors.firsts import firsts_of
from driftbell.collectors.merge import Interpreted, combine
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.rows import trace_key
from driftbell.collectors.trust import Counters, count_call

PORTION = 2000
"""Traces that one step looks at."""
_TOLD = ("home", "kind", "workflow", "minute", "key", "received")


@dataclass(slots=True)
class _News:
    """What one step writes."""

    placed: Placed = field(default_factory=Placed)
    firsts: dict[tuple[str, str, str], float] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counter)


class Interpreter:
    """Turns spans into records; `step` does a portion."""

    def __init__(self, client: Client, prices: PriceTable, version: Callable[[float], int]) -> None:
        self.prices = prices
        self.registry = Registry(client)
        self._client = client
        self._version = version
        self._slots = Slots()

    def step(self, now: float, partly: Callable[[], object]) -> bool:
        """Interpret a portion of the traces that were touched; whether there may be more.

        ``partly`` is called before anything is written of a portion that may not be all.
        """
        touched = self._touched(self._slots.first(now))
        if not touched:
            self._slots.settle(now)
            return False
        if len(touched) >= PORTION:
            partly()
        traces = {trace for _, trace in touched}
        news = _News()
        old: set[tuple[Place, int]] = set()
        readings = spans.load(self._client, traces)
        connection = connect_to(spans.Stored(self._client, traces), readings)
        before = self._told({trace for group in connection.groups for trace in group.traces})
        for group in connection.groups:
            known = [item for trace in group.traces for item in before.get(trace, ())]
            self._take(news, group, bool(known), now)
            if not group.partial:
                old.update(known)
        self._write(news, old, now)
        rows = [(slot, trace, 0, times) for (slot, trace), times in touched.items()]
        self._client.insert("arrived", spans.ARRIVED, rows)
        return len(touched) >= PORTION

    def store(self, batch: Batch, now: float) -> None:
        """Store finished records as they are."""
        news = _News()
        said = Interpreted(tuple(batch.calls), tuple(batch.judgements), tuple(batch.manual_tasks), tuple(batch.markers))
        self._add(news, said, None, now)
        self._write(news, (), now)

    def _touched(self, slot: int) -> Mapping[tuple[int, int], int]:
        query = (
            "SELECT slot, trace, sum(times) AS t FROM arrived WHERE slot >= {slot:Int64} GROUP BY slot, trace "
            f"HAVING t > max(done) ORDER BY slot, trace LIMIT {PORTION}"
        )
        return {(slot, trace): times for slot, trace, times in self._client.query(query, {"slot": slot})}

    def _told(self, homes: Collection[int]) -> Mapping[int, list[tuple[Place, int]]]:
        found: dict[int, list[tuple[Place, int]]] = defaultdict(list)
        query = "SELECT DISTINCT home, kind, workflow, minute, key FROM told WHERE home IN {homes:Array(Int64)}"
        for home, *place in self._client.query(query, {"homes": list(homes)}) if homes else ():
            found[home].append((Place(*place), home))
        return found

    def _take(self, news: _News, group: Connected, known: bool, now: float) -> None:
        said = combine(group.readings, self.prices)
        self._add(news, said, min(group.traces), now)
        if not known:
            services = {reading.key: reading.service for reading in group.readings}
            for call in said.calls:
                service = services.get((call.trace_id, call.span_id), "")
                count_call(news.counters, service, call, call.cost_usd is not None)

    def _add(self, news: _News, said: Interpreted, home: int | None, now: float) -> None:
        for call in said.calls:
            name = self.registry.name(call.workflow)
            if call.ts < self.registry.floor(name):
                continue
            at = 0 if home is None else trace_key(call.trace_id)
            news.placed.add("calls", call, at, name)
            self.registry.saw_call(name, call, now)
            for _, kind, value, ts in firsts_of(0, call, call.ts):
                news.firsts[name, kind, value] = min(ts, news.firsts.get((name, kind, value), ts))
        for judgement in said.judgements:
            named = None if judgement.workflow is None else self.registry.name(judgement.workflow)
            news.placed.add("judgements", judgement, home or 0, named)
            if named is not None:
                self.registry.saw(named, judgement.ts, now)
        for task in said.manual_tasks:
            name = self.registry.name(task.workflow)
            news.placed.add("manual_tasks", task, home or 0, name)
            self.registry.saw(name, task.ts, now)
        for marker in said.markers:
            news.placed.add("markers", marker, home or 0, marker.workflow)

    def _write(self, news: _News, old: Iterable[tuple[Place, int]], now: float) -> None:
        version = self._version(now)
        held = news.placed.rows
        gone = {place: home for place, home in old if place not in held}
        changed = {(p.workflow, p.minute) for p in (*held, *gone) if p.kind != "markers" and p.workflow}
        told = [(home, p.kind, p.workflow, p.minute, p.key, now) for p, (_, home) in held.items() if home]
        self._client.insert("told", _TOLD, told)
        rows: dict[Kind, list[tuple[object, ...]]] = defaultdict(list)
        for place, (record, home) in held.items():
            rows[place.kind].append(records.row_of(place, record, home, now, version))
        for place, home in gone.items():
            rows[place.kind].append(records.gone_row(place, home, now, version))
        for kind, given in rows.items():
            self._client.insert(kind, records.columns(kind), given)
        # Another process could rebuild a minute between its mark and its records, if the mark came first.
        points.mark_minutes(self._client, changed, now)
        self._client.insert(
            "firsts", ("workflow", "kind", "value", "ts"), [(*key, ts) for key, ts in news.firsts.items()]
        )
        self.registry.save(version)
        save_counters(self._client, news.counters, now, version)
