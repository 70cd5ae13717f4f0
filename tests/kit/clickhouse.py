"""ClickHouse without a server: chDB, the engine as a library, one folder for the whole test run."""

import itertools
import tempfile
from pathlib import Path

import pytest

from driftbell.collectors.clickhouse.client import Connection, connect
from driftbell.collectors.clickhouse.store import ClickHouseStore

_folder = tempfile.TemporaryDirectory(prefix="driftbell-chdb-", ignore_cleanup_errors=True)
_numbers = itertools.count()


def database() -> str:
    """The address of a new, empty database; skips the test where chDB is not installed."""
    pytest.importorskip("chdb", reason="pip install -r requirements-clickhouse.lock")
    return f"chdb://{_folder.name}/data?database=test_{next(_numbers)}"


def new_client() -> Connection:
    """A client of a new, empty database."""
    return connect(database())


def opened(folder: Path, client=None, **options) -> ClickHouseStore:
    """A store on a new database, with its file in ``folder``."""
    return ClickHouseStore.connect(client or new_client(), folder, **options)
