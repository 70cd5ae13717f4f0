"""What the application feels when the collector is ill: nothing but a bounded wait at its exit."""

import contextlib
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from driftbell import monitor
from driftbell.monitor import guard

PROGRAM = """
import time
from driftbell import monitor
monitor.configure(endpoint={url!r})
@monitor.observe("answers")
def answer(n):
    return n
slowest = 0.0
for n in range(3000):
    before = time.perf_counter()
    assert answer(n) == n
    slowest = max(slowest, time.perf_counter() - before)
print("calls done", monitor.dropped(), flush=True)
"""


def hanging(connection):
    time.sleep(30)


def dripping(connection):
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X" * 600:
        connection.send(bytes([byte]))
        time.sleep(0.2)


def garbage(connection):
    connection.recv(65536)
    connection.send(b"\x00\xff\x13 this is not HTTP\r\n\r\n")
    connection.close()


def closing(connection):
    connection.close()


def answering(line):
    def answer(connection):
        connection.recv(65536)
        connection.send(b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()

    return answer


FAULTS = {
    "hanging": hanging,
    "dripping": dripping,
    "garbage": garbage,
    "closing": closing,
    "400": answering(b"400 Bad Request"),
    "500": answering(b"500 Internal Server Error"),
    "503 with a long Retry-After": answering(b"503 Service Unavailable\r\nRetry-After: 3600"),
}


class IllServer:
    """Accepts connections and treats each with one illness."""

    def __init__(self, illness):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._illness = illness
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._treat, args=(connection,), daemon=True).start()

    def _treat(self, connection):
        with contextlib.suppress(OSError):
            self._illness(connection)

    def close(self):
        self._socket.close()


def exits_in_time(url):
    """Run a program that makes 3,000 calls; the seconds from its last call to its exit."""
    program = textwrap.dedent(PROGRAM).format(url=url)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        done = time.monotonic()
        _, errors = process.communicate(timeout=30)
        took = time.monotonic() - done
    assert line.startswith(b"calls done")
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert errors.count(b"\n") <= 1, "one log line a minute at most"
    return took


@pytest.mark.parametrize("fault", FAULTS)
def test_the_process_exits_within_two_seconds(fault):
    server = IllServer(FAULTS[fault])
    try:
        assert exits_in_time(server.url) < 2.0
    finally:
        server.close()


def test_the_process_exits_within_two_seconds_when_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    assert exits_in_time(url) < 2.0


def test_everything_ended_before_the_exit_arrives(collector):
    assert exits_in_time(collector.url) < 2.0
    assert len(collector.received()) == 3000


def test_a_full_queue_drops_and_counts_and_tells_the_collector(collector, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monitor.shutdown()
    blocked = threading.Event()
    collector.hold = blocked
    monitor.configure(endpoint=collector.url)
    try:
        for _ in range(500):
            monitor.marker("release")
        lost = monitor.dropped()["queue_full"]
        assert lost > 0
        blocked.set()
        monitor.flush(10)
        monitor.marker("release")
        told = collector.spans()
        assert sum(span.attributes.get("driftbell.sdk.dropped_spans.queue_full", 0) for span in told) == lost
        assert len(told) + lost == 501
    finally:
        blocked.set()
        monitor.shutdown()


def test_what_the_collector_rejects_of_a_batch_is_counted(recording):
    recording.body = b"\x0a\x02\x08\x03"  # partial_success { rejected_spans: 3 }
    for _ in range(5):
        monitor.marker("release")
    recording.spans()
    assert monitor.dropped() == {"refused": 3}


def test_a_batch_that_is_refused_for_good_is_counted_and_not_sent_again(recording):
    recording.status = 400
    for _ in range(5):
        monitor.marker("release")
    monitor.flush(10)
    assert monitor.dropped() == {"refused": 5}
    assert len(recording.bodies) == 1


def test_a_batch_is_sent_again_when_the_collector_was_busy(recording, eventually):
    recording.status = 503
    monitor.marker("release")
    eventually(lambda: bool(recording.bodies))
    recording.status = 200
    assert monitor.flush(10)
    assert monitor.dropped() == {}


def test_the_log_holds_one_line_a_minute(caplog):
    now = [0.0]
    voice = guard.Voice(clock=lambda: now[0])
    for _ in range(100):
        voice.say("something")
    now[0] = 61.0
    voice.say("something else")
    assert [record.getMessage() for record in caplog.records] == [
        "something",
        "something else (99 more messages since the last one)",
    ]
