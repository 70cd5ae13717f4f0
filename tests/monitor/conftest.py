"""A collector that keeps what it is sent, and a monitor configured to send to it."""

import contextlib
import gzip
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell import monitor


@dataclass
class SentSpan:
    """A span as the collector decoded it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """An OTLP/HTTP receiver. ``status`` and ``body`` are what it answers; ``bodies`` what it was sent."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    bodies: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    last_headers: Any = None
    last_path: str = ""
    requests: int = 0
    hold: threading.Event | None = None

    def received(self) -> list[SentSpan]:
        """Everything that arrived so far."""
        return [span for body in self.bodies for span in decoded(body)]

    def spans(self) -> list[SentSpan]:
        """Everything that arrived, after waiting for what is on its way."""
        assert monitor.flush(10)
        return self.received()

    def span(self) -> SentSpan:
        """The only span that arrived."""
        [span] = self.spans()
        return span


def decoded(body: bytes) -> Iterator[SentSpan]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for resource_spans in request.resource_spans:
        resource = {pair.key: value(pair.value) for pair in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield SentSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    {pair.key: value(pair.value) for pair in span.attributes},
                    resource,
                )


def value(given: Any) -> Any:
    kind = given.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in given.array_value.values]
    return getattr(given, kind)


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on the loopback; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are expected
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def keeping(kept: Collector) -> type[http.server.BaseHTTPRequestHandler]:
    """What answers for a collector."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            kept.requests += 1
            if kept.hold is not None:
                kept.hold.wait(20)
            kept.last_headers, kept.last_path = self.headers, self.path
            kept.bodies.append(body)
            self.send_response(kept.status)
            for name, text in kept.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(kept.body)))
            with contextlib.suppress(OSError):  # the client may have given up
                self.end_headers()
                self.wfile.write(kept.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()
    with serving(keeping(kept)) as port:
        kept.url = f"http://127.0.0.1:{port}"
        yield kept


@pytest.fixture
def serving_tls() -> Iterator[Callable[[Collector, ssl.SSLContext, bool], str]]:
    """Puts a collector behind TLS, with or without a certificate that the client must show; gives the address."""
    with contextlib.ExitStack() as running:

        def start(kept: Collector, context: ssl.SSLContext, mutual: bool) -> str:
            context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
            return f"https://127.0.0.1:{running.enter_context(serving(keeping(kept), context))}"

        yield start


@pytest.fixture
def serving_proxy() -> Iterator[Callable[[type[http.server.BaseHTTPRequestHandler]], int]]:
    """Runs a proxy; gives its port."""
    with contextlib.ExitStack() as running:
        yield lambda handler: running.enter_context(serving(handler))


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of our own fail the test instead of being logged."""
    monkeypatch.setenv("DRIFTBELL_STRICT", "1")


@pytest.fixture
def recording(collector: Collector) -> Iterator[Collector]:
    """A collector, and the monitor sending to it."""
    monitor.shutdown()
    assert monitor.configure(endpoint=collector.url, service="tests")
    yield collector
    monitor.shutdown()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds, at most ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < until, "it did not happen in ten seconds"
            time.sleep(0.01)

    return wait
