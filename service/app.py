"""The composition root: store, receiver, API, detectors and alerts in one process."""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.types import ASGIApp

from driftbell.alerts.links import link_key
from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.clickhouse.shard import Shard
from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.metrics import ReceiverMetrics
from driftbell.collectors.receiver import Receiver
from driftbell.collectors.receiver_grpc import GrpcReceiver
from driftbell.collectors.store import Store
from driftbell.service.act import PREFIX, Act
from driftbell.service.api import ERRORS, Api
from driftbell.service.config import Config, OtelTraces, parse_address
from driftbell.service.exported import reading
from driftbell.service.failure import Failure
from driftbell.service.health import Health, StoreMetrics
from driftbell.service.job import Job, JobMetrics
from driftbell.service.listen import bind, check_exposure, shown
from driftbell.service.migrations import MIGRATIONS
from driftbell.service.ownership import Ownership, check_finished
from driftbell.service.page.glance import EVERY, Glances
from driftbell.service.page.site import Site
from driftbell.service.rounds import Rounds
from driftbell.service.server import HttpServer
from driftbell.service.token import OPEN_PATHS, BearerToken
from driftbell.service.unsubscribe import Unsubscribe
from driftbell.service.workflow_metrics import WorkflowMetrics

log = logging.getLogger("driftbell.service")


class Service:
    """One running driftbell: `run` blocks until `stop` is called from another thread or a signal handler.

    Raises `Failure` when the addresses, the token or the data folder cannot be had.
    """

    def __init__(
        self,
        config: Config,
        clock: Callable[[], float] = time.time,
        shard: Shard = Shard(),  # noqa: B008  # it is frozen
        *,
        watches: bool = True,
    ) -> None:
        """Without ``watches``, it only receives: another process watches the store, which then must be shared."""
        listening = [config.listen.http] + ([config.listen.grpc] if config.listen.grpc else [])
        if config.store is None and (not watches or shard.count > 1):
            raise Failure("several processes need a shared store: set store: clickhouse://… in the configuration")
        check_exposure(listening, config.token is not None)
        self._config = config
        self._clock = clock
        self._watches = watches
        self._token = _token(config)
        _check_link_key(config)
        check_finished(config.data_dir)
        self._ownership = Ownership(config.data_dir)
        self._store = open_store(config, clock, shard, watches=watches)
        self._registry = CollectorRegistry()
        self._registry.register(StoreMetrics(self._store, config.detectors.false_pages_per_month))
        self._registry.register(WorkflowMetrics(self._store, clock))
        # One process reads it for all.
        exported = config.otel_traces if watches and shard.interprets else None
        self._read_table = None if exported is None else self._reading(exported)
        self._rounds = Rounds(self._store, config, clock, self._registry)
        self._glances = Glances(self._store, config.weekly, config.detectors.learn_days, clock)
        self._jobs = self._plan()
        intake = Intake(self._store, Limits(keep_bodies=tuple(config.keep_bodies)))
        self._registry.register(ReceiverMetrics(self._store, intake))
        self._receiver = Receiver(intake, self._token)
        self._grpc = GrpcReceiver(intake, self._token) if config.listen.grpc else None
        self._scheduler = _scheduler()
        self._server: HttpServer | None = None

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until `stop`; ``ready`` gets the line that tells where."""
        bound = bind(self._config.listen.http)
        grpc = self._start_grpc()
        self._server = HttpServer(self._app(), bound, lambda: self._announce(bound, grpc, ready))
        for job in self._jobs:
            self._scheduler.add_job(job, "interval", seconds=job.every, next_run_time=datetime.now(UTC), id=job.name)
        self._scheduler.start()
        try:
            self._server.serve_until_stopped()
        finally:
            self._close()

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        if self._server is not None:
            self._server.stop()

    @property
    def store(self) -> Store:
        """The store of the running service."""
        return self._store

    @property
    def glances(self) -> Glances:
        """The overview's snapshot."""
        return self._glances

    def catch_up(self) -> None:
        """Evaluate and deliver all that is due now, without waiting for the next tick."""
        self._rounds.evaluate()
        self._rounds.deliver()

    def work_once(self) -> None:
        """Do every job of the service once, now."""
        for job in self._jobs:
            job()

    def _reading(self, exported: OtelTraces) -> Callable[[], None]:
        try:
            return reading(exported, self._store, self._clock)
        except Failure:
            self._store.close()
            self._ownership.release()
            raise

    def _start_grpc(self) -> str:
        """The address of gRPC as it is told in the ready line."""
        address = self._config.listen.grpc
        if self._grpc is None or address is None:
            return "off"
        try:
            port = self._grpc.start(address)
        except OSError as error:
            raise Failure(f"{error}; choose another address with --grpc HOST:PORT, or --grpc off") from None
        return shown(parse_address(address)[0], port)

    def _announce(self, bound: socket.socket, grpc: str, ready: Callable[[str], None]) -> None:
        host, port = bound.getsockname()[:2]
        ready(f"ready http={shown(host, port)} grpc={grpc} data={self._config.data_dir.resolve()}")

    def _plan(self) -> Sequence[Job]:
        metrics, schedule = JobMetrics(self._registry), self._config.schedule
        rounds = self._rounds
        if not self._watches:
            return []
        plan = [
            ("evaluation", rounds.evaluate, schedule.evaluate_every),
            ("delivery", rounds.deliver, schedule.deliver_every),
            ("repeat", rounds.repeat, 60.0),
            ("weekly", rounds.weekly, schedule.weekly_every),
            ("retention", rounds.forget, 3600.0),
            ("overview", self._glances.refresh, EVERY),
        ]
        if self._read_table is not None and self._config.otel_traces is not None:
            plan.append(("exporter table", self._read_table, self._config.otel_traces.every))
        jobs = [Job(name, work, every, metrics, self._clock) for name, work, every in plan]
        lately = Gauge(
            "driftbell_detector_last_success_timestamp_seconds",
            "When an evaluation cycle was last committed (before the first: when the service started).",
            registry=self._registry,
        )
        lately.set_function(lambda: jobs[0].good_at)
        return jobs

    def _app(self) -> ASGIApp:
        health = Health(self._jobs, self._registry, self._clock)
        receiving = self._receiver.routes(dict.fromkeys(("", *self._config.listen.otlp_paths)))
        routes = [*receiving, *health.routes(), *Api(self._store, self._config.alerts, self._clock).routes()]
        routes += Unsubscribe(self._store, self._clock).routes()
        routes += Act(self._store, self._config.alerts, self._token, self._clock).routes()
        app: ASGIApp = Starlette(routes=routes, exception_handlers=ERRORS)
        open_paths = OPEN_PATHS | {route.path for route in receiving}
        if self._token is not None:
            # The receiver checks the token itself, for it must answer in the encoding of OTLP.
            app = BearerToken(app, self._token, open_paths, PREFIX)
        site = Site(self._store, self._config, self._token, self._glances, self._jobs, self._clock)
        return site.in_front_of(app, open_paths)

    def _close(self) -> None:
        for job in self._jobs:
            job.retire()
        self._scheduler.shutdown(wait=False)
        if self._grpc is not None:
            self._grpc.stop(grace=1.0)
        try:
            self._store.close()
        except StoreUnavailableError as error:
            log.warning("stopping: %s", error)
        self._ownership.release()


def open_store(
    config: Config,
    clock: Callable[[], float] = time.time,
    shard: Shard = Shard(),  # noqa: B008  # it is frozen
    *,
    watches: bool = False,
) -> Store:
    """The store that a configuration names, with the tables of all packages; raises `Failure`.

    Several processes share a store in ClickHouse, and one of each ``shard`` ``watches``.
    """
    if config.store is not None:
        return _shared_store(config, config.store, clock, shard, watches)
    try:
        return Store.open(config.data_dir, MIGRATIONS, config.price_table(), clock)
    except StoreUnavailableError as error:
        raise Failure(f"{error}. Is the folder writable? Choose another with --data-dir") from None


def _shared_store(config: Config, url: str, clock: Callable[[], float], shard: Shard, watches: bool) -> Store:
    from driftbell.collectors.clickhouse.store import ClickHouseStore

    try:
        client = connect(url, "" if config.store_password is None else resolve(config.store_password))
        prices = config.price_table()
        return ClickHouseStore.connect(client, config.data_dir, MIGRATIONS, prices, clock, shard=shard, watches=watches)
    except SecretMissingError as error:
        raise Failure(f"store_password: {error}") from None
    except StoreUnavailableError as error:
        raise Failure(f"cannot use the store in the configuration: {error}") from None


def _token(config: Config) -> str | None:
    try:
        return None if config.token is None else resolve(config.token)
    except SecretMissingError as error:
        raise Failure(f"token: {error}") from None


def _check_link_key(config: Config) -> None:
    """Refuse a key for links that is not there or could be guessed."""
    try:
        if config.alerts.links.key is not None:
            link_key(config.alerts.links.key)
    except SecretMissingError as error:
        raise Failure(f"alerts.links.key: {error}") from None


def _scheduler() -> BackgroundScheduler:
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a run that takes longer than its interval is no news
    return BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(4)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=UTC,
    )
