"""What is said of a cause is what the calls show: nothing is ruled out that was not looked at."""

from dataclasses import replace

from driftbell.collectors.rollup import rollup
from driftbell.detectors.attribution import Evidence, explain
from driftbell.detectors.series import Series
from tests.detectors.traffic import DAY, MONDAY, calls

SLOWER = Series("reliability", "status", "error", "rate", 1, 0.03, "")
DEARER = Series("cost", "cost_per_call", "cost", "quantity", 1, 1.2, "usd")
ALIKE = "segment: all moved alike"


def ruled_out(edit, hours=24.0):
    """What is ruled out for errors that ``edit`` makes in the ``hours`` from the last of three days on."""
    onset = MONDAY + 3 * DAY
    history = calls(3 + hours / 24, 60, 4)
    before = rollup(call for call in history if call.ts < onset)
    after = rollup(edit(call) for call in history if call.ts >= onset)
    return explain(SLOWER, Evidence(before, after, onset)).cause.ruled_out


def every(number):
    """Every so many calls fail."""
    return lambda call: replace(call, status="error" if hash(call.ts) % number == 0 else "ok")


def test_segments_that_all_moved_are_ruled_out():
    assert ALIKE in ruled_out(every(3))


def test_a_segment_that_did_not_move_is_no_part_of_all():
    def in_turns(call):
        return every(3)(call) if call.segment == "south" else call

    assert ALIKE not in ruled_out(in_turns)


def test_of_a_few_calls_nothing_is_said():
    assert ALIKE not in ruled_out(every(3), 0.25)


def evidence_of(edit):
    """What is said of the parts of a change of cost that ``edit`` makes from the last of three days on."""
    onset = MONDAY + 3 * DAY
    history = calls(4, 60, 4)
    before = rollup(call for call in history if call.ts < onset)
    after = rollup(edit(call) for call in history if call.ts >= onset)
    return explain(DEARER, Evidence(before, after, onset)).cause.evidence


def test_a_part_of_the_change_is_told_as_its_share():
    longer = evidence_of(lambda call: replace(call, cost_usd=call.cost_usd * 2, input_tokens=call.input_tokens * 2))
    assert longer
    assert all("explains" in note for note in longer)


def test_parts_that_work_against_each_other_are_told_in_money_and_never_beyond_the_whole():
    mixed = evidence_of(lambda call: replace(call, cost_usd=call.cost_usd * 1.5, input_tokens=call.input_tokens // 2))
    assert len(mixed) == 2
    assert not any("%" in note for note in mixed)
    assert [note.rpartition(" a call")[0][-1] for note in mixed] == ["c", "c"]
    assert sum("-" in note for note in mixed) == 1
