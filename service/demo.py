"""The demonstration: a real service on a temporary folder, fed over OTLP/HTTP with the shipped sample.

The sample is some months old, so its times are shifted by whole weeks, and the service's clock follows the data: a
day of traffic passes in a few seconds, and everything that depends on time happens as it would have.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from driftbell.alerts.message import Message, decode
from driftbell.alerts.record import Incident
from driftbell.alerts.render import as_html, as_text
from driftbell.alerts.summary import Summary, summarise
from driftbell.alerts.weekly.settings import EVERYONE
from driftbell.alerts.weekly.weeks import Week, last_full_week
from driftbell.service import oncall, weekly
from driftbell.service.app import Service
from driftbell.service.config import Config, load_prices
from driftbell.service.failure import Failure
from driftbell.service.planted import Planted, missed, unasked

SAMPLE = Path(__file__).with_name("sample") / "traffic.jsonl.gz"
PRICES = SAMPLE.with_name("prices.json")
RECORDS = 51_904
BEGINS = 1772496000.0
"""Tue 2026-03-03 00:00 UTC."""
ENDS = 1774224000.0
"""Mon 2026-03-23 00:00 UTC."""
WEEK = 7 * 86_400.0
EVALUATED_EVERY = 14400.0
"""Seconds of the sample's time between two rounds; a service on the real clock looks every minute."""
SECRET = "DRIFTBELL_DEMO_SECRET"


@dataclass
class Clock:
    """The time of the demonstration, moved along by the data; once they have ended it goes on by itself."""

    now: float
    released: float | None = None
    """Monotonic second from which it goes on."""

    def __call__(self) -> float:
        return self.now if self.released is None else self.now + time.monotonic() - self.released

    def release(self) -> None:
        """Go on by itself."""
        self.released = time.monotonic()


@dataclass
class Sink:
    """An endpoint for signed webhooks, as a team would run one; keeps what it was sent."""

    received: list[dict[str, object]] = field(default_factory=list)

    def __enter__(self) -> Self:
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._server.server_port}/driftbell"


def configuration(folder: Path, sink: str) -> Config:
    """What the demonstration's service is configured with: free ports, the sample's prices, one signed webhook."""
    os.environ[SECRET] = "whsec_" + "ZHJpZnRiZWxsIGRlbW8gc2VjcmV0IDEyMzQ1Njc4"  # signs messages to ourselves only
    return Config.model_validate(
        {
            "data_dir": folder,
            "listen": {"http": "127.0.0.1:0", "grpc": None},
            "prices": {model: price.model_dump() for model, price in load_prices(PRICES).items()},
            "public_prices": False,
            "schedule": dict.fromkeys(("evaluate_every", "deliver_every", "weekly_every"), 3600),
            "alerts": {
                "environment": "demo",
                "channels": {"webhook": {"kind": "webhook", "url": sink, "secrets": [f"env:{SECRET}"]}},
                "routes": [{"channels": ["webhook"]}],
            },
        }
    )


@dataclass(frozen=True)
class Outcome:
    """What the demonstration brought."""

    incidents: list[Incident]
    messages: list[Message]
    summary: Summary
    received: int
    missed: list[Planted]
    """What was put into the sample and did not ring."""
    unasked: list[Incident]
    """What rang although nothing was put in there."""


class Demo:
    """One run. ``progress(event time, records sent)`` is called as it goes on."""

    def __init__(self, folder: Path, now: float, progress: Callable[[float, int], None]) -> None:
        self._folder = folder
        self._shift = (now - ENDS) // WEEK * WEEK
        self._clock = Clock(BEGINS + self._shift)
        self._progress = progress

    @property
    def week(self) -> Week:
        """The week of the summary: the last full one before the clock's end."""
        return last_full_week(ENDS + self._shift)

    def run(self, look: Callable[[Outcome, str], None] | None = None) -> Outcome:
        """Serve, send, evaluate, deliver, stop; raises `Failure` when the sender cannot.

        ``look`` gets what it brought and the address of the page, and as long as it does not return the service runs.
        """
        with Sink() as sink:
            config = configuration(self._folder, sink.url)
            service = Service(config, self._clock)
            lines: queue.Queue[str] = queue.Queue()
            thread = threading.Thread(target=service.run, args=(lines.put,), daemon=True)
            thread.start()
            try:
                http = address(lines.get(timeout=30))
                self._send(http, service)
                self._clock.now = ENDS + self._shift + 3600
                service.catch_up()
                outcome = self._outcome(service, config, len(sink.received))
                if look is not None:
                    service.work_once()
                    self._clock.release()
                    look(outcome, f"http://{http}/")
                return outcome
            finally:
                service.stop()
                thread.join(10)

    def _send(self, http: str, service: Service) -> None:
        command = [sys.executable, "-m", "driftbell.service.sender", str(SAMPLE), f"http://{http}/v1/traces"]
        with subprocess.Popen(
            [*command, str(self._shift)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            assert sender.stderr is not None
            for line in sender.stdout:
                moment, _, sent = line.partition(" ")
                if moment == "end":
                    return
                self._move(float(moment), service)
                self._progress(self._clock.now, int(sent))
                sender.stdin.write("\n")
                sender.stdin.flush()
            raise Failure(f"sending the sample failed: {sender.stderr.read().strip()[-300:]}")

    def _move(self, moment: float, service: Service) -> None:
        """Let the time pass to ``moment``, after which nothing older is sent; do the rounds that are due before."""
        if moment // EVALUATED_EVERY > self._clock.now // EVALUATED_EVERY:
            service.catch_up()
        self._clock.now = moment

    def _outcome(self, service: Service, config: Config, received: int) -> Outcome:
        store = service.store
        found = oncall.listed(store, "all", 200)
        rows = store.read().execute("SELECT message FROM notifications WHERE state = 'sent' ORDER BY sent_at, id")
        messages = [decode(text) for (text,) in rows]
        summary = summarise(weekly.source(store, config), config.weekly, EVERYONE, self.week)
        found.sort(key=lambda incident: incident.opened_at)
        return Outcome(found, messages, summary, received, missed(found, self._shift), unasked(found, self._shift))


def address(ready: str) -> str:
    """``HOST:PORT`` of HTTP in the line that a service prints when it is ready."""
    return ready.partition("http=")[2].split()[0]


def write_files(outcome: Outcome, folder: Path) -> list[Path]:
    """Each message as text and HTML, and the summary as text, HTML and JSON; returns what was written."""
    made: dict[str, str] = {
        "weekly-summary.txt": outcome.summary.rendered.text,
        "weekly-summary.html": outcome.summary.rendered.html,
        "weekly-summary.json": outcome.summary.json,
    }
    for number, message in enumerate(outcome.messages, 1):
        name = f"messages/{number:02}-{message.transition}-{message.workflow}-{message.metric}"
        made[f"{name}.txt"] = as_text(message, "UTC", [])
        made[f"{name}.html"] = as_html(message, "UTC", [])
    for old in [*folder.glob("messages/*"), *folder.glob("weekly-summary.*")]:
        old.unlink()
    (folder / "messages").mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in made]
