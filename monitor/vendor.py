"""Who answered, in the provider names of the OpenTelemetry GenAI conventions."""

from functools import lru_cache
from typing import Final

_BY_MODULE: Final = {
    "anthropic": "anthropic",
    "mistralai": "mistral_ai",
    "cohere": "cohere",
    "groq": "groq",
}
"""Client libraries that speak to one provider. OpenAI's, LiteLLM and LangChain speak to all: there the model tells."""

_BY_MODEL: Final = (
    ("claude", "anthropic"),
    ("gpt", "openai"),
    ("chatgpt", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-3", "openai"),
    ("text-embedding-ada", "openai"),
    ("gemini", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("ministral", "mistral_ai"),
    ("magistral", "mistral_ai"),
    ("codestral", "mistral_ai"),
    ("devstral", "mistral_ai"),
    ("pixtral", "mistral_ai"),
    ("command", "cohere"),
    ("deepseek", "deepseek"),
    ("grok", "x_ai"),
    ("sonar", "perplexity"),
)
_BY_PREFIX: Final = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "cohere": "cohere",
    "groq": "groq",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "x-ai": "x_ai",
    "perplexity": "perplexity",
}


@lru_cache(maxsize=1024)
def of_answer(module: str, model: str | None) -> str | None:
    """Who answered, by the client library's module and the model's name; None when neither gives it away."""
    library = module.partition(".")[0]
    return _BY_MODULE.get(library) or of_model(model) or ("openai" if library == "openai" else None)


@lru_cache(maxsize=1024)
def of_model(model: str | None) -> str | None:
    """The provider that a model's name gives away; ``provider/model`` names say it themselves."""
    if not model:
        return None
    prefix, slash, rest = model.lower().partition("/")
    if slash and prefix in _BY_PREFIX:
        return _BY_PREFIX[prefix]
    name = rest.rpartition("/")[2] if slash else prefix
    return next((provider for start, provider in _BY_MODEL if name.startswith(start)), None)


def known(provider: str) -> str:
    """A provider's name as some library writes it (``mistral``, ``bedrock``), in the convention's spelling."""
    return _BY_PREFIX.get(provider.lower(), provider)
