"""Kill the delivery worker at random moments: is a message lost, and how many arrive twice?

Run: ``python bench/alert_crash.py --kills 1000``. A receiver in a process of its own writes down every message id
before it answers. Workers are forked, deliver from the same SQLite file and are killed with SIGKILL at a random time
after they have opened it; each one's clock is a minute later, so that the claims of the dead run out. At the end one
worker finishes.
"""

import argparse
import base64
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from driftbell.alerts import notification
from driftbell.alerts.channels.build import build_channels
from driftbell.alerts.outbox import Channels, deliver_due
from driftbell.alerts.proof import check_message
from driftbell.alerts.schema import MIGRATIONS
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.store import Store

LONGEST_LIFE = 0.2
"""Seconds of delivering; one takes 10 to 60 ms, so a worker dies within its first few."""
ROWS_PER_KILL = 4
RECEIVER_DELAY = 0.003
CLOCK_STEP = 60.0


@dataclass(frozen=True)
class Result:
    """What became of the messages: ``duplicates`` counts arrivals beyond the first of each id.

    ``before_last`` counts arrivals while workers were being killed: the kills fell among these.
    """

    kills: int
    messages: int
    lost: int
    unknown: int
    duplicates: int
    most_per_id: int
    different_bodies: int
    before_last: int

    @property
    def kept(self) -> bool:
        """Nothing lost, nothing invented, at most one duplicate per kill and each the same as the first."""
        bad = self.lost or self.unknown or self.different_bodies
        return not bad and self.duplicates <= self.kills


def receive(port: int, journal: Path) -> None:
    """Serve for ever: append ``id body-hash`` to the journal, then answer 200 after a short while."""
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if len(body) < int(self.headers["content-length"]):
                return  # its sender was killed in the middle: that is no arrival
            os.write(out, f"{self.headers['webhook-id']} {hash(body)}\n".encode())
            time.sleep(RECEIVER_DELAY)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def work(folder: Path, channels: Channels, now: float, ready: int, seconds: float | None) -> None:
    """Say on the pipe ``ready`` that the store is open, and deliver until killed or nothing came for ``seconds``."""
    store = Store.open(folder, [MIGRATIONS])
    os.write(ready, b".")
    quiet_since = time.monotonic()
    while True:
        if deliver_due(store, channels, now).sent:
            quiet_since = time.monotonic()
        if seconds is not None and time.monotonic() - quiet_since > seconds:
            store.close()
            return


def fork(task: object, *args: object) -> int:
    """Run ``task(*args)`` in a child process; its process id."""
    child = os.fork()
    if child == 0:
        try:
            task(*args)  # type: ignore[operator]
        finally:
            os._exit(0)
    return child


def fill(folder: Path, settings: AlertSettings, rows: int, now: float) -> set[str]:
    """Put ``rows`` messages into a new store; their ids."""
    store = Store.open(folder, [MIGRATIONS])
    with store.write() as tx:
        for n in range(rows):
            message = check_message("hook", settings, now + n)
            notification.enqueue(tx, message, "hook", "bench", now)
        ids = {str(row[0]) for row in tx.execute("SELECT event_id FROM notifications")}
    store.close()
    return ids


def run(kills: int, seed: int, folder: Path) -> Result:
    """Kill ``kills`` workers and count."""
    chance = random.Random(seed)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["BENCH_HOOK"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    section = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/", "secrets": ["env:BENCH_HOOK"]}
    settings = AlertSettings.model_validate({"channels": {"hook": section}})
    now, journal = time.time(), folder / "received"
    ids = fill(folder / "data", settings, kills * ROWS_PER_KILL, now)
    opened, ready = os.pipe()
    receiver = fork(receive, port, journal)
    try:
        channels = build_channels(settings)
        for kill in range(kills):
            worker = fork(work, folder / "data", channels, now + kill * CLOCK_STEP, ready, None)
            os.read(opened, 1)
            time.sleep(chance.uniform(0.0, LONGEST_LIFE))
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
        before_last = len(journal.read_text().splitlines())
        last = fork(work, folder / "data", channels, now + (kills + 90) * CLOCK_STEP, ready, 2.0)
        os.waitpid(last, 0)
    finally:
        os.kill(receiver, signal.SIGKILL)
        os.waitpid(receiver, 0)
        os.close(opened)
        os.close(ready)
    return count(kills, ids, journal, before_last)


def count(kills: int, ids: set[str], journal: Path, before_last: int) -> Result:
    """Compare what was written with what arrived."""
    arrived = [line.split() for line in journal.read_text().splitlines()]
    times = Counter(event_id for event_id, _ in arrived)
    bodies = {(event_id, body) for event_id, body in arrived}
    return Result(
        kills=kills,
        messages=len(ids),
        lost=len(ids - times.keys()),
        unknown=len(times.keys() - ids),
        duplicates=len(arrived) - len(times),
        most_per_id=max(times.values(), default=0),
        different_bodies=len(bodies) - len(times),
        before_last=before_last,
    )


def main() -> int:
    """Print the result as a line of JSON; exit 1 when the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.kills, options.seed, Path(folder))
    print(json.dumps({**vars(result), "kept": result.kept}))
    return 0 if result.kept else 1


if __name__ == "__main__":
    sys.exit(main())
