"""A service that reads the tables of the Collector's ClickHouse exporter beside what is sent to it."""

from dataclasses import replace

import pytest
from clickhouse import database
from emitter_spans import T0, chat
from exported_table import create, export
from running_service import services

from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.clickhouse.shard import Shard
from driftbell.service.app import Service
from driftbell.service.config import Config, ConfigError, load_config
from driftbell.service.failure import Failure


@pytest.fixture
def url():
    url = database()
    client = connect(url)
    create(client)
    export(client, [replace(chat(None, float(at)), scope="client.library") for at in range(3)])
    return url


@pytest.fixture
def start(tmp_path):
    with services(tmp_path) as starting:
        yield starting


def test_what_the_exporter_wrote_is_watched_like_what_is_sent(start, url, tmp_path):
    section = {"url": url, "back": "60d", "every": 3600}
    running = start(otel_traces=section)
    running.service.work_once()
    running.service.work_once()
    assert running.service.store.count_calls() == 3
    running.stop()
    again = start(otel_traces=section)
    again.service.work_once()
    assert again.service.store.count_calls() == 3
    assert sum(point.counters.get("received", 0) for point in again.service.store.trust(0, T0 * 2)) == 3


def test_one_process_of_several_reads_the_table(tmp_path, url):
    settings = {"data_dir": tmp_path, "store": database(), "otel_traces": {"url": url, "back": "60d"}}
    other = Service(Config.model_validate(settings), lambda: T0, Shard(1, 2))
    try:
        other.work_once()
        assert other.store.count_calls() == 0
    finally:
        other.store.close()


def test_a_table_that_is_not_there_is_told_in_one_line(tmp_path, url):
    config = Config.model_validate({"data_dir": tmp_path, "otel_traces": {"url": url, "table": "other_traces"}})
    with pytest.raises(Failure, match=r"^cannot read otel_traces .*: there is no table other_traces: .*$"):
        Service(config)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("otel_traces: {url: 'clickhouse://u@h:8123'}", "name the database of the exporter"),
        ("otel_traces: {url: 'http://u@h:8123/otel'}", "is no store"),
        ("otel_traces: {url: 'clickhouse://u@h/otel', table: 'a b'}", "table"),
        (
            "{store: 'clickhouse://u@h/d', retention: {workflows: {claims-*: {calls: 7d}}}}",
            "leave calls out of retention.workflows.claims-",
        ),
        ("{store: 'clickhouse://u@h/d', keep_bodies: ['*']}", "leave keep_bodies out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, text, complaint):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint) as raised:
        load_config(tmp_path / "c.yaml")
    assert len(str(raised.value).splitlines()) == 1
