"""Which attribute says what: per canonical field the names in order of precedence.

``name`` is an attribute, ``name>a.b`` the member ``a.b`` of an attribute that holds a structure (or JSON, or a
Python repr, in a string). The first that is present and can be read wins; aliases are never added up. A new emitter
usually needs a line here and no code.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from driftbell.collectors.dialects import values
from driftbell.monitor import attributes as own

VERSION = 1
"""To be raised when the meaning of stored spans changes, so that their calls can be derived anew."""

Fact = str | int | float | bool


class Alias(NamedTuple):
    """One place where a field may stand: ``member`` is a dotted path inside a structure, or empty."""

    field: str
    rank: int
    member: str


ALIASES: dict[str, tuple[str, ...]] = {
    "operation": (own.OPERATION, "llm.request.type"),
    "operation_id": ("ai.operationId",),
    "provider": (
        own.PROVIDER,
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
        "mlflow.llm.provider",
        "litellm.provider",
        "model_provider",
        "traceloop.association.properties.ls_provider",
        "metadata>ls_provider",
        "braintrust.metadata>provider",
        "llm.vendor",
        "langsmith.metadata.ls_provider",
    ),
    "request_model": (
        own.REQUEST_MODEL,
        "llm.request.model_name",
        "llm.request.model",
        "llm.invocation_parameters>model",
        "llm.invocation_parameters>model_name",
        "embedding.invocation_parameters>model",
        "llm.model_name",
        "embedding.model_name",
        "reranker.model_name",
        "ai.model.id",
        "langfuse.observation.model.name",
        "langfuse.generation.model",
        "mlflow.llm.model",
        "llm.model",
        "model_name",
        "model",
        "traceloop.association.properties.ls_model_name",
        "metadata>ls_model_name",
        "braintrust.metadata>model",
        "gen_ai.model_name",
        "ai.observability.cost.model",
        "genkit:name",
        "langsmith.metadata.ls_model_name",
    ),
    "response_model": (
        own.RESPONSE_MODEL,
        "llm.response.model_name",
        "llm.response.model",
        "ai.response.model",
        "llm.model_name",
    ),
    "response_id": (
        own.RESPONSE_ID,
        "ai.response.id",
        "llm.response.id",
        "llm.response_id",
        "gen_ai.response_id",
    ),
    "input_tokens": (
        own.INPUT_TOKENS,
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
        "llm.usage.input_tokens",
        "braintrust.metrics>prompt_tokens",
    ),
    "output_tokens": (
        own.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "llm.usage.output_tokens",
        "braintrust.metrics>completion_tokens",
    ),
    "cached_tokens": (
        own.CACHE_READ_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.input_tokens_details.cached_tokens",
        "braintrust.metrics>prompt_cached_tokens",
    ),
    "cache_write_tokens": (
        own.CACHE_WRITE_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.cache_creation_tokens",
        "braintrust.metrics>prompt_cache_creation_tokens",
    ),
    "reasoning_tokens": (
        own.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "gen_ai.usage.details.reasoning_tokens",
        "braintrust.metrics>completion_reasoning_tokens",
    ),
    "thought_tokens": ("gen_ai.usage.experimental.reasoning_tokens",),
    "total_tokens": (
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
        "ai.usage.totalTokens",
    ),
    "cost": (
        own.COST_AMOUNT,
        "llm.cost.total",
        "gen_ai.cost.total_cost",
        "operation.cost",
        "gen_ai.usage.cost",
        "gen_ai.usage.total_cost",
        "langfuse.observation.cost_details>total",
        "mlflow.llm.cost>total_cost",
        "hidden_params>response_cost",
    ),
    "provider_cost": ("usage>cost", "gen_ai.usage.raw>cost", "llm.openrouter.usage>cost"),
    "cost_currency": (own.COST_CURRENCY,),
    "cost_source": (own.COST_SOURCE,),
    "price_version": (own.PRICE_VERSION,),
    "streamed": (
        own.REQUEST_STREAM,
        "gen_ai.is_streaming",
        "llm.is_streaming",
        "llm.request.streaming",
        "llm.invocation_parameters>stream",
        "request_data>stream",
    ),
    "ttft_s": (own.TIME_TO_FIRST_CHUNK, "braintrust.metrics>time_to_first_token"),
    "ttft_ms": (
        "ai.response.msToFirstChunk",
        "ai.response.msToFirstToken",
        "gen_ai.server.time_to_first_token_ms",
        "ttft_ms",
    ),
    "ttft_any": (
        "gen_ai.server.time_to_first_token",
        "gen_ai.response.time_to_first_token",
        "gen_ai.latency.time_to_first_token",
        "llm.time_to_first_token",
    ),
    "first_token_at": ("langfuse.observation.completion_start_time",),
    "finish_reason": (
        own.FINISH_REASONS,
        "gen_ai.response.finish_reason",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "ai.response.finishReason",
        "anthropic.message.stop_reason",
        "llm.response.stop_reason",
        "stop_reason",
        "finish_reason",
        "gen_ai.completion.0.finish_reason",
        "langfuse.observation.metadata.finish_reason",
        "gen_ai.output.messages>finish_reason",
    ),
    "asked": (
        "gen_ai.input.messages",
        "input.value",
        "ai.prompt.messages",
        "gen_ai.prompt",
        "langfuse.observation.input",
        "mlflow.spanInputs",
        "traceloop.entity.input",
    ),
    "error_type": (own.ERROR_TYPE, "exception.type", "error.class"),
    "error_code": (
        "http.response.status_code",
        "http.status_code",
        "error.code",
        "error.status_code",
        "status_code",
    ),
    "http_method": ("http.request.method", "http.method"),
    "url": ("url.full", "http.url", "url.path", "http.target"),
    "store": ("db.system.name", "db.system"),
    "store_operation": ("db.operation.name", "db.operation"),
    "returned_rows": ("db.response.returned_rows", "db.vector.query.results_count"),
    "duration_s": ("duration",),
    "error_level": ("langfuse.observation.level",),
    "error_message": ("error.message", "langfuse.observation.status_message", "exception.message"),
    "status": (own.STATUS,),
    "succeeded": ("success",),
    "kind_word": ("braintrust.span_attributes>type", "genkit:metadata:subtype"),
    "workflow": (own.WORKFLOW,),
    "workflow_name": ("gen_ai.workflow.name", "traceloop.workflow.name"),
    "function_name": ("ai.telemetry.functionId", "langfuse.trace.name", "trace.name"),
    "agent_name": ("gen_ai.agent.name", "agent_name", "llm.agent.name"),
    "segment": (own.SEGMENT,),
    "risk_tier": (own.RISK_TIER,),
    "owner": (own.OWNER,),
    "prompt_name": (
        own.PROMPT_NAME,
        "langfuse.observation.prompt.name",
        "traceloop.prompt.key",
        "ai.telemetry.metadata.promptName",
    ),
    "prompt_version": (
        own.PROMPT_VERSION,
        "langfuse.observation.prompt.version",
        "traceloop.prompt.version",
        "traceloop.prompt.version_name",
        "llm.prompt_template.version",
        "ai.telemetry.metadata.promptVersion",
        "ai.telemetry.metadata.prompt_version",
        "prompt.version",
        "traceloop.prompt.version_hash",
    ),
    "user_id": (
        own.USER_ID,
        "enduser.id",
        "langfuse.user.id",
        "langfuse.trace.user_id",
        "traceloop.association.properties.user_id",
        "ai.telemetry.metadata.userId",
        "ai.telemetry.metadata.user_id",
        "metadata.user_api_key_end_user_id",
        "gen_ai.request.user",
    ),
    "session_id": (
        own.CONVERSATION_ID,
        "session.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "ai.telemetry.metadata.sessionId",
    ),
    "attempts": (own.ATTEMPTS,),
    "refused": (own.REFUSED,),
    "format_ok": (own.FORMAT_OK,),
    "fallback": (own.FALLBACK,),
    "citations": (own.CITATIONS,),
    "retrieval_count": (own.RETRIEVAL_COUNT, "ai.observability.retrieval.num_contexts"),
    "retrieval_ms": (own.RETRIEVAL_MS,),
}

PARSERS: dict[str, Callable[[object], Fact | None]] = {
    **dict.fromkeys(
        ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "total_tokens"),
        values.count,
    ),
    **dict.fromkeys(
        ("attempts", "citations", "retrieval_count", "error_code", "returned_rows", "thought_tokens"), values.count
    ),
    **dict.fromkeys(
        ("cost", "provider_cost", "duration_s", "ttft_s", "ttft_ms", "ttft_any", "retrieval_ms"), values.amount
    ),
    **dict.fromkeys(("streamed", "refused", "format_ok", "fallback", "succeeded"), values.flag),
    **dict.fromkeys(("request_model", "response_model"), values.model),
    "asked": values.digest,
    "first_token_at": values.timestamp,
    "finish_reason": values.first_text,
    "error_message": values.any_text,
}
"""Fields that are not short texts."""

USAGE_MEMBERS: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "prompt_tokens",
        "input_tokens",
        "promptTokens",
        "inputTokens",
        "prompt_token_count",
        "promptTokenCount",
        "input_token_count",
        "inputTokenCount",
        "input",
    ),
    "output_tokens": (
        "completion_tokens",
        "output_tokens",
        "completionTokens",
        "outputTokens",
        "candidates_token_count",
        "candidatesTokenCount",
        "output_token_count",
        "outputTokenCount",
        "output",
    ),
    "cached_tokens": (
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "input_token_details.cache_read",
        "prompt_tokens_details.cache_read",
        "cache_read_input_tokens",
        "cacheReadInputTokens",
        "cached_content_token_count",
        "cachedContentTokenCount",
        "cachedContentTokens",
        "input_cached_tokens",
        "input_cache_read",
        "cachedInputTokens",
        "cached_tokens",
        "cache_read_tokens",
        "cache_read",
        "prompt_cache_hit_tokens",
        "prompt_cached_tokens",
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_creation_tokens",
        "input_token_details.cache_creation",
        "cache_creation_input_tokens",
        "cacheWriteInputTokens",
        "input_cache_creation",
        "cache_write_tokens",
        "cache_creation_tokens",
        "prompt_cache_creation_tokens",
    ),
    "reasoning_tokens": (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
        "output_token_details.reasoning",
        "thoughts_token_count",
        "thoughtsTokenCount",
        "thoughtsTokens",
        "reasoning_tokens",
        "output_reasoning_tokens",
        "reasoning_output_tokens",
        "completion_reasoning_tokens",
        "reasoning",
    ),
    "total_tokens": ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount", "total"),
}
"""Members of a usage object, whoever wrote it: the providers' own spellings and those of the frameworks."""


ENDINGS = {
    ending: field
    for field, members in {**USAGE_MEMBERS, "request_model": ("model", "model_name", "model_id", "modelId")}.items()
    for ending in members
    if "." not in ending and ending not in ("input", "output", "total", "cache_read", "cached_tokens", "reasoning")
}
"""Last part of an attribute name -> field: how an emitter that no alias names is still understood."""
_SIDES = {
    **dict.fromkeys(("input", "prompt", "in"), "input_tokens"),
    **dict.fromkeys(("output", "completion", "out"), "output_tokens"),
    **dict.fromkeys(("cached", "cache_read"), "cached_tokens"),
    "reasoning": "reasoning_tokens",
}
_COUNTED = re.compile(r"(?:^|_)(?:tokens?|token_counts?|token_usage)$")


@lru_cache(maxsize=4096)
def field_by_ending(attribute: str) -> str | None:
    """The field that the end of a name speaks of: ``x.prompt_tokens``, ``x.tokens.input``, ``tokens_in``."""
    *_, before, last = ("", *attribute.rsplit(".", 2))
    if last in ENDINGS:
        return ENDINGS[last]
    words = last.removeprefix("num_").removeprefix("n_")
    if words in ENDINGS:
        return ENDINGS[words]
    for count, side in ((before, last), (last, before), (last.rpartition("_")[0], last.rpartition("_")[2])):
        if _COUNTED.search(count) and side in _SIDES:
            return _SIDES[side]
    return None


def _index() -> dict[str, tuple[Alias, ...]]:
    found: dict[str, list[Alias]] = {}
    for field, places in ALIASES.items():
        for rank, place in enumerate(places):
            attribute, _, member = place.partition(">")
            found.setdefault(attribute, []).append(Alias(field, rank, member))
    return {attribute: tuple(aliases) for attribute, aliases in found.items()}


BY_ATTRIBUTE = _index()
"""Attribute -> what it may say, so that reading a span costs one look-up per attribute."""
