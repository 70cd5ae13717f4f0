"""Files as numbered rows: JSON Lines, JSON documents, CSV and Parquet, gzip or plain."""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

MAX_DOCUMENT_BYTES = 256 << 20
"""A JSON document is read as a whole; JSON Lines may be of any length."""
MAX_LINE_BYTES = 64 << 20
GZIP, PARQUET, ZSTD = b"\x1f\x8b", b"PAR1", b"\x28\xb5\x2f\xfd"
Fields = dict[str, Any]
OnBad = Callable[[int, str], None]


class UnreadableError(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the file (from 1), what it holds, and the bytes of the file read so far."""

    number: int
    fields: Fields
    read: int


class Opened:
    """A file whose content is read plain while the place in the file as it lies on disk is known."""

    def __init__(self, path: Path) -> None:
        self._raw: BinaryIO = path.open("rb")
        self.head = self._raw.read(4)
        self._raw.seek(0)
        zipped = self.head[:2] == GZIP
        self.plain = cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw) if zipped else self._raw)

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_error: object) -> None:
        self.plain.close()
        self._raw.close()

    @property
    def at(self) -> int:
        """Bytes of the file that were read."""
        return self._raw.tell()


def start_of(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of the content; raises `UnreadableError` for a damaged file."""
    with Opened(path) as file:
        try:
            return file.plain.read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise UnreadableError(f"the gzip file is damaged: {error}") from None


def rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """Every good row; a bad one is reported as ``on_bad(number, reason)``. Raises `UnreadableError`."""
    start = start_of(path)
    if start[:4] == PARQUET:
        yield from _parquet(path)
    elif start[:4] == ZSTD:
        raise UnreadableError("it is compressed with zstd; unpack it first: zstd -d FILE")
    elif _is_csv(start):
        yield from _csv(path, on_bad)
    elif _is_lines(start):
        yield from _lines(path, on_bad)
    else:
        yield from _document(path, on_bad)


def lines(file: Opened, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty with their numbers; a damaged or endless one is reported and ends the reading."""
    number = 0
    try:
        while line := file.plain.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) >= MAX_LINE_BYTES:
                on_bad(number, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; nothing after it was read")
                return
            if line.strip():
                yield number, line
    except (EOFError, OSError, zlib.error) as broken:
        on_bad(number + 1, f"the gzip file is damaged here: {broken}")


def _is_lines(start: bytes) -> bool:
    """Whether the first line is a JSON object of its own."""
    first, end, rest = start.lstrip().partition(b"\n")
    if not first.startswith(b"{"):
        return not first.startswith(b"[")
    if not end and len(start) >= 1 << 16:
        return True
    try:
        found = json.loads(first)
    except ValueError:
        return bool(rest.strip()) and first.rstrip() != b"{" and not first.rstrip().endswith((b"[", b","))
    return not (isinstance(found, dict) and isinstance(found.get("data"), list))


def _is_csv(start: bytes) -> bool:
    first = start.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0]
    return b"," in first and first[:1] not in (b"{", b"[")


def _lines(path: Path, on_bad: OnBad) -> Iterator[Row]:
    with Opened(path) as file:
        for number, line in lines(file, on_bad):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                on_bad(number, f"not JSON: {error}")
                continue
            if isinstance(found, dict):
                yield Row(number, found, file.at)
            else:
                on_bad(number, "not a JSON object")


def _document(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """A JSON array, or an answer of an API that has its rows under ``data``."""
    with Opened(path) as file:
        try:
            text = file.plain.read(MAX_DOCUMENT_BYTES + 1)
            if len(text) > MAX_DOCUMENT_BYTES:
                raise UnreadableError(f"a JSON document of more than {MAX_DOCUMENT_BYTES >> 20} MiB; use JSON Lines")
            found = json.loads(text)
        except (EOFError, OSError, zlib.error, RecursionError) as error:
            raise UnreadableError(f"it is damaged: {error}") from None
        except ValueError as error:
            raise UnreadableError(f"it is not JSON: {error}") from None
        items = found.get("data", [found]) if isinstance(found, dict) else found
        for number, item in enumerate(items if isinstance(items, list) else [items], 1):
            if isinstance(item, dict):
                yield Row(number, item, file.at)
            else:
                on_bad(number, "not a JSON object")


def _csv(path: Path, on_bad: OnBad) -> Iterator[Row]:
    csv.field_size_limit(min(MAX_LINE_BYTES, sys.maxsize))
    with Opened(path) as file:
        text = io.TextIOWrapper(file.plain, encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.DictReader(text)
        number = 1
        try:
            for fields in reader:
                number = reader.line_num
                if None in fields or None in fields.values():
                    on_bad(number, "the row has not as many cells as there are columns")
                    continue
                yield Row(number, {name: _cell(cell) for name, cell in fields.items()}, file.at)
        except (csv.Error, EOFError, OSError, zlib.error) as broken:
            on_bad(number + 1, f"the file is damaged here: {broken}")


def _cell(cell: str) -> Any:
    """Objects, lists and numbers stand in CSV as JSON; everything else is text, and an empty cell is nothing."""
    if cell == "":
        return None
    if cell[0] in '{["-0123456789' or cell in ("true", "false", "null"):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise UnreadableError("reading Parquet needs a package: pip install 'driftbell[parquet]'") from None
    try:
        file = parquet.ParquetFile(path)
        size, done = path.stat().st_size, 0
        for batch in file.iter_batches(batch_size=1000):
            for fields in batch.to_pylist():
                done += 1
                yield Row(done, fields, size * done // max(file.metadata.num_rows, 1))
    except (ArrowException, OSError) as error:
        raise UnreadableError(f"it is no Parquet file that can be read: {' '.join(str(error).split())[:200]}") from None
