"""The three things that are asked of ClickHouse, and what a failure of it means.

The same client speaks to a server and to chDB, which is the engine as a library: ``chdb:///FOLDER`` beside
``clickhouse://USER@HOST:8123/DATABASE`` (``?secure=true`` for TLS).
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.failure import meaning, too_old

SCHEMES = ("clickhouse", "chdb")
CONNECT_S, ANSWER_S = 5, 120
_PORT, _TLS_PORT = 8123, 8443
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
Row = Sequence[Any]


class Client(Protocol):
    """What `ClickHouseStore` needs of ClickHouse; each method raises `StoreUnavailableError`."""

    def query(self, sql: str, given: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; ``given`` are its ``{name:Type}`` parameters."""
        ...

    def command(self, sql: str, given: Mapping[str, Any] | None = None) -> None:
        """Run a statement that answers nothing."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert ``rows``, which are durable when this returns."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class UrlError(ValueError):
    """Not the address of a store; the message says what to write."""


class Connection:
    """`Client` over clickhouse-connect; any thread may use it."""

    def __init__(self, driver: Any, database: str, lock: AbstractContextManager[Any]) -> None:
        self._driver = driver
        self._database = database
        self._lock = lock

    def query(self, sql: str, given: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """See `Client.query`."""
        with self._lock, _unavailable():
            found: list[tuple[Any, ...]] = self._driver.query(sql, parameters=dict(given or {})).result_rows
            return found

    def command(self, sql: str, given: Mapping[str, Any] | None = None) -> None:
        """See `Client.command`."""
        with self._lock, _unavailable():
            self._driver.command(sql, parameters=dict(given or {}))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See `Client.insert`."""
        if rows:
            with self._lock, _unavailable():
                self._driver.insert(table, rows, column_names=columns, database=self._database)

    def close(self) -> None:
        """See `Client.close`."""
        with self._lock:
            self._driver.close()


def check_url(url: str) -> str:
    """The database that ``url`` names; raises `UrlError`."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise UrlError(f"{url.partition(':')[0]!r} is no store; write clickhouse://USER@HOST:8123/DATABASE")
    try:
        parts.port  # noqa: B018  # it is read there
    except ValueError:
        raise UrlError("the port must be a number: clickhouse://USER@HOST:8123/DATABASE") from None
    if parts.password:
        raise UrlError("a password does not belong into the address; give it as store_password: env:NAME")
    name = parse_qs(parts.query).get("database", ["driftbell"])[0] if parts.scheme == "chdb" else parts.path.strip("/")
    if not _NAME.fullmatch(name or "driftbell"):
        raise UrlError("the database must be letters, digits and underscores")
    return name or "driftbell"


def connect(url: str, password: str = "", *, create: bool = True, any_version: bool = False) -> Connection:
    """Connect, and ``create`` the database if it is not there; raises `StoreUnavailableError` or `UrlError`.

    ``any_version`` is for those who only read tables of others.
    """
    database = check_url(url)
    parts = urlsplit(url)
    try:
        import clickhouse_connect
    except ImportError:
        raise StoreUnavailableError("store: clickhouse needs pip install 'driftbell[service,clickhouse]'") from None
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # what it would say is said below
    embedded = parts.scheme == "chdb"
    options = {"dsn": f"chdb://{parts.path}"} if embedded else _server(url, password)
    with _unavailable(connecting=True):
        if create:
            first = clickhouse_connect.get_client(**options)
            first.command(f"CREATE DATABASE IF NOT EXISTS {database}")
            first.close()
        driver = clickhouse_connect.get_client(**options, database=database)
        complaint = too_old(driver.server_version or "")
        if complaint and not any_version:
            raise StoreUnavailableError(complaint)
    lock: AbstractContextManager[Any] = threading.RLock() if embedded else nullcontext()
    return Connection(driver, database, lock)


def _server(url: str, password: str) -> dict[str, Any]:
    parts = urlsplit(url)
    secure = parse_qs(parts.query).get("secure", ["false"])[0] == "true"
    return {
        "host": parts.hostname or "localhost",
        "port": parts.port or (_TLS_PORT if secure else _PORT),
        "username": parts.username or "default",
        "password": password,
        "secure": secure,
        "connect_timeout": CONNECT_S,
        "send_receive_timeout": ANSWER_S,
        "autogenerate_session_id": False,
        "form_encode_query_params": True,  # lists of thousands of traces are too long for an address
    }


@contextmanager
def _unavailable(connecting: bool = False) -> Iterator[None]:
    """Whatever the driver raises means: try again later."""
    try:
        yield
    except (UrlError, StoreUnavailableError):
        raise
    except Exception as error:  # the driver, the network and the engine raise unrelated types
        raise StoreUnavailableError(meaning(error, connecting)) from error
