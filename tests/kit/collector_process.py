"""The real OpenTelemetry Collector with the shipped configurations."""

import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = ROOT / "otel-config"


def collector() -> Path:
    """The binary: the one named by DRIFTBELL_COLLECTOR, else the one built of this manifest; skips without any."""
    named = os.environ.get("DRIFTBELL_COLLECTOR")
    if named:
        return Path(named)
    manifest = hashlib.sha256((CONFIGURATIONS / "builder.yaml").read_bytes()).hexdigest()[:16]
    built = ROOT / ".cache" / f"collector-{manifest}" / "otelcol-driftbell"
    if not built.exists():
        pytest.skip("no OpenTelemetry Collector: otel-config/build-collector makes one (needs Go)")
    return built


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(
    configurations: Sequence[str], log: Path, options: Sequence[str] = (), **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """A Collector with these files of `CONFIGURATIONS`: its process, OTLP/HTTP URL and gRPC address."""
    grpc, http, health = (f"127.0.0.1:{free_port()}" for _ in range(3))
    given = {**os.environ, "OTLP_GRPC": grpc, "OTLP_HTTP": http, "HEALTH": health, **environment}
    files = [part for name in configurations for part in ("--config", str(CONFIGURATIONS / name))]
    command = [str(collector()), *files, *options]
    with log.open("ab") as output, subprocess.Popen(command, env=given, stdout=output, stderr=output) as process:
        try:
            _wait_until(lambda: _listens(grpc) and _listens(http), process, log)
            yield process, f"http://{http}", grpc
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def gateway(
    driftbell: str, queue: Path, log: Path, *more: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """The gateway, with ``more`` files, in front of the service at the URL ``driftbell``; see `running`."""
    given = {"DRIFTBELL_ENDPOINT": driftbell, "QUEUE_DIR": str(queue), **environment}
    with running(["gateway.yaml", *more], log, **given) as started:
        yield started


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"the collector did not start: {log.read_text()[-2000:]}")
