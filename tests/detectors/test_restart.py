"""A detector that is put away and taken up again goes on to the bit."""

import json

import pytest

from driftbell.collectors.rollup import rollup
from driftbell.detectors import state
from driftbell.detectors.replay import Memory
from driftbell.detectors.report import Reporter
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import BIN, WorkflowDetector
from tests.detectors.traffic import DAY, HOUR, MONDAY, after, calls, set_to

SETTINGS = DetectorSettings()


def run(restart_at: set[int], bins: dict[int, list], begins: range) -> tuple[list, str]:
    detector, memory = WorkflowDetector("claims", SETTINGS), Memory()
    found = []
    for begin in begins:
        if begin in restart_at:
            detector = state.load("claims", state.dump(detector), SETTINGS)
        points = bins.get(begin, [])
        memory.add(points)
        step = detector.step(begin, points)
        if step.happened:
            found += Reporter(detector, memory).report(begin, step, SETTINGS.grace)
    return found, state.dump(detector)


@pytest.fixture(scope="module")
def history() -> tuple[dict[int, list], range]:
    edit = after(MONDAY + 12 * DAY, set_to(status="error"))
    made = calls(13, 30, 1, edit)
    bins: dict[int, list] = {}
    for point in rollup(made):
        bins.setdefault(point.key.minute // BIN * BIN, []).append(point)
    return bins, range(min(bins), max(bins) + BIN, BIN)


def test_a_restart_anywhere_changes_nothing(history: tuple[dict[int, list], range]) -> None:
    bins, begins = history
    whole, end = run(set(), bins, begins)
    restarts = {begins[i] for i in (1, 287, 288, 1500, 2017, 3460, 3461, 3500)}
    again, same_end = run(restarts, bins, begins)
    assert whole
    assert again == whole
    assert same_end == end


def test_the_state_is_plain_numbers_with_a_version(history: tuple[dict[int, list], range]) -> None:
    bins, begins = history
    _, text = run(set(), bins, begins[:600])
    assert json.loads(text)["version"] == state.VERSION
    assert "NaN" not in text


def test_a_state_of_another_version_is_refused_with_what_to_do() -> None:
    text = state.dump(WorkflowDetector("claims", SETTINGS)).replace(f'"version":{state.VERSION}', '"version":99')
    with pytest.raises(state.StateError, match="delete the state to learn anew"):
        state.load("claims", text, SETTINGS)


def test_hours_without_calls_are_bins_too(history: tuple[dict[int, list], range]) -> None:
    bins, begins = history
    gap = {b: p for b, p in bins.items() if not MONDAY + 8 * DAY <= b < MONDAY + 8 * DAY + 30 * HOUR}
    found, _ = run(set(), gap, begins)
    assert {f.metric for f in found if f.family == "silent"} == {"calls"}
    assert [f.transition for f in found if f.family == "silent"] == ["fired", "cleared"]


def test_a_number_that_json_does_not_have_comes_back_as_it_was(history: tuple[dict[int, list], range]) -> None:
    bins, begins = history
    detector = WorkflowDetector("claims", SETTINGS)
    for begin in begins[:600]:
        detector.step(begin, bins.get(begin, []))
    detector.watches[0].worth = float("inf")
    again = state.load("claims", state.dump(detector), SETTINGS)
    assert [watch.worth for watch in again.watches] == [watch.worth for watch in detector.watches]
    assert again.watches[0].alarm == detector.watches[0].alarm
