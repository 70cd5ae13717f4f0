"""A data folder is copied to ClickHouse, which then tells the same and goes on from there."""

import pytest
from clickhouse import database, told
from driftbell_process import driftbell
from recorded_spans import EMITTERS, spans_of

from driftbell.collectors.batch import Batch, StoreUnavailableError
from driftbell.collectors.clickhouse import copying
from driftbell.collectors.clickhouse.client import Connection, connect
from driftbell.collectors.clickhouse.store import ClickHouseStore
from driftbell.collectors.store import Store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.migrating import migrate

SOME = EMITTERS[::6]


@pytest.fixture
def folder(tmp_path, all_calls):
    """A data folder with calls in it."""
    store = Store.open(tmp_path)
    for emitter in SOME:
        store.append(Batch(spans_of(emitter)))
    store.refresh_all()
    store.close()
    return tmp_path


@pytest.fixture
def config(folder):
    return Config(data_dir=folder, store=database())


def copied(config: Config, all_calls) -> dict:
    store = ClickHouseStore.connect(connect(config.store), config.data_dir)
    found = told(store, all_calls)
    for emitter in SOME:  # what a sender repeats is known
        store.append(Batch(spans_of(emitter)))
    assert told(store, all_calls) == found
    store.close()
    return found


def original(config: Config, all_calls) -> dict:
    store = Store.open(config.data_dir)
    found = told(store, all_calls)
    store.close()
    return found


def test_the_copy_tells_what_the_file_tells_and_knows_what_is_sent_again(config, all_calls):
    expected = original(config, all_calls)
    assert migrate(config, lambda _: None) == len(expected["calls"]) > 10
    assert copied(config, all_calls) == expected


def test_an_interrupted_copy_goes_on_where_it_was(config, all_calls, monkeypatch):
    monkeypatch.setattr(copying, "PORTION", 7)
    monkeypatch.setattr(copying, "INTERVALS", 2)
    insert, left = Connection.insert, [40]

    def breaks(self, table, columns, rows):
        left[0] -= 1
        if left[0] == 0:
            raise StoreUnavailableError("ClickHouse does not answer")
        insert(self, table, columns, rows)

    monkeypatch.setattr(Connection, "insert", breaks)
    seen = []
    with pytest.raises(Failure, match="migrate again"):
        migrate(config, seen.append)
    again = []
    migrate(config, again.append)
    assert seen
    assert again[0].done > seen[0].done or again[0].name != seen[0].name
    assert copied(config, all_calls) == original(config, all_calls)


def test_a_store_with_other_calls_in_it_is_left_alone(config, tmp_path, spans):
    store = ClickHouseStore.connect(connect(config.store), tmp_path / "other")
    store.append(Batch([spans.call(1.0)]))
    store.refresh_all()
    with pytest.raises(Failure, match="empty database"):
        migrate(config, lambda _: None)
    assert store.count_calls() == 1
    store.close()


def test_a_copy_that_tells_something_else_is_no_success(config, monkeypatch):
    monkeypatch.setattr(copying.Copier, "_points", lambda _: iter(()))
    with pytest.raises(Failure, match=r"does not tell the same: .* days 1 here, 0 in ClickHouse"):
        migrate(config, lambda _: None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", "add store: clickhouse://"),
        ("store: clickhouse://driftbell@127.0.0.1:1/x", "there is no data in"),
        ("store: postgres://x", "'postgres' is no store"),
    ],
)
def test_wrong_input_is_one_line_that_says_what_to_do(given, said, tmp_path):
    file = tmp_path / "driftbell.yaml"
    file.write_text(given)
    ran = driftbell("migrate", "--config", file, "--data-dir", tmp_path / "none")
    assert ran.returncode == 1
    assert said in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
