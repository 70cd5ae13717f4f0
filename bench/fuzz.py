"""Coverage-guided fuzzing of the receiver, from HTTP request to committed rows (needs atheris: `make fuzz`).

usage: fuzz.py [--seconds S] [--corpus DIR] [--seed N] [INPUT ...]; with INPUT those are run again and nothing else.

The first three bytes of an input choose signal, encoding, compression and how the body is cut into chunks. A crash is
any answer of 5xx, any error that the receiver did not foresee, a body that was refused and yet left something in the
store, and one that, sent again, changes what is stored. libFuzzer watches time (10 s) and memory (2 GiB) per input.
Mutations know the encodings: half of them change one value or field of a decoded body, the rest change bytes.
"""

import argparse
import asyncio
import copy
import gzip
import json
import logging
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["driftbell.collectors"]):
    from driftbell.collectors.intake import SIGNALS, Intake, Limits
    from driftbell.collectors.receiver import Receiver
    from driftbell.collectors.store import Store

RECORDED = Path(__file__).resolve().parents[1] / "tests" / "collectors" / "otlp"
TYPES = (b"application/x-protobuf", b"application/json")
LIMITS = Limits(body=1 << 20, inflated=4 << 20)
STORED_MOST = 5000
"""Calls after which the store is begun anew, so that inputs stay fast."""
NASTY: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 2**64, 10**400, 1e308, float("nan"), float("-inf"), "", "\x00", "\ud800", "9" * 400),
    *([], {}, [[]], {"key": "k"}, "NaN", "0" * 32, "f" * 16, "1970", "[[[[", '{"a":' * 40, "{'a': 1}"),
)
_COUNTS = ("chunks", "calls", "judgements", "manual_tasks", "markers", "bodies")


class Target:
    """A receiver over a store of its own, driven in this process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._unforeseen: list[str] = []
        errors = logging.Handler(logging.ERROR)
        errors.emit = lambda record: self._unforeseen.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("driftbell").addHandler(errors)
        logging.getLogger("driftbell").propagate = False
        self._open()

    def __call__(self, data: bytes) -> None:
        """Send one input; raises AssertionError when the receiver breaks a promise."""
        if len(data) < 3:
            return
        signal, content_type, gzipped, body, cut = parse(data)
        before = self._counts()
        status = self._send(signal, content_type, gzipped, body, cut)
        stored = self._counts()
        assert status in (200, 400, 413), f"answer {status}"
        assert not self._unforeseen, self._unforeseen
        assert status == 200 or stored == before, f"{status}, and yet stored: {before} -> {stored}"
        if status == 200 and stored != before:
            calls = self._calls()
            assert self._send(signal, content_type, gzipped, body, 0) == 200
            assert self._calls() == calls, "the same again is not the same"
            if stored[1] > STORED_MOST:
                self._store.close()
                self._open()

    def _open(self) -> None:
        folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self._store = Store.open(Path(self._folder.name))
        self._receiver = Receiver(Intake(self._store, LIMITS))

    def _send(self, signal: str, content_type: bytes, gzipped: bool, body: bytes, cut: int) -> int:
        headers = [(b"content-type", content_type)] + [(b"content-encoding", b"gzip")] * gzipped
        pieces = [body[at : at + cut] for at in range(0, len(body), cut)] if cut else [body]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        answers: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            answers.append(message)

        scope = {"type": "http", "method": "POST", "path": f"/v1/{signal}", "headers": headers}
        self._loop.run_until_complete(self._receiver.handle(signal, scope, receive, send))  # type: ignore[arg-type]
        return int(answers[0]["status"])

    def _counts(self) -> tuple[int, ...]:
        query = ", ".join(f"(SELECT count(*) FROM {table})" for table in _COUNTS)
        return tuple(self._store.read().execute(f"SELECT {query}").fetchone())

    def _calls(self) -> list[tuple[Any, ...]]:
        return sorted(self._store.read().execute("SELECT * FROM calls").fetchall(), key=repr)


def parse(data: bytes) -> tuple[str, bytes, bool, bytes, int]:
    """Signal, content type, whether it is sent as gzip, body, and the size of its chunks (0: in one piece)."""
    body = data[3:]
    as_gzip = data[1] & 2
    if as_gzip and not data[1] & 4:
        body = gzip.compress(body, 1)  # else whatever the body is, it is said to be gzip
    return SIGNALS[data[0] % 3], TYPES[data[1] & 1], bool(as_gzip), body, data[2] * 7


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """One change: of a value in the body as it is encoded, or of its bytes."""
    numbers = random.Random(seed)
    head, body = data[:3], data[3:]
    try:
        if numbers.random() < 0.5 and len(head) == 3:
            change = mutated_json if head[1] & 1 else mutated_fields
            return (head + change(body, numbers))[:max_size]
    except (ValueError, RecursionError, OverflowError):
        pass
    return bytes(atheris.Mutate(data, max_size))


def mutated_json(body: bytes, numbers: random.Random) -> bytes:
    """The JSON ``body`` with one value replaced, taken out or doubled, or one key said twice."""
    tree = json.loads(body)
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(places) < 5000:
        here = waiting.pop()
        for key in here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ():
            places.append((here, key))
            waiting.append(here[key])
    if not places:
        return json.dumps(numbers.choice(NASTY)).encode()
    parent, key = numbers.choice(places)
    how = numbers.randrange(5)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, list):
        parent.extend(copy.deepcopy(parent[key]) for _ in range(numbers.choice((1, 1, 30))))
    elif how == 2:
        other, at = numbers.choice(places)
        parent[key] = copy.deepcopy(other[at])
    else:
        parent[key] = numbers.choice(NASTY)
    text = json.dumps(tree)
    if how == 4 and isinstance(key, str):
        text = text.replace(
            json.dumps(key) + ":", f"{json.dumps(key)}: {json.dumps(numbers.choice(NASTY))}, {json.dumps(key)}:", 1
        )
    return text.encode()


def mutated_fields(body: bytes, numbers: random.Random, depth: int = 0) -> bytes:
    """The protobuf ``body`` with one field, at some depth, taken out, doubled, swapped or filled otherwise."""
    fields = list(split(body))
    at = numbers.randrange(len(fields)) if fields else 0
    if not fields:
        return numbers.randbytes(numbers.randrange(20))
    tag, value = fields[at]
    how = numbers.randrange(8)
    if tag & 7 == 2 and how >= 3 and depth < 9:
        try:
            fields[at] = (tag, mutated_fields(value, numbers, depth + 1))
        except ValueError:  # it is a text, not a message
            fields[at] = (tag, numbers.choice((b"", b"\xff\xfe", b"\x00" * 16, value * 2, value[:-1])))
    elif how == 0:
        del fields[at]
    elif how == 1:
        fields += [fields[at]] * numbers.choice((1, 1, 40))
    else:
        fields[at] = (tag ^ (1 << numbers.randrange(6) & ~7), value) if how == 2 else (tag, value[::-1])
    return b"".join(map(joined, fields))


def split(body: bytes) -> "list[tuple[int, bytes]]":
    """Tag and raw value of every field; raises ValueError when it is no message."""
    found, at = [], 0
    while at < len(body):
        tag, at = _varint(body, at)
        if tag & 7 == 0:
            start = at
            _, at = _varint(body, at)
            found.append((tag, body[start:at]))
            continue
        if tag & 7 == 2:
            size, at = _varint(body, at)
        else:
            size = {1: 8, 5: 4}.get(tag & 7, -1)
        if size < 0 or at + size > len(body) or not tag >> 3:
            raise ValueError("no message")
        found.append((tag, body[at : at + size]))
        at += size
    return found


def joined(item: tuple[int, bytes]) -> bytes:
    """Inverse of `split` for one field."""
    tag, value = item
    return _written(tag) + (_written(len(value)) if tag & 7 == 2 else b"") + value


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("no number")


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def seeds(folder: Path) -> None:
    """Write the recorded requests of real emitters, in both encodings, as inputs to begin with."""
    for file in sorted(RECORDED.glob("*/*.[0-9].*")):
        signal = next((n for n, name in enumerate(SIGNALS) if f".{name}." in file.name), None)
        if signal is None or not file.stat().st_size < 60_000:
            continue
        body = file.read_bytes()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        head = bytes((signal, file.suffix == ".json", 0))
        (folder / f"{file.parent.name}-{file.name}").write_bytes(head + body)
    for number, body in enumerate((b"{}", b'{"resourceSpans":[]}', b"[" * 10**5, b"", b"null", b'{"a":1,"a":NaN}')):
        (folder / f"plain-{number}").write_bytes(bytes((number % 3, 1, 0)) + body)


def main() -> None:
    """Fuzz until the time is over; libFuzzer ends the process with 0, or with 77 and the input that broke it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--corpus", type=Path, help="folder of inputs; what finds new code is added to it")
    parser.add_argument("inputs", type=Path, nargs="*")
    given = parser.parse_args()
    target = Target()
    if given.inputs:
        for path in given.inputs:
            target(path.read_bytes())
        return
    corpus = given.corpus or Path(tempfile.mkdtemp(prefix="driftbell-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    seeds(corpus)
    options = [f"-max_total_time={given.seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
    options += [f"-seed={given.seed}", f"-artifact_prefix={corpus}/crash-", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
