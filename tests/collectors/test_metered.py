"""Metrics are taken for calls where a service sends no spans of calls, and never beside them."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.batch import Batch
from driftbell.collectors.decode import decode_metrics, decode_traces
from driftbell.collectors.point import merge
from driftbell.collectors.pricing import ModelPrice, PriceTable
from driftbell.collectors.store import Store

RECORDED = Path(__file__).parent / "otlp"
START = 1_760_000_040
DURATION, TOKENS = "gen_ai.client.operation.duration", "gen_ai.client.token.usage"
BOUNDS = [0.5, 1.0, 2.0, 4.0]


class Meter:
    """A cumulative (or delta) reader of one process, which exports now and then."""

    def __init__(self, service="shop", began=START, delta=False, **attributes):
        self.service, self.began, self.delta, self.attributes = service, began, delta, attributes
        self.held: dict[tuple, list[float]] = {}
        self.last = began

    def call(self, seconds=1.5, tokens=(100, 20), **attributes) -> None:
        said = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "m", **attributes, **self.attributes}
        self.held.setdefault((DURATION, *sorted(said.items())), []).append(seconds)
        for kind, count in zip(("input", "output"), tokens, strict=False):
            key = (TOKENS, *sorted({**said, "gen_ai.token.type": kind}.items()))
            self.held.setdefault(key, []).append(count)

    def export(self, at: float) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        group = request.resource_metrics.add()
        group.resource.attributes.add(key="service.name").value.string_value = self.service
        scope = group.scope_metrics.add()
        scope.scope.name = "instrumentation"
        for (name, *said), values in self.held.items():
            held = scope.metrics.add(name=name).histogram
            held.aggregation_temporality = 1 if self.delta else 2
            start = self.last if self.delta else self.began
            point = held.data_points.add(start_time_unix_nano=int(start * 1e9), time_unix_nano=int(at * 1e9))
            for key, text in said:
                point.attributes.add(key=key).value.string_value = text
            point.count, point.sum = len(values), sum(values)
            point.explicit_bounds.extend(BOUNDS)
            point.bucket_counts.extend(sum(sum(v > b for b in BOUNDS) == at for v in values) for at in range(5))
        if self.delta:
            self.held.clear()
        self.last = at
        return request


def measured(request) -> Batch:
    return Batch(measurements=decode_metrics(request.SerializeToString(), "protobuf").measurements)


def total(store, workflow="shop"):
    store.refresh_all()
    points = store.points(workflow, -1e12, 1e12)
    assert points == store.recount(workflow, -1e12, 1e12)
    return merge(points, points[0].key) if points else None


@pytest.mark.parametrize("delta", [False, True])
def test_both_temporalities_count_every_call_once(store, delta):
    meter = Meter(delta=delta)
    for minute in range(1, 6):
        for _ in range(minute):
            meter.call()
        request = meter.export(START + 60 * minute)
        store.append(measured(request))
        store.append(measured(request))  # the same again, as at a flush before the end
    found = total(store)
    assert found.calls == 15
    assert found.quantities["input_tokens"].total == 1500
    assert found.quantities["output_tokens"].total == 300
    assert found.quantities["latency_ms"].count == 15
    assert found.quantities["latency_ms"].total == pytest.approx(15 * 1500)
    assert found.rates["error"] == [0, 15]
    assert [p.calls for p in store.points("shop", -1e12, 1e12)] == [1, 2, 3, 4, 5]


def test_a_restart_of_the_process_begins_at_zero(store):
    first, second = Meter(), Meter(began=START + 100)
    for _ in range(7):
        first.call()
    store.append(measured(first.export(START + 60)))
    for _ in range(3):
        second.call()
    store.append(measured(second.export(START + 120)))
    assert total(store).calls == 10


def test_two_processes_under_one_name_are_added_up(store):
    one, other = Meter(), Meter(began=START + 1)
    for minute in (1, 2, 3):
        one.call()
        other.call()
        for meter in (one, other):
            store.append(measured(meter.export(START + 60 * minute)))
    assert total(store).calls == 6


def test_what_was_counted_before_driftbell_came_is_not_one_minute_of_calls(store):
    meter = Meter(began=START - 86_400)
    for _ in range(5000):
        meter.call()
    store.append(measured(meter.export(START)))
    assert total(store) is None
    meter.call()
    store.append(measured(meter.export(START + 60)))
    assert total(store).calls == 1


def test_failures_models_segments_and_workflows_are_told_apart(store):
    meter = Meter()
    meter.call(seconds=0.1, tokens=(), **{"error.type": "RateLimitError"})
    meter.call(**{"driftbell.segment": "emea", "gen_ai.response.model": "openai/n"})
    meter.call(**{"traceloop.workflow.name": "triage"})
    store.append(measured(meter.export(START + 60)))
    assert total(store).rates == {
        "error": [1, 2],
        "rate_limited": [1, 1],
        "usage_missing": [0, 1],
        "unpriced": [1, 1],
    }
    assert {(p.key.segment, p.key.model) for p in store.points("shop", -1e12, 1e12)} == {(None, "m"), ("emea", "n")}
    assert total(store, "triage").calls == 1


def test_tokens_are_priced(tmp_path):
    prices = PriceTable({"m": ModelPrice(input=2.0, output=10.0)}, public=False)
    store = Store.open(tmp_path, prices=prices, clock=lambda: START + 1000)
    meter = Meter()
    for _ in range(4):
        meter.call(tokens=(1000, 100))
    store.append(measured(meter.export(START + 60)))
    found = total(store)
    assert found.quantities["cost"].total == pytest.approx(4 * (1000 * 2 + 100 * 10) / 1e6)
    assert found.rates["unpriced"] == [0, 4]
    store.close()


def test_once_a_service_tells_of_calls_in_spans_its_metrics_are_left_out(store, spans):
    meter = Meter()
    meter.call()
    store.append(measured(meter.export(START + 60)))
    span = spans.call(at=90.0, workflow="shop")
    store.append(Batch([replace(span, start=START + 80, end=START + 90)]))
    meter.call()
    store.append(measured(meter.export(START + 120)))  # the call of the span, in metrics
    assert total(store).calls == 2
    assert [p.calls for p in store.points("shop", -1e12, 1e12)] == [1, 1]


def test_metrics_that_were_counted_are_taken_back_when_earlier_spans_come_late(store, spans, points_are_exact):
    meter = Meter()
    for minute in (1, 2, 3):
        meter.call()
        store.append(measured(meter.export(START + 60 * minute)))
    assert total(store).calls == 3
    store.append(Batch([replace(spans.call(workflow="shop"), start=START + 65, end=START + 70)]))
    assert total(store).calls == 2
    points_are_exact(store)


def test_spans_that_tell_of_no_call_leave_the_metrics_alone(store, spans):
    meter = Meter()
    meter.call()
    plain = replace(spans.call(), name="GET /", attributes={"http.request.method": "GET"}, scope="http")
    store.append(Batch([replace(plain, start=START + 1, end=START + 2)]))
    store.append(measured(meter.export(START + 60)))
    assert total(store).calls == 1


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_arrival_of_spans_and_metrics_does_not_matter(tmp_path_factory, chance: random.Random):
    """Each series comes in order, as its process sends it; spans come at any moment."""
    meters = [Meter(service=name, delta=name == "b") for name in ("a", "b")]
    queues = [[], []]
    for meter, queue in zip(meters, queues, strict=True):
        for minute in range(1, 5):
            meter.call()
            queue.append(measured(meter.export(START + 60 * minute)))
    telling = _span(f"{1:032x}", "a", START + 130), _span(f"{2:032x}", "a", START + 230)
    queues.append([Batch([telling[0]])])
    queues.append([Batch([telling[1]])])
    store = Store.open(tmp_path_factory.mktemp("store"), clock=lambda: START + 1000)
    try:
        while any(queues):
            store.append(chance.choice([queue for queue in queues if queue]).pop(0))
        assert [p.calls for p in _points(store, "a")] == [1, 2, 1]
        assert [p.calls for p in _points(store, "b")] == [1, 1, 1, 1]
    finally:
        store.close()


def _points(store, workflow):
    total(store, workflow)
    return store.points(workflow, -1e12, 1e12)


def _span(trace_id, service, at):
    body = {
        "traceId": trace_id,
        "spanId": trace_id[16:],
        "name": "chat m",
        "startTimeUnixNano": int(at * 1e9),
        "endTimeUnixNano": int((at + 1) * 1e9),
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 5}},
        ],
    }
    named = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    request = {"resourceSpans": [{"resource": named, "scopeSpans": [{"spans": [body]}]}]}
    (span,) = decode_traces(json.dumps(request).encode(), "json").spans
    return span


SAYS_NOTHING = "openlit/anthropic_err429"
CASES = sorted({file.with_suffix("").with_suffix("").with_suffix("") for file in RECORDED.glob("*/*.metrics.*.bin")})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_recorded_metrics_alone_tell_the_calls_and_tokens_of_the_truth(tmp_path, case):
    """As far as the emitter's histograms tell them; the same bodies again add nothing."""
    truth = json.loads(Path(f"{case}.truth.json").read_text())
    store = Store.open(tmp_path, clock=lambda: 2e9)
    files = sorted(case.parent.glob(f"{case.name}.metrics.*.bin"))
    for file in [*files, *files]:
        store.append(measured_body(file.read_bytes()))
    store.refresh_all()
    points = [point for each in store.workflows() for point in store.points(each.name, -1e12, 1e12)]
    store.close()
    silent = str(case).endswith(SAYS_NOTHING)
    calls = 0 if silent else truth["logical_llm_calls"] + truth["embedding_calls"]
    assert sum(point.calls for point in points) == calls
    told = [point.quantities["input_tokens"].total for point in points if "input_tokens" in point.quantities]
    if told:
        assert sum(told) == truth["input_tokens_total"] + truth["embedding_input_tokens"]


def measured_body(body: bytes) -> Batch:
    return Batch(measurements=decode_metrics(body, "protobuf").measurements)


def test_json_and_protobuf_say_the_same_over_http(serve, store):
    meter = Meter()
    meter.call()
    meter.call(seconds=3.0)
    request = meter.export(START + 60)
    headers = {"content-type": "application/json"}
    told = json_format.MessageToJson(request)
    assert decode_metrics(told.encode(), "json") == decode_metrics(request.SerializeToString(), "protobuf")
    assert requests.post(serve().url + "/v1/metrics", data=told, headers=headers, timeout=10).json() == {}
    assert total(store).calls == 2


def test_spans_in_protobuf_leave_the_metrics_out_as_those_in_json_do(serve, store):
    """Many alike, which are read by a template."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = group.scope_spans.add()
    for number in range(1, 41):
        span = scope.spans.add(trace_id=bytes([number]) * 16, span_id=bytes([number]) * 8, name="chat m")
        span.start_time_unix_nano, span.end_time_unix_nano = START * 10**9, (START + 1) * 10**9
        for key, text in (("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m")):
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = number
    headers, server = {"content-type": "application/x-protobuf"}, serve()
    assert requests.post(server.url + "/v1/traces", data=request.SerializeToString(), headers=headers, timeout=10).ok
    meter = Meter()
    meter.call()
    told = meter.export(START + 60).SerializeToString()
    assert requests.post(server.url + "/v1/metrics", data=told, headers=headers, timeout=10).ok
    store.refresh_all()
    assert [point.calls for workflow in store.workflows() for point in store.points(workflow.name, -1e12, 1e12)] == [40]


def test_an_operation_that_nobody_has_seen_is_judged_by_its_words(tmp_path):
    store = Store.open(tmp_path, clock=lambda: START + 600.0)
    meter = Meter(**{"gen_ai.operation.name": "chat.completions"})
    for at in (30, 60):
        meter.call()
        store.append(
            Batch(measurements=decode_metrics(meter.export(START + at).SerializeToString(), "protobuf").measurements)
        )
    store.refresh_all()
    assert sum(point.calls for point in store.points("shop", -1e12, 1e12)) == 2
    store.close()


@pytest.mark.parametrize("count", [1, 2**53 - 1, 2**64 - 1])
@pytest.mark.parametrize("total", [1.0, 1e300, 1.7e308])
def test_senseless_metrics_stop_no_points(tmp_path, count, total):
    store = Store.open(tmp_path, clock=lambda: START + 600.0)
    for at in (30, 60):
        meter = Meter(began=START)
        meter.call(total)
        request = meter.export(START + at)
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            point = metric.histogram.data_points[0]
            point.count, point.sum = count, total
            point.bucket_counts[:] = [count] * len(point.bucket_counts)
        store.append(Batch(measurements=decode_metrics(request.SerializeToString(), "protobuf").measurements))
    store.refresh_all()
    for workflow in store.workflows():
        for resolution in ("minute", "hour", "day"):
            found = store.points(workflow.name, -1e12, 1e12, resolution=resolution)
            assert all(math.isfinite(q.total) for point in found for q in point.quantities.values())
    store.close()
