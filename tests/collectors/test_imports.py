"""History from elsewhere becomes the calls that the same spans would have made, whatever file it comes in."""

import gzip
import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from driftbell.collectors.batch import Batch
from driftbell.collectors.imports.lines import UnreadableError
from driftbell.collectors.imports.read import FORMATS, detect, portions
from driftbell.collectors.store import Store

EXPORTS = Path(__file__).with_name("exports")
LANGFUSE = ["langfuse_api.json", "langfuse_blob.jsonl", "langfuse_blob.csv"]
PHOENIX = ["phoenix_api.json", "phoenix_dataframe.jsonl", "phoenix_dataframe.parquet"]


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def load(store, *files, form=None):
    """Import files; the bad rows."""
    bad = []
    for file in files:
        for portion in portions(file, form or detect(file), lambda number, reason: bad.append((number, reason))):
            store.append(Batch(spans=portion.spans))
    return bad


@pytest.mark.parametrize("name", LANGFUSE)
def test_langfuse_observations_become_calls(store, name):
    assert load(store, EXPORTS / name) == []
    calls = store.calls().calls
    assert [call.input_tokens for call in calls] == [*range(100, 111), None]
    assert {(call.workflow, call.model, call.prompt_name, call.prompt_version) for call in calls} == {
        ("ticket-triage", "gpt-4o-mini", "triage", "3")
    }
    assert [call.segment for call in calls[:2]] == ["amer", "emea"]
    assert calls[0].latency_ms == pytest.approx(2000)
    assert calls[0].ttft_ms == pytest.approx(400, abs=0.01)
    assert [call.status for call in calls] == ["ok"] * 11 + ["rate_limited"]


@pytest.mark.parametrize("name", PHOENIX)
def test_phoenix_spans_become_calls_with_their_sources(store, name):
    assert load(store, EXPORTS / name) == []
    calls = store.calls().calls
    assert [call.input_tokens for call in calls] == [*range(100, 111), None]
    assert {(call.workflow, call.model, call.segment) for call in calls} == {("ticket-triage", "gpt-4o-mini", "emea")}
    assert [source.id for source in calls[0].sources] == ["kb-0", "kb-1", "kb-2"]
    assert calls[-1].status == "rate_limited"


@pytest.mark.parametrize("order", [1, -1])
def test_scores_find_their_calls_whichever_file_comes_first(store, order):
    files = [EXPORTS / "langfuse_blob.jsonl", EXPORTS / "langfuse_scores.jsonl"][::order]
    assert load(store, *files) == [(12, "the score 'stars' is not from 0 to 1")]
    judged = store.judgements("ticket-triage")
    assert [each.score for each in judged] == pytest.approx([0.5 + i * 0.04 for i in range(11)])
    assert {each.segment for each in judged} == {"amer", "emea"}


@pytest.mark.parametrize("name", LANGFUSE + PHOENIX)
def test_no_text_and_no_raw_user_id_is_kept(store, name):
    load(store, EXPORTS / name)
    store.refresh_all()
    kept = "".join(map(str, store.calls().calls)) + "".join(map(str, store.points("ticket-triage", 0, 1e12)))
    raw = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
    for secret in ("secret", "Billing", "example.com"):
        assert secret not in kept
        assert secret.encode() not in raw


@pytest.mark.parametrize("name", [*LANGFUSE, *PHOENIX, "langfuse_scores.jsonl"])
def test_the_same_file_again_changes_nothing(store, name):
    load(store, EXPORTS / name)
    before = store.calls().calls
    load(store, EXPORTS / name)
    assert store.calls().calls == before


RECORDS = [
    {"ts": 1_790_000_000.5 + i, "workflow": "letters", "model": "m", "input_tokens": 10 + i, "output_tokens": 5}
    | {"latency_ms": 250.0, "status": "ok", "retries": 1, "segment": "de", "user_id": "ana@example.com"}
    | {"sources": [{"id": "a", "score": 0.5, "age_days": 3}], "citations": 1, "eval_scores": {"tone": 0.75}}
    | {"override": True, "edit_distance": 0.25, "feedback": -1, "outcome": "escalated"}
    for i in range(5)
]


def write(path, rows, packed=False):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_call_records_become_calls_and_judgements(store, tmp_path, packed):
    task = {"ts": 1_790_000_001, "kind": "manual_task", "workflow": "letters", "segment": "de"}
    load(store, write(tmp_path / "calls.jsonl", [*RECORDS, task], packed))
    calls = store.calls().calls
    assert [call.ts for call in calls] == pytest.approx([row["ts"] for row in RECORDS], abs=1e-6)
    assert {(call.attempts, call.citations, call.sources[0].age_days) for call in calls} == {(2, 1, 3)}
    assert calls[0].user_id != "ana@example.com"
    judged = store.judgements("letters")
    assert sorted({each.evaluation or each.override or each.outcome or str(each.feedback) for each in judged}) == [
        *("-1", "edited", "escalated", "tone")
    ]
    assert len(judged) == 20
    assert len(store.manual_tasks("letters")) == 1


def test_equal_lines_are_calls_of_their_own_and_overlapping_files_count_once(store, tmp_path):
    twins = [RECORDS[0], RECORDS[0], *RECORDS[1:]]
    load(store, write(tmp_path / "a.jsonl", twins), write(tmp_path / "b.jsonl", RECORDS[2:]))
    assert len(store.calls().calls) == 6


def otlp(n):
    body = ExportTraceServiceRequest()
    span = body.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes([n + 1] * 16), span_id=bytes([1] * 8))
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = (
        "chat m",
        1_790_000_000 * 10**9,
        1_790_000_001 * 10**9,
    )
    for key, value in {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "driftbell.workflow": "w"}.items():
        span.attributes.add(key=key).value.string_value = value
    return body


def collector_file(path, form):
    """As the file exporter of the Collector writes: JSON lines, or messages with their length before them."""
    bodies = [otlp(n) for n in range(3)]
    if form == "proto":
        packed = [body.SerializeToString() for body in bodies]
        path.write_bytes(b"".join(len(each).to_bytes(4, "big") + each for each in packed))
    else:
        spans = [body.resource_spans[0].scope_spans[0].spans[0] for body in bodies]
        told = [
            {
                "traceId": span.trace_id.hex(),
                "spanId": span.span_id.hex(),
                "name": span.name,
                "startTimeUnixNano": str(span.start_time_unix_nano),
                "endTimeUnixNano": str(span.end_time_unix_nano),
                "attributes": [{"key": a.key, "value": {"stringValue": a.value.string_value}} for a in span.attributes],
            }
            for span in spans
        ]
        write(path, [{"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [each]}]}]} for each in told])
    return path


@pytest.mark.parametrize("form", ["json", "proto"])
def test_files_of_the_collector_become_calls(store, tmp_path, form):
    assert load(store, collector_file(tmp_path / "spans", form)) == []
    assert [call.workflow for call in store.calls().calls] == ["w"] * 3


def test_a_file_that_ends_within_a_message_keeps_what_came_before(store, tmp_path):
    file = collector_file(tmp_path / "spans", "proto")
    file.write_bytes(file.read_bytes()[:-5])
    assert load(store, file) == [(3, "the file ends within a message")]
    assert len(store.calls().calls) == 2


def test_bad_lines_are_told_with_their_numbers_and_the_rest_goes_on(store, tmp_path):
    file = tmp_path / "calls.jsonl"
    good = json.dumps(RECORDS[0]).encode()
    file.write_bytes(b"\n".join([good, b"{", b"[]", b'{"ts": 5}', good.replace(b"1790000000.5", b"1790000009.5"), b""]))
    assert [number for number, _ in load(store, file, form="records")] == [2, 3, 4]
    assert len(store.calls().calls) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"hello\n", "format"),
        (b'{"a": 1}\n', "format"),
        (b"[1, 2", "not JSON"),
        (b"\x28\xb5\x2f\xfdxxxx", "zstd"),
        (b"\x1f\x8bxxxx", "damaged"),
        (b"PAR1xxxx", "Parquet"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, content, told):
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UnreadableError, match=told):
        detect(file)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters, max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = (
    *("id", "trace_id", "type", "start_time", "end_time", "usage_details", "cost_details", "metadata", "name", "value"),
    *("context.trace_id", "context.span_id", "context", "span_kind", "attributes", "attributes.llm", "timestamp", "ts"),
    *("workflow", "scores", "observations", "level", "prompt_version", "total_cost", "completion_start_time"),
)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=12), min_size=1, max_size=4))
def test_no_row_stops_an_import(tmp_path_factory, form, rows):
    file = write(tmp_path_factory.mktemp("wild") / "rows.jsonl", rows)
    bad = []
    taken = sum(portion.rows for portion in portions(file, form, lambda number, reason: bad.append(number)))
    assert taken + len(set(bad)) >= len(rows)
