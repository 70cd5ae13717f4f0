"""Spans that are read by templates say what they say when each is read in full."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors import retention, template
from driftbell.collectors.batch import Batch
from driftbell.collectors.decode import MalformedError, decode_traces, read_traces
from driftbell.collectors.dialects.read import read
from driftbell.collectors.retention import RetentionPolicy
from driftbell.collectors.store import Store
from driftbell.collectors.template import Templates, part_of

OTLP = Path(__file__).parent / "otlp"
BODIES = sorted(path for path in OTLP.glob("*/*.traces.*.bin") if path.read_bytes()[:2] != b"\x1f\x8b")
EVER = (-1e12, 1e12)
T0_NS = 1_760_000_000_000_000_000


def again(body: bytes, turn: int) -> bytes:
    """A recorded request as if the application did the same another time, with other ids, times and counts."""
    request = ExportTraceServiceRequest.FromString(body)
    numbers = random.Random(turn)
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                span.trace_id = bytes(byte ^ (turn & 255) for byte in span.trace_id)
                span.start_time_unix_nano += turn * 10**12
                span.end_time_unix_nano += turn * 10**12 + numbers.randrange(10**6)
                for pair in span.attributes:
                    _vary(pair, turn, numbers)
    return request.SerializeToString()


def _vary(pair, turn: int, numbers: random.Random) -> None:
    if pair.key.endswith("tokens") and pair.value.HasField("int_value"):
        pair.value.int_value += numbers.randrange(3) * turn
    elif pair.key.endswith((".id", "cost", "request_id")) and pair.value.HasField("string_value"):
        pair.value.string_value += f"{turn}"
    elif pair.value.HasField("double_value") and pair.value.double_value > 0:
        pair.value.double_value *= 1 + turn / 100


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recorded_span_reads_the_same_by_a_template(path, monkeypatch):
    templates = Templates()
    monkeypatch.setattr(template, "FEW", 2)
    for turn in range(4):
        body = again(path.read_bytes(), turn)
        plain = decode_traces(body, "protobuf").spans
        for found, span in zip(templates.read(body), plain, strict=True):
            if isinstance(found, tuple):
                assert part_of(found) == read(span)
            else:
                assert found == span


def test_stores_fed_with_and_without_templates_hold_the_same(tmp_path):
    fast, plain = (Store.open(tmp_path / name, clock=lambda: T0_NS / 1e9) for name in ("fast", "plain"))
    templates = Templates()
    filled = 0
    for turn in range(1, 5):
        bodies = [again(path.read_bytes(), turn) for path in BODIES[:: 1 + turn % 2]]
        for part in (bodies[: len(bodies) // 2], bodies[len(bodies) // 2 :]):
            found = [read_traces(body, templates) for body in part]
            filled += sum(len(one.filled) for one in found)
            fast.append(Batch([s for one in found for s in one.spans], [s for one in found for s in one.filled]))
            plain.append(Batch([span for body in part for span in decode_traces(body, "protobuf").spans]))
    assert filled > 100
    assert_same(fast, plain)


def assert_same(fast: Store, plain: Store) -> None:
    """Both hold the same calls, points and counters; closes them."""
    assert fast.calls(limit=100_000).calls == plain.calls(limit=100_000).calls
    assert fast.usage(["workflow", "model", "status"]) == plain.usage(["workflow", "model", "status"])
    for one in (fast, plain):
        one.refresh_all()
    assert fast.workflows() == plain.workflows()
    for workflow in plain.workflows():
        assert fast.points(workflow.name, *EVER) == fast.recount(workflow.name, *EVER)
        assert fast.judgements(workflow.name) == plain.judgements(workflow.name)
    assert fast.markers() == plain.markers()
    assert fast.trust_totals() == plain.trust_totals()
    for one in (fast, plain):
        one.close()


IDS = st.integers(0, 5)
CALL = st.fixed_dictionaries(
    {
        "trace": IDS,
        "parent": st.none() | IDS,
        "kind": st.sampled_from(["chat", "invoke_agent", "execute_tool", "embeddings", "http", "server", "step"]),
        "workflow": st.none() | st.sampled_from(["a", "b", "with space"]),
        "segment": st.none() | st.sampled_from(["s1", "s2"]),
        "input": st.none() | st.integers(0, 300) | st.integers(20_000, 40_000),
        "output": st.none() | st.integers(0, 300),
        "cached": st.none() | st.integers(0, 400),
        "response": st.none() | st.sampled_from(["chatcmpl-1", "chatcmpl-2", "null", "none", 'x"y', "msg_" + "z" * 90]),
        "user": st.none() | st.text(max_size=6),
        "ttft": st.none() | st.sampled_from([0.0, 0.2, 5.0]),
        "cost": st.none() | st.sampled_from([0.0, 0.01, 2.5]),
        "extra": st.none() | st.integers(-5, 5) | st.floats(allow_nan=True) | st.text(max_size=4),
        "failed": st.booleans(),
        "at": st.integers(0, 40),
    }
)


def request_of(spans: list[dict]) -> bytes:
    """A request with one span per description; equal descriptions differ in their ids only."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = group.scope_spans.add()
    scope.scope.name = "some.instrumentation"
    for number, given_span in enumerate(spans, 1):
        kind = given_span["kind"]
        span = scope.spans.add(name=f"{kind} x", kind={"http": 3, "server": 2}.get(kind, 1))
        span.trace_id = bytes(15) + bytes([given_span["trace"] + 1])
        span.span_id = bytes(7) + bytes([number])
        if given_span["parent"] is not None:
            span.parent_span_id = bytes(7) + bytes([given_span["parent"] + 1])
        span.start_time_unix_nano = T0_NS + given_span["at"] * 100_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_500_000_000
        if given_span["failed"]:
            span.status.code = 2
        _describe(span, given_span)
    return request.SerializeToString()


def _describe(span, given_span: dict) -> None:
    kind = given_span["kind"]
    named = {
        "gen_ai.operation.name": None if kind in ("http", "server", "step") else kind,
        "gen_ai.request.model": "gpt-4o" if kind in ("chat", "embeddings") else None,
        "http.request.method": "POST" if kind == "http" else None,
        "driftbell.workflow": given_span["workflow"],
        "driftbell.segment": given_span["segment"],
        "gen_ai.usage.input_tokens": given_span["input"],
        "gen_ai.usage.output_tokens": given_span["output"],
        "gen_ai.usage.cache_read.input_tokens": given_span["cached"],
        "gen_ai.response.id": given_span["response"],
        "user.id": given_span["user"],
        "gen_ai.response.time_to_first_chunk": given_span["ttft"],
        "gen_ai.usage.cost": given_span["cost"],
        "app.number": given_span["extra"],
        "openai.response.service_tier": given_span.get("tier"),
    }
    for key, value in named.items():
        if value is None:
            continue
        field = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
        setattr(span.attributes.add(key=key).value, field, value)


@pytest.mark.parametrize("few", [1, 8])
@given(requests=st.lists(st.lists(CALL, min_size=1, max_size=6), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_templates_change_no_row(tmp_path_factory, few, requests):
    bodies = [request_of(spans) for spans in requests]
    templates = Templates()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "FEW", few)  # spans are read by column from that many on
        for body in bodies:  # what has been seen once is read by a template from now on
            read_traces(body, templates)
        found = [read_traces(body, templates) for body in bodies]
    fast, plain = (Store.open(tmp_path_factory.mktemp("s"), clock=lambda: T0_NS / 1e9) for _ in range(2))
    for body, by_template in zip(bodies, found, strict=True):
        fast.append(Batch(by_template.spans, by_template.filled))
        plain.append(Batch(decode_traces(body, "protobuf").spans))
    assert_same(fast, plain)


def test_what_was_read_by_templates_is_found_again_and_forgotten_as_a_whole(tmp_path):
    described = [
        {**_ordinary(), "trace": n, "response": f"r-{n}", "user": f"u{n % 3}", "at": n, "ttft": 0.2 if n % 4 else None}
        for n in range(150)
    ]
    templates = Templates()
    read_traces(request_of(described[:8]), templates)
    found = read_traces(request_of(described), templates)
    assert len(found.filled) > 100
    late = decode_traces(request_of([{**described[7], "kind": "invoke_agent", "segment": "late"}]), "protobuf").spans
    store = Store.open(tmp_path, clock=lambda: T0_NS / 1e9)
    store.append(Batch(found.spans, found.filled))
    store.append(Batch([replace(one, span_id="ff" * 8) for one in late]))
    assert len(store.calls(limit=1000).calls) == 150
    (user,) = {call.user_id for call in store.calls(limit=1000).calls if call.response_id == "r-1"}
    assert store.delete_user(user) == 50
    left = store.calls(limit=1000).calls
    assert {call.user_id for call in left} == {call.user_id for call in left} - {user}
    assert len(left) == 100
    assert all(store.trail(call.trace_id, call.span_id) is not None for call in left)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "PORTION", 1)  # the parts of a trace are not forgotten together
        store.retain(T0_NS / 1e9 + 60 * 86400, RetentionPolicy())
    with store.write() as db:
        held = {name: db[name].count for name in ("calls", "chunks", "parts", "links", "unsorted")}
    assert set(held.values()) == {0}
    store.close()


def test_spans_in_which_nothing_varies_are_found_again(tmp_path):
    nothing = dict.fromkeys(("response", "user", "ttft", "input", "output", "cached", "cost", "extra", "workflow"))
    tools = [{**_ordinary(), **nothing, "kind": "execute_tool", "trace": n, "at": n} for n in range(20)]
    templates = Templates()
    read_traces(request_of(tools), templates)
    found = read_traces(request_of(tools), templates)
    assert len(found.filled) == 20
    late = decode_traces(
        request_of([{**tool, "kind": "chat", "response": f"r-{tool['at']}"} for tool in tools]), "protobuf"
    )
    store = Store.open(tmp_path, clock=lambda: T0_NS / 1e9)
    store.append(Batch(found.spans, found.filled))
    store.append(Batch([replace(span, span_id=f"{number:016x}") for number, span in enumerate(late.spans, 100)]))
    assert len(store.calls(limit=1000).calls) == 20
    store.close()


def test_calls_at_another_tier_cost_the_same_with_and_without_templates(tmp_path):
    tiers = (None, "batch", "default", "priority")
    now = [{**_ordinary(), "trace": n, "at": 350_000_000, "tier": tiers[n % 4]} for n in range(80)]
    templates = Templates()
    fast, plain = (Store.open(tmp_path / name, clock=lambda: T0_NS / 1e9) for name in ("fast", "plain"))
    for turn in range(2):
        body = request_of(
            [{**each, "trace": each["trace"] + 80 * turn, "response": f"r-{turn}-{n}"} for n, each in enumerate(now)]
        )
        found = read_traces(body, templates)
        fast.append(Batch(found.spans, found.filled))
        plain.append(Batch(decode_traces(body, "protobuf").spans))
    assert len(found.filled) == 80
    costs = Counter(call.cost_usd for call in fast.calls(limit=1000).calls)
    assert sorted(costs.values()) == [40, 40, 80]
    assert_same(fast, plain)


def test_a_damaged_attribute_makes_the_body_malformed_as_ever():
    templates = Templates()
    good = request_of([_ordinary()])
    read_traces(good, templates)
    assert read_traces(good, templates).filled
    for damaged in (good.replace(b"gpt-4o", b"gpt-\xff\xff"), good.replace(b"chatcmpl-1", b"chatcmpl\xff1")):
        with pytest.raises(MalformedError):
            read_traces(damaged, templates)


def test_attributes_that_vary_without_end_are_no_reason_to_learn_without_end():
    templates = Templates()
    for number in range(3000):
        body = request_of([{**_ordinary(), "workflow": f"feature {number}"}])
        (span,) = read_traces(body, templates).spans or decode_traces(body, "protobuf").spans
        assert span.attributes["driftbell.workflow"] == f"feature {number}"
    assert sum(len(shape.templates) for shapes in templates.shapes() for shape in shapes) == 0


def _ordinary() -> dict:
    nothing = dict.fromkeys(("parent", "workflow", "segment", "user", "ttft", "cost", "extra"))
    return nothing | {
        "trace": 0,
        "kind": "chat",
        "input": 10,
        "output": 5,
        "cached": 2,
        "response": "chatcmpl-1",
        "failed": False,
        "at": 0,
    }
