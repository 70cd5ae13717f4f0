"""Beside an application's own OpenTelemetry."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from driftbell import monitor


@pytest.fixture
def theirs():
    """The application's provider and what it exported."""
    provider = TracerProvider(resource=Resource({"service.name": "theirs"}), shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_parents_and_children_meet_across_both(recording, theirs):
    provider, exporter = theirs
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("request") as request, monitor.observe("answers"):
        with tracer.start_as_current_span("http") as http:
            pass
        assert trace.get_current_span() is not request
    ours = recording.span()
    assert ours.parent_id == f"{request.get_span_context().span_id:016x}"
    assert ours.trace_id == f"{request.get_span_context().trace_id:032x}"
    assert f"{http.parent.span_id:016x}" == ours.span_id
    assert len(exporter.get_finished_spans()) == 2


def test_an_unsampled_parent_is_honoured(recording):
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with provider.get_tracer("app").start_as_current_span("request"), monitor.observe("answers") as call:
        assert len(call.ref) == 49
    assert recording.spans() == []


def test_a_sampler_of_ones_own_may_keep_what_the_parent_dropped(collector):
    monitor.shutdown()
    monitor.configure(endpoint=collector.url, sampler=ALWAYS_ON)
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with provider.get_tracer("app").start_as_current_span("request"), monitor.observe("answers"):
        pass
    assert collector.span().name == "answers"
    monitor.shutdown()


def test_spans_go_through_the_applications_processors(theirs):
    provider, exporter = theirs
    seen = []

    class Baggage(SpanProcessor):
        def on_start(self, span, parent_context=None):
            span.set_attribute("tenant", "t-1")
            seen.append((span.name, span.is_recording(), span.attributes.get("driftbell.workflow")))

        def on_end(self, span):
            seen.append((span.name, span.to_json()))

    provider.add_span_processor(Baggage())
    monitor.shutdown()
    assert monitor.configure(tracer_provider=provider, prices={"gpt-4o": {"input": 1, "output": 1}})
    response = {"choices": [], "model": "gpt-4o", "usage": {"prompt_tokens": 500_000, "completion_tokens": 500_000}}
    with provider.get_tracer("app").start_as_current_span("request"):
        monitor.observe("answers")(lambda: response)()
    monitor.shutdown()
    ours, request = exporter.get_finished_spans()
    assert ours.parent.span_id == request.context.span_id
    assert ours.resource.attributes["service.name"] == "theirs"
    assert ours.attributes["tenant"] == "t-1"
    assert ours.attributes["gen_ai.usage.cost.amount"] == pytest.approx(1.0)
    assert ours.end_time >= ours.start_time
    assert seen[1] == ("answers", True, "answers")
    assert seen[2][0] == "answers"


def test_the_applications_ids_are_used(theirs):
    class Numbered(IdGenerator):
        def generate_trace_id(self):
            return 7

        def generate_span_id(self):
            return 9

    provider = TracerProvider(id_generator=Numbered(), shutdown_on_exit=False)
    monitor.shutdown()
    monitor.configure(tracer_provider=provider)
    with monitor.observe("answers") as call:
        assert call.ref == f"{7:032x}-{9:016x}"
    monitor.shutdown()


def test_a_processor_that_raises_does_not_reach_the_application(theirs, monkeypatch):
    monkeypatch.delenv("DRIFTBELL_STRICT")
    provider, _ = theirs

    class Broken(SpanProcessor):
        def on_start(self, span, parent_context=None):
            raise ZeroDivisionError

        def on_end(self, span):
            raise ZeroDivisionError

    provider.add_span_processor(Broken())
    monitor.shutdown()
    monitor.configure(tracer_provider=provider)
    assert monitor.observe("answers")(lambda: 3)() == 3
    monitor.feedback("chatcmpl-1", 1)
    monitor.shutdown()


def test_the_api_of_a_span_works_on_ours(recording):
    with monitor.observe("answers"):
        span = trace.get_current_span()
        span.set_attributes({"a": 1, "b": ["x", "y"], "c": object()})
        span.add_event("happened", {"k": "v"})
        span.add_link(trace.SpanContext(1, 2, False))
        span.update_name("renamed")
        span.record_exception(ValueError("secret"))
        span.set_status(trace.StatusCode.ERROR, "secret")
    sent = recording.span()
    assert (sent.name, sent.status) == ("renamed", 2)
    assert (sent.attributes["a"], sent.attributes["b"]) == (1, ["x", "y"])
    assert b"secret" not in b"".join(recording.bodies)
