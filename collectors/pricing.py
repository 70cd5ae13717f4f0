"""What a call cost: the provider's figure, else the user's table, else the public price list."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from driftbell.collectors.call import Call


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


def price(call: Call, prices: PriceTable) -> Call:
    """``call`` with ``cost_usd``, ``cost_source`` and ``price_version`` set; safe to repeat with another table."""
    raise NotImplementedError
