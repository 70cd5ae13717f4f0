"""Log records that speak of calls."""

from emitter_spans import PRICES, T0, chat, only

from driftbell.collectors.decode import LogRecord
from driftbell.collectors.merge import event_span, interpret, link_keys
from driftbell.collectors.span import Span


def event(name, of: Span | None, at=5.0, **a) -> Span:
    record = LogRecord(
        name,
        T0 + at,
        of.trace_id if of else "",
        of.span_id if of else "",
        attributes={k.replace("__", "."): v for k, v in a.items()},
        resource={"service.name": "shop"},
    )
    found = event_span(record)
    assert found is not None
    return found


def test_an_evaluation_that_is_logged_is_a_judgement_of_its_call() -> None:
    call = chat(id="chatcmpl-judged01")
    by_span = event(
        "gen_ai.evaluation.result", call, gen_ai__evaluation__name="faithful", gen_ai__evaluation__score__value=0.8
    )
    by_id = event(
        "gen_ai.evaluation.result",
        None,
        gen_ai__evaluation__name="polite",
        gen_ai__evaluation__score__value="1",
        gen_ai__response__id="chatcmpl-judged01",
    )
    said = interpret([call, by_span, by_id, by_span], PRICES)
    assert sorted((j.evaluation, j.score, j.call_span_id, j.model) for j in said.judgements) == [
        ("faithful", 0.8, call.span_id, "gpt-4o"),
        ("polite", 1.0, call.span_id, "gpt-4o"),
    ]
    assert len(said.calls) == 1
    assert set(link_keys(by_id)) & set(link_keys(call))


def test_user_feedback_that_is_logged_is_feedback() -> None:
    call = chat()
    bad = event(
        "gen_ai.evaluation.result",
        call,
        gen_ai__evaluation__name="user_feedback",
        gen_ai__evaluation__score__label="thumbs_down",
    )
    (judgement,) = interpret([call, bad], PRICES).judgements
    assert (judgement.feedback, judgement.evaluation, judgement.workflow) == (-1, None, "shop")


def test_the_details_of_a_call_that_are_logged_fill_what_its_span_left_out() -> None:
    call = chat(tokens=None)
    details = event(
        "gen_ai.client.inference.operation.details",
        call,
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=10,
        gen_ai__response__finish_reasons=["stop"],
        gen_ai__operation__name="chat",
        gen_ai__request__model="gpt-4o",
    )
    found = only(call, details)
    assert (found.input_tokens, found.finish_reason) == (100, "stop")


def test_log_records_that_say_nothing_of_a_call_are_left_alone() -> None:
    assert event_span(LogRecord("gen_ai.user.message", T0, "a" * 32, "b" * 16)) is None
    assert event_span(LogRecord("", T0, body="hello")) is None
