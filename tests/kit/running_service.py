"""A real service on free ports, and clients to talk to it."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from driftbell.collectors.call import Call
from driftbell.collectors.records import Record
from driftbell.service import encode
from driftbell.service.app import Service
from driftbell.service.config import Config
from driftbell.service.demo import address

NOW = 1_795_000_000.0
CALL = Call(NOW - 60, "triage", segment="emea", model="atlas", input_tokens=100, output_tokens=20, latency_ms=500.0)


@dataclass
class Running:
    """A service, where it listens, and the time it takes it to be."""

    service: Service
    url: str
    grpc: str
    time: list[float]
    thread: threading.Thread

    def stop(self) -> None:
        """As SIGTERM does."""
        self.service.stop()
        self.thread.join(20)

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def post(self, path: str, **options) -> requests.Response:
        return requests.post(self.url + path, timeout=10, **options)

    def delete(self, path: str, **options) -> requests.Response:
        return requests.delete(self.url + path, timeout=10, **options)

    def request(self, method: str, path: str, **options) -> requests.Response:
        return requests.request(method, self.url + path, timeout=10, **options)

    def send(self, *calls: Call, **headers: str) -> requests.Response:
        """Calls as spans of our own dialect."""
        (body,) = encode.requests((Record(call.ts, call, (), None) for call in calls), 0.0, batch=10_000)
        return self.post("/v1/traces", data=body, headers={"Content-Type": "application/x-protobuf", **headers})


def calls(n: int) -> list[Call]:
    """Calls a second apart."""
    return [replace(CALL, ts=CALL.ts + i) for i in range(n)]


@contextmanager
def services(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start services, at the time ``now`` of their clocks; all are stopped at the end."""
    started: list[tuple[Service, threading.Thread]] = []

    def start(folder: Path = tmp_path / "data", now: float = NOW, **settings) -> Running:
        time = [now]
        config = Config.model_validate(
            {
                "data_dir": folder,
                "listen": {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
                "public_prices": False,
                **settings,
            }
        )
        service = Service(config, lambda: time[0])
        lines: queue.Queue[str] = queue.Queue()
        thread = threading.Thread(target=service.run, args=(lines.put,))
        thread.start()
        started.append((service, thread))
        ready = lines.get(timeout=20)
        return Running(service, "http://" + address(ready), ready.partition("grpc=")[2].split()[0], time, thread)

    try:
        yield start
    finally:
        for service, _ in started:
            service.stop()
    for _, thread in started:
        thread.join(20)
        assert not thread.is_alive()
