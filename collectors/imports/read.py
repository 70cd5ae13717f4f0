"""Any file of history -> batches of spans for the store, with its format found out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args

from driftbell.collectors.imports import call_records, collector_file, langfuse, phoenix
from driftbell.collectors.imports.lines import OnBad, Opened, Row, UnreadableError, lines, rows, start_of
from driftbell.collectors.imports.spans import BadRowError
from driftbell.collectors.records import BadRecordError, Record, parse_record
from driftbell.collectors.span import Span

Format = Literal["records", "otlp", "langfuse", "phoenix"]
FORMATS: tuple[Format, ...] = get_args(Format)
PORTION = 2000
"""Spans that go to the store together, about."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Spans of consecutive rows, how many rows they were, and the bytes of the file read so far."""

    spans: list[Span]
    rows: int
    read: int


def detect(path: Path) -> Format:
    """The format of a file; raises `UnreadableError` that says which there are."""
    start = start_of(path)
    if not start.strip():
        raise UnreadableError("it is empty")
    if collector_file.is_framed(start):
        return "otlp"
    first = next(rows(path, lambda _number, _reason: None), None)
    fields = {} if first is None else first.fields
    if {"resourceSpans", "resourceLogs"} & set(fields):
        return "otlp"
    if phoenix.is_phoenix(fields):
        return "phoenix"
    if langfuse.is_langfuse(fields):
        return "langfuse"
    if "ts" in fields:
        return "records"
    raise UnreadableError(f"its format is not known; name it with --format: {', '.join(FORMATS)}")


def portions(path: Path, form: Format, on_bad: OnBad) -> Iterator[Portion]:
    """The spans of a file, in portions; bad rows are reported. Raises `UnreadableError`."""
    spans: list[Span] = []
    count, read = 0, 0
    for found, read in _spans(path, form, on_bad):
        spans += found
        count += 1
        if len(spans) >= PORTION:
            yield Portion(spans, count, read)
            spans, count = [], 0
    if count:
        yield Portion(spans, count, read)


def _spans(path: Path, form: Format, on_bad: OnBad) -> Iterator[tuple[list[Span], int]]:
    if form == "otlp":
        for _number, found, read in collector_file.requests(path, on_bad):
            yield found, read
        return
    if form == "records":
        yield from _records(path, on_bad)
        return
    take = langfuse.spans if form == "langfuse" else phoenix.spans
    for row in rows(path, on_bad):
        try:
            yield list(take(_told(row))), row.read
        except BadRowError as bad:
            on_bad(row.number, str(bad))


def _told(row: Row) -> dict[str, object]:
    """The fields that say something: tables write nothing in several ways."""
    return {name: value for name, value in row.fields.items() if value is not None and value == value}


def _records(path: Path, on_bad: OnBad) -> Iterator[tuple[list[Span], int]]:
    twins = call_records.Twins()
    with Opened(path) as file:
        for number, line in lines(file, on_bad):
            try:
                record = _hashed(parse_record(line))
            except BadRecordError as bad:
                on_bad(number, str(bad))
                continue
            yield list(call_records.spans(record, twins.identity(line))), file.at


def _hashed(record: Record) -> Record:
    """Without raw user ids, which are never stored; equal users stay equal."""
    call, task = record.call, record.manual_task
    if call is not None and call.user_id is not None:
        call = replace(call, user_id=_hash(call.user_id))
    if task is not None and task.user_id is not None:
        task = replace(task, user_id=_hash(task.user_id))
    return record._replace(call=call, manual_task=task)


def _hash(user: str) -> str:
    return blake2b(user.encode("utf-8", "replace"), digest_size=8).hexdigest()
