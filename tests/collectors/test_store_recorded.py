"""What real emitters sent, through the store in pieces: the rows must be those of one whole delivery."""

import random
from dataclasses import replace

import pytest
from recorded_spans import EMITTERS, spans_of

from driftbell.collectors.batch import Batch
from driftbell.collectors.merge import combine
from driftbell.collectors.pricing import PriceTable
from driftbell.collectors.reading import reading_of
from driftbell.collectors.store import Store


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
