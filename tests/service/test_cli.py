"""The command line: what it prints, its exit codes, and that a mistake is one clear line."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
import workload
from driftbell_process import driftbell
from running_service import CALL, NOW

from driftbell.collectors.batch import Batch
from driftbell.collectors.store import Store
from driftbell.service.demo import SAMPLE


def test_help_names_every_command():
    told = driftbell("--help").stdout
    for name in ("serve", "incidents", "ack", "resolve", "silence", "summary", "check-config", "doctor", "demo"):
        assert f"\n  {name} " in told


def test_help_loads_nothing_heavy():
    script = """import sys
from driftbell.service.cli import cli
cli(["--help"], standalone_mode=False)
print(*sys.modules)"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"pydantic", "numpy", "river", "starlette", "uvicorn", "rich", "requests", "grpc"}


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_replay_that_is_ended_leaves_no_copy_of_the_history(tmp_path, sign):
    command = [sys.executable, "-c", "from driftbell.service.cli import main; main()", "replay", str(SAMPLE)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        until = time.monotonic() + 30
        while not list(tmp_path.glob("driftbell-replay-*/*")):
            assert time.monotonic() < until
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(sign)
        assert run.wait(30) == 128 + sign
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["incidents", "--limit", "0"],
        ["ack"],
        ["silence", "--for", "4x", "--workflow", "a"],
        ["summary", "--format", "pdf"],
    ],
)
def test_wrong_usage_exits_with_2_and_one_line_that_names_the_help(arguments):
    ended = driftbell(*arguments)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "--help" in ended.stderr


@pytest.mark.parametrize(
    "arguments", [["incidents"], ["summary"], ["ack", "x"], ["silence", "--for", "4h", "--workflow", "a"]]
)
def test_a_folder_without_data_is_told_and_nothing_is_created(tmp_path, arguments):
    ended = driftbell(*arguments, "--data-dir", tmp_path / "none")
    assert ended.returncode == 1
    assert "--data-dir" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_check_config_tells_a_valid_file(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("listen: {http: 127.0.0.1:4318}\n")
    ended = driftbell("check-config", file)
    assert (ended.returncode, ended.stdout) == (0, f"{file}: valid\n")


def test_check_config_names_the_line_and_the_nearest_key(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("listen:\n  htpp: 127.0.0.1:4318\n")
    ended = driftbell("check-config", file)
    assert ended.returncode == 1
    assert ended.stderr == f"error: {file}: line 2: listen.htpp: unknown key, did you mean http?\n"


def test_check_config_notes_a_secret_that_is_not_here(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("token: env:NOT_SET_HERE\n")
    ended = driftbell("check-config", file)
    assert ended.returncode == 0
    assert "note: token: the secret env:NOT_SET_HERE" in ended.stdout


def test_commands_work_beside_a_running_service(serve, tmp_path):
    running = serve(tmp_path / "data")
    running.send(CALL)
    folder = ("--data-dir", tmp_path / "data")
    assert driftbell("incidents", *folder).stdout == "No incident so far.\n"
    assert driftbell("incidents", "--json", *folder).stdout == ""
    silenced = driftbell("silence", "--for", "4h", "--workflow", "triage", "--by", "ana", *folder)
    assert silenced.returncode == 0
    assert "quiet for 4 h" in silenced.stdout
    slip = driftbell("silence", "--for", "1h", "--workflow", "triaeg", *folder)
    assert "there is no workflow 'triaeg'" in slip.stderr
    refused = driftbell("ack", "none", *folder)
    assert refused.returncode == 1
    assert "there is no incident none" in refused.stderr


def test_a_summary_is_computed_in_every_form_and_nothing_is_sent(serve, tmp_path):
    running = serve(tmp_path / "data", time.time())
    running.send(CALL)
    folder = ("--data-dir", tmp_path / "data")
    week = time.strftime("%G-W%V", time.gmtime(CALL.ts))
    text = driftbell("summary", "--week", week, *folder)
    assert text.returncode == 0, text.stderr
    assert "triage" in text.stdout
    out = tmp_path / "summary.html"
    assert driftbell("summary", "--week", week, "--format", "html", "--out", out, *folder).returncode == 0
    assert "<html" in out.read_text()
    json.loads(driftbell("summary", "--week", week, "--format", "json", *folder).stdout)
    refused = driftbell("summary", "--week", "last", *folder)
    assert refused.returncode == 1
    assert "2026-W46" in refused.stderr
    refused = driftbell("summary", "--zone", "Mars/Base", *folder)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == ["error: unknown time zone 'Mars/Base'; write a name such as Europe/Berlin"]
    assert driftbell("summary", "--send", "--to", "a@b.c", *folder).returncode == 1


def test_doctor_tells_what_is_good_and_what_is_not(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("listen: {http: 127.0.0.1:0, grpc: null}\ntoken: env:NOT_SET_HERE\n")
    ended = driftbell("doctor", "--config", file, "--data-dir", tmp_path / "none")
    assert ended.returncode == 1
    assert "bad  secrets" in ended.stdout
    assert "NOT_SET_HERE" in ended.stdout
    file.write_text("listen: {http: 127.0.0.1:0, grpc: null}\n")
    assert driftbell("doctor", "--config", file, "--data-dir", tmp_path / "none").returncode == 0


def history_with_an_incident(folder):
    """A file of call records, its last line none."""
    file = folder / "history.jsonl"
    with file.open("w") as lines:
        for records in workload.hours(NOW // 86400 * 86400):
            for record in records:
                lines.write(json.dumps(workload.fields(record)) + "\n")
        lines.write("this is no record\n")
    return file


def test_replay_writes_a_line_per_incident_and_says_what_a_week_would_have_brought(tmp_path):
    file, prices, out = history_with_an_incident(tmp_path), tmp_path / "prices.json", tmp_path / "out.jsonl"
    prices.write_text(json.dumps(workload.PRICES))
    ended = driftbell("replay", file, "--prices", prices, "--json", out)
    assert ended.returncode == 0, ended.stderr
    incidents = [json.loads(line) for line in out.read_text().splitlines()]
    published = {"ts", "workflow", "family", "metric", "segment", "cause", "severity", "observed", "usual"}
    assert published | {"started_at", "title"} <= set(incidents[0])
    assert [(line["workflow"], line["family"], line["segment"]) for line in incidents] == [("triage", "cost", "amer")]
    assert "week 1: 1 page" in ended.stdout
    assert "nothing was sent" in ended.stdout
    assert f"line {workload.HOURS * workload.PER_HOUR + 1}: not JSON" in ended.stdout


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken gzip", b"\x00" * 100, b"{}\n" * 10, b"[" * 5000])
def test_replay_of_a_file_without_a_record_is_told_and_is_no_crash(tmp_path, content):
    file = tmp_path / "history.jsonl"
    file.write_bytes(content)
    ended = driftbell("replay", file)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "0 records" in ended.stdout


def test_replay_of_a_file_that_is_not_there_is_one_line(tmp_path):
    ended = driftbell("replay", tmp_path / "none.jsonl")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1


def test_replay_tells_nobody_and_stays_out_of_the_store_of_a_service(serve, tmp_path):
    running = serve(tmp_path / "data", time.time())
    running.send(CALL)
    file, config = history_with_an_incident(tmp_path), tmp_path / "with_channel.yaml"
    config.write_text(
        f"data_dir: {tmp_path / 'data'}\n"
        "alerts:\n  channels: {hook: {kind: webhook, url: 'http://127.0.0.1:9/', secrets: [env:S]}}\n"
        "  routes: [{channels: [hook]}]\n"
    )
    kept = tmp_path / "kept"
    for folder in ((), ("--data-dir", kept)):
        ended = driftbell("replay", file, "--config", config, *folder)
        assert ended.returncode == 0, ended.stderr
        assert "week 1: 1 page" in ended.stdout
    assert driftbell("incidents", "--data-dir", tmp_path / "data").stdout.strip() == "No incident so far."
    assert len(driftbell("incidents", "--json", "--data-dir", kept).stdout.splitlines()) == 1
    with closing(sqlite3.connect(kept / "driftbell.db")) as db:
        assert db.execute("SELECT count(*) FROM notifications").fetchone() == (0,)
    refused = driftbell("replay", file, "--data-dir", tmp_path / "data")
    assert refused.returncode == 1
    assert "in use by a running driftbell" in refused.stderr
    running.stop()
    refused = driftbell("replay", file, "--data-dir", tmp_path / "data")
    assert refused.returncode == 1
    assert "holds the calls of a service" in refused.stderr


def test_doctor_tells_of_calls_dated_in_the_future_and_long_ago(tmp_path):
    store = Store.open(tmp_path)
    dated = [time.time() + 4000, 1000.0]
    store.append(Batch(calls=[replace(CALL, ts=ts, trace_id=f"{n:032x}") for n, ts in enumerate(dated, 1)]))
    store.close()
    told = driftbell("doctor", "--data-dir", tmp_path).stdout
    assert "1 calls end in the future" in told
    assert "1 calls are more than two years old" in told
