"""Money, times, lengths and names read the way people write them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbell.alerts.message import TITLE_LENGTH, title
from driftbell.alerts.phrases import METRICS, cause_words, phrase
from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.alerts.wording import change, duration, moment, money, quantity, signed_money
from driftbell.detectors.duration import parse_duration
from driftbell.detectors.finding import Cause, Finding

CONTRACT_METRICS = """
    cost_per_call input_tokens output_tokens cached_share retries calls spend refused format_ok
    feedback escalated n_sources top_score source_age citations retrieval_ms override edit_distance review_ms
    ai_share status
    latency_ms ttft_ms fallback""".split()  # noqa: SIM905 a list of words reads better


def one(metric: str, direction: int, unit: str, usual: float | None, observed: float | None) -> Finding:
    return Finding(0.0, "fired", "w", "quality", metric, direction, unit, observed=observed, usual=usual)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0"), (0.032, "3.2c"), (0.0032, "0.32c"), (0.000012, "0.0012c"), (0.53, "53c"), (0.999, "$1.00"),
        (4.2, "$4.20"), (9.999, "$10"), (22.4, "$22"), (1234.5, "$1,234"), (-0.05, "-5.0c"),
        (12_345_678.0, "$12,345,678"),
    ],
)  # fmt: skip
def test_money_shows_the_figures_that_matter(usd: float, text: str) -> None:
    assert money(usd) == text


def test_a_difference_of_money_has_its_sign() -> None:
    assert (signed_money(22), signed_money(-0.03)) == ("+$22", "-3.0c")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (1020, "17 min"), (7200, "2 h"), (113_040, "31 h 24 min"), (300_000, "3 d 11 h"), (-4, "0 s")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "Tue 10 Nov 09:14 UTC"),
        ("Europe/Berlin", "Tue 10 Nov 10:14 (09:14 UTC)"),
        ("Asia/Shanghai", "Tue 10 Nov 17:14 (09:14 UTC)"),
        ("Pacific/Auckland", "Tue 10 Nov 22:14 (09:14 UTC)"),
        ("Pacific/Honolulu", "Mon 9 Nov 23:14 (Tue 10 Nov 09:14 UTC)"),
        ("Africa/Abidjan", "Tue 10 Nov 09:14 (UTC)"),
    ],
)
def test_times_are_in_the_reader_s_zone_and_in_utc(zone: str, text: str, t0: float) -> None:
    assert moment(t0, zone) == text


@pytest.mark.parametrize(
    ("usual", "observed", "unit", "text"),
    [
        (0.032, 0.053, "usd", "66%"), (0.09, 0.22, "share", "13 points"), (2100.0, 9800.0, "ms", "4.7 times"),
        (0.0, 5.0, "tokens", ""),
        (1e-300, 5.0, "ms", ""), (0.001, 5.0, "ms", "over 1,000 times"),
        (42.0, 12.0, "ms", "71%"), (0.1, 0.1, "share", ""),
    ],
)  # fmt: skip
def test_the_size_of_a_change(usual: float, observed: float, unit: str, text: str) -> None:
    assert change(observed, usual, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.053, "usd", "5.3c"), (22.0, "usd/h", "$22/hour"), (24000.0, "tokens", "24,000"), (840.0, "ms", "840 ms"),
        (4200.0, "ms", "4.2 s"), (0.0213, "share", "2.1%"), (0.86, "score", "0.86"), (3.5, "days", "3.5 days"),
        (1100.0, "calls/h", "1,100/hour"), (1.4, "attempts", "1.4"),
    ],
)  # fmt: skip
def test_values_carry_their_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize("metric", CONTRACT_METRICS)
def test_every_metric_of_the_contract_has_its_words(metric: str) -> None:
    assert metric in METRICS
    assert METRICS[metric].action


def test_a_metric_without_a_line_is_called_by_its_name() -> None:
    assert phrase(one("time_to_shine", 1, "ms", None, None)).words(1) == "time to shine up"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Moved with input_tokens. Prompt v14 is new.", "Moved with input tokens per call. Prompt v14 is new."),
        ("Moved with format_ok. Only segment amer changed.", "Only segment amer changed."),
        ("Cause not found.", "Cause not found."),
        ("Moved with nothing", "Moved with nothing"),
    ],
)
def test_a_cause_names_metrics_in_words_and_none_that_moved_with_itself(text: str, said: str) -> None:
    found = replace(one("format_ok", 1, "share", 0.1, 0.01), cause=Cause(text=text))
    assert cause_words(found) == said


def test_an_evaluation_is_called_by_its_name() -> None:
    assert phrase(one("eval.answer_relevance", -1, "score", None, None)).words(-1) == "answer relevance score down"


@given(
    workflow=st.text(max_size=300),
    metric=st.sampled_from([*CONTRACT_METRICS, "eval." + "x" * 200]),
    direction=st.sampled_from([1, -1]),
    unit=st.sampled_from(["usd", "usd/h", "tokens", "ms", "share", "score", "days", "calls/h", "attempts"]),
    usual=st.none() | st.floats(0, 1e12),
    observed=st.none() | st.floats(0, 1e12),
)
def test_every_title_fits(
    workflow: str, metric: str, direction: int, unit: str, usual: float | None, observed: float | None
) -> None:
    text = title(workflow, one(metric, direction, unit, usual, observed))
    assert 0 < len(text) <= TITLE_LENGTH
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("4h", 14_400), ("2d", 172_800), ("1h30m", 5400), (90, 90), ("5", 5)],
)
def test_lengths_of_time_are_read_as_people_write_them(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "4 hours", "-3h", "1h x", True, None])
def test_other_lengths_of_time_are_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="30s, 15m, 4h"):
        parse_duration(text)


def test_a_secret_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("A_SECRET", " value\n")
    assert resolve("env:A_SECRET") == "value"


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/nowhere/at/all"])
def test_a_missing_secret_is_named_by_its_reference(reference: str) -> None:
    with pytest.raises(SecretMissingError, match=reference.split(":")[1]):
        resolve(reference)
