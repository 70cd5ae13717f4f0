"""The cost of a call, from the application's own price table or from genai-prices. Unknown stays unknown.

Costs are worked out when a span leaves the process, not in the call. A cost that the provider told is never replaced.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.guard import SettingError
from driftbell.monitor.vendor import of_model

_PER: Final = 1e6
_MAX_RATES: Final = 256
_DATED: Final = re.compile(r"[-@](latest|\d{4}-?\d{2}-?\d{2}|\d{3})$")


class Rates(NamedTuple):
    """US dollars per million tokens."""

    input: float
    output: float
    cached_input: float
    cache_write: float

    def cost(self, tokens: "Tokens") -> float:
        """US dollars for ``tokens``."""
        fresh = max(tokens.input - tokens.cached - tokens.written, 0)
        parts = (
            fresh * self.input,
            tokens.cached * self.cached_input,
            tokens.written * self.cache_write,
            tokens.output * self.output,
        )
        return sum(parts) / _PER


class Tokens(NamedTuple):
    """What a call used; ``input`` includes ``cached`` and ``written``."""

    input: int
    output: int
    cached: int
    written: int


class Prices(Protocol):
    """A source of prices. ``version`` says which state of it a cost came from."""

    version: str

    def cost(self, provider: str | None, model: str, tokens: Tokens) -> float | None:
        """US dollars, or None when the model has no price here."""


class Table:
    """The application's own prices: ``{"model": {"input": usd, "output": usd, "cached_input": usd}}`` per million.

    ``cached_input`` and ``cache_write`` default to ``input``. A model is found by its exact name, without a
    ``provider/`` before it, and without a date or ``-latest`` after it. Raises `SettingError` for any other form.
    """

    def __init__(self, prices: Mapping[str, Mapping[str, float]]) -> None:
        self._rates = {model: _rates(model, given) for model, given in prices.items()}
        self.version = hashlib.sha256(json.dumps(sorted(self._rates.items())).encode()).hexdigest()[:12]

    def cost(self, provider: str | None, model: str, tokens: Tokens) -> float | None:  # noqa: ARG002
        """US dollars, or None when the model is not in the table."""
        bare = model.rpartition("/")[2]
        for name in (model, bare, _DATED.sub("", bare)):
            rates = self._rates.get(name)
            if rates is not None:
                return rates.cost(tokens)
        return None


def _rates(model: str, given: Mapping[str, float]) -> Rates:
    if not isinstance(given, Mapping):
        raise SettingError(f"prices of {model}: must be an object with input, output and so on")
    unknown = set(given) - set(Rates._fields)
    if unknown:
        raise SettingError(
            f"prices of {model}: unknown {', '.join(sorted(unknown))}; known are {', '.join(Rates._fields)}"
        )
    if "input" not in given:
        raise SettingError(f"prices of {model}: input is missing (US dollars per million tokens)")
    base = given["input"]
    every = (base, given.get("output", 0.0), given.get("cached_input", base), given.get("cache_write", base))
    if not all(isinstance(rate, (int, float)) and math.isfinite(rate) and rate >= 0 for rate in every):
        raise SettingError(f"prices of {model}: every price must be a number that is not negative")
    return Rates(*map(float, every))


class GenaiPrices:
    """The price data of the genai-prices package (extra ``driftbell[prices]``), read without a network."""

    def __init__(self) -> None:
        try:
            import genai_prices  # an extra, and it costs 0.2 s that only its users should pay
        except ImportError:
            raise SettingError('prices="genai-prices" needs: pip install "driftbell[prices]"') from None
        from importlib.metadata import version

        self._library = genai_prices
        self._flat: dict[tuple[str | None, str], Rates | None] = {}
        self.version = f"genai-prices {version('genai-prices')}"

    def cost(self, provider: str | None, model: str, tokens: Tokens) -> float | None:
        """US dollars, or None for a model that the data does not hold."""
        key = (provider, model)
        if key not in self._flat:
            if len(self._flat) >= _MAX_RATES:
                self._flat.clear()
            self._flat[key] = self._flat_rates(provider, model)
        rates = self._flat[key]
        return self._price(provider, model, tokens) if rates is None else rates.cost(tokens)

    def _price(self, provider: str | None, model: str, tokens: Tokens) -> float | None:
        found = self._calculated(provider, model, tokens)
        return None if found is None else float(found.total_price)

    def _calculated(self, provider: str | None, model: str, tokens: Tokens) -> Any:
        usage = self._library.Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.written,
        )
        name = model.rpartition("/")[2]
        for vendor in dict.fromkeys((_ITS_NAMES.get(provider or "", provider), _ITS_NAMES.get(of_model(name) or ""))):
            try:
                return self._library.calc_price(usage, model_ref=name, provider_id=vendor)
            except (LookupError, ValueError):
                continue
        return None

    def _flat_rates(self, provider: str | None, model: str) -> Rates | None:
        """The rates of a model whose price is one number for each kind of token, which saves 100 µs a call.

        None for prices in steps, prices that depend on the time, and unknown models. The rates come from pricing a
        million tokens of each kind.
        """
        million = int(_PER)
        found = self._calculated(provider, model, Tokens(million, 0, 0, 0))
        if found is None or isinstance(found.model.prices, list):
            return None
        if any(hasattr(price, "tiers") for price in vars(found.model_price).values()):
            return None
        samples = (
            Tokens(million, 0, 0, 0),
            Tokens(0, million, 0, 0),
            Tokens(million, 0, million, 0),
            Tokens(million, 0, 0, million),
        )
        rates = [self._price(provider, model, tokens) for tokens in samples]
        return Rates(*rates) if None not in rates else None  # type: ignore[arg-type]  # just checked


_ITS_NAMES: Final = {
    "mistral_ai": "mistral",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
}
"""Providers that genai-prices calls by another name than the OpenTelemetry conventions do."""


def load(given: object) -> Prices | None:
    """Prices as `configure` takes them: a table, the path of one as JSON, ``"genai-prices"``, or None for no prices."""
    if given is None:
        return None
    if given == "genai-prices":
        return GenaiPrices()
    if isinstance(given, Mapping):
        return Table(given)
    if isinstance(given, (str, Path)):
        try:
            table = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingError(f"prices: {given} cannot be read as JSON: {type(error).__name__}") from None
        if not isinstance(table, dict):
            raise SettingError(f"prices: {given} must hold an object of models")
        return Table(table)
    raise SettingError('prices must be a table, the path of a JSON file, or "genai-prices"')


def priced(prices: Prices, attributes: dict[str, Any]) -> None:
    """Put the cost on an ended call, when its model and its tokens are known and nobody told a cost yet."""
    model = attributes.get(names.RESPONSE_MODEL) or attributes.get(names.REQUEST_MODEL)
    sent, received = attributes.get(names.INPUT_TOKENS), attributes.get(names.OUTPUT_TOKENS)
    if names.COST_AMOUNT in attributes or model is None or sent is None:
        return
    if received is None:
        if attributes.get(names.OPERATION) != "embeddings":
            return
        received = 0
    cached, written = attributes.get(names.CACHE_READ_TOKENS, 0), attributes.get(names.CACHE_WRITE_TOKENS, 0)
    cost = prices.cost(attributes.get(names.PROVIDER), model, Tokens(sent, received, cached, written))
    if cost is None:
        guard.voice.say("driftbell has no price for the model %.80s: its calls stay without a cost", model)
        return
    attributes[names.COST_AMOUNT] = cost
    attributes[names.COST_CURRENCY] = "USD"
    attributes[names.COST_SOURCE] = "local"
    attributes[names.PRICE_VERSION] = prices.version
