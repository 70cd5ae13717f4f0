"""The words emitters use for kinds of spans, providers, finish reasons and errors, and what each means."""

import re
from functools import lru_cache
from typing import Literal

from driftbell.collectors.call import Status

Kind = Literal["llm", "embedding", "retrieval", "rerank", "tool", "agent", "chain", "http", "event", "attempt", "other"]

STRONG_KINDS: dict[str, Kind] = {
    "llm": "llm",
    "chat_model": "llm",
    "chatmodel": "llm",
    "generation": "llm",
    "completion": "llm",
    "inference": "llm",
    "llm_request": "llm",
    "llm_call": "llm",
    "model_request": "llm",
    "model": "llm",
    "embedding": "embedding",
    "embeddings": "embedding",
    "embedder": "embedding",
    "retriever": "retrieval",
    "retrieval": "retrieval",
    "reranker": "rerank",
    "rerank": "rerank",
    "tool": "tool",
    "function": "tool",
    "agent": "agent",
    "guardrail": "chain",
    "evaluator": "chain",
    "prompt": "chain",
    "parser": "chain",
    "prompt_template": "chain",
}
"""An emitter's own word for the kind of a span: it wins over ``gen_ai.operation.name``, which is often a guess."""

WEAK_KINDS: dict[str, Kind] = {
    "chain": "chain",
    "workflow": "chain",
    "task": "chain",
    "pipeline": "chain",
    "component": "chain",
}
"""Words that say "a step": they win only over an operation that has nothing else to show for it."""

OPERATIONS: dict[str, Kind] = {
    "chat": "llm",
    "completion": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "generate": "llm",
    "responses": "llm",
    "message": "llm",
    "messages": "llm",
    "embeddings": "embedding",
    "embedding": "embedding",
    "embed": "embedding",
    "retrieval": "retrieval",
    "retrieve": "retrieval",
    "vector_db_retrieve": "retrieval",
    "rerank": "rerank",
    "execute_tool": "tool",
    "create_agent": "agent",
    "invoke_agent": "agent",
    "invoke_workflow": "chain",
    "execute_task": "chain",
    "plan": "chain",
    "execute_event_loop_cycle": "chain",
    "fetch_response": "other",
}

_CALLING = frozenset({"chat", "completion", "completions", "generate", "generation", "inference"})
_WORDS = re.compile(r"[^a-z]+")


@lru_cache(maxsize=4096)
def operation_kind(operation: str) -> Kind | None:
    """The kind that an operation's name states; one that nobody has seen is judged by its words."""
    lower = operation.lower()
    if lower in OPERATIONS:
        return OPERATIONS[lower]
    words = frozenset(_WORDS.split(lower))
    if words & {"embed", "embedding", "embeddings"}:
        return "embedding"
    return "llm" if words & _CALLING else None


CALL_SUFFIXES: dict[str, Kind] = {
    "dogenerate": "llm",
    "dostream": "llm",
    "doembed": "embedding",
    "dorerank": "rerank",
    "toolcall": "tool",
}
"""Last part of a dotted operation id; a dotted id with any other ending is the wrapper of such spans."""

CLASS_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    ("Retriever", "retrieval"),
    ("Ranker", "rerank"),
    ("Embedder", "embedding"),
    ("Generator", "llm"),
    ("Agent", "agent"),
)
"""How classes are named in frameworks that give the class as the kind."""

VECTOR_STORES = frozenset(
    [
        "pinecone",
        "chroma",
        "chromadb",
        "qdrant",
        "weaviate",
        "milvus",
        "lancedb",
        "marqo",
        "pgvector",
        "pg_vector",
        "vespa",
        "turbopuffer",
        "opensearch_vector",
    ]
)
VECTOR_QUERIES = re.compile(r"query|search|get|retrieve|fetch", re.IGNORECASE)

CANONICAL_OPERATIONS = {"llm": "chat", "embedding": "embeddings"}
KEPT_OPERATIONS = {"chat", "text_completion", "generate_content", "embeddings"}

FINISH_REASONS = {
    "stop": "stop",
    "end_turn": "stop",
    "endturn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "complete": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "finished": "stop",
    "pause_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "model_length": "length",
    "token_limit": "length",
    "incomplete": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "guardrail_intervened": "content_filter",
    "error": "error",
    "failed": "error",
}

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azure.ai.openai": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure.ai.inference": "azure.ai.inference",
    "az.ai.inference": "azure.ai.inference",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "aws.bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "googleai": "gcp.gemini",
    "gcp.gemini": "gcp.gemini",
    "gcp.gen_ai": "gcp.gen_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai",
    "gcp.vertex_ai": "gcp.vertex_ai",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "groq": "groq",
    "ibm.watsonx.ai": "ibm.watsonx.ai",
    "watsonx": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "mistral_ai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshot_ai": "moonshot_ai",
    "ollama": "ollama",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "together_ai": "together",
    "voyage": "voyage",
    "voyageai": "voyage",
    "xai": "x_ai",
    "x_ai": "x_ai",
}
"""Names seen for a provider -> its name in the conventions. Any other name is a framework or a gateway's own."""

MODEL_FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (r"^(us\.|eu\.|apac\.|global\.)?(anthropic|amazon|meta|cohere|mistral|ai21|deepseek)\.", "aws.bedrock"),
        (r"^(gpt-|chatgpt|o[1345](-|$)|text-embedding-(3|ada)|text-davinci|davinci|whisper|dall-e)", "openai"),
        (r"^(ft:)?gpt-", "openai"),
        (r"^claude", "anthropic"),
        (r"^(gemini|text-embedding-00|gemma)", "gcp.gemini"),
        (r"^(command|embed-(english|multilingual|v)|rerank-)", "cohere"),
        (r"^(mistral|mixtral|codestral|ministral|magistral|pixtral|open-mi)", "mistral_ai"),
        (r"^deepseek", "deepseek"),
        (r"^grok", "x_ai"),
        (r"^sonar", "perplexity"),
        (r"^(kimi|moonshot)", "moonshot_ai"),
        (r"^voyage", "voyage"),
    )
)

ERRORS: tuple[tuple[Status, re.Pattern[str]], ...] = (
    (
        "rate_limited",
        re.compile(r"\b429\b|rate.?limit|too.?many.?requests|throttl|resource.?exhausted|quota", re.IGNORECASE),
    ),
    ("timeout", re.compile(r"\b(408|504)\b|time.?out|timed.?out|deadline", re.IGNORECASE)),
    ("cancelled", re.compile(r"\b499\b|cancell?ed|abort(ed|error)|generatorexit|keyboardinterrupt", re.IGNORECASE)),
)
REFUSED_FOR_GOOD = re.compile(
    r"\b(400|401|403|404|413|422)\b|authenti|unauthor|permission|forbidden|bad.?request|invalid|not.?found|"
    r"context.?length|validation",
    re.IGNORECASE,
)
"""An error that a retry cannot mend."""

_KIND_KEY = re.compile(r"(^|[._])(span[._]?(kind|type)|(observation|run|request|component)[._]type)$", re.IGNORECASE)


@lru_cache(maxsize=4096)
def names_a_kind(attribute: str) -> bool:
    """Whether the attribute is an emitter's own statement of the kind of span, judged by the ending of its name."""
    return len(attribute) <= 80 and _KIND_KEY.search(attribute) is not None


@lru_cache(maxsize=4096)
def kind_word(word: str) -> tuple[Kind | None, Kind | None]:
    """The strong and the weak kind that an emitter's own word states (see `STRONG_KINDS`, `WEAK_KINDS`)."""
    lower = word.strip().lower().replace("-", "_")
    if lower in STRONG_KINDS:
        return STRONG_KINDS[lower], None
    for suffix, kind in CLASS_SUFFIXES:
        if word.endswith(suffix):
            return kind, None
    return None, WEAK_KINDS.get(lower)


@lru_cache(maxsize=4096)
def provider_of(name: str | None, model: str | None) -> str | None:
    """The provider behind a name (with or without an API suffix) or, if the name is a framework's, behind a model.

    A name that says nothing stays when the model says nothing either.
    """
    if name is not None:
        lower = name.lower()
        for candidate in (lower, lower.rsplit(".", 1)[0], lower.split(".", 1)[0], lower.split("/", 1)[0]):
            if candidate in PROVIDERS:
                return PROVIDERS[candidate]
    if model is None:
        return name.lower() if name is not None else None
    head, _, rest = model.lower().partition("/")
    if rest and head in PROVIDERS:
        return PROVIDERS[head]
    for pattern, provider in MODEL_FAMILIES:
        if pattern.match(rest or head):
            return provider
    return name.lower() if name is not None else None


@lru_cache(maxsize=4096)
def model_name(model: str) -> str:
    """A model without what gateways and clouds put before it (``openai/gpt-4o``, ``models/gemini-2.0``, an ARN)."""
    if model.startswith("arn:"):
        return model.rpartition("/")[2] or model
    head, _, rest = model.partition("/")
    if rest and (head.lower() in PROVIDERS or head in ("models", "litellm")):
        return model_name(rest)
    return model


def finish_reason(value: str) -> str:
    """One of stop, length, tool_calls, content_filter, error; an unknown reason stays as it is."""
    word = value.rsplit(".", 1)[-1].strip().lower().replace("-", "_").replace(" ", "_")
    word = word.removeprefix("finish_reason_")
    return FINISH_REASONS.get(word, word[:40])


def error_status(evidence: str, code: int | None) -> Status:
    """What kind of failure the words and the HTTP status of an error speak of."""
    if code == 429:
        return "rate_limited"
    if code in (408, 504):
        return "timeout"
    for status, pattern in ERRORS:
        if pattern.search(evidence):
            return status
    return "error"
