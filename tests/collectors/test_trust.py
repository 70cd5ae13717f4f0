from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from driftbell.collectors.batch import Batch
from driftbell.collectors.intake import Intake, Limits
from driftbell.collectors.metrics import ReceiverMetrics


def counters(store, service="shop"):
    (point,) = store.trust(-1e12, 1e12, service)
    return point.counters


def test_every_way_in_which_telemetry_can_be_wrong_is_counted(store, spans, put):
    on_time, late, ahead = spans.call(995), spans.call(0), spans.call(2000)
    put(on_time, late, ahead)
    put(on_time)
    assert counters(store) == {
        "received": 4,
        "late": 1,
        "ahead": 1,
        "duplicated": 1,
        "calls": 3,
    }


def test_calls_without_price_or_usage_are_counted_when_first_told_of(store, spans, put):
    call = spans.call(995, request_model="house-model", response_model="house-model", provider="me")
    silent = replace(call, attributes={k: v for k, v in call.attributes.items() if "usage" not in k}, trace_id="b" * 32)
    put(call, silent)
    put(call, silent)
    said = counters(store)
    assert (said["calls"], said["unpriced"], said["usage_missing"]) == (2, 2, 1)


def test_losses_inside_the_application_are_counted_once(store, spans, put):
    put(spans.call(995, dropped_spans=7))
    assert counters(store)["sdk_dropped"] == 7


def test_what_was_rejected_is_counted_for_its_service(store):
    store.append(Batch(rejected=3, service="shop"))
    store.append(Batch(rejected=2))
    assert counters(store) == {"rejected": 3}
    assert counters(store, "(unknown)") == {"rejected": 2}


def test_services_beyond_the_limit_are_counted_together(store, spans, put, monkeypatch):
    monkeypatch.setattr("driftbell.collectors.trust.SERVICES", 3)
    for at in range(10):
        put(replace(spans.call(995), resource={"service.name": f"s{at}"}))
    assert len(store.trust(-1e12, 1e12)) == 4
    assert counters(store, "(other)")["received"] == 7


@pytest.mark.parametrize("value", [-5, 2**40, "many", 1.5, None])
def test_a_senseless_number_of_losses_is_not_counted(store, spans, put, value):
    put(spans.call(995, dropped_spans=value))
    assert "sdk_dropped" not in counters(store)


def test_the_metrics_page_tells_how_the_receiver_is(store, spans, put):
    put(spans.call(995), spans.call(996))
    registry = CollectorRegistry()
    intake = Intake(store, Limits())
    intake.requests["traces", "200"] += 1
    registry.register(ReceiverMetrics(store, intake))
    text = generate_latest(registry).decode()
    assert 'driftbell_otlp_requests_total{answer="200",signal="traces"} 1.0' in text
    assert "driftbell_store_waiting 0.0" in text
