"""Why a cost changed: addends that sum to the change, by logarithmic-mean Divisia decomposition.

The cost of one cell ``(segment, model)`` is a product, ``volume x segment share x model share x attempts per call x
tokens per attempt x price per token``, once for the input and once for the output. For a product that moves from
``y`` to ``x`` each factor gets ``L(x, y) * ln(factor after / factor before)`` with the logarithmic mean
``L(x, y) = (x - y) / (ln x - ln y)``. The logarithms of the factors add up to ``ln(x / y)``, so the parts add up to
``x - y`` with nothing left over, and swapping before and after swaps every sign (B. W. Ang, "The LMDI approach to
decomposition analysis", Energy Policy 33, 2005). A factor that is zero on one side takes the whole change of its
product, the limit of the formula (Ang and Liu, Energy Policy 35, 2007).

What the volume is decides which question is answered: calls (why did the bill change), nothing (cost per call) or
calls per outcome (cost per outcome).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from driftbell.collectors.point import Point

Per = Literal["total", "call", "outcome"]
Factor = Literal[
    "traffic",
    "outcomes_per_call",
    "segment_mix",
    "model_mix",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cache_share",
    "price",
    "other",
]
"""``other`` is what known prices and tokens do not explain, such as cache writes or retries of another size."""
FACTORS: tuple[Factor, ...] = Factor.__args__  # type: ignore[attr-defined]  # the names above, in their order


class CellKey(NamedTuple):
    """One segment (or other group) and one model; None is a group of its own."""

    segment: str | None
    model: str | None


class UnitPrices(NamedTuple):
    """USD per token; only the ratios matter when the cost itself is known."""

    input: float
    output: float
    cached_input: float


ASSUMED_PRICES = UnitPrices(1.0, 4.0, 0.1)
"""Ratios taken when no price is known: output 4 to 5 times input and cached input a tenth, as most lists have it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Sums over the priced calls of one cell in one period; ``attempts`` counts billed tries.

    Tokens are per try: a call of 100 input tokens that took three tries has ``attempts`` 3, ``input_tokens`` 100.
    ``input_tokens`` includes ``cached_tokens``. All numbers are finite and not negative.
    """

    calls: float
    cost_usd: float
    attempts: float
    input_tokens: float = 0.0
    cached_tokens: float = 0.0
    output_tokens: float = 0.0
    prices: UnitPrices | None = None

    def __post_init__(self) -> None:
        """Refuse what no period can hold; raises ValueError."""
        numbers = (self.calls, self.cost_usd, self.attempts, self.input_tokens, self.cached_tokens, self.output_tokens)
        if not all(math.isfinite(n) and n >= 0 for n in (*numbers, *(self.prices or ()))):
            raise ValueError(f"a cell needs finite numbers that are not negative: {numbers} {self.prices}")


@dataclass(frozen=True, slots=True)
class Decomposition:
    """``parts`` sum to ``after - before`` (USD, or USD per call or outcome); so do those of all ``cells`` together.

    ``assumed_prices`` says that some cell had no known price, so that its split between input, output and cache
    rests on `ASSUMED_PRICES`; the sum does not.
    """

    before: float
    after: float
    parts: dict[Factor, float]
    cells: dict[CellKey, dict[Factor, float]] = field(default_factory=dict)
    assumed_prices: bool = False

    @property
    def change(self) -> float:
        """What the parts sum to."""
        return self.after - self.before

    def share(self, factor: Factor) -> float | None:
        """The part of the change that one factor explains (1.0 = all of it); None when nothing changed."""
        return self.parts.get(factor, 0.0) / self.change if self.change else None


def decompose(
    before: Mapping[CellKey, Cell],
    after: Mapping[CellKey, Cell],
    per: Per = "call",
    outcomes: tuple[float, float] | None = None,
) -> Decomposition | None:
    """Split the change of cost between two periods into its factors, exactly.

    ``outcomes`` (before, after) is needed when ``per`` is ``"outcome"``. Returns None when a side has no calls or no
    outcomes to divide by; the total cost of an empty side is 0 and the whole change then is traffic.
    """
    if per == "outcome" and outcomes is None:
        raise ValueError("cost per outcome needs the number of outcomes before and after")
    calls = tuple(math.fsum(cell.calls for cell in side.values()) for side in (before, after))
    divisors = {"total": (1.0, 1.0), "call": calls, "outcome": outcomes or (0.0, 0.0)}[per]
    if min(divisors) <= 0:
        return None
    sides = (_Side(before, divisors[0]), _Side(after, divisors[1]))
    first: Factor = "outcomes_per_call" if per == "outcome" else "traffic"
    cells: dict[CellKey, dict[Factor, float]] = {}
    for key in sorted(sides[0].cells.keys() | sides[1].cells.keys(), key=_order):
        parts = cells[key] = {}
        for product in _products((sides[0].cells.get(key), sides[1].cells.get(key)), (divisors[0], divisors[1])):
            _share_out(parts, product, sides, first, key)
    every = [parts for parts in cells.values() if parts]
    total = {f: math.fsum(parts.get(f, 0.0) for parts in every) for f in FACTORS if any(f in parts for parts in every)}
    assumed = any(cell.prices is None for side in sides for cell in side.cells.values())
    return Decomposition(sides[0].cost, sides[1].cost, total, cells, assumed)


def cells_of(points: Iterable[Point], prices: Mapping[str, UnitPrices] | None = None) -> dict[CellKey, Cell]:
    """The cells of any points: calls without a known cost are left out, tokens are scaled to the calls with one."""
    groups: dict[CellKey, list[Point]] = {}
    for point in points:
        groups.setdefault(CellKey(point.key.segment, point.key.model), []).append(point)
    table = prices or {}
    cells = {key: _cell(group, table.get(key.model or "")) for key, group in groups.items()}
    return {key: cell for key, cell in cells.items() if cell.calls}


def _cell(points: list[Point], prices: UnitPrices | None) -> Cell:
    def summed(name: str) -> tuple[float, int]:
        found = [point.quantities[name] for point in points if name in point.quantities]
        return math.fsum(q.total for q in found), sum(q.count for q in found)

    cost, calls = summed("cost")

    def scaled(name: str) -> float:
        total, known = summed(name)
        return total / known * calls if known else 0.0

    without, answered = (sum(point.rates.get("unpriced", (0, 0))[i] for point in points) for i in (0, 1))
    written = summed("output_tokens")[0] * (1 - without / answered if answered else 1.0)
    return Cell(
        calls=calls,
        cost_usd=cost,
        attempts=scaled("attempts"),
        input_tokens=scaled("input_tokens"),
        cached_tokens=scaled("cached_tokens"),
        output_tokens=written,
        prices=prices,
    )


class _Side:
    """One period: its cells that hold calls, and how many calls each segment has."""

    def __init__(self, cells: Mapping[CellKey, Cell], divisor: float) -> None:
        self.cells = {key: cell for key, cell in cells.items() if cell.calls > 0}
        self.calls = math.fsum(cell.calls for cell in self.cells.values())
        self.volume = self.calls / divisor
        self.cost = math.fsum(cell.cost_usd for cell in self.cells.values()) / divisor
        self.segments: dict[str | None, float] = {}
        for key, cell in self.cells.items():
            self.segments[key.segment] = self.segments.get(key.segment, 0.0) + cell.calls

    def mix(self, key: CellKey) -> tuple[float, float]:
        """(share of the segment in all calls, share of the model in the calls of the segment)."""
        in_segment = self.segments[key.segment]
        return in_segment / self.calls, self.cells[key].calls / in_segment


class _Product(NamedTuple):
    """One addend of a cell's cost on both sides, and the logarithmic change of each of the cell's own factors."""

    before: float
    after: float
    logs: dict[Factor, float]
    zero: Factor
    """Takes the whole change when one side is zero though the cell has calls on both."""


def _products(pair: tuple[Cell | None, Cell | None], divisors: tuple[float, float]) -> list[_Product]:
    """The input and the output of a cell, or its whole cost where tokens are not known on both sides."""
    costs = tuple(0.0 if cell is None else cell.cost_usd / by for cell, by in zip(pair, divisors, strict=True))
    old, new = pair
    if old is None or new is None:
        return [_Product(costs[0], costs[1], {}, "model_mix")]
    attempts = _log_ratio(new.attempts / new.calls, old.attempts / old.calls) or 0.0
    tables, rest_is = _price_tables(old, new)
    lists = [_list_costs(cell, table) for cell, table in zip((old, new), tables, strict=True)]
    if min(sum(both) for both in lists) <= 0 or min(old.attempts, new.attempts) <= 0:
        per_call = _log_ratio(new.cost_usd / new.calls, old.cost_usd / old.calls) or 0.0
        return [_Product(costs[0], costs[1], {"attempts": attempts, "price": per_call - attempts}, "price")]
    rest = _log_ratio(*(_over_list(cell, sum(both)) for cell, both in zip((new, old), reversed(lists), strict=True)))
    price_in, cache = _input_price_logs(old, new, tables)
    tokens_in = _log_ratio(new.input_tokens / new.calls, old.input_tokens / old.calls)
    tokens_out = _log_ratio(new.output_tokens / new.calls, old.output_tokens / old.calls)
    price_out = _log_ratio(tables[1].output, tables[0].output) or 0.0
    inputs: dict[Factor, float] = {"input_tokens": tokens_in or 0.0, "cache_share": cache, "price": price_in}
    outputs: dict[Factor, float] = {"output_tokens": tokens_out or 0.0, "price": price_out}
    found = []
    for side, logs, zero in ((0, inputs, "input_tokens"), (1, outputs, "output_tokens")):
        logs["attempts"] = attempts
        logs[rest_is] = logs.get(rest_is, 0.0) + (rest or 0.0)
        old_cost, new_cost = (cost * both[side] / sum(both) for cost, both in zip(costs, lists, strict=True))
        no_tokens = (tokens_in, tokens_out)[side] is None
        found.append(_Product(old_cost, new_cost, logs, zero if no_tokens else "price"))  # type: ignore[arg-type]
    return found


def _share_out(
    parts: dict[Factor, float], product: _Product, sides: "tuple[_Side, _Side]", first: Factor, key: CellKey
) -> None:
    """Add the parts of one product to ``parts``."""
    x, y = product.after, product.before
    if x == y == 0:
        return
    if x == 0 or y == 0:
        factor = _vanished(sides, first, key) or product.zero
        parts[factor] = parts.get(factor, 0.0) + (x - y)
        return
    mean = _log_mean(x, y)
    (old_segment, old_model), (new_segment, new_model) = (side.mix(key) for side in sides)
    common: dict[Factor, float | None] = {
        first: _log_ratio(sides[1].volume, sides[0].volume),
        "segment_mix": _log_ratio(new_segment, old_segment),
        "model_mix": _log_ratio(new_model, old_model),
    }
    for factor, log in (*common.items(), *product.logs.items()):
        parts[factor] = parts.get(factor, 0.0) + mean * (log or 0.0)


def _vanished(sides: "tuple[_Side, _Side]", first: Factor, key: CellKey) -> Factor | None:
    """Which of the common factors is zero on one side, the widest first."""
    for side in sides:
        if not side.calls:
            return first
        if key.segment not in side.segments:
            return "segment_mix"
        if key not in side.cells:
            return "model_mix"
    return None


def _price_tables(old: Cell, new: Cell) -> tuple[tuple[UnitPrices, UnitPrices], Factor]:
    """Prices of both sides, and the name of what they leave: with lists on both sides it is not the price."""
    if old.prices is not None and new.prices is not None:
        return (old.prices, new.prices), "other"
    one = old.prices or new.prices or ASSUMED_PRICES
    return (one, one), "price"


def _list_costs(cell: Cell, prices: UnitPrices) -> tuple[float, float]:
    """List value of the input and of the output tokens, one try per call."""
    cached = min(cell.cached_tokens, cell.input_tokens)
    return (
        cell.input_tokens - cached
    ) * prices.input + cached * prices.cached_input, cell.output_tokens * prices.output


def _over_list(cell: Cell, list_cost: float) -> float:
    """What a try cost over its list value; 1.0 when list prices explain everything."""
    return cell.cost_usd * cell.calls / (cell.attempts * list_cost)


def _input_price_logs(old: Cell, new: Cell, tables: tuple[UnitPrices, UnitPrices]) -> tuple[float, float]:
    """Logarithmic change of the mean price of an input token: (by the price, by the cached share).

    The mean price is a sum, so each cause is taken with the other one before and after, and halved.
    """

    def mean_price(cell: Cell, prices: UnitPrices) -> float:
        cached = min(cell.cached_tokens / cell.input_tokens, 1.0) if cell.input_tokens else 0.0
        return (1 - cached) * prices.input + cached * prices.cached_input

    before, after = tables
    corners = [mean_price(cell, prices) for cell in (old, new) for prices in tables]
    if min(corners) <= 0:
        whole = _log_ratio(corners[3], corners[0]) or 0.0
        return (whole, 0.0) if before != after else (0.0, whole)
    old_old, old_new, new_old, new_new = map(math.log, corners)
    return (old_new - old_old + new_new - new_old) / 2, (new_old - old_old + new_new - old_new) / 2


def _log_ratio(x: float, y: float) -> float | None:
    """ln(x / y); None when either is zero."""
    return math.log(x) - math.log(y) if x > 0 and y > 0 else None


def _log_mean(x: float, y: float) -> float:
    """The logarithmic mean of two positive numbers, without cancellation when they are close."""
    if x == y:
        return y
    distance = math.log(x / y)
    return (x - y) / distance if abs(distance) > 1e-3 else y * math.expm1(distance) / distance


def _order(key: CellKey) -> tuple[object, ...]:
    return tuple((part is not None, part or "") for part in key)
