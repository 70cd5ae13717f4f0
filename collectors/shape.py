"""Shape: which attributes, in which order, the spans of one instrumentation have, and which of them vary.

An attribute is a *slot* when its value goes unchanged into one field, so that two spans that differ in nothing else
mean the same but for that field; it is *idle* when its value means nothing as long as it is a plain word or number;
any other attribute is *fixed*: spans that differ in it are read apart. Attributes are compared as the bytes of their
``KeyValue``, whose beginning (key, type and lengths) follows from the key and the number of bytes.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from driftbell.collectors.dialects.aliases import BY_ATTRIBUTE, field_by_ending
from driftbell.collectors.dialects.extra import may_be_kept
from driftbell.collectors.dialects.values import NO_TEXT
from driftbell.collectors.dialects.vocabulary import names_a_kind

Value = str | int | float
Type = Literal["text", "int", "double"]
MAX_TEXT = 80
"""Bytes of a text that varies; `dialects.extra` keeps no longer one."""
MAX_COLUMNS = 96
VARIED = 8
"""Values of one attribute among the templates of a shape from which on it is taken to vary."""

FIELDS: dict[str, Type] = {
    "input_tokens": "int",
    "output_tokens": "int",
    "cached_tokens": "int",
    "cache_write_tokens": "int",
    "reasoning_tokens": "int",
    "total_tokens": "int",
    "response_id": "text",
    "session_id": "text",
    "user_id": "text",
    "ttft_s": "double",
    "ttft_ms": "double",
    "cost": "double",
    "retrieval_ms": "double",
    "workflow": "text",
    "segment": "text",
    "risk_tier": "text",
    "owner": "text",
    "prompt_name": "text",
    "prompt_version": "text",
}
"""Fields whose attributes are slots, and of what type they have to be. Their order is stored: add at the end only."""
LABELS = frozenset({"workflow", "segment", "risk_tier", "owner", "prompt_name", "prompt_version"})
"""Those of them that are slots only where they turned out to vary a lot."""
UNIQUE = frozenset({"response_id", "session_id", "user_id", "ttft_s", "ttft_ms", "cost", "retrieval_ms"})
"""Those of them whose values rarely come again."""
MEMO = 8192
KEPT_FROM = 24
"""Place of the first attribute that is kept as it came."""
PLACES = {name: at for at, name in enumerate(FIELDS)}
"""Where the value of a field stands among those of a span."""
_WORD = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@/+-"
_ODD_SIZE = 4
"""Bytes of each of `NO_TEXT`."""
_MOST_INT_BYTES = 7


class Column(NamedTuple):
    """A varying attribute: its position, the beginnings of its bytes by their number, its parser and its place.

    ``memo`` holds the values that were parsed lately, where values come again.
    """

    at: int
    heads: dict[int, tuple[bytes, int]]
    parse: Callable[[bytes], Value | None]
    place: int | None
    memo: dict[bytes, Value] | None

    def value(self, raw: bytes) -> Value | None:
        """The value of one attribute, ``None`` if it is not of this column."""
        memo = self.memo
        if memo is not None and (value := memo.get(raw)) is not None:
            return value
        head = self.heads.get(len(raw))
        if head is None or not raw.startswith(head[0]):
            return None
        value = self.parse(raw[head[1] :])
        if memo is not None and value is not None:
            if len(memo) >= MEMO:
                memo.clear()
            memo[raw] = value
        return value

    def read(self, raws: Sequence[bytes]) -> list[Value | None]:
        """`value` of each."""
        if self.memo is None:
            return self._words(raws) or list(map(self.value, raws))
        found: list[Value | None] = list(map(self.memo.get, raws))
        if None in found:
            found = [self.value(raw) if value is None else value for raw, value in zip(raws, found, strict=True)]
        return found

    def _words(self, raws: Sequence[bytes]) -> list[Value | None] | None:
        """`value` of texts that are equally long; ``None`` if they are not, or not all of them plain words."""
        size = len(raws[0])
        head = self.heads.get(size)
        if self.parse is not _word or head is None or size - head[1] == _ODD_SIZE or set(map(len, raws)) != {size}:
            return None
        first, skip = head
        if {raw[:skip] for raw in raws} != {first}:
            return None
        whole = b"".join([raw[skip:] for raw in raws])
        if whole.translate(None, _WORD):
            return None
        text, width = whole.decode(), size - skip
        return [text[at : at + width] for at in range(0, len(text), width)]


@dataclass(slots=True)
class Shape:
    """How spans with these ``keys`` are compared. ``wild`` shapes vary in what cannot be told apart cheaply.

    ``kept`` are the names of the slots that are kept as attributes, in order of their places.
    """

    keys: tuple[str, ...]
    varying: frozenset[int]
    columns: tuple[Column, ...]
    fixed: Callable[[Sequence[bytes]], object]
    kept: tuple[str, ...]
    size: int
    wild: bool = False
    hits: int = 0
    templates: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def give_up(self) -> None:
        """Spans of this shape have too little in common."""
        self.wild = True
        self.templates.clear()

    def fill(self, raws: Sequence[bytes]) -> list[Value | None] | None:
        """The varying values by place, or ``None`` if ``raws`` are not of this shape."""
        found: list[Value | None] = [None] * self.size
        for column in self.columns:
            value = column.value(raws[column.at])
            if value is None:
                return None
            if column.place is not None:
                found[column.place] = value
        return found


def shape_of(keys: tuple[str, ...], raws: Sequence[bytes], varying: Iterable[int] = ()) -> Shape:
    """The shape of spans with ``keys``, of which ``raws`` is one. ``varying`` are further columns to take as such."""
    named = {place.field for key in keys for place in BY_ATTRIBUTE.get(key, ()) if not place.member}
    winners = {name: min((k for k in keys if _field(k) == name), key=_rank, default=None) for name in named}
    columns: list[Column] = []
    kept: list[str] = []
    asked = set(varying)
    chosen: set[int] = set()
    for at, key in enumerate(keys):
        kind = type_of(key, raws[at])
        name = _field(key)
        if kind is None:
            continue
        if name in FIELDS and FIELDS[name] == kind and winners[name] == key and (name not in LABELS or at in asked):
            columns.append(Column(at, *_reader(key, kind), PLACES[name], None if name in UNIQUE else {}))
        elif at in asked and may_be_kept(key):
            columns.append(Column(at, *_reader(key, kind), KEPT_FROM + len(kept), {}))
            kept.append(key)
        elif at in asked:
            columns.append(Column(at, *_reader(key, kind), None, {}))
        else:
            continue
        chosen.add(at)
    fixed = [at for at in range(len(keys)) if at not in chosen]
    wild = len(set(keys)) < len(keys) or len(keys) > MAX_COLUMNS
    size = KEPT_FROM + len(kept)
    return Shape(keys, frozenset(chosen), tuple(columns), _picker(fixed), tuple(kept), size, wild)


def _picker(fixed: list[int]) -> Callable[[Sequence[bytes]], object]:
    return itemgetter(*fixed) if fixed else lambda _: ()


def _may_vary(key: str, shape: Shape) -> bool:
    """Whether an attribute can be idle or kept as it came: only its being there, if anything, may have a meaning."""
    field = _field(key)
    if field in FIELDS:
        read = {_field(shape.keys[at]) for at in shape.varying}
        # a label becomes a slot; of the others only those that say what another attribute says already
        return shape.keys.index(key) not in shape.varying and (field in LABELS or field in read)
    return key not in BY_ATTRIBUTE and not names_a_kind(key) and field_by_ending(key) is None


def type_of(key: str, raw: bytes) -> Type | None:
    """Which of the types a ``KeyValue`` is; ``None`` for any other and for one that is encoded in an unusual way."""
    for kind in ("text", "int", "double"):
        head = _heads(key, kind).get(len(raw))
        if head is not None and raw.startswith(head[0]) and _PARSERS[kind](raw[head[1] :]) is not None:
            return kind
    return None


def _field(key: str) -> str | None:
    """The field of an attribute that has one meaning only, its value as a whole."""
    places = BY_ATTRIBUTE.get(key, ())
    return places[0].field if len(places) == 1 and not places[0].member else None


def _rank(key: str) -> int:
    return BY_ATTRIBUTE[key][0].rank


def _reader(key: str, kind: Type) -> tuple[dict[int, tuple[bytes, int]], Callable[[bytes], Value | None]]:
    return _heads(key, kind), _PARSERS[kind]


@lru_cache(maxsize=4096)
def _heads(key: str, kind: str) -> dict[int, tuple[bytes, int]]:
    """How a ``KeyValue`` begins, by its length: key, type and the lengths of what is in it."""
    name = key.encode()
    start = b"\x0a" + varint(len(name)) + name + b"\x12"
    if kind == "double":
        bodies = [(8, b"\x21")]
    elif kind == "int":
        bodies = [(size, b"\x18") for size in range(1, _MOST_INT_BYTES + 1)]
    else:
        bodies = [(size, b"\x0a" + varint(size)) for size in range(1, MAX_TEXT + 1)]
    heads = ((size, start + varint(len(tag) + size) + tag) for size, tag in bodies)
    return {len(head) + size: (head, len(head)) for size, head in heads}


def varint(number: int) -> bytes:
    """A number that is not negative as protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int(raw: bytes) -> int | None:
    size = len(raw)
    if raw[-1] > 127:
        return None
    if size == 1:
        return raw[0]
    if size == 2:
        return raw[0] & 127 | raw[1] << 7 if raw[0] > 127 else None
    number = 0
    for byte in reversed(raw):
        number = number << 7 | byte & 127
    return number if min(raw[:-1]) > 127 else None


def _double(raw: bytes) -> float | None:
    number: float = _DOUBLE.unpack(raw)[0]
    return number if 0 <= number < _MOST_DOUBLE else None


_DOUBLE = struct.Struct("<d")
_MOST_DOUBLE = float(1 << 53)


def _word(raw: bytes) -> str | None:
    if raw.translate(None, _WORD):
        return None
    text = raw.decode()
    return None if text in NO_TEXT else text


_PARSERS: dict[str, Callable[[bytes], Value | None]] = {"text": _word, "int": _int, "double": _double}


def widened(shape: Shape, fixed: Iterable[Sequence[bytes]], raws: Sequence[bytes]) -> Shape | None:
    """``shape`` with the fixed attributes that turned out to vary taken as such; ``None`` if there is none."""
    places = [at for at in range(len(shape.keys)) if at not in shape.varying]
    held = [(row,) for row in fixed] if len(places) == 1 else list(fixed)
    found = {
        at
        for n, at in enumerate(places)
        if _may_vary(shape.keys[at], shape)
        and type_of(shape.keys[at], raws[at]) is not None
        and len({row[n] for row in held}) > VARIED
    }
    return shape_of(shape.keys, raws, chain(shape.varying, found)) if found else None
