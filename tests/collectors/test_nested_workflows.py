"""Observed functions inside observed functions, from the decorator to the calls that the receiver makes of them."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from driftbell import monitor
from driftbell.collectors import otlp_protobuf
from driftbell.collectors.merge import interpret
from driftbell.collectors.pricing import ModelPrice, PriceTable

PRICES = PriceTable(models={"gpt-4o": ModelPrice(input=1.0, output=1.0)})


def response(identity, tokens):
    usage = {"prompt_tokens": tokens, "completion_tokens": 10}
    return {"id": identity, "model": "gpt-4o", "choices": [{"finish_reason": "stop"}], "usage": usage}


FIRST, SECOND = response("chatcmpl-1", 100), response("chatcmpl-2", 7)


@monitor.observe(workflow="draft", segment="letters")
def draft(answer=FIRST):
    return answer


@pytest.fixture
def told():
    """Interprets everything that was observed since."""
    monitor.shutdown()
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert monitor.configure(tracer_provider=provider, prices={"gpt-4o": {"input": 9.0, "output": 9.0}})
    yield lambda: interpret(
        otlp_protobuf.spans(encode_spans(exporter.get_finished_spans()).SerializeToString()), PRICES
    )
    monitor.shutdown()
    provider.shutdown()


def tokens(calls):
    return sorted((call.workflow, call.input_tokens) for call in calls)


@pytest.mark.parametrize(
    "body",
    [draft, lambda: draft() and "text", lambda: monitor.current_call().record(draft())],
    ids=["returns the response", "returns a text", "records the response"],
)
def test_each_workflow_has_its_call_and_the_usage_is_told_once(told, body):
    monitor.observe(workflow="support", segment="vip")(body)()
    inner, outer = sorted(told().calls, key=lambda call: call.workflow)
    assert (inner.workflow, inner.segment, inner.input_tokens) == ("draft", "letters", 100)
    assert (outer.workflow, outer.segment, outer.input_tokens) == ("support", "vip", None)
    assert inner.cost_usd == pytest.approx(110 / 1e6)
    assert outer.cost_usd is None
    assert outer.latency_ms >= inner.latency_ms


def test_a_workflow_that_also_asks_a_model_itself_has_that_usage(told):
    def body():
        draft()
        return SECOND

    monitor.observe(workflow="support")(body)()
    assert tokens(told().calls) == [("draft", 100), ("support", 7)]


def test_several_steps_are_calls_of_their_own_workflows(told):
    def body():
        monitor.current_call().record(draft())
        monitor.current_call().record(draft(SECOND))

    monitor.observe(workflow="support")(body)()
    assert sorted(tokens(told().calls), key=str) == [("draft", 100), ("draft", 7), ("support", None)]


@pytest.mark.parametrize("body", [draft, lambda: draft() and "text"])
def test_the_same_workflow_inside_itself_is_one_call(told, body):
    monitor.observe(workflow="draft")(body)()
    assert tokens(told().calls) == [("draft", 100)]


def test_a_judgement_is_of_the_workflow_whose_reference_it_has(told):
    with monitor.observe(workflow="support") as outer:
        draft()
    monitor.feedback(outer.ref, 1)
    [judgement] = told().judgements
    assert (judgement.workflow, judgement.call_span_id) == ("support", outer.ref[-16:])


def test_the_workflow_that_fell_back_is_well_though_a_step_failed(told):
    @monitor.observe(workflow="draft")
    def fails():
        raise ConnectionError

    with monitor.observe(workflow="support") as call:
        with pytest.raises(ConnectionError):
            fails()
        call.fallback = True
    found = {one.workflow: (one.status, one.fallback) for one in told().calls}
    assert found == {"draft": ("error", None), "support": ("ok", True)}
