"""The real OpenTelemetry Collector with the shipped configurations."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = ROOT / "otel-config"


def collector() -> Path:
    """The binary: the one named by DRIFTBELL_COLLECTOR, else one that was built before; skips without any."""
    named = os.environ.get("DRIFTBELL_COLLECTOR")
    built = sorted(ROOT.glob(".cache/collector-*/otelcol-driftbell"))
    if named:
        return Path(named)
    if not built:
        pytest.skip("no OpenTelemetry Collector: otel-config/build-collector makes one (needs Go)")
    return built[-1]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def gateway(driftbell: str, queue: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """The gateway in front of the service at the URL ``driftbell``: its process, OTLP/HTTP URL and gRPC address."""
    grpc, http, health = (f"127.0.0.1:{free_port()}" for _ in range(3))
    environment = {
        **os.environ,
        "DRIFTBELL_ENDPOINT": driftbell,
        "QUEUE_DIR": str(queue),
        "OTLP_GRPC": grpc,
        "OTLP_HTTP": http,
        "HEALTH": health,
    }
    command = [collector(), "--config", CONFIGURATIONS / "gateway.yaml"]
    with log.open("ab") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            _wait_until_healthy(f"http://{health}", process, log)
            yield process, f"http://{http}", grpc
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError(f"the collector did not start: {log.read_text()[-2000:]}")
