import json

import pytest

from driftbell import monitor
from driftbell.monitor.guard import SettingError
from driftbell.monitor.pricing import GenaiPrices, Table, Tokens

PRICES = {"gpt-4o": {"input": 2.5, "output": 10.0, "cached_input": 1.25}, "my-model": {"input": 1.0}}


def asked(model="gpt-4o-2024-08-06", **usage):
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}, **usage}
    return {"choices": [], "model": model, "usage": usage}


@pytest.fixture
def told(collector):
    """The attributes of a call with a response, priced by a table."""
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, prices=PRICES)

    def tell(response):
        monitor.observe("answers")(lambda: response)()
        return collector.spans()[-1].attributes

    yield tell
    monitor.shutdown()


def test_a_call_is_priced_by_its_parts(told):
    attributes = told(asked())
    assert attributes["gen_ai.usage.cost.amount"] == pytest.approx((600 * 2.5 + 400 * 1.25 + 100 * 10) / 1e6)
    assert attributes["gen_ai.usage.cost.currency"] == "USD"
    assert attributes["gen_ai.usage.cost.source"] == "local"
    assert attributes["driftbell.cost.price_table_version"] == Table(PRICES).version


def test_a_cost_that_the_provider_told_is_kept(told):
    attributes = told(asked(cost=0.5))
    assert attributes["gen_ai.usage.cost.amount"] == 0.5
    assert attributes["gen_ai.usage.cost.source"] == "provider"


@pytest.mark.parametrize("response", [asked(model="unheard-of"), asked(completion_tokens=None), None])
def test_an_unknown_cost_stays_unknown(told, response):
    assert "gen_ai.usage.cost.amount" not in told(response)


def test_the_version_changes_with_the_prices():
    assert Table(PRICES).version == Table(dict(reversed(PRICES.items()))).version
    assert Table(PRICES).version != Table({**PRICES, "gpt-4o": {"input": 3}}).version


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-latest", "azure/eu/gpt-4o"])
def test_a_model_is_found_under_its_usual_names(name):
    assert Table(PRICES).cost(None, name, Tokens(1_000_000, 0, 0, 0)) == 2.5


def test_a_model_is_not_found_under_a_name_that_only_begins_alike():
    assert Table(PRICES).cost(None, "gpt-4o-mini", Tokens(1, 1, 0, 0)) is None


def test_prices_come_from_a_file(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(PRICES))
    from driftbell.monitor.pricing import load

    assert load(str(file)).version == Table(PRICES).version


@pytest.mark.parametrize("wrong", [{"m": {"output": 1}}, {"m": {"input": -1}}, {"m": {"input": "1"}}, {"m": 3}])
def test_a_wrong_table_is_refused_in_words(wrong):
    with pytest.raises(SettingError, match="prices of m"):
        Table(wrong)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("mistral_ai", "mistral-large-latest"),
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
    ],
)
def test_the_fast_way_to_a_price_gives_the_price_of_genai_prices(provider, model):
    genai_prices = pytest.importorskip("genai_prices", reason="the prices extra is not installed")
    names = {"gcp.gemini": "google", "mistral_ai": "mistral", "aws.bedrock": "aws"}
    usage = genai_prices.Usage(input_tokens=300_000, output_tokens=678, cache_read_tokens=1000, cache_write_tokens=100)
    exact = genai_prices.calc_price(usage, model_ref=model, provider_id=names.get(provider, provider)).total_price
    ours = GenaiPrices()
    for _ in range(2):
        assert ours.cost(provider, model, Tokens(300_000, 678, 1000, 100)) == pytest.approx(float(exact), rel=1e-12)
    assert ours.cost("openai", "unheard-of", Tokens(1, 1, 0, 0)) is None
