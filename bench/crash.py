"""Kill the receiver at random moments while clients send, and count what was acknowledged and lost.

usage: crash.py [KILLS]; prints one line of figures and fails if anything acknowledged is missing or stored twice.
"""

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.store import Store

PROCESS = Path(__file__).with_name("receiver_process.py")
KEYS = "500"
"""New keys that are held before they are sorted: so few that most kills come while some move."""
HEADERS = {"content-type": "application/x-protobuf"}


@dataclass
class Clients:
    """Threads that send requests of a few calls, again and again until each is acknowledged."""

    seed: int
    size: int = 8
    threads: int = 4
    url: str = ""
    acknowledged: set[bytes] = field(default_factory=set)
    resent: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[threading.Thread]:
        """Start sending to whatever `url` is at the moment."""
        started = [threading.Thread(target=self._run, args=(self.seed * 100 + n,)) for n in range(self.threads)]
        for thread in started:
            thread.start()
        return started

    def _run(self, seed: int) -> None:
        numbers = random.Random(seed)
        session = requests.Session()
        while not self.stop.is_set():
            traces = [numbers.randbytes(16) for _ in range(self.size)]
            body = request_of(traces, numbers)
            while not self._sent(session, body) and not self.stop.is_set():
                self.resent += 1
                time.sleep(0.02)
            else:
                if not self.stop.is_set():
                    self.acknowledged.update(traces)

    def _sent(self, session: requests.Session, body: bytes) -> bool:
        try:
            return session.post(self.url, data=body, headers=HEADERS, timeout=5).status_code == 200
        except requests.RequestException:
            return False


def request_of(traces: list[bytes], numbers: random.Random) -> bytes:
    """One call per trace, spread over workflows and minutes."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns() - numbers.randrange(600) * 10**9
    for trace in traces:
        span = scope.spans.add(trace_id=trace, span_id=trace[:8], name="chat m")
        span.start_time_unix_nano, span.end_time_unix_nano = now - 10**9, now
        workflow = f"w{numbers.randrange(5)}"
        given = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "driftbell.workflow": workflow}
        for key, value in given.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = numbers.randrange(1, 5000)
    return request.SerializeToString()


def start(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """A receiver process and its port."""
    process = subprocess.Popen(
        [sys.executable, str(PROCESS), str(data_dir), "0", KEYS], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill_repeatedly(data_dir: Path, kills: int, seed: int, enough: int = 0) -> Clients:
    """Kill the receiver ``kills`` times under load; returns the clients with what was acknowledged to them.

    On a machine so busy that fewer than ``enough`` calls were acknowledged by then, up to ten times as often.
    """
    moments = random.Random(seed)
    clients = Clients(seed)
    running: list[threading.Thread] = []
    for kill in range(10 * kills):
        if kill >= kills and len(clients.acknowledged) >= enough:
            break
        process, port = start(data_dir)
        clients.url = f"http://127.0.0.1:{port}/v1/traces"
        running = running or clients.start()
        time.sleep(moments.uniform(0.05, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
    clients.stop.set()
    for thread in running:
        thread.join()
    return clients


def check(data_dir: Path, acknowledged: set[bytes]) -> tuple[int, int, str, bool]:
    """Acknowledged calls missing, calls stored twice, the integrity check, and whether the points are exact."""
    store = Store.open(data_dir)
    found: Counter[bytes] = Counter()
    cursor = None
    while True:
        page = store.calls(limit=5000, cursor=cursor)
        found.update(bytes.fromhex(call.trace_id) for call in page.calls)
        cursor = page.next
        if cursor is None:
            break
    store.refresh_all()
    names = [workflow.name for workflow in store.workflows()]
    exact = all(store.points(name, 0, 1e12) == store.recount(name, 0, 1e12) for name in names)
    result = len(acknowledged - found.keys()), sum(n > 1 for n in found.values()), store.integrity(), exact
    store.close()
    return result


def main() -> int:
    """Measure and print."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        clients = kill_repeatedly(Path(folder), kills, seed=7)
        missing, twice, integrity, exact = check(Path(folder), clients.acknowledged)
    print(
        f"kills={kills} acknowledged={len(clients.acknowledged)} resent={clients.resent} missing={missing} "
        f"twice={twice} integrity={integrity} points_exact={exact}"
    )
    return int(bool(missing or twice or integrity != "ok" or not exact))


if __name__ == "__main__":
    sys.exit(main())
