"""Keys by which spans of different traces belong together."""

import hashlib
import struct
import zlib
from collections.abc import Sequence

from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.read import read
from driftbell.collectors.part import Part
from driftbell.collectors.reports import is_report
from driftbell.collectors.span import Span
from driftbell.monitor import attributes as own

LINK_LIMIT = 32
"""A link key that more traces than this share says nothing and is to be ignored by the store."""

DETAIL = (1 << 20) - 1
"""The bits of a response's key that tell services apart; the others are the same for all of them."""
USAGE_WINDOW_S = 2.0
_QUERY_WINDOW_S = 10.0
_STREAM_WINDOW_S = 10.0


def link_keys(span: Span) -> tuple[str, ...]:
    """Keys that tie a span to spans of other traces; at most five, each at most 80 characters.

    ``t:<trace id>`` names another trace outright (a judgement of a call in that trace); any other key ties the
    traces of all spans that carry it. A response id gives two keys, ``r:`` and within its service ``s:``, so that ids
    which a test double repeats everywhere still tie what one service sent. Equal usage at the same time gives two as
    well, ``u:`` and within its instrumentation ``v:``: calls told by one instrumentation are never views of one call,
    so ``u:`` ties only where it comes with more than one ``v:``. After the colon stand 64 bits as hex: of both keys of
    a response, or of a usage, the first 44 are the same, and the keys of one window of time follow each other, so
    that an index of them grows at its end.
    """
    return report_keys(span) if is_report(span) else part_keys(read(span))


def part_keys(part: Part) -> tuple[str, ...]:
    """`link_keys` of a span that was read."""
    if part.kind == "llm":
        return _call_keys(part)
    if part.kind == "retrieval" and not part.parent_id:
        return (_window("q", part.service, part.end, _QUERY_WINDOW_S),)
    if part.kind == "embedding" and not part.parent_id:
        return (_window("q", part.service, part.end, _QUERY_WINDOW_S),)
    return ()


def report_keys(span: Span) -> tuple[str, ...]:
    """`link_keys` of a report."""
    trace_id = values.text(span.attributes.get(own.CALL_TRACE_ID))
    if trace_id is not None and trace_id != span.trace_id:
        return (f"t:{trace_id[:64]}",)
    response_id = values.text(span.attributes.get(own.RESPONSE_ID))
    if response_id is None:
        return ()
    service = values.text(span.resource.get("service.name")) or ""
    return _response_keys(response_id, service)


def _call_keys(part: Part) -> tuple[str, ...]:
    keys: tuple[str, ...] = ()
    response_id = part.facts.get("response_id")
    if response_id is not None:
        keys = _response_keys(str(response_id), str(part.facts.get("service_name") or ""))
    if response_id is None or not part.parent_id:
        of_all = usage_number(part.service, part.facts.get("input_tokens"), part.facts.get("output_tokens"), part.end)
        keys += (f"u:{of_all:016x}", f"v:{of_all | detail(part.scope):016x}")
    if response_id is None and not part.counts_tokens and not part.failed:
        ended = part.end - float(part.facts.get("duration_s", 0.0))
        keys += (_window("d", f"{part.service} {part.scope}", ended, _STREAM_WINDOW_S),)
    return keys


def _response_keys(response_id: str, service: str) -> tuple[str, ...]:
    of_all = response_number(response_id)
    return f"r:{of_all & _MASK:016x}", f"s:{(of_all | detail(service)) & _MASK:016x}"


def _window(kind: str, what: str, moment: float, width: float) -> str:
    """A key for what happens at about the same time; near the edge of a window it can miss."""
    return f"{kind}:{window_number(kind, what, moment, width):016x}"


def response_number(response_id: str) -> int:
    """The number (signed, its lowest bits zero) under which the response of whatever service is found."""
    found = hashlib.blake2b(response_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True) & ~DETAIL


def response_numbers(response_ids: Sequence[str]) -> list[int]:
    """`response_number` of each."""
    made = [hashlib.blake2b(one.encode("utf-8", "replace"), digest_size=8).digest() for one in response_ids]
    return [number & ~DETAIL for number in struct.unpack(f">{len(made)}q", b"".join(made))]


def detail(name: str) -> int:
    """What a service adds to the number of a response, and an instrumentation to that of a usage, never zero."""
    return zlib.crc32(name.encode("utf-8", "replace")) & DETAIL or 1


def usage_number(service: str, given: object, out: object, moment: float) -> int:
    """The number (not negative, its lowest bits zero) of all calls with so many tokens in one window of time.

    The windows begin anew after 97 days.
    """
    began = int(moment // USAGE_WINDOW_S) & 0x3FFFFF
    return began << 41 | (zlib.crc32(f"{service} {given} {out}".encode("utf-8", "replace")) & 0x1FFFFF) << 20


def window_number(kind: str, what: str, moment: float, width: float) -> int:
    """The number of a window of ``width`` seconds, not negative."""
    began = int(moment // width * width) & 0x7FFFFFFF
    return began << 32 | zlib.crc32(f"{kind} {what}".encode("utf-8", "replace"))


_MASK = (1 << 64) - 1
