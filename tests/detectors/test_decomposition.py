"""The parts of a cost change: they sum to it, and each names what really moved."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbell.collectors.call import Call
from driftbell.collectors.rollup import rollup
from driftbell.detectors.decomposition import Cell, CellKey, Decomposition, UnitPrices, cells_of, decompose

HIGH, LOW = CellKey("high-risk", "pro"), CellKey("standard", "pro")
PRO = UnitPrices(3e-6, 15e-6, 0.3e-6)


def priced(calls: int, tokens_in: float, tokens_out: float, *, cached=0.0, tries=1.0, prices=PRO) -> Cell:
    """A cell whose cost is exactly what its tokens cost."""
    per_try = tokens_in * ((1 - cached) * prices.input + cached * prices.cached_input) + tokens_out * prices.output
    sums = (calls * per_try * tries, calls * tries, calls * tokens_in, calls * tokens_in * cached, calls * tokens_out)
    return Cell(calls, *sums, prices=prices)


def moved(result: Decomposition | None) -> dict[str, float]:
    """The parts that are not zero."""
    assert result is not None
    return {name: part for name, part in result.parts.items() if abs(part) > 1e-12 * max(result.before, result.after)}


amounts = st.one_of(st.just(0.0), st.floats(1e-6, 1e9))
prices = st.none() | st.builds(UnitPrices, *[st.one_of(st.just(0.0), st.floats(1e-9, 1e-3))] * 3)
any_cells = st.dictionaries(
    st.builds(CellKey, st.sampled_from([None, "a", "b"]), st.sampled_from([None, "x", "y"])),
    st.builds(Cell, amounts, amounts, amounts, amounts, amounts, amounts, prices),
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(any_cells, any_cells, st.sampled_from(["total", "call", "outcome"]), st.tuples(amounts, amounts))
def test_the_parts_sum_to_the_change_whatever_the_cells(before, after, per, outcomes):
    result = decompose(before, after, per, outcomes)
    if result is None:
        return
    tolerance = 1e-9 * max(result.before, result.after)
    assert sum(result.parts.values()) == pytest.approx(result.change, abs=tolerance)
    assert sum(sum(parts.values()) for parts in result.cells.values()) == pytest.approx(result.change, abs=tolerance)
    back = decompose(after, before, per, outcomes[::-1])
    assert back is not None
    for name, part in result.parts.items():
        assert back.parts[name] == pytest.approx(-part, rel=1e-9, abs=tolerance)


@pytest.mark.parametrize(
    ("after", "factor"),
    [
        (priced(100, 2400, 600), "input_tokens"),
        (priced(100, 1200, 900), "output_tokens"),
        (priced(100, 1200, 600, cached=0.5), "cache_share"),
        (priced(100, 1200, 600, tries=1.4), "attempts"),
        (priced(100, 1200, 600, prices=UnitPrices(6e-6, 30e-6, 0.6e-6)), "price"),
        (replace(priced(100, 1200, 600), cost_usd=9.0), "other"),
    ],
)
def test_what_moves_alone_takes_the_whole_change(after, factor):
    result = decompose({HIGH: priced(100, 1200, 600)}, {HIGH: after})
    assert moved(result) == {factor: pytest.approx(result.change)}
    assert result.share(factor) == pytest.approx(1.0)


def test_a_longer_prompt_in_one_segment_is_found_in_that_segment():
    before = {HIGH: priced(560, 12_000, 600), LOW: priced(440, 4_000, 300)}
    after = {HIGH: priced(560, 24_000, 600), LOW: priced(440, 4_000, 300)}
    result = decompose(before, after)
    assert moved(result) == {"input_tokens": pytest.approx(0.56 * 12_000 * 3e-6)}
    assert sum(result.cells[HIGH].values()) == pytest.approx(result.change)


def test_more_traffic_raises_the_bill_and_not_the_cost_per_call():
    before, after = {HIGH: priced(100, 1200, 600)}, {HIGH: priced(150, 1200, 600)}
    assert set(moved(decompose(before, after, "total"))) == {"traffic"}
    assert moved(decompose(before, after, "call")) == {}


def test_fewer_outcomes_per_call_make_each_outcome_dearer():
    cells = {HIGH: priced(100, 1200, 600)}
    result = decompose(cells, cells, "outcome", (71, 64))
    assert moved(result) == {"outcomes_per_call": pytest.approx(result.change)}
    assert result.change > 0


def test_a_switch_of_model_and_a_new_segment_are_mix():
    old = {HIGH: priced(100, 1200, 600)}
    dear = priced(100, 1200, 600, prices=UnitPrices(5e-6, 25e-6, 0.5e-6))
    assert set(moved(decompose(old, {CellKey("high-risk", "max"): dear}))) == {"model_mix"}
    assert set(moved(decompose(old, old | {LOW: priced(100, 4000, 300)}))) == {"segment_mix"}


def test_a_cache_that_starts_to_work_does_not_hide_a_longer_prompt():
    parts = moved(decompose({HIGH: priced(100, 1200, 600)}, {HIGH: priced(100, 2400, 600, cached=0.5)}))
    assert parts["input_tokens"] > 0 > parts["cache_share"]
    assert set(parts) == {"input_tokens", "cache_share"}


def test_nothing_to_divide_by_is_no_answer_but_an_empty_week_still_has_a_bill():
    cells = {HIGH: priced(100, 1200, 600)}
    assert decompose({}, cells) is None
    assert decompose(cells, cells, "outcome", (0, 10)) is None
    assert moved(decompose({}, cells, "total")) == {"traffic": pytest.approx(cells[HIGH].cost_usd)}
    with pytest.raises(ValueError, match="outcomes"):
        decompose(cells, cells, "outcome")


def test_without_prices_the_split_is_marked_as_assumed():
    unpriced = replace(priced(100, 1200, 600), prices=None)
    result = decompose({HIGH: unpriced}, {HIGH: replace(unpriced, input_tokens=2e5, cost_usd=unpriced.cost_usd * 1.2)})
    assert result.assumed_prices
    assert sum(result.parts.values()) == pytest.approx(result.change)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_cell_refuses_what_no_period_can_hold(bad):
    with pytest.raises(ValueError, match="not negative"):
        Cell(1, bad, 1)


def test_points_become_cells_of_their_priced_calls():
    def call(ts: float, tokens: int, cost: float | None, **more) -> Call:
        known = {"input_tokens": tokens, "output_tokens": 50, "cached_tokens": 20, "cost_usd": cost, "model": "m"}
        return Call(ts, "w", segment="s", attempts=2, **(known | more))

    points = rollup([call(0, 100, 0.25), call(60, 200, 0.75), call(61, 300, None), call(62, 50, 0.5, model="n")])
    cells = cells_of(points, {"m": PRO})
    cell = cells[CellKey("s", "m")]
    assert (cell.calls, cell.cost_usd, cell.attempts, cell.prices) == (2, 1.0, 4, PRO)
    assert (cell.input_tokens, cell.cached_tokens, cell.output_tokens) == pytest.approx((400, 40, 100))
    assert cells[CellKey("s", "n")].prices is None
