"""The store with its data in ClickHouse, and what belongs to this process alone in a small SQLite file.

Calls, points and what they are made from are in ClickHouse, where any number of processes insert. Detector state,
incidents, outbox and summaries stay in the file, in the transactions of `Store.write`, so that each is kept exactly
once by the process that owns the workflow.
"""

import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from sqlite_utils import Migrations

from driftbell.collectors.audit import Trail
from driftbell.collectors.batch import Body, StoreUnavailableError
from driftbell.collectors.call import Judgement, ManualTask, Marker
from driftbell.collectors.clickhouse import answers, points, registry, reprice, retention, schema, spans, trust
from driftbell.collectors.clickhouse.ahead import Ahead
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.interpret import Interpreter
from driftbell.collectors.clickhouse.rebuild import Rebuilder
from driftbell.collectors.clickhouse.registry import Known
from driftbell.collectors.clickhouse.shard import Shard
from driftbell.collectors.clickhouse.version import Version
from driftbell.collectors.ingest import Prepared
from driftbell.collectors.pages import PointPage
from driftbell.collectors.point import Point
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.query import CallPage, Usage
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.rollup import MINUTE
from driftbell.collectors.search import Found, Slice, Wanted
from driftbell.collectors.store import FILE, Resolution, Store
from driftbell.collectors.sums import RESOLUTIONS, Stored
from driftbell.collectors.totals import Totals
from driftbell.collectors.trust import Counters, TrustPoint
from driftbell.collectors.workflows import Workflow
from driftbell.collectors.writer import Limit, Writer

_END = float("inf")
_INTERPRETED, _BEHIND = "interpreted", "behind"


class ClickHouseStore(Store):
    """`Store` for several processes. Use `connect`; `read` and `write` are those of this process's own file.

    A service is not taken to be silent before it had the time to send again, after ClickHouse was away or this process
    was: until then its last arrival counts as if it was when that ended.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migrations],
        prices: PriceTable,
        clock: Callable[[], float],
        busy: float,
        *,
        client: Client,
        shard: Shard,
        watches: bool,
    ) -> None:
        super().__init__(path, migrations, prices, clock, busy)
        schema.create(client)
        self._client = client
        self._shard = shard
        self._watches = watches
        self._version = Version(client).next
        self._interpreter = Interpreter(client, prices, self._version)
        self._rebuilder = Rebuilder(client, self._version, shard.owns)
        self._interpreting = threading.Lock()
        self._totals: Counters = Counter()
        self._away = False
        self._back_at = clock()
        self._known: dict[str, Known] | None = None
        self._ahead = Ahead(client)

    @classmethod
    def connect(
        cls,
        client: Client,
        data_dir: Path,
        migrations: Sequence[Migrations] = (),
        prices: PriceTable | None = None,
        clock: Callable[[], float] = time.time,
        *,
        shard: Shard = Shard(),  # noqa: B008  # it is frozen
        watches: bool = True,
        max_waiting: int = 2000,
        max_waiting_bytes: int = 256 << 20,
        max_wait: float = 5.0,
    ) -> Self:
        """Open the tables in ClickHouse and the file in ``data_dir``; raises `StoreUnavailableError`.

        ``watches`` is false beside the process that watches this shard: then calls are made and points rebuilt there,
        and not here. The other limits are those of `Store.open`; an insert takes longer than a commit to a file.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            table, place = prices or PriceTable(), data_dir / FILE
            store = cls(place, migrations, table, clock, 2.0, client=client, shard=shard, watches=watches)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(f"cannot open {data_dir / FILE}: {error}") from error
        store._writer = Writer(store._commit, Limit(max_waiting, max_waiting_bytes, max_wait))
        return store

    def close(self, timeout: float = 5.0) -> None:
        """See `Store.close`."""
        super().close(timeout)
        self._client.close()

    def refresh_points(self, limit: int = 500, until: float = float("-inf")) -> bool:
        """See `Store.refresh_points`; raises `StoreUnavailableError` too when the process that interprets is behind."""
        if not self._watches:
            return False
        with self._refreshing:
            try:
                more = self._refresh(limit, until)
            except StoreUnavailableError:
                self._away = True
                raise
            if self._away:
                self._away = False
                self._back_at = self.clock()
            return more

    def refresh_all(self) -> None:
        """See `Store.refresh_all`."""
        while self.refresh_points(500, _END):
            pass

    def _refresh(self, limit: int, until: float) -> bool:
        now = self.clock()
        more = self._interpret(now) if self._shard.interprets else False
        known = registry.load(self._client)
        if not self._shard.interprets and until != _END:
            self._check_interpreted(until)
        horizon = now if until == _END else until
        more = self._rebuilder.step(now, horizon, limit, everything=until == _END) or more
        self._ahead.forget()
        if more:
            return True
        # What was known before the points were rebuilt: they hold every call up to the newest of these.
        self._known = known
        self._ahead.follow([name for name in known if self._shard.owns(name)])
        return False

    def _interpret(self, now: float) -> bool:
        with self._interpreting:
            more = self._interpreter.step(now, lambda: self._progress(_BEHIND, now))
        if not more:
            self._progress(_INTERPRETED, now)
        return more

    def _progress(self, name: str, now: float) -> None:
        self._client.insert("progress", ("name", "at"), [(name, now)])

    def _check_interpreted(self, until: float) -> None:
        """Raise `StoreUnavailableError` if spans received before ``until`` may be uninterpreted, or only some."""
        at = dict(self._client.query("SELECT name, max(at) FROM progress GROUP BY name"))
        done = at.get(_INTERPRETED, 0.0)
        if done < until or at.get(_BEHIND, 0.0) > done:
            raise StoreUnavailableError(
                "the shard that interprets spans (0) is behind or not running, or its clock is slow"
            )

    def _commit(self, prepared: Sequence[Prepared]) -> None:
        now = self.clock()
        spans.arrive(self._client, prepared, now)
        for one in prepared:
            batch = one.batch
            if batch.calls or batch.judgements or batch.manual_tasks or batch.markers:
                with self._interpreting:
                    self._interpreter.store(batch, now)
        counters: Counters = Counter()
        for one in prepared:
            counters.update(one.counters)
        counters = +counters
        trust.save_counters(self._client, counters, now, secrets.randbits(62))
        self._totals.update(counters)

    def points(self, workflow: str, since: float, until: float, resolution: Resolution = "minute") -> list[Point]:
        """See `Store.points`."""
        return list(points.decoded(workflow, self._ahead.rows(RESOLUTIONS[resolution], workflow, since, until)))

    def held(self, workflow: str, since: float, until: float, resolution: Resolution = "minute") -> int:
        """See `Store.held`."""
        return points.count(self._client, RESOLUTIONS[resolution], workflow, since, until)

    def sums(
        self, workflow: str, since: float, until: float, resolution: Resolution, histograms: Container[str] = ()
    ) -> Iterator[Point]:
        """See `Store.sums`."""
        return points.decoded(workflow, self._ahead.rows(RESOLUTIONS[resolution], workflow, since, until), histograms)

    def stored(self, workflow: str, since: float, until: float, resolution: Resolution) -> Iterator[Stored]:
        """See `Store.stored`."""
        held = self._ahead.rows(RESOLUTIONS[resolution], workflow, since, until, spreads=False)
        return points.as_stored(workflow, held)

    def totals(self, since: float, until: float, resolution: Resolution = "hour") -> Iterator[Totals]:
        """See `Store.totals`, for the workflows of this process."""
        return points.totals(self._client, RESOLUTIONS[resolution], since, until, self._shard.owns)

    def point_page(
        self,
        workflow: str,
        resolution: str,
        since: float,
        until: float,
        limit: int,
        *,
        histograms: bool = True,  # noqa: ARG002  # they come anyway
    ) -> PointPage:
        """See `Store.point_page`."""
        return points.page(self._client, workflow, RESOLUTIONS[resolution], since, until, limit)

    def recount(self, workflow: str, since: float, until: float) -> list[Point]:
        """See `Store.recount`."""
        return points.recount(self._client, workflow, since, until)

    def workflows(self) -> list[Workflow]:
        """See `Store.workflows`: those of this process, as they were when all points were last up to date."""
        known = registry.load(self._client) if self._known is None else self._known
        mine = [one.workflow for name, one in known.items() if self._shard.owns(name)]
        return [replace(one, received=max(one.received, self._back_at)) for one in mine]

    def newest(self, workflow: str) -> tuple[float, float] | None:
        """See `Store.newest`."""
        known = registry.load(self._client).get(workflow)
        return None if known is None else (known.workflow.newest_ts, known.workflow.received)

    def calls(
        self,
        workflow: str | None = None,
        since: float = -_END,
        until: float = _END,
        limit: int = 100,
        cursor: str | None = None,
    ) -> CallPage:
        """See `Store.calls`."""
        return answers.call_page(self._client, workflow, since, until, limit, cursor)

    def search(self, wanted: Wanted, limit: int = 50, cursor: str | None = None) -> Found:
        """See `Store.search`."""
        return answers.search(self._client, wanted, limit, cursor)

    def slices(self, workflow: str) -> list[Slice]:
        """See `Store.slices`."""
        found = [Slice(*json.loads(names)) for names in points.names(self._client, workflow)]
        return sorted(found, key=lambda each: [(name is not None, name or "") for name in each])

    def trail(self, trace_id: str, span_id: str) -> Trail | None:
        """See `Store.trail`."""
        return answers.trail(self._client, trace_id, span_id)

    def usage(self, group_by: Sequence[str] = ("workflow",), since: float = -_END, until: float = _END) -> list[Usage]:
        """See `Store.usage`."""
        return answers.usage(self._client, group_by, since, until)

    def judgements(self, workflow: str, since: float = -_END, until: float = _END) -> list[Judgement]:
        """See `Store.judgements`."""
        return answers.judgements(self._client, workflow, since, until)

    def manual_tasks(self, workflow: str, since: float = -_END, until: float = _END) -> list[ManualTask]:
        """See `Store.manual_tasks`."""
        return answers.manual_tasks(self._client, workflow, since, until)

    def markers(self, workflow: str | None = None, since: float = -_END, until: float = _END) -> list[Marker]:
        """See `Store.markers`."""
        return answers.markers(self._client, workflow, since, until)

    def trust(self, since: float, until: float, service: str | None = None) -> list[TrustPoint]:
        """See `Store.trust`."""
        return trust.load_sums(self._client, since, until, MINUTE, service)

    def trust_sums(self, since: float, until: float, step: int) -> list[TrustPoint]:
        """See `Store.trust_sums`."""
        return trust.load_sums(self._client, since, until, step)

    def trust_totals(self) -> dict[tuple[str, str], int]:
        """See `Store.trust_totals`: what this process received."""
        return dict(self._totals)

    def retain(self, now: float, policy: RetentionPolicy, evaluated: Mapping[str, float] | None = None) -> int:
        """See `Store.retain`; the number of days that were dropped. Days are dropped by one process for all."""
        dropped = 0
        if self._shard.interprets:
            self.refresh_all()
            with self._interpreting:
                dropped = retention.forget(self._client, self._interpreter.registry, now, policy, self._version(now))
        retention.forget_points(self._client, self._shard.owns, now, policy, evaluated)
        self._ahead.forget()
        return dropped

    def delete_user(self, user: str, names: bool = True) -> int:  # noqa: ARG002  # nothing is remembered here
        """See `Store.delete_user`; the points of workflows of other processes follow when those rebuild them."""
        with self._interpreting:
            deleted = retention.forget_user(self._client, user, self.clock())
        self.refresh_all()
        retention.strip_points(self._client, user, self._version(self.clock()))
        self._ahead.forget()
        return deleted

    def count_calls(self, since: float = -_END, until: float = _END) -> int:
        """See `Store.count_calls`."""
        return answers.count_calls(self._client, since, until)

    def reprice(
        self,
        prices: PriceTable,
        since: float = -_END,
        until: float = _END,
        seen: Callable[[int], object] = lambda _number: None,
    ) -> int:
        """See `Store.reprice`."""
        with self._interpreting:
            self._interpreter.prices = prices
            return reprice.reprice(self._client, prices, since, until, self.clock, self._version, seen)

    def bodies(self, since: float, until: float) -> Iterator[tuple[float, Body]]:  # noqa: ARG002
        """Nothing: bodies are not kept where the store is ClickHouse."""
        return iter(())

    def integrity(self) -> str:
        """``ok`` when ClickHouse answers and the file of this process is sound."""
        self._client.query("SELECT 1")
        return super().integrity()
