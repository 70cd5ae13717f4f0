"""Load the receiver over loopback and print what it sustains, for batches of 512, 16 and 1 spans.

usage: ingest.py [--seconds S] [--repeats N] [--connections C] [--batch B ...] [--peers [--spans N]]

Each span is an LLM call with 20 attributes and one event, of which one in eight sits below a wrapper; bodies are gzip.
Requests are made before the clock starts. A span counts when its request was acknowledged, that is when it is durable
and queryable; the server rebuilds points meanwhile. Figures are medians over the repeats; CPU is of the server alone.
"""

import argparse
import gzip
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import ingest_peers
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROCESS = Path(__file__).with_name("receiver_process.py")
TICK = os.sysconf("SC_CLK_TCK")
WARM_UP = 20
"""Requests before the clock starts: the price list is loaded, and most shapes of spans have been seen."""
HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}


@dataclass(frozen=True)
class Figures:
    """What one run measured: per second, CPU microseconds per span, ack milliseconds, bytes per span, memory in MiB."""

    spans_per_s: float
    cpu_us: float
    per_core: float
    p50_ms: float
    p99_ms: float
    bytes_per_span: float
    rss_mib: float
    refused: int


@dataclass
class Client:
    """One connection that sends its bodies one after the other and notes how long each acknowledgement took."""

    port: int
    bodies: list[bytes]
    until: float
    latencies: list[float] = field(default_factory=list)
    refused: int = 0

    def run(self) -> None:
        """Send until the time or the bodies are over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for body in self.bodies:
            if time.monotonic() >= self.until:
                return
            began = time.monotonic()
            connection.request("POST", "/v1/traces", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.latencies.append(time.monotonic() - began)
            else:
                self.refused += 1


def request_of(spans: int, numbers: random.Random, now: float) -> bytes:
    """A gzip request with ``spans`` spans."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in (("service.name", f"shop-{numbers.randrange(3)}"), ("host.name", "node-1")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai"
    trace, parent = b"", b""
    for at in range(spans):
        wrapper = at % 8 == 0 and spans > 1
        if at % 8 != 1 or spans == 1:
            trace, parent = numbers.randbytes(16), b""
        span = scope.spans.add(trace_id=trace, span_id=numbers.randbytes(8), parent_span_id=parent, kind=3)
        length = numbers.lognormvariate(0, 0.6)
        span.start_time_unix_nano, span.end_time_unix_nano = int((now - length) * 1e9), int(now * 1e9)
        _describe(span, numbers, wrapper)
        parent = span.span_id if wrapper else b""
    return gzip.compress(request.SerializeToString(), 6)


def _describe(span, numbers: random.Random, wrapper: bool) -> None:
    span.name = "invoke_agent planner" if wrapper else "chat gpt-4o"
    model = numbers.choice(("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"))
    texts = {
        "gen_ai.operation.name": "invoke_agent" if wrapper else "chat",
        "gen_ai.provider.name": "anthropic" if "claude" in model else "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"chatcmpl-{numbers.getrandbits(96):024x}",
        "gen_ai.conversation.id": f"{numbers.getrandbits(32):08x}",
        "gen_ai.prompt.name": "support",
        "gen_ai.prompt.version": f"v{numbers.randrange(3)}",
        "driftbell.workflow": f"workflow-{numbers.randrange(12)}",
        "driftbell.segment": numbers.choice(("free", "pro", "enterprise")),
        "user.id": f"{numbers.getrandbits(64):016x}",
        "server.address": "api.openai.com",
        "deployment.tier": "prod",
    }
    if wrapper:
        del texts["gen_ai.response.id"]
    for key, text in texts.items():
        span.attributes.add(key=key).value.string_value = text
    counts = {
        "gen_ai.usage.input_tokens": numbers.randrange(50, 4000),
        "gen_ai.usage.output_tokens": numbers.randrange(5, 900),
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.request.max_tokens": 1024,
        "server.port": 443,
    }
    for key, count in counts.items():
        span.attributes.add(key=key).value.int_value = count
    span.attributes.add(key="gen_ai.request.temperature").value.double_value = 0.2
    span.attributes.add(key="gen_ai.request.stream").value.bool_value = False
    span.events.add(name="gen_ai.retry", time_unix_nano=span.end_time_unix_nano)


def cpu_seconds(process: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mib(process: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(batch: int, seconds: float, connections: int, folder: Path) -> Figures:
    """One run against a fresh store."""
    numbers = random.Random(batch)
    most = int(seconds * {512: 60, 16: 1500}.get(batch, 4000))
    bodies = [request_of(batch, numbers, time.time()) for _ in range(min(most, 6000))]
    process = subprocess.Popen([sys.executable, str(PROCESS), str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    Client(port, bodies[:WARM_UP], time.monotonic() + 60).run()
    del bodies[:WARM_UP]
    began, cpu = time.monotonic(), cpu_seconds(process.pid)
    clients = [Client(port, bodies[n::connections], began + seconds) for n in range(connections)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, memory = time.monotonic() - began, memory_mib(process.pid)
    time.sleep(7)  # the points settle: their cost belongs to the run
    used = cpu_seconds(process.pid) - cpu
    process.terminate()
    process.wait(20)
    latencies = sorted(latency for client in clients for latency in client.latencies)
    spans = batch * len(latencies)
    stored = spans + batch * WARM_UP
    size = sum(file.stat().st_size for file in folder.iterdir())
    return Figures(
        spans_per_s=spans / took,
        cpu_us=used / spans * 1e6,
        per_core=spans / used,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
        bytes_per_span=size / stored,
        rss_mib=memory,
        refused=sum(client.refused for client in clients),
    )


def main() -> None:
    """Run every batch size and print one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 16, 1])
    parser.add_argument("--peers", action="store_true", help="the same load for Phoenix and MLflow, and nothing else")
    parser.add_argument("--spans", type=int, default=4096, help="spans for each peer")
    given = parser.parse_args()
    if given.peers:
        numbers = random.Random(1)
        for batch in given.batch:
            count = max(given.spans // batch, 1) + ingest_peers.WARM_UP
            ingest_peers.compare([request_of(batch, numbers, time.time()) for _ in range(count)], batch)
        return
    for batch in given.batch:
        runs = []
        for _ in range(given.repeats):
            with tempfile.TemporaryDirectory() as folder:
                connections = given.connections if batch > 1 else given.connections * 8
                runs.append(run(batch, given.seconds, connections, Path(folder)))
        medians = {name: round(statistics.median(getattr(r, name) for r in runs), 1) for name in vars(runs[0])}
        print(json.dumps({"batch": batch, **medians}), flush=True)


if __name__ == "__main__":
    main()
