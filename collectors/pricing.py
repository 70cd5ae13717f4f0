"""What a call cost: the provider's figure, else the user's table, else the public price list, else the emitter's guess.

A cost that cannot be known stays ``None``. The public list is genai-prices, which ships with its data and is asked
for the price at the time of the call; nothing is fetched.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from importlib.metadata import version
from operator import attrgetter
from types import ModuleType
from typing import Literal

from driftbell.collectors.call import Call, CostSource
from driftbell.collectors.rows import Measured

REPORTED_COST = "driftbell.cost.reported"
"""Attribute of a call: what its emitter reckoned, in USD; believed only where no price is known."""
PARTS = "driftbell.cost.parts"
"""Attribute of a call that sums up several: per part provider, model, and its token counts as in `_Usage`."""
_DAY = 86400
_PER_MILLION = 1e-6
UNTIERED = 30_000
"""Tokens up to which no provider has a second price tier; asking the list takes 90 µs, multiplying nothing."""
TIER = "service_tier"
"""Ending of the attributes that tell at which tier a provider served a call."""
_CONTEXTS = {"batch": {"processing": "batch"}} | {tier: {TIER: tier} for tier in ("flex", "priority", "fast")}
"""Tiers with prices of their own, as genai-prices names them."""
_FIELDS = [each.name for each in fields(Call)]
_COST = _FIELDS.index("cost_usd")
_values = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens; ``cached_input`` defaults to ``input``."""

    input: float
    output: float
    cached_input: float | None = None


@dataclass(frozen=True)
class PriceTable:
    """The user's prices by model (may be empty), and whether the public list stands behind them."""

    models: Mapping[str, ModelPrice] = field(default_factory=dict)
    public: bool = True

    @cached_property
    def version(self) -> str:
        """Short digest of the user's prices, so that a stored cost says which table it came from."""
        rows = sorted((name, p.input, p.output, p.cached_input) for name, p in self.models.items())
        return f"table:{hashlib.blake2b(json.dumps(rows).encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True)
class _Usage:
    """What one request used; ``input`` includes ``cached`` and ``written``, ``output`` includes reasoning."""

    provider: str | None
    model: str | None
    input: int | None
    output: int | None
    cached: int = 0
    written: int = 0
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class _Cost:
    usd: float
    version: str


def billed_attempts(call: Call | Measured) -> int:
    """How often a call of its size was paid for: every try of a call record, of a trace only the one that answered."""
    return call.attempts if call.dialect == "record" else 1


def price(call: Call, prices: PriceTable) -> Call:
    """``call`` with ``cost_usd``, ``cost_source`` and ``price_version`` set; safe to repeat with another table."""
    if call.cost_source == "provider" and call.cost_usd is not None:
        return call
    usages = _usages(call)
    costs = [_cost(usage, call.ts, prices) for usage in usages]
    known = [cost for cost in costs if cost is not None]
    if known:
        total = billed_attempts(call) * sum(cost.usd for cost in known)
        versions = "+".join(sorted({cost.version for cost in known}))
        complete = len(known) == len(costs) and is_complete(call)
        return _priced(call, total, "computed" if complete else "partial", versions)
    reported = call.attributes.get(REPORTED_COST)
    if isinstance(reported, (int, float)) and reported > 0:
        return _priced(call, float(reported), "computed", "reported")
    if call.cost_usd is None and call.cost_source == "unpriced" and call.price_version is None:
        return call
    return _priced(call, None, "unpriced", None)


@dataclass(frozen=True, slots=True)
class Rate:
    """How to reckon the cost of one model on one day without asking again, for at most `UNTIERED` tokens."""

    version: str
    listed: "_Rates | None"
    own: ModelPrice | None = None

    def usd(self, given: int, out: int | None, cached: int | None, written: int | None) -> float:
        """The cost of a request with these tokens, equal to the last bit to that which `price` finds."""
        if self.own is not None:
            return _own_cost(self.own, given, out or 0, cached or 0)
        assert self.listed is not None
        return self.listed.of(given, out or 0, cached or 0, written or 0)


def tier_of(attributes: Mapping[str, object]) -> str | None:
    """The tier at which a call with these attributes is billed, if it is not the usual one.

    What the provider answered counts before what was asked for.
    """
    found = {name: tier for name, tier in attributes.items() if name.endswith(TIER)} if attributes else None
    if not found:
        return None
    name = min(found, key=lambda name: ("response" not in name, name))
    return tier if (tier := str(found[name]).lower()) in _CONTEXTS else None


def rate_of(
    provider: str | None, model: str | None, day: int, prices: PriceTable, tier: str | None = None
) -> Rate | Literal["ask"] | None:
    """The rate of a model on a day since the epoch; ``None`` if it has no price, ``ask`` if it is not so simple."""
    if model is None:
        return None
    own = _in_table(model, prices)
    if own is not None:
        return Rate(prices.version, None, own)
    if not prices.public:
        return None
    for name in (provider, None):
        rates = _rates(name, model, day, tier)
        if rates is not None:
            return Rate(_public_list()[1], rates) if rates.linear else "ask"
    return None


def is_complete(call: Call) -> bool:
    """Whether a cost reckoned from the tokens of ``call`` is all of its cost."""
    return call.usage_source != "estimated" and _has_output(call)


def _priced(call: Call, usd: float | None, source: CostSource, price_version: str | None) -> Call:
    """`dataclasses.replace` of the three fields at half its time, for it happens to every call."""
    values = list(_values(call))
    values[_COST : _COST + 3] = usd, source, price_version
    return Call(*values)


def _has_output(call: Call) -> bool:
    return call.output_tokens is not None or call.operation == "embeddings"


def _usages(call: Call) -> list[_Usage]:
    parts = call.attributes.get(PARTS)
    if isinstance(parts, list) and parts:
        rows = [(provider, model, *counts[:4]) for provider, model, *counts in parts]
    else:
        counts = (call.input_tokens, call.output_tokens, call.cached_tokens, call.cache_write_tokens)
        rows = [(call.provider, call.model, *counts)]
    tier = tier_of(call.attributes)
    return [_Usage(p, m, given, out, cached or 0, written or 0, tier) for p, m, given, out, cached, written in rows]


def _cost(usage: _Usage, ts: float, prices: PriceTable) -> _Cost | None:
    if usage.model is None or usage.input is None:
        return None
    own = _in_table(usage.model, prices)
    if own is not None:
        return _Cost(_own_cost(own, usage.input, usage.output or 0, usage.cached), prices.version)
    return _public_cost(usage, int(ts // _DAY)) if prices.public else None


def _own_cost(own: ModelPrice, given: int, out: int, cached: int) -> float:
    cached = min(cached, given)
    cached_price = own.input if own.cached_input is None else own.cached_input
    return ((given - cached) * own.input + cached * cached_price + out * own.output) * _PER_MILLION


def _in_table(model: str, prices: PriceTable) -> ModelPrice | None:
    """The price of a model under its name, or under the longest name that it is a dated version of."""
    if not prices.models:
        return None
    exact = prices.models.get(model)
    if exact is not None:
        return exact
    stems = [name for name in prices.models if model.startswith(name + "-") and _is_date(model[len(name) + 1 :])]
    return prices.models[max(stems, key=len)] if stems else None


def _is_date(suffix: str) -> bool:
    digits = suffix.replace("-", "")
    return digits.isdigit() and len(digits) in (4, 6, 8)


def load_public_list() -> None:
    """Load the public price list now, which takes half a second, and not with the first call that needs it."""
    _public_list()


@lru_cache(maxsize=1)
def _public_list() -> tuple[ModuleType, str]:
    import genai_prices  # loading the list takes time that only a call that needs it should pay

    return genai_prices, f"genai-prices:{version('genai-prices')}"


def _public_cost(usage: _Usage, day: int) -> _Cost | None:
    """Cost by the public list on a day since the epoch; with the model alone if the provider is not in the list."""
    assert usage.model is not None
    for provider in (usage.provider, None):
        rates = _rates(provider, usage.model, day, usage.tier)
        if rates is not None:
            simple = rates.linear and max(usage.input or 0, usage.output or 0) <= UNTIERED
            usd = (
                rates.of(usage.input or 0, usage.output or 0, usage.cached, usage.written)
                if simple
                else _asked(provider, usage, day)
            )
            return None if usd is None else _Cost(usd, _public_list()[1])
    return None


@dataclass(frozen=True, slots=True)
class _Rates:
    """USD per token, for requests of at most `UNTIERED` tokens; not ``linear`` if they depend on the number."""

    input: float
    output: float
    cached: float
    written: float
    linear: bool

    def of(self, given: int, out: int, cached: int, written: int) -> float:
        if not cached and not written:
            return given * self.input + out * self.output
        cached = min(cached, given)
        written = min(written, given - cached)
        plain = given - cached - written
        return plain * self.input + cached * self.cached + written * self.written + out * self.output


@lru_cache(maxsize=4096)
def _rates(provider: str | None, model: str, day: int, tier: str | None) -> _Rates | None:
    """The rates of a model on a day at a tier, found by asking the list for many tokens of each kind."""
    many = UNTIERED
    probes = [
        _Usage(provider, model, many, 0, tier=tier),
        _Usage(provider, model, 0, many, tier=tier),
        _Usage(provider, model, many, 0, cached=many, tier=tier),
        _Usage(provider, model, many, 0, written=many, tier=tier),
    ]
    found = [usd / many for probe in probes if (usd := _asked(provider, probe, day)) is not None]
    if len(found) < len(probes):
        return None
    rates = _Rates(found[0], found[1], found[2], found[3], linear=True)
    few = _Usage(provider, model, 1000, 1000, tier=tier)
    asked = _asked(provider, few, day)
    return replace(rates, linear=asked is not None and math.isclose(asked, rates.of(1000, 1000, 0, 0), rel_tol=1e-9))


def _asked(provider: str | None, usage: _Usage, day: int) -> float | None:
    """What the list says of one request, or ``None`` if it does not know the model or the provider."""
    prices, _ = _public_list()
    cached, written = _consistent(usage)
    counts = prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output or 0,
        cache_read_tokens=cached or None,
        cache_write_tokens=written or None,
    )
    try:
        moment = datetime.fromtimestamp(day * _DAY, UTC)
        found = prices.calc_price(
            counts,
            model_ref=usage.model,
            provider_id=provider,
            genai_request_timestamp=moment,
            price_context=None if usage.tier is None else _CONTEXTS[usage.tier],
        )
    except (LookupError, ValueError, OverflowError, OSError):
        return None
    return float(found.total_price)


def _consistent(usage: _Usage) -> tuple[int, int]:
    """Cached and written tokens, which as parts of the input cannot exceed it."""
    cached = min(usage.cached, usage.input or 0)
    return cached, min(usage.written, (usage.input or 0) - cached)
