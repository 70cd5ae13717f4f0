"""CPU per span of decoding and interpreting, in one thread: ``python bench/interpret.py [FOLDER]``.

FOLDER holds recorded OTLP bodies as ``<emitter>/<case>.traces.<n>.{bin,json}`` (default: those of the tests). The
second part is a batch as in production: 512 spans of one service, a third of them calls.
"""

import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.decode import Encoding, decode_traces
from driftbell.collectors.merge import interpret, is_relevant, link_keys
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.span import Span

RECORDED = Path(__file__).parent.parent / "tests" / "collectors" / "otlp"
BATCH = 512
T0_NS = 1_795_000_000_000_000_000


def recorded(folder: Path) -> list[tuple[bytes, Encoding]]:
    """The bodies of all recorded trace requests, decompressed."""
    bodies: list[tuple[bytes, Encoding]] = []
    for path in sorted(folder.glob("*/*.traces.*")):
        if "headers" not in path.name:
            body = path.read_bytes()
            body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            bodies.append((body, "json" if path.suffix == ".json" else "protobuf"))
    return bodies


def batch() -> bytes:
    """One request of 512 spans: handler, call with 18 attributes, request to the provider; content off."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in (("service.name", "shop"), ("service.instance.id", "a1")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    for n in range(BATCH):
        call, role = divmod(n, 3)
        span = scope.spans.add(name=("POST /answer", "chat gpt-4o-mini", "POST")[role], kind=(2, 3, 3)[role])
        span.trace_id = (call + 1).to_bytes(16, "big")
        span.span_id = (n + 1).to_bytes(8, "big")
        span.parent_span_id = n.to_bytes(8, "big") if role else b""
        span.start_time_unix_nano = T0_NS + n * 1_000_000 + role
        span.end_time_unix_nano = T0_NS + n * 1_000_000 + 900_000_000 - role
        _describe(span, call, role)
    return request.SerializeToString()


def _describe(span: object, call: int, role: int) -> None:
    attributes = {"http.request.method": "POST", "http.response.status_code": 200, "server.address": "api.test"}
    if role == 1:
        attributes = {f"app.field_{i}": f"v{(call * i) % 7}" for i in range(6)} | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": f"chatcmpl-{call:08x}",
            "gen_ai.usage.input_tokens": 900 + call,
            "gen_ai.usage.output_tokens": 200 + call % 50,
            "gen_ai.usage.cache_read.input_tokens": 640,
            "gen_ai.request.temperature": "0.2",
            "gen_ai.request.max_tokens": 400,
            "server.address": "api.test",
            "server.port": 443,
        }
    for key, value in attributes.items():
        holder = span.attributes.add(key=key).value  # type: ignore[attr-defined]
        if isinstance(value, int):
            holder.int_value = value
        else:
            holder.string_value = value


def per_span(work: Callable[[], object], spans: int, seconds: float = 2.0) -> float:
    """Microseconds of CPU per span, the best of as many runs as fit into ``seconds``."""
    best, until = float("inf"), time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / spans * 1e6


def report(title: str, bodies: list[tuple[bytes, Encoding]]) -> None:
    """Print the cost of each stage for ``bodies``."""
    decoded: list[list[Span]] = [decode_traces(*body).spans for body in bodies]
    spans = [span for group in decoded for span in group]
    prices = PriceTable()
    stages = {
        "decode": lambda: [decode_traces(*body) for body in bodies],
        "relevant + link keys": lambda: [(is_relevant(span), link_keys(span)) for span in spans],
        "interpret": lambda: [interpret(group, prices) for group in decoded],
    }
    size = sum(len(body) for body, _ in bodies) / len(spans)
    print(f"{title}: {len(spans)} spans, {size:.0f} B per span")
    for name, work in stages.items():
        print(f"  {name:22} {per_span(work, len(spans)):7.1f} µs CPU per span")


if __name__ == "__main__":
    report("recorded", recorded(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED))
    report("batch of 512", [(batch(), "protobuf")])
