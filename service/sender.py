"""Plays call records over OTLP/HTTP, as an application would have sent them: `python -m driftbell.service.sender`.

Before each request it writes a line ``EVENT_TIME RECORDS`` and waits for a line in return, so that whoever drives it
can move a clock along.
"""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import requests

from driftbell.collectors.records import Record, read_records
from driftbell.service import encode

WINDOW = 600.0
"""Seconds of traffic in one request."""
TIMEOUT = 60.0


def windows(records: Iterator[Record]) -> Iterator[tuple[float, list[Record]]]:
    """The records in portions of `WINDOW` seconds, each with the end of its window."""
    for window, portion in groupby(records, key=lambda record: record.ts // WINDOW):
        yield (window + 1) * WINDOW, list(portion)


def play(file: Path, url: str, shift: float) -> None:
    """Send every record of ``file``, ``shift`` seconds later than it tells; raises on anything but acceptance."""
    records = (line.record for line in read_records(file, _bad_line))
    sent = 0
    with requests.Session() as session:
        session.headers["Content-Type"] = "application/x-protobuf"
        for end, portion in windows(records):
            sys.stdout.write(f"{end + shift} {sent}\n")
            sys.stdout.flush()
            if not sys.stdin.readline():
                return
            for body in encode.requests(portion, shift, first=sent):
                session.post(url, data=body, timeout=TIMEOUT).raise_for_status()
            sent += len(portion)
    sys.stdout.write(f"end {sent}\n")


def _bad_line(number: int, reason: str) -> None:
    raise ValueError(f"line {number}: {reason}")


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
