"""The records that the service keeps: one logical LLM call, and what people later said of it.

All times are epoch seconds in UTC. ``None`` means "not known"; it is never the same as zero.
"""

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "error", "timeout", "rate_limited", "cancelled"]
UsageSource = Literal["provider", "estimated", "missing"]
CostSource = Literal["provider", "computed", "partial", "unpriced"]
Override = Literal["accepted", "edited", "rejected", "regenerated"]


@dataclass(frozen=True, slots=True)
class Source:
    """One retrieved document: its id, the retriever's score and its age, never its text."""

    id: str | None = None
    score: float | None = None
    age_days: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One logical LLM call, whatever number of spans told of it.

    ``ts`` is the end of the call. ``input_tokens`` includes cached tokens and ``output_tokens`` includes
    reasoning tokens. ``attempts`` counts billed tries, 1 for a call that was not retried.
    ``sources`` is ``None`` when nothing was said about retrieval and ``()`` when it found nothing.
    """

    ts: float
    workflow: str
    operation: str = "chat"
    segment: str | None = None
    risk_tier: str | None = None
    owner: str | None = None
    release: str | None = None
    provider: str | None = None
    model: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: UsageSource = "missing"
    cost_usd: float | None = None
    cost_source: CostSource = "unpriced"
    price_version: str | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    streamed: bool | None = None
    status: Status = "ok"
    error_type: str | None = None
    attempts: int = 1
    finish_reason: str | None = None
    refused: bool | None = None
    format_ok: bool | None = None
    fallback: bool | None = None
    sources: tuple[Source, ...] | None = None
    citations: int | None = None
    retrieval_ms: float | None = None
    user_id: str | None = None
    session_id: str | None = None
    trace_id: str = ""
    span_id: str = ""
    response_id: str | None = None
    dialect: str | None = None
    attributes: dict[str, object] = field(default_factory=dict)
    """Attributes that no dialect gave a meaning to, kept as they came (bounded)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a call, reported when it was known: it has its own time and refers to the call.

    A judgement carries any of: an override with its edit distance (0..1) and review time, feedback (-1 or 1),
    one evaluation (name, score 0..1, label), an outcome (``resolved``, ``escalated``, ...).
    The dimensions are those of the call, filled when the judgement is joined to it.
    """

    ts: float
    workflow: str | None = None
    segment: str | None = None
    risk_tier: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    override: Override | None = None
    edit_distance: float | None = None
    review_ms: float | None = None
    feedback: int | None = None
    evaluation: str | None = None
    score: float | None = None
    label: str | None = None
    outcome: str | None = None
    call_trace_id: str | None = None
    call_span_id: str | None = None
    response_id: str | None = None
    id: str = ""
    """Identity of the report itself, so that one sent twice counts once."""


@dataclass(frozen=True, slots=True)
class ManualTask:
    """Eligible work that was finished without the AI."""

    ts: float
    workflow: str
    segment: str | None = None
    risk_tier: str | None = None
    user_id: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Marker:
    """Something changed on purpose, at a known time: a release, a prompt version, a model, a price, an index."""

    ts: float
    kind: str
    workflow: str | None = None
    value: str | None = None
    text: str | None = None
    id: str = ""
