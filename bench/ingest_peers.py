"""The same load for driftbell, Phoenix and MLflow, one after the other: `ingest.py --peers`.

Each serves OTLP over HTTP on loopback with its SQLite store, as it comes from PyPI, in an environment of its own below
``.cache/peers``. A span counts when it is found in the server's own database, not when it is acknowledged: not all
acknowledge after they have stored. CPU is that of the server with all its processes.
"""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "peers"
RECEIVER = Path(__file__).with_name("receiver_process.py")
TICK = os.sysconf("SC_CLK_TCK")
START_S, STORE_S = 180.0, 300.0
WARM_UP = 2
"""Requests before the clock starts."""
HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}


@dataclass(frozen=True)
class Peer:
    """How to run one server on a port and a folder, what to send with a request, and how many spans it has stored."""

    name: str
    package: str | None
    command: Callable[[str, int, Path], list[str]]
    environment: Callable[[int, Path], dict[str, str]]
    count: Callable[[Path], int]
    headers: tuple[tuple[str, str], ...] = ()


def rows(folder: Path, query: str) -> int:
    """The number that ``query`` finds in the first database of a folder; 0 while there is none."""
    for file in sorted(folder.rglob("*.db")):
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
                return int(db.execute(query).fetchone()[0] or 0)
        except sqlite3.Error:
            continue
    return 0


PEERS = (
    Peer(
        "driftbell",
        None,
        lambda python, port, folder: [python, str(RECEIVER), str(folder), str(port)],
        lambda _port, _folder: {},
        lambda folder: rows(folder, "SELECT sum(spans) FROM chunks"),
    ),
    Peer(
        "phoenix",
        "arize-phoenix",
        lambda python, _port, _folder: [python, "-m", "phoenix.server.main", "serve"],
        lambda port, folder: {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        lambda folder: rows(folder, "SELECT count(*) FROM spans"),
    ),
    Peer(
        "mlflow",
        "mlflow",
        lambda python, port, folder: [
            *(python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "files")),
        ],
        lambda _port, _folder: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        lambda folder: rows(folder, "SELECT count(*) FROM spans"),
        (("x-mlflow-experiment-id", "0"),),
    ),
)


def compare(bodies: list[bytes], batch: int) -> None:
    """Send ``bodies`` of ``batch`` spans each to every peer and print a line for each."""
    for peer in PEERS:
        with tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-") as name:
            print(
                json.dumps({"server": peer.name, "batch": batch, **measure(peer, bodies, batch, Path(name))}),
                flush=True,
            )


def measure(peer: Peer, bodies: list[bytes], batch: int, folder: Path) -> dict[str, float | str]:
    """One peer: spans per second until queryable, CPU per span, acknowledgements, and bytes per span.

    The clock starts when the first requests are stored: by then a server has loaded what it loads late.
    """
    with served(peer, folder) as (process, port):
        try:
            send(port, peer, bodies[:WARM_UP])
            before = stored_of(peer, folder, batch * WARM_UP)
            cpu, began = cpu_seconds(process.pid), time.monotonic()
            latencies = send(port, peer, bodies[WARM_UP:])
        except ValueError as refused:
            return {"error": str(refused)}
        total = stored_of(peer, folder, batch * len(bodies))
        stored = total - before
        took, used = time.monotonic() - began, cpu_seconds(process.pid) - cpu
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    latencies.sort()
    return {
        "stored": stored,
        "queryable_spans_per_s": round(stored / took, 1),
        "cpu_us_per_span": round(used / max(stored, 1) * 1e6, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 1),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1e3, 1),
        "bytes_per_span": round(size / max(total, 1), 1),
    }


def send(port: int, peer: Peer, bodies: list[bytes]) -> list[float]:
    """How long (s) each acknowledgement took; raises `ValueError` with an answer that is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    latencies = []
    for body in bodies:
        began = time.monotonic()
        connection.request("POST", "/v1/traces", body, {**HEADERS, **dict(peer.headers)})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text[:200]!r}")
        latencies.append(time.monotonic() - began)
    return latencies


def stored_of(peer: Peer, folder: Path, spans: int) -> int:
    """How many spans are stored once it is ``spans``, or when the time is over."""
    until = time.monotonic() + STORE_S
    stored = peer.count(folder)
    while stored < spans and time.monotonic() < until:
        time.sleep(0.05)
        stored = peer.count(folder)
    return stored


@contextmanager
def served(peer: Peer, folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The running server and its port; it is stopped with all its processes."""
    python, port = environment(peer), free_port()
    settings = {**os.environ, **peer.environment(port, folder)}
    settings.pop("PYTHONPATH", None) if peer.package else None
    command = peer.command(python, port, folder)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=settings, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{peer.name} did not start: {(folder / 'server.log').read_text()[-1000:]}")
            time.sleep(0.2)
        yield process, port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(15)


def environment(peer: Peer) -> str:
    """The Python that has the peer installed; it is made with pip the first time."""
    if peer.package is None:
        return sys.executable
    python = CACHE / f"server-{peer.name}" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", peer.package], check=True)
    return str(python)


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all that it started."""
    times, parents = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(file.parent.name)
        parents[number], times[number] = int(fields[1]), sum(map(int, fields[11:15]))
    family, grown = {root}, True
    while grown:
        children = {child for child, parent in parents.items() if parent in family}
        grown = not children <= family
        family |= children
    return sum(times.get(number, 0) for number in family) / TICK


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
