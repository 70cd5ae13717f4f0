"""Imported history trains the detectors and rings for nobody; what comes after it is watched at once."""

import json

import pytest
import workload as traffic
from driftbell_process import driftbell, serving

from driftbell.alerts import history
from driftbell.collectors.batch import Batch
from driftbell.collectors.imports.call_records import spans
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.importing import Progress, import_history
from driftbell.service.ownership import UNFINISHED, Ownership
from driftbell.service.rounds import Rounds

HOUR, DAY = 3600.0, 86400.0
START = 1_790_000_000.0 // DAY * DAY
CHANNEL = {
    "channels": {"hook": {"kind": "webhook", "url": "http://127.0.0.1:9/none", "secrets": ["env:NOT_SET"]}},
    "routes": [{"channels": ["hook"]}],
}
IDLE = Progress(read=lambda _path, _bytes: None, learned=lambda _days, _of: None)


@pytest.fixture
def config(tmp_path):
    return Config.model_validate(
        {"data_dir": tmp_path / "data", "public_prices": False, "prices": traffic.PRICES, "alerts": CHANNEL}
    )


def file_of(tmp_path, until):
    """The first ``until`` hours of the traffic as call records; from hour 150 on one segment's prompt is long."""
    file = tmp_path / f"history-{until}.jsonl"
    lines = (json.dumps(traffic.fields(record)) for hour in traffic.hours(START, until) for record in hour)
    file.write_text("\n".join(lines) + "\n")
    return file


def rows(store, table):
    return store.read().execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def go_on(config, hours):
    """A service that is started on the imported folder and gets ``hours`` of traffic; what it opened and queued."""
    now = [0.0]
    store = open_store(config, lambda: now[0])
    try:
        rounds = Rounds(store, config, lambda: now[0])
        before = {incident.id for incident in history.listed(store.read(), "all")}
        for hour in hours:
            for number, record in enumerate(hour):
                store.append(Batch(spans=list(spans(record, b"%024d" % (record.ts * 1000 + number)))))
            now[0] = hour[-1].ts + 1
            rounds.evaluate()
        opened = [one for one in history.listed(store.read(), "all") if one.id not in before]
        return opened, rows(store, "notifications")
    finally:
        store.close()


def test_incidents_of_the_past_are_recorded_and_nobody_is_told(config, tmp_path):
    report = import_history([file_of(tmp_path, 160)], None, config, IDLE)
    assert report.new["triage"] == (160 * traffic.PER_HOUR, 160 * traffic.PER_HOUR)
    assert report.days["triage"] == pytest.approx(160 / 24, abs=0.1)
    assert any(incident.family == "cost" for incident in report.incidents)
    store = open_store(config)
    try:
        assert history.listed(store.read(), "open") == []
        assert len(history.listed(store.read(), "resolved")) == len(report.incidents)
        assert rows(store, "notifications") == 0
    finally:
        store.close()


def test_a_change_right_after_the_history_rings_and_the_gap_before_it_does_not(config, tmp_path):
    import_history([file_of(tmp_path, 140)], None, config, IDLE)
    later = list(traffic.hours(START + 3 * DAY, 160))  # three days without a service
    opened, told = go_on(config, later[148:157])
    assert [incident.family for incident in opened] == ["cost"]
    assert told == 1


def test_the_same_file_again_changes_nothing(config, tmp_path):
    file = file_of(tmp_path, 30)
    import_history([file], None, config, IDLE)

    def stored():
        store = open_store(config)
        try:
            return [store.read().execute(f"SELECT * FROM {table}").fetchall() for table in ("calls", "detector_state")]
        finally:
            store.close()

    first = stored()
    again = import_history([file], None, config, IDLE)
    assert (again.new, again.days, again.incidents) == ({}, {}, [])
    assert stored() == first


def test_a_second_file_goes_on_where_the_first_ended(config, tmp_path):
    import_history([file_of(tmp_path, 20)], None, config, IDLE)
    report = import_history([file_of(tmp_path, 44)], None, config, IDLE)
    assert report.new["triage"][0] == 24 * traffic.PER_HOUR
    assert report.days["triage"] == pytest.approx(1.0, abs=0.1)


def test_history_of_a_workflow_that_is_watched_is_stored_and_not_learned(config, tmp_path):
    go_on(config, list(traffic.hours(START + 9 * DAY, 3)))
    report = import_history([file_of(tmp_path, 5)], None, config, IDLE)
    assert report.not_learned == ["triage"]
    assert report.days == {}


def test_an_interrupted_import_keeps_the_service_from_starting_and_is_finished_by_another(config, tmp_path):
    file = file_of(tmp_path, 30)

    def interrupt(_days, _of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_history([file], None, config, Progress(read=IDLE.read, learned=interrupt))
    refused = driftbell("serve", "--data-dir", config.data_dir, "--http", "127.0.0.1:0", "--grpc", "off")
    assert refused.returncode == 1
    assert "driftbell import" in refused.stderr
    finished = import_history([], None, config, IDLE)
    assert finished.days["triage"] > 0
    assert not (config.data_dir / UNFINISHED).exists()


def test_a_running_service_keeps_an_import_out(config, tmp_path):
    owner = Ownership(config.data_dir)
    try:
        with pytest.raises(Failure, match="stop it"):
            import_history([file_of(tmp_path, 1)], None, config, IDLE)
    finally:
        owner.release()


def test_the_command_tells_what_it_did_and_what_it_could_not_read(tmp_path):
    file = file_of(tmp_path, 3)
    file.write_text(file.read_text() + "{\n")
    done = driftbell("import", "--data-dir", tmp_path / "d", file)
    assert done.returncode == 0
    assert "180" in done.stdout
    assert "row 181: not JSON" in done.stdout
    with serving(tmp_path / "d"):
        pass


def test_a_file_that_is_not_there_is_one_line_of_failure(tmp_path):
    failed = driftbell("import", "--data-dir", tmp_path / "d", tmp_path / "none.jsonl")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: cannot read ")
    assert not (tmp_path / "d" / UNFINISHED).exists()
