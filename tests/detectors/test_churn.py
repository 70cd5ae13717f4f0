"""Segments that come and go do not use up the places of those that stay."""

from driftbell.detectors import state
from driftbell.detectors.churn import AWAY
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import BIN, WorkflowDetector
from tests.detectors.rules import DAY, HOUR, MONDAY, point

SETTINGS = DetectorSettings(max_segments=4)


def stepped(detector: WorkflowDetector, begin: int, days: float, *segments: str) -> WorkflowDetector:
    """Half an hour of calls of each segment at each full hour."""
    for start in range(begin, begin + int(days * DAY), BIN):
        busy = start % HOUR < 1800
        detector.step(start, [point(start, 6, segment, error=(0, 6)) for segment in segments] if busy else [])
    return detector


def segments(detector: WorkflowDetector) -> set[str]:
    return {value for dimension, value in detector.groups if dimension == "segment"}


def test_a_new_segment_takes_the_place_of_the_one_that_has_been_away_longest() -> None:
    detector = stepped(WorkflowDetector("claims", SETTINGS), MONDAY, 0.1, "a", "b", "c")
    detector = stepped(detector, MONDAY + DAY, 0.1, "b", "c")
    detector = stepped(detector, MONDAY + DAY + AWAY, 0.5, "c", "d")
    assert segments(detector) == {"b", "c", "d"}
    assert all(detector.watches[i].name == name for name, i in detector.index.items())
    assert all(
        detector.watches[i].group == key and detector.watches[i].series.measure == measure
        for key, group in detector.groups.items()
        for measure, indices in group.index.items()
        for i in indices
    )
    assert detector.tests.r.shape[1] == len(detector.watches)
    again = state.load("claims", state.dump(detector), SETTINGS)
    assert state.dump(again) == state.dump(detector)


def test_a_segment_that_was_there_lately_keeps_its_place() -> None:
    detector = stepped(WorkflowDetector("claims", SETTINGS), MONDAY, 0.1, "a", "b", "c")
    detector = stepped(detector, MONDAY + 10 * DAY, 0.1, "d")
    assert segments(detector) == {"a", "b", "c"}


def test_a_segment_in_alarm_keeps_its_place() -> None:
    detector = stepped(WorkflowDetector("claims", SETTINGS), MONDAY, 1, "a", "b", "c")
    (first, *_) = (i for i, watch in enumerate(detector.watches) if watch.segment == "a")
    detector.raise_alarm(first, MONDAY + DAY)
    detector = stepped(detector, MONDAY + 2 * DAY + AWAY, 0.1, "d")
    assert "a" in segments(detector)
    assert segments(detector) == {"a", "c", "d"}
