"""What real emitters sent, through the store in pieces: the rows must be those of one whole delivery."""

import gzip
import random
from dataclasses import replace
from pathlib import Path

import pytest

from driftbell.collectors.batch import Batch
from driftbell.collectors.decode import decode_logs, decode_traces
from driftbell.collectors.merge import combine, event_span
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.reading import reading_of
from driftbell.collectors.store import Store

OTLP = Path(__file__).parent / "otlp"
EMITTERS = sorted({path.parent.name for path in OTLP.glob("*/*.truth.json")})


def spans_of(emitter: str) -> list:
    """All spans and log events of all cases of an emitter."""
    spans = []
    for path in sorted((OTLP / emitter).iterdir()):
        signal = next((name for name in ("traces", "logs") if f".{name}." in path.name), None)
        if signal is None or path.name.endswith("headers.json"):
            continue
        body = path.read_bytes()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        encoding = "json" if path.suffix == ".json" else "protobuf"
        if signal == "traces":
            spans += decode_traces(body, encoding).spans
        else:
            spans += [span for record in decode_logs(body, encoding).records if (span := event_span(record))]
    return spans


@pytest.mark.parametrize("emitter", EMITTERS)
def test_single_spans_shuffled_and_sent_twice_give_the_rows_of_one_delivery(
    emitter, tmp_path, all_calls, points_are_exact
):
    spans = spans_of(emitter)
    whole, pieces = Store.open(tmp_path / "whole"), Store.open(tmp_path / "pieces")
    whole.append(Batch(spans))
    shuffled = random.Random(5).sample(spans * 2, len(spans) * 2)
    cut = len(shuffled) // 3
    for span in shuffled[:cut]:
        pieces.append(Batch([span]))
    for at in range(cut, len(shuffled), 7):
        pieces.append(Batch(shuffled[at : at + 7]))
    assert all_calls(pieces) == all_calls(whole)
    for workflow in whole.workflows():
        assert pieces.judgements(workflow.name) == whole.judgements(workflow.name)
    points_are_exact(whole)
    points_are_exact(pieces)
    readings = [reading for span in spans if (reading := reading_of(span)) is not None]
    told = [replace(call, attributes={}) for call in combine(readings, PriceTable()).calls]
    kept = [replace(call, attributes={}) for call in all_calls(whole)]
    assert sorted(kept, key=repr) == sorted(told, key=repr)
    whole.close()
    pieces.close()
