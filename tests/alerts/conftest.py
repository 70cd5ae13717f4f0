"""What tests of alerts share: a real SQLite store, findings, and real local servers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from driftbell.alerts.schema import MIGRATIONS
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Cause, Finding

T0 = 1_794_302_040.0
"""Tue 10 Nov 2026 09:14 UTC."""


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the store on the same folder, each time as a restarted process does."""
    opened: list[Store] = []

    def start() -> Store:
        opened.append(Store.open(tmp_path / "data", [MIGRATIONS]))
        return opened[-1]

    yield start
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def finding(transition: str = "fired", ts: float = T0 + 1020, **changes: Any) -> Finding:
    """Cost per call of claims-triage up from 3.2c to 5.3c since T0, with a likely cause."""
    fields: dict[str, Any] = {
        "ts": ts,
        "transition": transition,
        "workflow": "claims-triage",
        "family": "cost",
        "metric": "cost_per_call",
        "direction": 1,
        "unit": "usd",
        "segment": "high-risk",
        "observed": 0.053,
        "usual": 0.032,
        "n": 312,
        "started_at": T0,
        "usd_per_hour": 22.0,
        "calls_per_hour": 1100.0,
        "owner": "@claims-ai",
        "cause": LIKELY,
    }
    return Finding(**{**fields, **changes})


LIKELY = Cause(
    keys={"prompt_version": "v14", "segment": "high-risk"},
    confidence="likely",
    share=0.97,
    text="Prompt v14 went live: input tokens in high-risk 12,000 -> 24,000. Explains all of the rise.",
    evidence=("input tokens per call doubled in high-risk only",),
    ruled_out=("traffic", "model", "price", "retries", "output length"),
    marker="prompt v14 live",
    marker_at=T0 - 120,
)


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A real HTTP server on loopback that keeps what it gets; ``answer`` decides status, headers and body."""

    url: str
    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"{}")


@pytest.fixture
def http_server() -> Iterator[Callable[[], Server]]:
    running: list[ThreadingHTTPServer] = []

    def start() -> Server:
        state = Server("")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {k.lower(): v for k, v in self.headers.items()}
                received = Received(self.command, self.path, headers, body)
                state.got.append(received)
                status, extra, payload = state.answer(received)
                self.send_response(status)
                for name, value in {"content-length": str(len(payload)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST  # noqa: N815 the name that http.server looks for

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        return state

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make() -> Callable[..., Finding]:
    return finding


@pytest.fixture
def t0() -> float:
    """When the change of `make` started: Tue 10 Nov 2026 09:14 UTC."""
    return T0


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nobody listens on at the moment."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
