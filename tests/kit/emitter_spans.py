"""Spans of emitters that nobody recorded, and the calls that are read from them in whatever order they come."""

from itertools import count

from driftbell.collectors.merge import interpret
from driftbell.collectors.pricing import ModelPrice, PriceTable
from driftbell.collectors.span import Span, SpanEvent

T0 = 1_795_000_000.0
CLIENT, INTERNAL, SERVER = 3, 1, 2
PRICES = PriceTable({"gpt-4o": ModelPrice(2.0, 10.0, 1.0), "gpt-4o-mini": ModelPrice(1.0, 4.0)}, public=False)
_ids = count(1)


def span(name, parent=None, at=0.0, took=1.0, *, trace=None, scope="unknown.framework", error=None, **more) -> Span:
    """A span ``at`` seconds after T0; attributes as keyword ``a``; ``error`` is an exception type and a message."""
    n = next(_ids)
    events = tuple(more.get("events", ()))
    if error is not None:
        described = {"exception.type": error[0], "exception.message": error[1]}
        events += (SpanEvent("exception", T0 + at + took, described),)
    return Span(
        trace_id=parent.trace_id if parent else (trace or f"{n:032x}"),
        span_id=f"{n:016x}",
        parent_id=parent.span_id if parent else "",
        name=name,
        start=T0 + at,
        end=T0 + at + took,
        kind=more.get("kind", INTERNAL),
        status=2 if error else more.get("status", 0),
        attributes=more.get("a", {}),
        events=events,
        scope=scope,
        resource={"service.name": "shop", "service.instance.id": more.get("instance", "i-1")},
    )


def chat(parent=None, at=0.0, took=1.0, *, model="gpt-4o", tokens=(100, 10), scope="client.library", **more) -> Span:
    """A span as the conventions want it."""
    a = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model}
    if tokens is not None:
        a |= {"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1]}
    if more.get("id"):
        a["gen_ai.response.id"] = more.pop("id")
    a |= more.pop("a", {})
    return span(f"chat {model}", parent, at, took, scope=scope, kind=CLIENT, a=a, **more)


def calls(*spans: Span):
    """The calls, which must be the same when the spans come in another order, and twice."""
    found = interpret(spans, PRICES)
    assert interpret([*reversed(spans), *spans], PRICES) == found
    return found.calls


def only(*spans: Span):
    (call,) = calls(*spans)
    return call


def tokens(found) -> list[tuple[int | None, int | None]]:
    return [(call.input_tokens, call.output_tokens) for call in found]
