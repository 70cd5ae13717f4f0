"""`driftbell serve` as a process: what it says, what it refuses, how it stops, and what survives its death."""

import signal
import socket
import threading
import time
from dataclasses import replace

import pytest
import requests
from driftbell_process import driftbell, serving
from running_service import CALL

from driftbell.collectors.records import Record
from driftbell.service import encode

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def spans(*calls) -> bytes:
    (body,) = encode.requests((Record(call.ts, call, (), None) for call in calls), 0.0, batch=10_000)
    return body


def test_the_ready_line_names_the_addresses_and_the_folder(tmp_path):
    with serving(tmp_path / "d") as (_, url):
        assert requests.get(url + "/healthz", timeout=10).status_code == 200


def test_sigterm_stops_it_cleanly_within_five_seconds(tmp_path):
    with serving(tmp_path / "d") as (process, url):
        requests.get(url + "/healthz", timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_an_address_that_others_can_reach_needs_a_token(tmp_path):
    ended = driftbell("serve", "--data-dir", tmp_path / "d", "--http", "0.0.0.0:0", "--grpc", "off")
    assert ended.returncode == 1
    assert "token" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_address_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = driftbell("serve", "--data-dir", tmp_path / "d", "--http", address, "--grpc", "off")
    assert ended.returncode == 1
    assert address in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_second_service_on_the_same_folder_is_refused(tmp_path):
    with serving(tmp_path / "d"):
        ended = driftbell("serve", "--data-dir", tmp_path / "d", "--http", "127.0.0.1:0", "--grpc", "off")
    assert ended.returncode == 1
    assert "in use" in ended.stderr


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    ended = driftbell("serve", "--data-dir", tmp_path / "file", "--http", "127.0.0.1:0")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "--data-dir" in ended.stderr


@pytest.mark.parametrize("arguments", [["--http", "nonsense"], ["--nonsense"], ["--grpc", "127.0.0.1:99999"]])
def test_wrong_usage_exits_with_2_and_one_line(tmp_path, arguments):
    ended = driftbell("serve", "--data-dir", tmp_path / "d", *arguments)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_every_acknowledged_call_survives_sigkill_and_is_there_once(tmp_path):
    """A client sends without pause and repeats what was not acknowledged; the service is killed twice under it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = time.time() - 3600
    acknowledged: set[int] = set()
    done = threading.Event()

    def client() -> None:
        for number in range(400):
            body = spans(replace(CALL, ts=base + number, workflow="w", segment=str(number)))
            while not done.is_set():
                try:
                    if requests.post(f"http://127.0.0.1:{port}/v1/traces", data=body, headers=PROTOBUF, timeout=5).ok:
                        acknowledged.add(number)
                        break
                except requests.RequestException:
                    time.sleep(0.02)

    sending = threading.Thread(target=client)
    for enough in (60, 180):
        with serving(tmp_path / "d", port=port) as (process, _):
            if not sending.ident:
                sending.start()
            deadline = time.monotonic() + 30
            while len(acknowledged) < enough and time.monotonic() < deadline:
                time.sleep(0.005)
            process.kill()
            process.wait(10)
    with serving(tmp_path / "d", port=port) as (_, url):
        sending.join(60)
        done.set()
        found = requests.get(f"{url}/api/v1/calls?limit=1000", timeout=10).json()["calls"]
    assert len(acknowledged) == 400
    assert sorted(int(call["segment"]) for call in found) == list(range(400))
