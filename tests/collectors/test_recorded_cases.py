"""What real emitters sent, against what the provider stand-in really served (``otlp/<emitter>/<case>.truth.json``)."""

import base64
import gzip
import json
import random
from functools import cache
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.decode import Encoding, decode_logs, decode_metrics, decode_traces
from driftbell.collectors.merge import event_span, interpret, is_relevant, link_keys
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.span import Span

OTLP = Path(__file__).parent / "otlp"
CASES = sorted(str(path.relative_to(OTLP))[: -len(".truth.json")] for path in OTLP.glob("*/*.truth.json"))
PRICES = PriceTable()

NEVER_SENT = {
    "js-otel-openai/chat_cached": {"cached_tokens"},
    "off-openai-v2/chat_cached": {"cached_tokens"},
    "off-openai-v2@latest/chat_cached": {"cached_tokens"},
    "off-openai-v2/chat_reason": {"reasoning_tokens"},
    "openlit/chat_reason": {"reasoning_tokens"},
    "oi-smolagents/agent": {"cached_tokens", "model"},
    "oi-agno/agent": {"model"},
    "oi-llama-index/rag": {"model"},
    "strands/agent": {"model"},
    "litellm/chat_stream_usage": {"model"},
    "off-genai-openai/err429_retry": {"attempts"},
    "off-openai-v2/err429_retry": {"attempts"},
}
"""What an emitter leaves out of everything it sends, so that no receiver can know it."""
SILENT = {"off-openai-v2/responses", "off-openai-v2/responses_stream", "off-openai-v2@latest/responses"}
"""Emitters that send nothing at all for the Responses API."""


def _bodies(case: str, signal: str) -> list[tuple[bytes, Encoding]]:
    folder, name = case.split("/")
    found: list[tuple[bytes, Encoding]] = []
    for path in sorted((OTLP / folder).glob(f"{name}.{signal}.*")):
        body = path.read_bytes()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        found.append((body, "json" if path.suffix == ".json" else "protobuf"))
    return found


@cache
def _spans(case: str) -> tuple[Span, ...]:
    spans = [span for body in _bodies(case, "traces") for span in decode_traces(*body).spans]
    events = [event_span(record) for body in _bodies(case, "logs") for record in decode_logs(*body).records]
    return (*spans, *(event for event in events if event is not None))


def _calls(case: str):
    return interpret((span for span in _spans(case) if is_relevant(span)), PRICES).calls


def _truth(case: str):
    return json.loads((OTLP / f"{case}.truth.json").read_text())


def _total(calls, name: str) -> int:
    return sum(getattr(call, name) or 0 for call in calls)


def _of_models(case: str):
    return [call for call in _calls(case) if call.operation != "embeddings"]


def _embeddings(case: str):
    return [call for call in _calls(case) if call.operation == "embeddings"]


@pytest.mark.parametrize("case", sorted(set(CASES) - SILENT))
def test_calls_errors_and_attempts_are_those_that_were_made(case: str) -> None:
    truth, calls = _truth(case), _of_models(case)
    assert len(calls) == truth.get("logical_llm_calls", 0)
    assert len(_embeddings(case)) == truth["embedding_calls"]
    assert sum(call.status != "ok" for call in calls) == truth.get("logical_errors", 0)
    if "attempts" not in NEVER_SENT.get(case, ()):
        assert _total(calls, "attempts") == truth.get("http_attempts", 0)


@pytest.mark.parametrize("case", sorted(set(CASES) - SILENT))
def test_tokens_are_those_that_the_provider_counted(case: str) -> None:
    truth, calls, hidden = _truth(case), _of_models(case), NEVER_SENT.get(case, set())
    if not all(truth["usage_sent_to_client"]):
        assert [call.input_tokens for call in calls] == [None] * len(calls)
        assert {call.usage_source for call in calls} == {"missing"}
        assert {call.cost_usd for call in calls} == {None}
        return
    for name, expected in {
        "input_tokens": truth["input_tokens_total"],
        "output_tokens": truth["output_tokens"],
        "cached_tokens": truth["cached_read_tokens"],
        "cache_write_tokens": truth["cache_write_tokens"],
        "reasoning_tokens": truth["reasoning_tokens"],
    }.items():
        assert _total(calls, name) == (0 if name in hidden else expected), name
    assert _total(_embeddings(case), "input_tokens") == truth["embedding_input_tokens"]


@pytest.mark.parametrize("case", sorted(set(CASES) - SILENT))
def test_every_single_call_has_its_own_tokens(case: str) -> None:
    served = [c for c in _truth(case)["calls"] if c.get("usage_sent") and "embeddings" not in c["api"]]
    expected = sorted((c["input_tokens_total"], c["output_tokens"], c["model_returned"]) for c in served)
    calls = [call for call in _of_models(case) if call.input_tokens is not None]
    if "model" in NEVER_SENT.get(case, ()):  # only the model that was asked for
        expected = [(tokens, out, "gpt-4o-mini") for tokens, out, _ in expected]
    assert sorted((call.input_tokens, call.output_tokens, call.model) for call in calls) == expected


@pytest.mark.parametrize("case", sorted(set(CASES) - SILENT))
def test_models_are_those_that_answered_or_were_asked(case: str) -> None:
    truth = _truth(case)
    named = {call.model for call in _calls(case)}
    assert named <= {*truth["models_requested"], *truth["models_returned"]}
    assert None not in named
    assert {call.provider for call in _calls(case)} <= {"openai", "anthropic"}


@pytest.mark.parametrize("case", [case for case in CASES if "retrieval" in _truth(case)])
def test_retrieved_documents_are_counted_without_their_text(case: str) -> None:
    truth = _truth(case)["retrieval"]
    sources = [call.sources for call in _calls(case) if call.sources is not None]
    assert len(sources) == 1
    assert len(sources[0]) == truth["docs"]
    if "scores" in truth:
        assert [source.score for source in sources[0]] == pytest.approx(truth["scores"])


@pytest.mark.parametrize("case", CASES)
def test_a_failure_says_what_kind_it_was(case: str) -> None:
    errors = _truth(case)["llm_errors"]
    failed = [call for call in _calls(case) if call.status != "ok"]
    if failed and set(errors) == {429}:
        assert {call.status for call in failed} == {"rate_limited"}
    for call in failed:
        assert call.error_type or case.startswith("langfuse")


@pytest.mark.parametrize("case", CASES)
def test_batching_order_and_repeats_do_not_matter(case: str) -> None:
    whole = interpret(_spans(case), PRICES)
    single = [span for body in _bodies(case, "traces") for part in _split(*body) for span in decode_traces(*part).spans]
    events = [span for span in _spans(case) if span.start == span.end]
    pieces = [*single, *single, *events, *events]
    for seed in range(5):
        random.Random(seed).shuffle(pieces)
        assert interpret(pieces, PRICES) == whole


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_a_trace_is_read_without_waiting_for_the_rest(case: str) -> None:
    spans = _spans(case)
    for n in range(len(spans)):
        assert len(interpret(spans[:n], PRICES).calls) <= n


@pytest.mark.parametrize("case", CASES)
def test_protobuf_and_json_say_the_same(case: str) -> None:
    for body, encoding in _bodies(case, "traces"):
        other = _to_json(body) if encoding == "protobuf" else _to_protobuf(body)
        translated = decode_traces(other, "json" if encoding == "protobuf" else "protobuf")
        original = decode_traces(body, encoding)
        assert interpret(translated.spans, PRICES) == interpret(original.spans, PRICES)
        assert len(translated.spans) == len(original.spans) > 0


def test_all_cases_together_stay_apart() -> None:
    together = interpret([span for case in CASES for span in _spans(case)], PRICES)
    assert len(together.calls) == sum(len(_calls(case)) for case in CASES)


def test_two_instrumentations_in_unrelated_traces_share_a_link() -> None:
    spans = _spans("oll/anthropic")
    assert len({span.trace_id for span in spans}) == 2
    first, second = (set(link_keys(span)) for span in spans)
    assert first & second


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_counted(case: str) -> None:
    for body, encoding in _bodies(case, "metrics"):
        found = decode_metrics(body, encoding)
        assert found.points >= len(found.names) > 0


@pytest.mark.parametrize("case", CASES)
def test_nothing_that_was_said_is_in_a_call(case: str) -> None:
    said = repr(interpret(_spans(case), PRICES)).lower()
    for words in ("refunds are possible", "support agent", "refund policy?", "within 30 days", "be brief"):
        assert words not in said


def _split(body: bytes, encoding: Encoding) -> list[tuple[bytes, Encoding]]:
    """Each span as a request of its own, in the same encoding."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(body if encoding == "protobuf" else _to_protobuf(body))
    parts: list[tuple[bytes, Encoding]] = []
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                one = ExportTraceServiceRequest()
                group = one.resource_spans.add()
                group.resource.CopyFrom(of_resource.resource)
                scope = group.scope_spans.add()
                scope.scope.CopyFrom(of_scope.scope)
                scope.spans.add().CopyFrom(span)
                encoded = one.SerializeToString()
                parts.append((encoded, "protobuf") if encoding == "protobuf" else (_to_json(encoded), "json"))
    return parts


def _to_json(body: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    fields = json_format.MessageToDict(request, use_integers_for_enums=True)
    return json.dumps(_with_ids(fields, lambda s: base64.b64decode(s).hex())).encode()


def _to_protobuf(body: bytes) -> bytes:
    fields = _with_ids(json.loads(body), lambda s: base64.b64encode(bytes.fromhex(s)).decode())
    return json_format.ParseDict(fields, ExportTraceServiceRequest(), ignore_unknown_fields=True).SerializeToString()


def _with_ids(value, change):
    if isinstance(value, list):
        return [_with_ids(member, change) for member in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {k: change(v) if k in ids and isinstance(v, str) else _with_ids(v, change) for k, v in value.items()}
    return value
