"""Reading the tables that the Collector's ClickHouse exporter keeps, for teams that have them already."""

from collections.abc import Callable

from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.clickhouse.exported import ExportedSpans, TableError
from driftbell.collectors.store import Store
from driftbell.service.config import OtelTraces
from driftbell.service.failure import Failure

LOOKS = 20
"""Looks of one round at most; a longer backlog waits for the next."""


def reading(given: OtelTraces, store: Store, clock: Callable[[], float]) -> Callable[[], None]:
    """The job that hands on what is new in the table to ``store``; raises `Failure` when the table cannot be read."""
    try:
        client = connect(
            given.url, "" if given.password is None else resolve(given.password), create=False, any_version=True
        )
        spans = ExportedSpans(client, given.table, store, given.back, clock)
    except SecretMissingError as error:
        raise Failure(f"otel_traces.password: {error}") from None
    except (StoreUnavailableError, TableError) as error:
        raise Failure(f"cannot read otel_traces in the configuration: {error}") from None

    def look() -> None:
        for _ in range(LOOKS):
            if not spans.read():
                break

    return look
