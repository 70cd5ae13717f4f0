"""What a call cost, and that a cost nobody can know stays unknown."""

from dataclasses import replace

import pytest

from driftbell.collectors.call import Call
from driftbell.collectors.pricing import REPORTED_COST, ModelPrice, PriceTable, billed_attempts, price
from driftbell.collectors.records import parse_record

T0 = 1_795_000_000.0
TABLE = PriceTable({"gpt-4o": ModelPrice(2.0, 10.0, 0.5), "house-model": ModelPrice(1.0, 3.0)})
CALL = Call(
    ts=T0,
    workflow="w",
    provider="openai",
    model="gpt-4o",
    input_tokens=1000,
    cached_tokens=400,
    output_tokens=100,
    usage_source="provider",
)


def test_the_users_table_prices_cached_tokens_apart() -> None:
    priced = price(CALL, TABLE)
    assert priced.cost_usd == pytest.approx((600 * 2.0 + 400 * 0.5 + 100 * 10.0) / 1e6)
    assert (priced.cost_source, priced.price_version) == ("computed", TABLE.version)


def test_cached_tokens_cost_as_much_as_others_if_the_table_says_nothing_else() -> None:
    call = replace(CALL, model="house-model")
    assert price(call, TABLE).cost_usd == pytest.approx((1000 * 1.0 + 100 * 3.0) / 1e6)


def test_a_dated_version_has_the_price_of_its_model() -> None:
    assert price(replace(CALL, model="gpt-4o-2024-08-06"), TABLE).cost_usd == price(CALL, TABLE).cost_usd
    other = price(replace(CALL, model="gpt-4o-mini"), replace(TABLE, public=False))
    assert other.cost_usd is None


def test_another_table_has_another_version() -> None:
    assert PriceTable({"a": ModelPrice(1, 2)}).version != PriceTable({"a": ModelPrice(1, 3)}).version


@pytest.mark.parametrize(
    ("attributes", "times"),
    [
        ({"gen_ai.openai.response.service_tier": "default"}, 1.0),
        ({"openai.response.service_tier": "batch"}, 0.5),
        ({"service_tier": "Priority"}, 1.7),
        ({"openai.request.service_tier": "priority", "openai.response.service_tier": "default"}, 1.0),
        ({"openai.response.service_tier": "of the future"}, 1.0),
    ],
)
def test_a_call_costs_what_its_tier_costs(attributes, times) -> None:
    call = replace(CALL, cached_tokens=0)
    plain, tiered = price(call, PriceTable()), price(replace(call, attributes=attributes), PriceTable())
    assert tiered.cost_usd == pytest.approx(times * plain.cost_usd)
    assert price(replace(CALL, attributes=attributes), TABLE).cost_usd == price(CALL, TABLE).cost_usd


@pytest.mark.parametrize(
    ("provider", "model", "counts", "usd"),
    [
        # what two emitters with price lists of their own reported for the same recorded calls
        ("openai", "gpt-4o-mini-2024-07-18", (1011, 640, 0, 203), 0.00022545),
        ("anthropic", "claude-sonnet-4-5-20250929", (2611, 1800, 500, 123), 0.005193),
        ("openai", "text-embedding-3-small", (22, 0, 0, 0), 4.4e-07),
    ],
)
def test_the_public_list_agrees_with_what_emitters_reported(provider, model, counts, usd) -> None:
    given, cached, written, out = counts
    call = replace(
        CALL,
        provider=provider,
        model=model,
        input_tokens=given,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=out,
    )
    priced = price(call, PriceTable())
    assert priced.cost_usd == pytest.approx(usd)
    assert priced.price_version.startswith("genai-prices:")


def test_long_requests_have_the_price_of_their_tier() -> None:
    def cost(tokens: int) -> float:
        call = replace(CALL, provider="anthropic", model="claude-sonnet-4-5", input_tokens=tokens, cached_tokens=None)
        return price(replace(call, output_tokens=0), PriceTable()).cost_usd

    assert cost(20_000) == pytest.approx(20 * cost(1000))
    assert cost(400_000) > 21 * cost(20_000)


def test_a_model_that_nobody_knows_is_unpriced_and_not_free() -> None:
    priced = price(replace(CALL, model="no-such-model", provider="nobody"), PriceTable())
    assert (priced.cost_usd, priced.cost_source, priced.price_version) == (None, "unpriced", None)


@pytest.mark.parametrize("missing", ["input_tokens", "model"])
def test_without_tokens_or_model_there_is_no_cost(missing) -> None:
    assert price(replace(CALL, **{missing: None}), TABLE).cost_usd is None


def test_without_output_tokens_the_cost_is_partial() -> None:
    priced = price(replace(CALL, output_tokens=None), TABLE)
    assert priced.cost_source == "partial"
    assert priced.cost_usd == pytest.approx((600 * 2.0 + 400 * 0.5) / 1e6)


def test_the_providers_own_figure_is_never_recomputed() -> None:
    billed = replace(CALL, cost_usd=0.5, cost_source="provider")
    assert price(billed, TABLE) == billed


def test_what_an_emitter_reckoned_stands_in_where_no_price_is_known() -> None:
    call = replace(CALL, model="no-such-model", provider=None, attributes={REPORTED_COST: 0.25})
    assert (price(call, TABLE).cost_usd, price(call, TABLE).price_version) == (0.25, "reported")
    assert price(replace(call, model="gpt-4o"), TABLE).price_version == TABLE.version


def test_history_can_be_priced_again_with_another_table() -> None:
    once = price(CALL, PriceTable())
    again = price(once, TABLE)
    assert again == price(CALL, TABLE)
    assert price(again, PriceTable(public=False)).cost_usd is None


def test_retries_of_a_record_are_billed_and_failed_attempts_of_a_trace_are_not() -> None:
    line = '{"ts": 1795000000, "workflow": "w", "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100'
    record = parse_record(line + ', "retries": 2}').call
    assert record is not None
    traced = replace(CALL, cached_tokens=None, attempts=3, dialect="opentelemetry")
    assert (billed_attempts(record), billed_attempts(traced)) == (3, 1)
    assert price(record, TABLE).cost_usd == pytest.approx(3 * price(traced, TABLE).cost_usd)
