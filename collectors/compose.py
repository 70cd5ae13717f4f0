"""Logical call -> `Call`: which of its parts is believed for which field."""

from collections import ChainMap
from collections.abc import Iterable

from driftbell.collectors.call import Call, Status, UsageSource
from driftbell.collectors.dialects.aliases import Fact
from driftbell.collectors.logical import Logical
from driftbell.collectors.part import Part
from driftbell.collectors.pricing import PARTS, REPORTED_COST
from driftbell.collectors.tree import Tree

MAX_ATTEMPTS = 1000
_TOKENS = ("input_tokens", "output_tokens")
_TOKEN_DETAILS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")
FEATURES = (
    "segment",
    "risk_tier",
    "owner",
    "prompt_name",
    "prompt_version",
    "user_id",
    "session_id",
    "release",
    "refused",
    "format_ok",
    "fallback",
    "citations",
)


def compose(call: Logical, tree: Tree) -> Call:
    """The record of a logical call, not yet priced.

    Usage, model and outcome come from the leaf outwards; labels and what only the application can know come from
    the spans of our own SDK first.
    """
    parts = call.parts()
    own = [part for part in parts if part.own]
    inward = [*own, *(part for part in parts if not part.own), *call.context]
    home = own[0] if own else call.leaf
    nearest = inward[0].facts if len(inward) == 1 else dict(ChainMap(*(part.facts for part in inward)))
    fields: dict[str, Fact | None] = {name: nearest.get(name) for name in FEATURES}
    caller = next((part for part in [*own, *reversed(parts)] if "service_name" in part.facts), home)
    fields["release"] = caller.facts.get("release")  # a gateway or a model server has its own
    fields |= _usage(call)
    attributes = _attributes(call)
    status, error_type = _outcome(call, own)
    start, end = _interval(call, own)
    latency_ms = (end - start) * 1e3
    ttft_ms = _first([*own, *parts], "first_token_ms")
    provider_cost = _first(parts, "provider_cost")
    return Call(
        ts=end,
        workflow=workflow_of(call, inward, tree),
        operation=str(_first([*own, *parts], "operation") or "chat"),
        provider=_model_part(call).facts.get("provider") or _first(parts, "provider"),  # type: ignore[arg-type]
        model=_model(call),
        cost_usd=provider_cost,  # type: ignore[arg-type]
        cost_source="provider" if provider_cost is not None else "unpriced",
        latency_ms=latency_ms,
        ttft_ms=ttft_ms if isinstance(ttft_ms, (int, float)) and ttft_ms <= latency_ms + 1 else None,
        streamed=_first(parts, "streamed"),  # type: ignore[arg-type]
        status=status,
        error_type=error_type,
        attempts=_attempts(call, own),
        finish_reason=_first([*parts, *call.events, *_completions(call)], "finish_reason"),  # type: ignore[arg-type]
        sources=next((part.sources for part in [*own, *parts] if part.sources is not None), call.sources),
        retrieval_ms=_retrieval_ms(call, inward),
        trace_id=home.trace_id,
        span_id=home.span_id,
        response_id=_first([*parts, *(one.leaf for one in call.inner[-1:])], "response_id"),  # type: ignore[arg-type]
        dialect=home.dialect,
        attributes=attributes,
        **fields,  # type: ignore[arg-type]  # each was parsed to the type of its field
    )


def workflow_of(call: Logical, inward: Iterable[Part], tree: Tree) -> str:
    """The feature: named outright, by a workflow, by a function or trace, by the root span, by the service."""
    named = list(inward)
    for name in ("workflow", "workflow_name", "function_name"):
        found = _first(named, name)
        if found is not None:
            return str(found)
    members = {part.key for part in call.members()}
    for part in call.parts():
        root = part
        for root in tree.ancestors(part):  # noqa: B007  # the last one is wanted
            pass
        if root.key not in members and root.name and root.kind not in ("llm", "embedding"):
            return str(root.facts.get("agent_name") or root.name)
    return str(_first(reversed(call.parts()), "service_name") or _first(named, "service_name") or "unknown")


def _first(parts: Iterable[Part], name: str) -> Fact | None:
    for part in parts:
        found = part.facts.get(name)
        if found is not None:
            return found
    return None


def _completions(call: Logical) -> list[Part]:
    return [call.completion] if call.completion is not None else []


def _usage(call: Logical) -> dict[str, Fact | None]:
    """Tokens from one part, its gaps filled from parts that agree with it, and where they come from."""
    if call.inner:
        return _summed([_usage(one) for one in call.inner], call.leaf)
    witnesses = [part for part in [*call.parts(), *_completions(call), *call.events] if part.counts_tokens]
    witnesses.sort(key=lambda part: bool(part.facts.get("usage_estimated")))
    if not witnesses:
        known = dict[str, Fact | None](call.filled)
        return {**known, "usage_source": "estimated" if call.filled else "missing"}
    chosen = witnesses[0]
    source: UsageSource = "estimated" if chosen.facts.get("usage_estimated") else "provider"
    usage: dict[str, Fact | None] = {"usage_source": source}
    agreeing = [
        part
        for part in witnesses
        if all(part.facts.get(name, chosen.facts.get(name)) == chosen.facts.get(name) for name in _TOKENS[:1])
    ]
    for name in (*_TOKENS, *_TOKEN_DETAILS):
        usage[name] = _first(agreeing, name)
    return usage


def _summed(usages: list[dict[str, Fact | None]], frame: Part) -> dict[str, Fact | None]:
    """The usage of several calls as one; if it is known of none, what the frame itself says."""
    total: dict[str, Fact | None] = {}
    for name in (*_TOKENS, *_TOKEN_DETAILS):
        known = [usage[name] for usage in usages if isinstance(usage.get(name), int)]
        total[name] = sum(known) if known else frame.facts.get(name)  # type: ignore[arg-type]
    sources = {usage["usage_source"] for usage in usages}
    if total["input_tokens"] is None and total["output_tokens"] is None:
        total["usage_source"] = "missing"
    else:
        total["usage_source"] = "provider" if sources in ({"provider"}, {"missing"}) else "estimated"
    return total


def _model_part(call: Logical) -> Part:
    return call.inner[-1].leaf if call.inner else call.leaf


def _model(call: Logical) -> str | None:
    """The model that answered; one that only repeats the request yields to one that is more exact."""
    parts = [*(part for one in call.inner[-1:] for part in one.parts()), *call.parts()]
    requested = {part.facts.get("request_model") for part in parts}
    answered = [part.facts["response_model"] for part in parts if "response_model" in part.facts]
    exact = [model for model in answered if model not in requested]
    found = next(iter([*exact, *answered]), None) or _first(parts, "request_model")
    return str(found) if found is not None else None


def _outcome(call: Logical, own: list[Part]) -> tuple[Status, str | None]:
    """Status and error: what the application reported, else that of the last attempt.

    A failed leaf within a model span that ended well and has usage was mended where nobody could see it.
    """
    told = [part for part in call.parts() if part.own or part is call.leaf]
    if own and not own[0].failed:
        return "ok", None
    if not own:
        mended = any(part.kind == "llm" and not part.failed and part.counts_tokens for part in call.outer)
        if not call.leaf.failed or (mended and not call.leaf.counts_tokens):
            return "ok", None
        told = call.parts()
    failed = [part for part in [*told, *call.outer, *call.requests, *call.events] if part.failed]
    statuses = [str(part.facts.get("status", "error")) for part in failed] or ["error"]
    status = next((found for found in statuses if found not in ("error", "ok")), "error")
    error = _first([*failed, *call.events], "error_type")
    return status, str(error) if error is not None else None  # type: ignore[return-value]


def _interval(call: Logical, own: list[Part]) -> tuple[float, float]:
    """Start of the first attempt and end of the last.

    Our own span has measured it. Otherwise the leaf has; but for a stream the longest view counts, because some
    close their span with the first byte.
    """
    if own:
        return own[0].start, own[0].end
    leaf = call.leaf
    views = [part for part in call.parts() if part.kind == leaf.kind and not part.generation] or [leaf]
    if _first(call.parts(), "streamed"):
        leaf = max(views, key=lambda part: part.end - part.start)
    start, end = min([leaf.start, *(part.start for part in call.failures)]), leaf.end
    if call.completion is not None:
        end = max(end, call.completion.end)
    return start, end


def _attempts(call: Logical, own: list[Part]) -> int:
    """Tries: as the application counted them, else failed spans or failed HTTP requests before the last one."""
    counted = _first(own, "attempts") or _first(call.parts(), "attempts")
    if isinstance(counted, int) and counted:
        return min(counted, MAX_ATTEMPTS)
    spans = call.tries + sum(one.tries - 1 for one in call.inner)
    if own:
        return min(spans, MAX_ATTEMPTS)
    refused = sum(part.failed for part in call.requests if part.facts.get("http_method") == "POST")
    return min(max(spans, refused if call.leaf.failed else refused + 1), MAX_ATTEMPTS)


def _retrieval_ms(call: Logical, inward: list[Part]) -> float | None:
    stated = _first(inward, "retrieval_ms")
    if stated is not None:
        return float(stated)
    return None if call.retrieval_s is None else call.retrieval_s * 1e3


def _attributes(call: Logical) -> dict[str, object]:
    """What no dialect gave a meaning to, and what pricing needs beside the fields of a call."""
    found: dict[str, object] = {}
    for part in reversed([*call.parts(), *(one.leaf for one in call.inner)]):
        found.update(part.extra)
    # A call that a gateway or a server tells of, too, is its caller's.
    service = _first(reversed(call.parts()), "service_name")
    if service is not None:
        found["service.name"] = service
    reported = _first(call.parts(), "reported_cost")
    if reported is not None:
        found[REPORTED_COST] = reported
    if call.inner:
        found[PARTS] = [_priced_part(one) for one in call.inner]
    return found


def _priced_part(call: Logical) -> list[object]:
    usage = _usage(call)
    return [call.leaf.facts.get("provider"), _model(call), *(usage.get(name) for name in (*_TOKENS, *_TOKEN_DETAILS))]
