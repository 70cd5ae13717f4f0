"""Enough of a ClickHouse server for several processes: the HTTP interface in front of chDB.

Run as a program with a folder: prints the port and serves until it is killed. One statement at a time.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import parse_qsl, urlsplit

import pytest


@contextmanager
def clickhouse_server(folder: Path) -> Iterator[str]:
    """The address of a running server with its data in ``folder``."""
    pytest.importorskip("chdb", reason="pip install -r requirements-clickhouse.lock")
    with subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


class Engine:
    """chDB, asked by one thread at a time."""

    def __init__(self, folder: str) -> None:
        import chdb

        self._connection = chdb.connect(folder)
        self._lock = threading.Lock()

    def run(self, statement: bytes, given: dict[str, str], database: str | None) -> bytes:
        head, _, data = statement.partition(b"\n")
        with self._lock, NamedTemporaryFile(suffix=".native") as file:
            if database:
                self._connection.query(f"USE {database}")
            if head.startswith(b"INSERT INTO") and head.endswith(b"FORMAT Native"):
                file.write(data)
                file.flush()
                into = head.decode().removesuffix(" FORMAT Native")
                return bytes(self._connection.query(f"{into} FROM INFILE '{file.name}' FORMAT Native").bytes())
            return bytes(self._connection.query(statement.decode(), "TabSeparated", params=given).bytes())


def handler(engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            body = decompressed(body, self.headers.get("Content-Encoding"))
            if self.headers.get_content_type() == "multipart/form-data":
                asked, body = asked | form(self.headers["Content-Type"], body), b""
            given = {name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")}
            statement = asked["query"].encode() + b"\n" + body if "query" in asked else body
            try:
                self._answer(200, engine.run(statement, given, asked.get("database")))
            except Exception as error:
                self._answer(500, str(error).encode())

        do_GET = do_POST  # noqa: N815  # the name that http.server calls

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline(), 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            return chunk

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-ClickHouse-Timezone", "UTC")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def form(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form, in which questions come with their parameters."""
    parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=HTTP).iter_parts()
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode() for part in parts
    }


def decompressed(body: bytes, encoding: str | None) -> bytes:
    from clickhouse_connect.driver._backend.chdb_backend import _decompress

    return _decompress(body, encoding) if encoding else body


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Engine(sys.argv[1])))
    print(server.server_port, flush=True)
    server.serve_forever()
