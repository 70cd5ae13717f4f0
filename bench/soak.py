"""Keep the receiver at its limit for minutes and print every ten seconds what it sustains and how much memory it holds.

usage: soak.py [--minutes M] [--batch B] [--connections C]

Spans are those of ``ingest.py``. Requests are made as they are sent, from a few prepared ones with new ids and times,
and are not compressed. A client that is refused waits as long as the server asks it to.
"""

import argparse
import gzip
import http.client
import itertools
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingest import PROCESS, cpu_seconds, memory_mib, request_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HEADERS = {"content-type": "application/x-protobuf"}
EVERY_S = 10
MOULDS = 4


class Mould:
    """A request of which each copy has other ids and the time at which it is made."""

    def __init__(self, spans: int, numbers: random.Random) -> None:
        now = time.time()
        self._body = bytearray(gzip.decompress(request_of(spans, numbers, now)))
        self._numbers = numbers
        request = ExportTraceServiceRequest.FromString(bytes(self._body))
        held = request.resource_spans[0].scope_spans[0].spans
        places: dict[bytes, list[int]] = {}
        self._responses: list[int] = []
        self._times: list[tuple[int, int]] = []
        at = -1
        for span in held:
            at = self._body.find(span.trace_id, at + 1)  # a wrapper and its call have the same
            for one in filter(None, (span.trace_id, span.span_id, span.parent_span_id)):
                places.setdefault(one, []).append(self._body.find(one, at))
            for nanos in (span.start_time_unix_nano, span.end_time_unix_nano):
                packed, end = struct.pack("<Q", nanos), at + span.ByteSize()
                found = (m.start() for m in re.finditer(re.escape(packed), self._body[at:end]))
                self._times.extend((at + place, nanos - int(now * 1e9)) for place in found)
            if b"chatcmpl-" in self._body[at : at + span.ByteSize()]:
                self._responses.append(self._body.find(b"chatcmpl-", at) + len("chatcmpl-"))
        self._ids = [(len(one), held_at) for one, held_at in places.items()]
        counts = re.finditer(rb"gen_ai\.usage\.(?:in|out)put_tokens\x12([\x02\x03])\x18", self._body)
        self._counts = [(found.end(), 128 * (found[1] == b"\x03")) for found in counts]

    def copy(self) -> bytes:
        """The next copy."""
        body, numbers, now = self._body, self._numbers, time.time_ns()
        for size, places in self._ids:
            made = numbers.randbytes(size)
            for at in places:
                body[at : at + size] = made
        for at in self._responses:
            body[at : at + 24] = b"%024x" % numbers.getrandbits(96)
        for at, more in self._counts:
            body[at] = more | numbers.randrange(
                1, 128
            )  # calls of one moment with equal counts would be taken for views of one call
        for at, shift in self._times:
            struct.pack_into("<Q", body, at, now + shift)
        return bytes(body)


@dataclass
class Client:
    """One connection that sends request after request."""

    port: int
    bodies: Iterator[bytes]
    until: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refused: int = 0

    def run(self) -> None:
        """Send until the time is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.monotonic() < self.until:
            body = next(self.bodies)
            began = time.monotonic()
            connection.request("POST", "/v1/traces", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.latencies.append(time.monotonic() - began)
            else:
                self.refused += 1
                time.sleep(float(answer.getheader("retry-after", "1")))


def clients(port: int, batch: int, connections: int) -> list[Client]:
    """Clients with requests of their own."""
    made = []
    for number in range(connections):
        moulds = [Mould(batch, random.Random(MOULDS * number + n)) for n in range(MOULDS)]
        copies = (moulds[n % MOULDS].copy() for n in itertools.count())
        made.append(Client(port, copies))
    return made


def watch(process: int, sending: list[Client], threads: list[threading.Thread], batch: int, folder: Path) -> int:
    """Print a line every ten seconds while any of ``threads`` runs; how many spans were acknowledged."""
    began, sent, cpu, taken = time.monotonic(), 0, cpu_seconds(process), [0] * len(sending)
    while any(thread.is_alive() for thread in threads):
        time.sleep(EVERY_S)
        latest = sorted(each for client, seen in zip(sending, taken, strict=True) for each in client.latencies[seen:])
        taken = [len(client.latencies) for client in sending]
        now, used = sum(taken) * batch, cpu_seconds(process)
        figures = {
            "s": round(time.monotonic() - began),
            "spans_per_s": (now - sent) // EVERY_S,
            "cpu_us": round((used - cpu) / max(now - sent, 1) * 1e6, 1),
            "p50_ms": round(latest[len(latest) // 2] * 1e3) if latest else None,
            "p99_ms": round(latest[int(len(latest) * 0.99)] * 1e3) if latest else None,
            "refused": sum(client.refused for client in sending),
            "rss_mib": round(memory_mib(process), 1),
            "bytes_per_span": size_of(folder) // max(now, 1),
        }
        print(json.dumps(figures), flush=True)
        sent, cpu = now, used
    return sent


def size_of(folder: Path) -> int:
    """Bytes of the store on disk."""
    return sum(file.stat().st_size for file in folder.iterdir())


def main() -> None:
    """Load a fresh store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--connections", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, str(PROCESS), folder], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        sending = clients(port, given.batch, given.connections)
        for client in sending:
            client.until = time.monotonic() + 60 * given.minutes
        threads = [threading.Thread(target=client.run) for client in sending]
        for thread in threads:
            thread.start()
        spans = watch(process.pid, sending, threads, given.batch, Path(folder))
        process.terminate()
        process.wait(60)
        print(json.dumps({"spans": spans, "bytes_per_span_after_checkpoint": size_of(Path(folder)) // max(spans, 1)}))


if __name__ == "__main__":
    main()
