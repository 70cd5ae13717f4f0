"""The store: calls, judgements, points and what else must survive, in one SQLite file.

One writer, write-ahead log, ``synchronous=FULL``: what is acknowledged survives a crash and a power loss. Nothing of
SQLite shows in the methods except the handle of `write`, which each package uses for its own tables.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from sqlite_utils import Database, Migrations

from driftbell.collectors import query, recent, refresh, reprice, retention, schema, trust
from driftbell.collectors.audit import Trail, trail
from driftbell.collectors.batch import Batch, Body, StoreUnavailableError
from driftbell.collectors.binned import bins_of
from driftbell.collectors.call import Judgement, ManualTask, Marker
from driftbell.collectors.ingest import Ingest, Prepared, prepare
from driftbell.collectors.pages import PointPage, point_page
from driftbell.collectors.point import Point
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.query import CallPage, Usage
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.rollup import MINUTE
from driftbell.collectors.search import Found, Slice, Wanted, search, slices
from driftbell.collectors.sums import Stored, load_stored, load_sums
from driftbell.collectors.totals import Totals, count_points, load_totals
from driftbell.collectors.trust import TrustPoint
from driftbell.collectors.workflows import Workflow, Workflows, load_workflows
from driftbell.collectors.writer import Limit, Writer, is_unavailable, unavailable

FILE = "driftbell.db"
Resolution = Literal["minute", "hour", "day"]
_RESOLUTIONS: dict[Resolution, int] = {"minute": MINUTE, "hour": refresh.HOUR, "day": refresh.DAY}
REBUILT_TOGETHER = 60
"""Points that one transaction replaces, about."""
SETTLED_TOGETHER = 20_000
"""Keys that one transaction sorts when something is to be forgotten."""
WRITER_CACHE_KIB, READER_CACHE_KIB = 32 << 10, 4 << 10
CHECKPOINT_PAGES = 2000
"""Pages of the log after which they are copied into the file: the more, the fewer are copied twice."""
_END = float("inf")


class Store:
    """Use `open`. All methods may be called from any thread; times are epoch seconds."""

    def __init__(
        self, path: Path, migrations: Sequence[Migrations], prices: PriceTable, clock: Callable[[], float], busy: float
    ) -> None:
        self.path = path
        self.clock = clock
        self._busy = busy
        self._lock = threading.RLock()
        self._refreshing = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._connection = self._connect(WRITER_CACHE_KIB)
        self._db = Database(self._connection)
        for each in (schema.MIGRATIONS, *migrations):
            each.apply(self._db)
        self._workflows = Workflows(self._connection)
        self._ingest = Ingest(self._connection, prices, self._workflows)
        self._writer: Writer | None = None

    @classmethod
    def open(
        cls,
        data_dir: Path,
        migrations: Sequence[Migrations] = (),
        prices: PriceTable | None = None,
        clock: Callable[[], float] = time.time,
        *,
        busy_timeout: float = 2.0,
        max_waiting: int = 2000,
        max_waiting_bytes: int = 256 << 20,
        max_wait: float = 0.12,
    ) -> Self:
        """Open or create the store in ``data_dir`` and bring its tables up to date.

        ``busy_timeout`` is how long (s) a write waits for another process. At most ``max_waiting`` requests of
        ``max_waiting_bytes`` wait for their commit, and for no longer than ``max_wait`` (s) as far as can be told
        from how long others took. Raises `StoreUnavailableError` when the file cannot be opened.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            store = cls(data_dir / FILE, migrations, prices or PriceTable(), clock, busy_timeout)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(f"cannot open {data_dir / FILE}: {error}") from error
        store._writer = Writer(store._commit, Limit(max_waiting, max_waiting_bytes, max_wait))
        return store

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, then close the file."""
        if self._writer is not None and not self._writer.close(timeout):
            raise StoreUnavailableError(f"the last writes did not finish in {timeout} s")
        with self._lock:
            for connection in (*self._readers, self._connection):
                connection.close()

    def submit(self, read: Callable[[], Batch], size: int) -> Future[None]:
        """Queue a batch that ``read`` makes when its turn has come; the future is done once it is durable.

        ``size`` is what holds it until then, in bytes. Raises `OverloadedError`; the future fails with what ``read``
        raises, with `StoreUnavailableError` or with `BadBatchError`.
        """
        return self._at_work().submit(lambda: prepare(read(), self.clock()), size)

    def append(self, batch: Batch) -> None:
        """Store a batch and wait until it is durable; raises like `submit` and its future."""
        self.submit(lambda: batch, 0).result()

    @contextmanager
    def write(self) -> Iterator[Database]:
        """One transaction of the only writer: committed at the end, rolled back on any exception.

        Raises `StoreUnavailableError` when SQLite cannot begin or commit.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._db
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.rollback()
                if isinstance(error, sqlite3.Error) and is_unavailable(error):
                    raise unavailable(error) from error
                raise

    def refresh_points(self, limit: int = 500, until: float = float("-inf")) -> bool:
        """Rebuild up to ``limit`` intervals that have changed and settled; True while more are due.

        Every minute that starts before ``until`` is due, settled or not, and every hour that ends by then: call it
        until it returns False before reading those.
        """
        with self._refreshing:
            now = self.clock()
            items = refresh.due(self.read(), now, until, limit)
            more = refresh.leaves_hours([(item[0], item[2]) for item in items], until)
            return self._rebuild(items, now) >= limit or more

    def refresh_all(self) -> None:
        """Rebuild everything that has changed, at every resolution."""
        with self._refreshing:
            while self._rebuild(refresh.changed(self.read(), 5000), self.clock()):
                pass

    def points(self, workflow: str, since: float, until: float, resolution: Resolution = "minute") -> list[Point]:
        """The points of a workflow that start in ``[since, until)``, by start."""
        number = self._number(workflow)
        return [] if number is None else refresh.load(self.read(), _RESOLUTIONS[resolution], number, since, until)

    def held(self, workflow: str, since: float, until: float, resolution: Resolution = "minute") -> int:
        """How many points `points` would return."""
        number = self._number(workflow)
        return 0 if number is None else count_points(self.read(), _RESOLUTIONS[resolution], number, since, until)

    def sums(
        self, workflow: str, since: float, until: float, resolution: Resolution, histograms: Container[str] = ()
    ) -> Iterator[Point]:
        """Like `points`, but only ``histograms`` have their buckets, and few points are held at a time."""
        return load_sums(self.read(), workflow, since, until, resolution, histograms)

    def stored(self, workflow: str, since: float, until: float, resolution: Resolution) -> Iterator[Stored]:
        """Like `points`, as they are stored: to be added up. Few are held at a time."""
        return load_stored(self.read(), workflow, since, until, resolution)

    def bins(self, workflow: str, since: float, until: float, length: int) -> dict[int, list[Point]]:
        """The minute points of a workflow that start in ``[since, until)``, as `binned.bins_of` adds them up."""
        return bins_of(self.stored(workflow, since, until, "minute"), length)

    def totals(self, since: float, until: float, resolution: Resolution = "hour") -> Iterator[Totals]:
        """What the points of every workflow add up to, per interval that starts in ``[since, until)``."""
        return load_totals(self.read(), _RESOLUTIONS[resolution], since, until)

    def point_page(
        self, workflow: str, resolution: str, since: float, until: float, limit: int, *, histograms: bool = True
    ) -> PointPage:
        """The points of a workflow in a page of whole intervals, about ``limit`` of them."""
        return point_page(self.read(), workflow, resolution, since, until, limit, histograms)

    def recount(self, workflow: str, since: float, until: float) -> list[Point]:
        """Minute points made from the calls themselves: what `points` must equal once everything is refreshed."""
        number = self._number(workflow)
        return [] if number is None else refresh.recount(self.read(), number, since, until)

    def workflows(self) -> list[Workflow]:
        """All workflows by name."""
        return load_workflows(self.read())

    def newest(self, workflow: str) -> tuple[float, float] | None:
        """Time of the newest event of a workflow and the wall clock of its last arrival; None when unknown."""
        query = "SELECT newest_ts, received FROM workflows WHERE name = ?"
        found: tuple[float, float] | None = self.read().execute(query, (workflow,)).fetchone()
        return found

    def calls(
        self,
        workflow: str | None = None,
        since: float = -_END,
        until: float = _END,
        limit: int = 100,
        cursor: str | None = None,
    ) -> CallPage:
        """A page of calls that ended in ``[since, until)``, by time; raises `BadQueryError` for a bad cursor."""
        return query.call_page(self.read(), workflow, since, until, limit, cursor)

    def search(self, wanted: Wanted, limit: int = 50, cursor: str | None = None) -> Found:
        """The newest calls that are ``wanted``; raises `BadQueryError` for a bad cursor."""
        return search(self.read(), wanted, limit, cursor)

    def slices(self, workflow: str) -> list[Slice]:
        """The combinations of names under which calls of a workflow have come."""
        return slices(self.read(), workflow)

    def trail(self, trace_id: str, span_id: str) -> Trail | None:
        """One call with all that is known of it; None when there is none with these ids."""
        return trail(self.read(), trace_id, span_id)

    def usage(self, group_by: Sequence[str] = ("workflow",), since: float = -_END, until: float = _END) -> list[Usage]:
        """Sums over the calls of each group; raises `BadQueryError` for an unknown name."""
        return query.usage(self.read(), group_by, since, until)

    def judgements(self, workflow: str, since: float = -_END, until: float = _END) -> list[Judgement]:
        """Judgements given in ``[since, until)``, by time, with the dimensions of their calls where those are known."""
        return query.judgements(self.read(), workflow, since, until)

    def manual_tasks(self, workflow: str, since: float = -_END, until: float = _END) -> list[ManualTask]:
        """Tasks done without the AI in ``[since, until)``, by time."""
        return query.manual_tasks(self.read(), workflow, since, until)

    def markers(self, workflow: str | None = None, since: float = -_END, until: float = _END) -> list[Marker]:
        """Markers in ``[since, until)``, by time: all, or those of a workflow and of none in particular."""
        return query.markers(self.read(), workflow, since, until)

    def trust(self, since: float, until: float, service: str | None = None) -> list[TrustPoint]:
        """How far the telemetry of each service could be trusted, per minute of receipt."""
        return trust.load_points(self.read(), since, until, service)

    def trust_sums(self, since: float, until: float, step: int) -> list[TrustPoint]:
        """Like `trust`, added up over steps of ``step`` seconds."""
        return trust.load_sums(self.read(), since, until, step)

    def trust_totals(self) -> dict[tuple[str, str], int]:
        """``(service, counter) -> amount`` since the store was opened."""
        with self._lock:
            return dict(self._ingest.totals)

    def retain(self, now: float, policy: RetentionPolicy, evaluated: Mapping[str, float] | None = None) -> int:
        """Forget what is older than ``policy`` says at ``now``, in portions; the number of chunks of spans.

        ``evaluated`` says up to where (epoch s) each workflow is evaluated: minutes after it stay.
        """
        self.refresh_all()
        self._settle()
        forgotten = 0
        while True:
            with self.write() as db:
                portion = retention.forget_chunks(db.conn, now - policy.longest * refresh.DAY)
                portion = portion or retention.forget_early(db.conn, now, policy)
                if portion == 0:
                    retention.forget_rest(db.conn, now, policy, evaluated)
                self._workflows.load(db.conn)
                self._ingest.forget_names()
            if portion == 0:
                return forgotten
            forgotten += portion

    def delete_user(self, user: str, names: bool = True) -> int:
        """Forget everything of the user with this hash, here and in the points; how many calls and tasks it was.

        Kept bodies that came together with the user's spans are deleted whole. ``names`` must be false beside another
        process that writes to the store: it remembers which names are there, and forgets those without calls itself.
        """
        self._settle()
        with self.write() as db:
            deleted = retention.forget_user(db.conn, user, self.clock(), names)
            self._ingest.forget_names()
        self.refresh_all()
        after: int | None = 0
        while after is not None:
            with self.write() as db:
                after = retention.strip_points(db.conn, user, after)
        return deleted

    def count_calls(self, since: float = -_END, until: float = _END) -> int:
        """How many calls ended in ``[since, until)``."""
        query = "SELECT count(*) FROM workflows w JOIN calls c ON c.workflow = w.id WHERE c.ts >= ? AND c.ts < ?"
        return int(self.read().execute(query, (since, until)).fetchone()[0])

    def reprice(
        self,
        prices: PriceTable,
        since: float = -_END,
        until: float = _END,
        seen: Callable[[int], object] = lambda _number: None,
    ) -> int:
        """Use ``prices`` from now on, and for calls that ended in ``[since, until)``; how many calls changed.

        ``seen`` is told of each portion how many calls were looked at.
        """
        with self._lock:
            self._ingest.prices = prices
        changed, after = 0, 0
        while True:
            with self.write() as db:
                portion = reprice.reprice(db.conn, prices, since, until, after, self.clock())
            changed += portion.changed
            seen(portion.seen)
            if portion.last is None:
                return changed
            after = portion.last

    def bodies(self, since: float, until: float) -> Iterator[tuple[float, Body]]:
        """What was kept of request bodies received in ``[since, until)``, where keeping them is switched on."""
        query = "SELECT received, signal, encoding, data, workflow FROM bodies "
        where = "WHERE received >= ? AND received < ? ORDER BY id"
        for received, *body in self.read().execute(query + where, (since, until)):
            yield received, Body(*body)

    @property
    def waiting(self) -> tuple[int, int]:
        """Batches and bytes that wait for the next commit."""
        return (0, 0) if self._writer is None else self._writer.waiting

    def integrity(self) -> str:
        """``ok``, or what SQLite finds wrong with the file."""
        return "; ".join(str(row[0]) for row in self.read().execute("PRAGMA integrity_check(10)"))

    def read(self) -> sqlite3.Connection:
        """The read connection of this thread; it sees committed rows only."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(READER_CACHE_KIB)
            connection.execute("PRAGMA query_only = ON")
            with self._lock:
                self._readers.append(connection)
        return connection

    def _settle(self) -> None:
        """Sort the keys of most spans in portions, so that no writer waits long when the rest is sorted at once."""
        more = True
        while more:
            with self.write() as db:
                more = recent.settle(db.conn, SETTLED_TOGETHER)

    def _commit(self, prepared: Sequence[Prepared]) -> None:
        with self._lock:
            self._ingest.write(prepared, self.clock())

    def _rebuild(self, items: Sequence[refresh.Due], now: float) -> int:
        """Rebuild in steps between the commits, and replace what was not touched meanwhile."""
        if items:
            self._at_work().run_aside(self._rebuilding(items, now)).result()
        return len(items)

    def _rebuilding(self, items: Sequence[refresh.Due], now: float) -> Iterator[None]:
        made: list[tuple[refresh.Due, list[Point]]] = []
        points = 0
        for at, item in enumerate(items, 1):
            found = yield from refresh.rebuild(self.read(), item)
            made.append((item, found))
            points += len(found)
            if points >= REBUILT_TOGETHER or at == len(items):
                with self.write() as db:
                    for rebuilt in made:
                        refresh.replace(db.conn, *rebuilt, now)
                made, points = [], 0
                yield

    def _at_work(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailableError("the store is not open")
        return self._writer

    def _number(self, workflow: str) -> int | None:
        row = self.read().execute("SELECT id FROM workflows WHERE name = ?", (workflow,)).fetchone()
        return None if row is None else int(row[0])

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._busy, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return connection
