"""What is known of single emitters and cannot be told from a span: looked up by instrumentation scope."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Emitter:
    """Habits of the emitter whose scopes begin with ``scope``.

    ``excludes_cache``: providers for which its input tokens leave cached tokens out. ``estimates_streams``: it counts
    the tokens of a stream itself when the provider sent none, so usage of streams cannot be relied on.
    """

    scope: str
    dialect: str
    excludes_cache: frozenset[str] = frozenset()
    estimates_streams: bool = False


EMITTERS = (
    Emitter("driftbell", "driftbell"),
    Emitter("openinference", "openinference"),
    Emitter("openlit", "openlit", excludes_cache=frozenset({"anthropic"}), estimates_streams=True),
    Emitter("logfire", "logfire"),
    Emitter("pydantic-ai", "pydantic-ai"),
    Emitter("langfuse", "langfuse"),
    Emitter("litellm", "litellm"),
    Emitter("ai", "vercel"),
    Emitter("traceloop", "traceloop"),
    Emitter("@traceloop", "traceloop"),
    Emitter("langsmith", "langsmith"),
    Emitter("mlflow", "mlflow"),
    Emitter("haystack", "haystack"),
    Emitter("opentelemetry.instrumentation.genai", "opentelemetry"),
    Emitter("opentelemetry.instrumentation.openai_v2", "opentelemetry"),
    Emitter("opentelemetry.instrumentation", "openllmetry"),
    Emitter("@opentelemetry", "opentelemetry"),
    Emitter("com.anthropic.sdk", "anthropic-sdk"),
)

_BY_NAMESPACE = (
    ("driftbell.", "driftbell"),
    ("openinference.", "openinference"),
    ("langfuse.", "langfuse"),
    ("langsmith.", "langsmith"),
    ("mlflow.", "mlflow"),
    ("traceloop.", "traceloop"),
    ("ai.", "vercel"),
    ("gen_ai.", "opentelemetry"),
    ("llm.", "openllmetry"),
)
_UNKNOWN = Emitter("", "other")


@lru_cache(maxsize=4096)
def emitter_of(scope: str) -> Emitter:
    """The emitter behind an instrumentation scope; one that is not known has no habits."""
    lower = scope.lower()
    for emitter in EMITTERS:
        if lower == emitter.scope or lower.startswith((emitter.scope + ".", emitter.scope + "-", emitter.scope + "/")):
            return emitter
    return _UNKNOWN


def dialect_of(scope: str, attributes: object) -> str:
    """Name of the dialect: that of the scope, else that of the first attribute namespace that is known."""
    known = emitter_of(scope).dialect
    if known != "other" or not isinstance(attributes, dict):
        return known
    for prefix, dialect in _BY_NAMESPACE:
        if any(name.startswith(prefix) for name in attributes):
            return dialect
    return "other"
