"""ClickHouse without a server: chDB, the engine as a library, one folder for the whole test run."""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from driftbell.collectors.clickhouse.client import Connection, connect
from driftbell.collectors.clickhouse.store import ClickHouseStore

_folder = tempfile.TemporaryDirectory(prefix="driftbell-chdb-", ignore_cleanup_errors=True)
_numbers = itertools.count()
EVER = (-1e12, 1e12)


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


def told(store, all_calls, names=None) -> dict:
    """Everything that a store answers about what it holds (of the workflows named), points at all resolutions too."""
    store.refresh_all()
    found = {"calls": all_calls(store), "count": store.count_calls()}
    usage = store.usage(("workflow", "model"))
    found["usage"] = {
        tuple(one.group.values()): replace(one, cost_usd=None if one.cost_usd is None else pytest.approx(one.cost_usd))
        for one in usage
    }
    assert [one.calls for one in usage] == sorted((one.calls for one in usage), reverse=True)
    for workflow in store.workflows():
        name = workflow.name
        if names is not None and name not in names:
            assert store.points(name, *EVER, "day") == []  # only as long as the parent span was missing
            continue
        found[name] = (workflow.owner, workflow.risk_tier, workflow.first_ts, workflow.newest_ts)
        found[name, "said"] = (store.judgements(name), store.manual_tasks(name), store.markers(name))
        found[name, "slices"] = store.slices(name)
        for resolution in ("minute", "hour", "day"):
            found[name, resolution] = by_key(store.points(name, *EVER, resolution))
    found["totals"] = [(t.workflow, t.start, t.calls, t.rates) for t in store.totals(*EVER)]
    return found


def by_key(points) -> dict:
    """Points by key; a sum of floats depends on the order of its terms in the last bits."""
    return {
        p.key: (
            p.calls,
            p.manual,
            p.rates,
            p.users,
            {n: (q.count, q.buckets, pytest.approx(q.total)) for n, q in p.quantities.items()},
        )
        for p in points
    }
