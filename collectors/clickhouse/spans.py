"""Spans as they arrive, and what is stored of earlier ones. This is all that a receiver does: it needs no state.

A span that is sent again is the same row again. Its trace is marked as touched after the spans are stored, and only
then is it acknowledged, so that what was acknowledged is going to be read.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from driftbell.collectors.batch import BadBatchError
from driftbell.collectors.chunk import read_text, reading_again, text_of
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.connect import PART_LIMIT, link_numbers
from driftbell.collectors.ingest import Prepared
from driftbell.collectors.links import DETAIL
from driftbell.collectors.reading import Reading
from driftbell.collectors.rollup import minute_of
from driftbell.collectors.rows import digest, trace_key

ARRIVED = ("slot", "trace", "times", "done")
Pieces = Mapping[tuple[int, int], tuple[str, str]]


def arrive(client: Client, prepared: Sequence[Prepared], now: float) -> None:
    """Store the spans of some requests that were received at ``now``; raises `StoreUnavailableError`."""
    if any(one.batch.measurements for one in prepared):
        raise BadBatchError("metrics are not taken where the store is ClickHouse: send spans")
    traces: dict[tuple[int, str], list[Reading]] = defaultdict(list)
    links: set[tuple[int, int]] = set()
    for one in prepared:
        for reading in (*one.readings, *(reading_again(span, span[0].service) for span in one.filled)):
            trace = trace_key(reading.trace_id)
            traces[trace, reading.service].append(reading)
            links.update((key, trace) for key in link_numbers(reading))
    texts = [(trace, service, text_of(readings)) for (trace, service), readings in traces.items()]
    rows = [(trace, digest(service + text), now, service, text) for trace, service, text in texts]
    tied = [(key & ~DETAIL, key, trace, now) for key, trace in sorted(links)]
    client.insert("links", ("base", "key", "trace", "received"), tied)
    client.insert("spans", ("trace", "part", "received", "service", "data"), rows)
    touch_traces(client, {trace for trace, _ in traces}, now)


def touch_traces(client: Client, traces: Iterable[int], now: float) -> None:
    """Mark traces as changed."""
    slot = minute_of(now)
    client.insert("arrived", ARRIVED, [(slot, trace, 1, 0) for trace in sorted(traces)])


class Stored:
    """`driftbell.collectors.connect.Known` of ClickHouse, without the traces that are in hand already."""

    def __init__(self, client: Client, in_hand: Collection[int] = ()) -> None:
        self._client = client
        self._in_hand = in_hand

    def linked(self, exact: Collection[int], wide: Collection[int]) -> list[tuple[int, int]]:
        """See `Known.linked`."""
        found: list[tuple[int, int]] = []
        query = "SELECT DISTINCT key, trace FROM links WHERE base IN {bases:Array(Int64)} AND "
        if exact:
            given = {"bases": [key & ~DETAIL for key in exact], "keys": list(exact)}
            found += [(key, trace) for key, trace in self._client.query(query + "key IN {keys:Array(Int64)}", given)]
        if wide:
            given = {"bases": list(wide)}
            found += [(key, trace) for key, trace in self._client.query(query + "key != base", given)]
        return found

    def parts_of(self, traces: Iterable[int]) -> dict[int, list[int]]:
        """See `Known.parts_of`."""
        wanted = [trace for trace in traces if trace not in self._in_hand]
        found: dict[int, list[int]] = defaultdict(list)
        if wanted:
            query = "SELECT DISTINCT trace, part FROM spans WHERE trace IN {traces:Array(Int64)}"
            for trace, part in self._client.query(query, {"traces": wanted}):
                found[trace].append(part)
        return dict(found)

    def readings(self, chunks: Sequence[int], traces: set[int]) -> Iterable[Reading]:
        """See `Known.readings`."""
        wanted = set(chunks)
        for (_, part), (service, text) in _pieces(self._client, traces).items():
            if part in wanted:
                yield from map(partial(_sent_by, service), read_text(text))


def load(client: Client, traces: Collection[int]) -> list[Reading]:
    """All that is stored of ``traces``; of an endless one the newest `PART_LIMIT` pieces."""
    pieces = _pieces(client, traces)
    return [_sent_by(service, reading) for service, text in pieces.values() for reading in read_text(text)]


def _sent_by(service: str, reading: Reading) -> Reading:
    return replace(reading, service=service)


def _pieces(client: Client, traces: Collection[int]) -> Pieces:
    query = (
        "SELECT trace, part, any(service), any(data) FROM spans WHERE trace IN {traces:Array(Int64)} "
        f"GROUP BY trace, part ORDER BY max(received) DESC, part LIMIT {PART_LIMIT} BY trace"
    )
    found = client.query(query, {"traces": list(traces)})
    return {(trace, part): (service, text) for trace, part, service, text in found}
