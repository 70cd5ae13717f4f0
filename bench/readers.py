"""Fifty readers beside full ingest: how much later do acknowledgements come? In one run, periods with and without.

usage: readers.py [--readers N] [--every S] [--seconds S] [--rounds N] [--batch B] [--page]

A service on a fresh store takes spans from four connections as fast as it acknowledges them. In every other period
``--readers`` readers ask besides, each every ``--every`` seconds for something else of what a person opens: the API,
or the pages with ``--page``. Prints the median and 99th percentile of the acknowledgement per kind of period, the
ratio of the medians, and how long the readers waited. The goal is a ratio of at most 1.2.
"""

import argparse
import gzip
import http.client
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ingest import request_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

API = (
    "/api/v1/workflows",
    "/api/v1/incidents?state=all",
    "/api/v1/calls?workflow=workflow-3&limit=100",
    "/api/v1/usage?group_by=workflow,model&since={recently}",
    "/api/v1/points?workflow=workflow-3&resolution=minute&limit=500",
)
PAGES = ("/", "/workflow?name=workflow-3", "/incidents", "/calls?workflow=workflow-3")
SERVE = [sys.executable, "-c", "from driftbell.service.cli import main; main()", "serve", "--grpc", "off"]


def read(port: int, paths: list[str], every: float, until: float, waited: list[float]) -> None:
    """One reader: asks, looks for a while, asks for the next."""
    random.seed(id(waited) + threading.get_ident())
    time.sleep(random.uniform(0, every))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path in itertools.cycle(random.sample(paths, len(paths))):
        if time.time() >= until:
            return
        began = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
        waited.append(time.monotonic() - began)
        time.sleep(max(0.0, every - waited[-1]))


def readers(port: int, paths: list[str], count: int, every: float, until: float) -> None:
    """All readers, in a process of their own; prints how long each answer took."""
    waited: list[float] = []
    threads = [threading.Thread(target=read, args=(port, paths, every, until, waited)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(waited))


class Body:
    """A request that is new each time it is sent: every id in it is replaced by another one."""

    def __init__(self, batch: int, numbers: random.Random) -> None:
        self._bytes = bytearray(gzip.decompress(request_of(batch, numbers, time.time())))
        request = ExportTraceServiceRequest.FromString(bytes(self._bytes))
        ids = set()
        for span in request.resource_spans[0].scope_spans[0].spans:
            ids |= {span.trace_id, span.span_id}
            ids |= {a.value.string_value.encode()[9:] for a in span.attributes if a.key == "gen_ai.response.id"}
        self._places: dict[bytes, list[int]] = {
            each: [found.start() for found in re.finditer(re.escape(each), self._bytes)] for each in ids
        }

    def fresh(self, numbers: random.Random) -> bytes:
        """The request with ids of its own."""
        for each, at in self._places.items():
            new = numbers.randbytes(len(each)) if len(each) < 24 else numbers.randbytes(12).hex().encode()
            for start in at:
                self._bytes[start : start + len(each)] = new
        return bytes(self._bytes)


class Sender(threading.Thread):
    """One connection that sends until it is stopped and notes when each acknowledgement came and how late."""

    def __init__(self, port: int, batch: int, seed: int, stop: threading.Event) -> None:
        super().__init__()
        self.port, self.stop, self.numbers = port, stop, random.Random(seed)
        self.bodies = [Body(batch, self.numbers) for _ in range(4)]
        self.acks: list[tuple[float, float]] = []
        self.refused = 0

    def run(self) -> None:
        """Send."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for body in itertools.cycle(self.bodies):
            if self.stop.is_set():
                return
            fresh = body.fresh(self.numbers)
            began = time.monotonic()
            connection.request("POST", "/v1/traces", fresh, {"content-type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.acks.append((began, time.monotonic() - began))
            else:  # more than it takes: as a client does, wait a little
                self.refused += 1
                time.sleep(1)


def _paths(page: bool) -> list[str]:
    return list(PAGES) if page else [path.format(recently=round(time.time() - 600)) for path in API]


def main() -> None:
    """Run the periods and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--as-readers", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_readers:
        readers(int(given.as_readers[0]), _paths(given.page), given.readers, given.every, float(given.as_readers[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [*SERVE, "--data-dir", folder, "--http", "127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            try:
                assert service.stdout is not None
                port = int(service.stdout.readline().split("http=")[1].split()[0].rpartition(":")[2])
                print(json.dumps(_measure(port, given)))
            finally:
                service.terminate()


def _measure(port: int, given: argparse.Namespace) -> dict[str, object]:
    stop = threading.Event()
    senders = [Sender(port, given.batch, seed, stop) for seed in range(4)]
    for sender in senders:
        sender.start()
    time.sleep(5)
    periods: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    waited: list[float] = []
    for number in range(2 * given.rounds):
        reading = number % 4 in (1, 2)  # without, with, with, without, ...
        began = time.monotonic()
        if reading:
            waited += _read_for(port, given)
        else:
            time.sleep(given.seconds)
        periods[reading].append((began + 1, time.monotonic()))
    stop.set()
    for sender in senders:
        sender.join()
    acks = [ack for sender in senders for ack in sender.acks]
    told = {kind: _latencies(acks, spans) for kind, spans in periods.items()}
    alone, beside = (statistics.median(told[kind]) for kind in (False, True))
    return {
        "ack_ms_alone": [round(1e3 * alone, 1), round(1e3 * _late(told[False]), 1)],
        "ack_ms_with_readers": [round(1e3 * beside, 1), round(1e3 * _late(told[True]), 1)],
        "ratio": round(beside / alone, 2),
        "acks": [len(told[False]), len(told[True])],
        "refused": sum(sender.refused for sender in senders),
        "answers": len(waited),
        "answer_ms": [round(1e3 * statistics.median(waited), 1), round(1e3 * _late(waited), 1)],
    }


def _read_for(port: int, given: argparse.Namespace) -> list[float]:
    options = ["--readers", str(given.readers), "--every", str(given.every), *(["--page"] if given.page else [])]
    until = str(time.time() + given.seconds)
    command = [sys.executable, str(Path(__file__)), *options, "--as-readers", str(port), until]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


def _latencies(acks: list[tuple[float, float]], spans: list[tuple[float, float]]) -> list[float]:
    return [took for began, took in acks if any(start <= began < end for start, end in spans)]


def _late(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


if __name__ == "__main__":
    main()
