"""One span -> one `Part`: the tables applied."""

import re

from driftbell.collectors.call import Source
from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.aliases import BY_ATTRIBUTE, PARSERS, Fact, field_by_ending
from driftbell.collectors.dialects.documents import MAX_SOURCES, passed_sources, retrieved_sources, stated_sources
from driftbell.collectors.dialects.emitters import Emitter, dialect_of, emitter_of
from driftbell.collectors.dialects.extra import kept
from driftbell.collectors.dialects.failure import read_failure
from driftbell.collectors.dialects.kinds import kind_of
from driftbell.collectors.dialects.timing import first_token_ms
from driftbell.collectors.dialects.usage import (
    AGGREGATE,
    complete_usage,
    is_output,
    repair_cache,
    repair_output,
    stated_usage,
)
from driftbell.collectors.dialects.vocabulary import (
    CANONICAL_OPERATIONS,
    KEPT_OPERATIONS,
    OPERATIONS,
    finish_reason,
    model_name,
    names_a_kind,
    provider_of,
)
from driftbell.collectors.part import Part
from driftbell.collectors.span import AttributeValue, Span
from driftbell.monitor.attributes import SCOPE

MAX_NAME = 120
_CALLS = ("llm", "embedding")
_OUTPUT = re.compile(r"output|response|completion|generation", re.IGNORECASE)
_INPUT = re.compile(r"input|request|invocation|param", re.IGNORECASE)
_MODELS = (
    *("model", "model_name", "meta.model", "replies.meta.model", "replies._meta.model"),
    "response_metadata.model_name",
)
_FINISHES = (
    *("choices.finish_reason", "stop_reason", "stopReason", "candidates.finishReason", "candidates.finish_reason"),
    *("replies._meta.finish_reason", "replies.meta.finish_reason", "response_metadata.finish_reason"),
    "generations.generation_info.finish_reason",
    "generations.message.kwargs.response_metadata.finish_reason",
)
_PROVIDER_ID = re.compile(r'\\*"id\\*"\s*:\s*\\*"((?:chatcmpl-|cmpl-|resp_|msg_|gen-)[\w-]{4,100})')
_ID_ORDER = ("resp_", "chatcmpl-", "cmpl-", "gen-", "msg_")


def read(span: Span) -> Part:
    """What ``span`` says; never raises, whatever its attributes hold."""
    facts, words = _facts(span)
    emitter = emitter_of(span.scope)
    own = span.scope == SCOPE
    if "operation" not in facts and not words:
        _named(span, facts)
    kind, generation = kind_of(span, facts, words)
    _identity(span, facts, own)
    sources: tuple[Source, ...] | None
    if kind in _CALLS or kind == "event":
        _call(span, facts, kind, emitter)
        sources = stated_sources(span)
    elif kind in ("retrieval", "rerank"):
        sources = retrieved_sources(span)
    else:
        if kind in ("agent", "chain"):
            _tokens(facts, emitter)
        sources = passed_sources(span) if kind == "chain" else None
    failed = read_failure(span, facts)
    return Part(
        span.trace_id,
        span.span_id,
        span.parent_id,
        values.printable(span.name[:MAX_NAME]),
        span.start,
        span.end,
        kind,
        span.scope[:MAX_NAME],
        _service(span),
        dialect_of(span.scope, span.attributes) if kind in _CALLS else emitter.dialect,
        own,
        failed,
        generation,
        facts,
        _counted(sources, facts),
        kept(span.attributes) if kind in _CALLS else {},
    )


def _facts(span: Span) -> tuple[dict[str, Fact], list[str]]:
    """The canonical fields by precedence, and the emitter's own words for the kind of span."""
    facts: dict[str, Fact] = {}
    ranks: dict[str, int] = {}
    words: list[str] = []
    for name, value in span.attributes.items():
        if names_a_kind(name) and (word := values.text(value)) is not None:
            words.append(word)
        for field, rank, member in BY_ATTRIBUTE.get(name, ()):
            if ranks.get(field, rank) < rank:
                continue
            given = values.path(values.structure(value), member) if member else value
            fact = PARSERS.get(field, values.text)(given)
            if fact is not None:
                facts[field] = fact
                ranks[field] = rank
    if "kind_word" in facts:
        words.append(str(facts.pop("kind_word")))
    if "input_tokens" not in facts and "output_tokens" not in facts:
        _by_ending(span, facts)
        if not words and ("request_model" in facts or "response_model" in facts):
            stated_usage(facts, span.attributes)
    return facts, sorted(words)


def _by_ending(span: Span, facts: dict[str, Fact]) -> None:
    """Fields of an emitter that no alias names, by the last part of its attribute names; in order of name."""
    found: dict[str, Fact] = {}
    fields = [(name, field) for name in span.attributes if (field := field_by_ending(name)) is not None]
    for name, field in sorted(fields):
        fact = None if AGGREGATE.search(name) else PARSERS.get(field, values.text)(span.attributes[name])
        if fact is not None:
            found.setdefault(field, fact)
    if "input_tokens" in found or "output_tokens" in found:
        for field, fact in found.items():
            facts.setdefault(field, fact)


def _named(span: Span, facts: dict[str, Fact]) -> None:
    """Operation and model out of a span name of the conventions' form, which is all that some failed calls have."""
    operation, _, model = span.name.partition(" ")
    if OPERATIONS.get(operation) in _CALLS and values.text(model) == model and " " not in model:
        if provider_of(None, model) is None and "provider" not in facts:
            return
        facts["operation"] = operation
        facts.setdefault("request_model", model)


def _identity(span: Span, facts: dict[str, Fact], own: bool) -> None:
    """Provider, models and user in canonical form; dimensions that stand on the resource."""
    request, response = facts.get("request_model"), facts.get("response_model")
    provider = provider_of(_text(facts, "provider"), str(request or response) if request or response else None)
    facts.pop("provider", None)
    if provider is not None:
        facts["provider"] = provider
    for field in ("request_model", "response_model"):
        if field in facts:
            facts[field] = model_name(str(facts[field]))
    user = facts.get("user_id")
    if user is not None and not own:
        facts["user_id"] = values.hashed(str(user))
    for field, name in _RESOURCE_FIELDS.items():
        if field not in facts and (found := values.text(span.resource.get(name))) is not None:
            facts[field] = found


_RESOURCE_FIELDS = {
    "workflow": "driftbell.workflow",
    "segment": "driftbell.segment",
    "risk_tier": "driftbell.risk_tier",
    "owner": "driftbell.owner",
    "release": "service.version",
    "service_name": "service.name",
}


def _call(span: Span, facts: dict[str, Fact], kind: str, emitter: Emitter) -> None:
    """The fields that only a call has, in canonical form and checked against each other."""
    operation = str(facts.get("operation") or "")
    facts["operation"] = operation if operation in KEPT_OPERATIONS else CANONICAL_OPERATIONS.get(kind, "chat")
    if kind == "embedding":
        facts["operation"] = "embeddings"
    elif kind == "llm" and facts["operation"] == "embeddings":
        facts["operation"] = "chat"
    if str(facts.get("operation_id", "")).lower().endswith("stream") or "first_token_at" in facts:
        facts.setdefault("streamed", True)
    complete_usage(facts, span.attributes)
    _tokens(facts, emitter)
    if emitter.estimates_streams and facts.get("streamed") and "input_tokens" in facts:
        facts["usage_estimated"] = True
    if "response_id" not in facts and kind == "llm":
        _output_id(span, facts)
    if "request_model" not in facts and "response_model" not in facts:
        _inner_model(span, facts)
    if (first := first_token_ms(span, facts)) is not None:
        facts["first_token_ms"] = first
    if "finish_reason" not in facts:
        _event_finish(span, facts)
    if "finish_reason" not in facts:
        _inner_finish(span, facts)
    if "finish_reason" in facts:
        reason = str(facts["finish_reason"])
        facts["finish_reason"] = finish_reason(reason)
        if "refusal" in reason.lower():
            facts.setdefault("refused", True)


def _tokens(facts: dict[str, Fact], emitter: Emitter) -> None:
    """Token counts with cached tokens included; zero tokens in and out is no usage, and costs nothing known."""
    repair_output(facts)
    repair_cache(facts, emitter)
    if not facts.get("input_tokens"):
        facts.pop("input_tokens", None)
        if not facts.get("output_tokens"):
            for field in ("output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"):
                facts.pop(field, None)
    currency = str(facts.pop("cost_currency", "USD")).upper()
    stated_by = str(facts.pop("cost_source", "")).lower()
    cost, by_provider = facts.pop("cost", None), facts.pop("provider_cost", None)
    if currency == "USD":
        if by_provider or (cost and stated_by == "provider"):
            facts["provider_cost"] = by_provider or cost or 0.0
        elif cost:
            facts["reported_cost"] = cost


def _output_id(span: Span, facts: dict[str, Fact]) -> None:
    """The provider's response id out of an output that holds the whole response."""
    for name, value in span.attributes.items():
        if _OUTPUT.search(name):
            found = _PROVIDER_ID.findall(values.attribute_text(value))
            for prefix in _ID_ORDER:
                for identity in found:
                    if identity.startswith(prefix):
                        facts["response_id"] = identity
                        return


def _inner_model(span: Span, facts: dict[str, Fact]) -> None:
    """The model out of a request or response that a span holds as a whole."""
    for field, names in (("request_model", _INPUT), ("response_model", _OUTPUT)):
        for name in sorted(filter(names.search, span.attributes)):
            held = values.structure(span.attributes[name])
            model = next((m for m in map(values.text, (values.path(held, p) for p in _MODELS)) if m is not None), None)
            if model is not None:
                facts.setdefault(field, model_name(model))
    if "provider" not in facts:
        provider = provider_of(None, _text(facts, "response_model") or _text(facts, "request_model"))
        if provider is not None:
            facts["provider"] = provider


def _event_finish(span: Span, facts: dict[str, Fact]) -> None:
    for event in span.events[:64]:
        if event.name == "gen_ai.choice":
            found = values.first_text(event.attributes.get("finish_reason"))
            if found is not None:
                facts["finish_reason"] = found


def _inner_finish(span: Span, facts: dict[str, Fact]) -> None:
    """The finish reason out of a response that a span holds as a whole."""
    wholes = [name for name, value in span.attributes.items() if is_output(name) and _may_finish(value)]
    for name in sorted(wholes):
        held = values.structure(span.attributes[name])
        for path in _FINISHES if held else ():
            found = values.text(values.path(held, path))
            if found is not None:
                facts["finish_reason"] = found
                return


def _may_finish(value: AttributeValue) -> bool:
    """Whether it is worth reading: every place for a finish reason is called so."""
    return isinstance(value, dict) or (isinstance(value, str) and ("inish" in value or "stop" in value))


def _counted(sources: tuple[Source, ...] | None, facts: dict[str, Fact]) -> tuple[Source, ...] | None:
    """Documents of which only the number is known are documents without id."""
    rows = facts.pop("retrieval_count", facts.pop("returned_rows", None))
    if sources is None and isinstance(rows, int):
        return (Source(),) * min(rows, MAX_SOURCES)
    return sources


def _service(span: Span) -> str:
    """The emitting process: its instance id, or else its host and process id, or else its name."""
    resource = span.resource
    name = values.text(resource.get("service.name")) or ""
    instance = values.text(resource.get("service.instance.id"))
    if instance is None:
        host, process = values.text(resource.get("host.name")), values.count(resource.get("process.pid"))
        instance = f"{host or ''}/{process or ''}"
    return f"{name}/{instance}"


def _text(facts: dict[str, Fact], name: str) -> str | None:
    found = facts.get(name)
    return found if isinstance(found, str) else None
