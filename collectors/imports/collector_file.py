"""What the Collector's file exporter writes -> request bodies: a JSON object per line, or length and message.

With ``format: proto`` every message has its length before it, four bytes, the highest first. Files of traces and logs
are read alike. https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/fileexporter
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

from driftbell.collectors.decode import Encoding, MalformedError, decode_logs, decode_traces
from driftbell.collectors.imports.lines import MAX_LINE_BYTES, OnBad, Opened, lines
from driftbell.collectors.merge import event_span
from driftbell.collectors.span import Span


def is_framed(start: bytes) -> bool:
    """Whether a file begins with a plausible length before a protobuf message (field 1, a message)."""
    return len(start) >= 5 and 0 < int.from_bytes(start[:4], "big") <= MAX_LINE_BYTES and start[4:5] == b"\x0a"


def requests(path: Path, on_bad: OnBad) -> Iterator[tuple[int, list[Span], int]]:
    """Number, spans and bytes read so far of each request in the file; bad requests and spans are reported."""
    with Opened(path) as file:
        framed = is_framed(_peek(path))
        encoding: Encoding = "protobuf" if framed else "json"
        bodies = _frames(file, on_bad) if framed else lines(file, on_bad)
        for number, body in bodies:
            try:
                found, rejected = _decode(body, encoding)
            except MalformedError as error:
                on_bad(number, str(error))
                continue
            if rejected:
                on_bad(number, rejected)
            yield number, found, file.at


def _peek(path: Path) -> bytes:
    with Opened(path) as file:
        return file.plain.read(5)


def _decode(body: bytes, encoding: Encoding) -> tuple[list[Span], str]:
    if encoding == "json" and b'"resourceLogs"' in body:
        logs = decode_logs(body, encoding)
        events = [span for span in map(event_span, logs.records) if span is not None]
        return events, logs.error_message
    traces = decode_traces(body, encoding)
    return traces.spans, traces.error_message


def _frames(file: Opened, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        while head := file.plain.read(4):
            number += 1
            size = int.from_bytes(head, "big")
            if len(head) < 4 or not 0 < size <= MAX_LINE_BYTES:
                on_bad(number, "no length of a message stands here; nothing after it was read")
                return
            body = file.plain.read(size)
            if len(body) < size:
                on_bad(number, "the file ends within a message")
                return
            yield number, body
    except (EOFError, OSError, zlib.error) as broken:
        on_bad(number + 1, f"the gzip file is damaged here: {broken}")
