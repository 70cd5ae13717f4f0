"""What a span stands for: a call, its wrapper, a retrieval, an HTTP request or something else."""

from driftbell.collectors.dialects.aliases import Fact
from driftbell.collectors.dialects.vocabulary import (
    CALL_SUFFIXES,
    OPERATIONS,
    VECTOR_QUERIES,
    VECTOR_STORES,
    Kind,
    kind_word,
    operation_kind,
)
from driftbell.collectors.span import Span
from driftbell.monitor.attributes import ATTEMPT_SPAN, SCOPE

EVENT_NAMES = frozenset(
    {
        "gen_ai.client.inference.operation.details",
        "gen_ai.client.operation.exception",
        "gen_ai.choice",
        "exception",
    }
)
"""Log records that add to the span they belong to; kept as children of it under these names."""

_CLIENT, _PRODUCER = 3, 4
_ERROR = 2


def kind_of(span: Span, facts: dict[str, Fact], words: list[str]) -> tuple[Kind, bool]:
    """The kind, and whether the span wraps one generation. ``words`` are the emitter's own words for the kind.

    Every span of our own SDK is a call, unless it is a report or an attempt. An emitter's own word wins over the
    operation name; a weak word ("chain") does so only if the span has nothing of a call to show. Without either,
    model and usage speak.
    """
    if span.name in EVENT_NAMES and span.end == span.start:
        return "event", False
    if span.scope == SCOPE:
        if span.name == ATTEMPT_SPAN:
            return "attempt", False
        return ("embedding" if OPERATIONS.get(str(facts.get("operation"))) == "embedding" else "llm"), False
    operation_id = facts.get("operation_id")
    if isinstance(operation_id, str) and "." in operation_id:
        return _dotted(operation_id)
    strong, weak = _stated(words)
    shows_call = any(name in facts for name in ("input_tokens", "output_tokens", "response_id"))
    if strong is not None:
        named = shows_call or "request_model" in facts or "response_model" in facts
        return (strong if strong != "embedding" or named else "chain"), False
    by_operation = operation_kind(str(facts.get("operation") or ""))
    if weak is not None and (by_operation is None or (by_operation in ("llm", "embedding") and not shows_call)):
        return weak, False
    if by_operation is not None:
        return _believed(span, facts, by_operation, shows_call), False
    return _by_structure(span, facts, shows_call), False


def _believed(span: Span, facts: dict[str, Fact], kind: Kind, shows_call: bool) -> Kind:
    """An operation name is a guess of some emitters: a call has a model or usage, a retrieval has documents."""
    if kind not in ("llm", "embedding") or shows_call:
        return kind
    if "retriev" in span.name.lower() or any("retriev" in name.lower() for name in span.attributes):
        return "retrieval"
    return kind if "request_model" in facts or "response_model" in facts else "chain"


def _stated(words: list[str]) -> tuple[Kind | None, Kind | None]:
    strong: Kind | None = None
    weak: Kind | None = None
    for word in words:
        one, other = kind_word(word)
        strong, weak = strong or one, weak or other
    return strong, weak


def _dotted(operation_id: str) -> tuple[Kind, bool]:
    last = operation_id.lower().rsplit(".", 1)[-1]
    kind = CALL_SUFFIXES.get(last)
    if kind is not None:
        return kind, False
    kind = CALL_SUFFIXES.get(f"do{last.removesuffix('many')}")
    return (kind or "llm"), True


def _by_structure(span: Span, facts: dict[str, Fact], shows_call: bool) -> Kind:
    has_model = "request_model" in facts or "response_model" in facts
    unknown = "operation" in facts and span.status != _ERROR  # preparations name a model, too
    if has_model and (shows_call or ("provider" in facts and not unknown)):
        return "llm"
    if str(facts.get("store")).lower() in VECTOR_STORES and VECTOR_QUERIES.search(
        str(facts.get("store_operation", "query"))
    ):
        return "retrieval"
    if any(event.name.startswith("db.query.result") for event in span.events[:4]):
        return "retrieval"
    if span.kind == _CLIENT and "http_method" in facts:
        return "http"
    return "other"


def connects(span: Span) -> bool:
    """Whether a span without meaning may stand between spans that have one: requests to other systems do not."""
    return span.kind not in (_CLIENT, _PRODUCER)
