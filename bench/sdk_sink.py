"""A collector in a process of its own, which counts the spans it takes, or hangs."""

import gzip
import http.server
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def _serve(counted: "Synchronized[int]", port: Any) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/v1/traces"):
                self._count(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            answer = b"" if self.path.endswith("/v1/traces") else b"{}"  # other than OTLP, some peers speak JSON
            self.send_response(200)
            self.send_header("Content-Type", self.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815

        def _count(self, body: bytes) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            spans = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
            with counted.get_lock():
                counted.value += spans

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.put(server.server_port)
    server.serve_forever()


class Sink:
    """The counting collector: its address, and how many spans it took so far."""

    def __init__(self, url: str, counted: "Synchronized[int]") -> None:
        self.url = url
        self._counted = counted

    def taken(self) -> int:
        """Spans taken since the last time this was asked."""
        with self._counted.get_lock():
            value, self._counted.value = self._counted.value, 0
        return value


@contextmanager
def sink() -> Iterator[Sink]:
    """A collector that takes everything."""
    counted: Synchronized[int] = multiprocessing.Value("i", 0)
    port: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=_serve, args=(counted, port), daemon=True)
    process.start()
    try:
        yield Sink(f"http://127.0.0.1:{port.get(timeout=10)}", counted)
    finally:
        process.terminate()
        process.join()


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a collector that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"
