"""Block: spans of one scope read by column, so that what is the same for all of them is looked at once.

It says what `template.Templates` says of each span by itself; a span of which a block cannot tell comes to that way.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import le
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from driftbell.collectors.otlp import is_sampled
from driftbell.collectors.reading import event_matters
from driftbell.collectors.shape import MAX_COLUMNS, PLACES, Shape, Value

if TYPE_CHECKING:
    from driftbell.collectors.template import Filled, Template

BLOCK = 512
"""Spans that are looked at together."""
MOST_NANOS = 1 << 62
NO_TRACE, NO_SPAN = bytes(16), bytes(8)
_INPUT, _OUTPUT, _USER, _COST = (PLACES[name] for name in ("input_tokens", "output_tokens", "user_id", "cost"))
_TTFT = [PLACES[name] for name in ("ttft_s", "ttft_ms")]
_DETAILS = [PLACES[name] for name in ("cached_tokens", "cache_write_tokens", "reasoning_tokens")]
_Columns = list[Iterable[Value | None]]


def fit(shapes: Mapping[int, Sequence[Shape]], messages: Sequence[Any]) -> list["Filled | None"]:
    """What ``messages`` say that fit the templates of ``shapes`` (by number of attributes), in their order."""
    found: list[Filled | None] = [None] * len(messages)
    by_size: dict[int, list[int]] = {}
    raws: list[list[bytes]] = []
    for at, message in enumerate(messages):
        attributes = message.attributes
        size = len(attributes)
        if size <= MAX_COLUMNS and size in shapes:
            by_size.setdefault(size, []).append(at)
            raws.append(attributes[:])  # a fifth faster than going through them
        else:
            raws.append([])
    heads = [(m.name, m.kind, m.status, True if m.trace_state else signature(m)) for m in messages]
    for size, left in by_size.items():
        for shape in shapes[size]:
            if left and not shape.wild:
                left = _fit_shape(shape, messages, raws, heads, left, found)
    return found


def _fit_shape(
    shape: Shape,
    messages: Sequence[Any],
    raws: Sequence[list[bytes]],
    heads: Sequence[tuple[Any, ...]],
    left: list[int],
    found: list["Filled | None"],
) -> list[int]:
    """Put what fits the templates of one shape into ``found``; the positions that do not."""
    fixed, known = shape.fixed, shape.templates.get
    matching = [known((*heads[at], fixed(raws[at]))) for at in left]
    templates: list[Template] = [template for template in matching if template is not None]
    rest: list[int] = []
    if len(templates) < len(left):
        rest = [at for at, template in zip(left, matching, strict=True) if template is None]
        left = [at for at, template in zip(left, matching, strict=True) if template is not None]
    if left:
        shape.hits += len(left)
        rows = [raws[at] for at in left]
        spans = _filled(shape, templates, [messages[at] for at in left], rows)
        for at, span in zip(left, spans, strict=True):
            found[at] = span
    return rest


def _filled(
    shape: Shape, templates: list["Template"], messages: list[Any], rows: list[list[bytes]]
) -> list["Filled | None"]:
    """Spans with their values taken out; None where these mean more than themselves or where an id is not valid."""
    columns = list(zip(*rows, strict=True))
    given: _Columns = [repeat(None, len(rows)) for _ in range(shape.size)]
    bad: set[int] = set()
    for column in shape.columns:
        values = column.read(columns[column.at])
        if None in values:
            bad.update(at for at, value in enumerate(values) if value is None)
        if column.place is not None:
            given[column.place] = values
    traces, ids = [m.trace_id for m in messages], [m.span_id for m in messages]
    parents = [m.parent_span_id for m in messages]
    starts, ends = [m.start_time_unix_nano for m in messages], [m.end_time_unix_nano for m in messages]
    if not _are_plain(traces, ids, parents, starts, ends):
        each = enumerate(zip(traces, ids, parents, starts, ends, strict=True))
        bad.update(at for at, one in each if not is_plain(*one))
    said: Sequence[Any]
    if bad or not _are_simple(given):
        said = [
            None if at in bad else template.values(list(row), start, end)
            for at, (template, row, start, end) in enumerate(
                zip(templates, zip(*given, strict=True), starts, ends, strict=True)
            )
        ]
    else:
        if type(given[_USER]) is list:
            given[_USER] = [
                user if template.part.own else hashed(user)
                for template, user in zip(templates, given[_USER], strict=True)
            ]
        said = list(zip(*given, strict=True))
    spans: list[Filled | None] = list(zip(templates, traces, ids, parents, starts, ends, said, strict=True))
    if None in said:
        spans = [None if values is None else span for span, values in zip(spans, said, strict=True)]
    return spans


def _are_simple(given: _Columns) -> bool:
    """Whether no value needs a second look (see `template.Template.values`), but for those of users."""
    if any(type(given[place]) is list for place in _TTFT):
        return False
    told = given[_INPUT] if type(given[_INPUT]) is list else given[_OUTPUT]
    if type(told) is list and not all(told):
        return False
    if type(given[_INPUT]) is list and any(type(given[at]) is list and any(given[at]) for at in _DETAILS):
        return False
    costs = given[_COST]
    return not (type(costs) is list and 0 in costs)


def is_plain(trace: bytes, span: bytes, parent: bytes, start: int, end: int) -> bool:
    """Whether ids and times need no second look."""
    ids = len(trace) == 16 and len(span) == 8 and trace != NO_TRACE and span != NO_SPAN
    return ids and (not parent or (len(parent) == 8 and parent != NO_SPAN)) and 0 < start <= end < MOST_NANOS


def _are_plain(
    traces: Sequence[bytes], ids: Sequence[bytes], parents: Sequence[bytes], starts: Sequence[int], ends: Sequence[int]
) -> bool:
    """`is_plain` of all of them."""
    sizes = set(map(len, traces)) == {16} and set(map(len, ids)) == {8} and set(map(len, parents)) <= {0, 8}
    named = NO_TRACE not in traces and NO_SPAN not in ids and NO_SPAN not in parents
    return sizes and named and min(starts) > 0 and max(ends) < MOST_NANOS and all(map(le, starts, ends))


def is_some(message: Any) -> bool:
    """Whether a span stands for others as well, which templates cannot say."""
    return bool(message.trace_state) and is_sampled(message.trace_state)


def signature(message: Any) -> object:
    """The names of a span's events; ``True``, which no template has, if one of them may mean something."""
    events = message.events
    if not events:
        return None
    if len(events) == 1:
        return _event_name(events[0]) or True
    names = {_event_name(raw) for raw in events}
    if None in names:
        return True
    return names.pop() if len(names) == 1 else frozenset(names)


def _event_name(raw: bytes) -> str | None:
    return _event_of(raw[9:] if raw[:1] == b"\x09" else raw)


@lru_cache(maxsize=4096)
def _event_of(raw: bytes) -> str | None:
    """The name of an event that means nothing to anybody; its time may have been cut off."""
    try:
        name = SpanMessage.Event.FromString(raw).name
    except DecodeError:
        return None
    return None if event_matters(name) else name


@lru_cache(maxsize=8192)
def hashed(user: str) -> str:
    """The form in which a user is kept."""
    return hashlib.blake2b(user.encode(), digest_size=8).hexdigest()
