"""Several processes that share the workflows of a history find what one finds, in its order."""

import json
import multiprocessing
from dataclasses import replace

import pytest

from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.played import shared
from driftbell.service.replay import Report, replay
from tests.detectors.traffic import DAY, HOUR, MONDAY, after, calls, set_to

FIELDS = ("ts", "workflow", "segment", "model", "status", "latency_ms", "input_tokens", "output_tokens", "user_id")
OUTAGE = after(MONDAY + 7 * DAY + 10 * HOUR, set_to(status="error"))


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Four workflows in one file; two fail from the same hour on. Some lines are broken, some out of order."""
    made = [
        replace(call, workflow=f"feature-{number}")
        for number in range(4)
        for call in calls(8, 20, number, OUTAGE if number % 2 else None)
    ]
    made.sort(key=lambda call: call.ts)
    lines = [json.dumps({name: getattr(call, name) for name in FIELDS}) for call in made]
    lines[500:500] = ["nothing", '{"workflow": "feature-1"}', '{"ts": 1}', "[]"]
    lines.insert(9000, lines[0])
    file = tmp_path_factory.mktemp("history") / "history.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def told(history, jobs: int) -> tuple[Report, list]:
    opened: list = []
    read: list[int] = []
    report = replay(history, Config(), opened.append, read.append, jobs=jobs)
    assert read == sorted(read)
    return report, opened


def test_what_is_found_does_not_depend_on_how_many_processes_find_it(history) -> None:
    alone, opened = told(history, 1)
    assert {line["workflow"] for line in opened} == {"feature-1", "feature-3"}
    assert (alone.bad.count, alone.too_late) == (4, 1)
    assert [number for number, _ in alone.bad.first] == [501, 502, 503, 504]
    assert told(history, 3) == (alone, opened)


def test_a_history_that_cannot_be_read_is_one_failure(tmp_path) -> None:
    with pytest.raises(Failure, match="cannot read"):
        replay(tmp_path / "none.jsonl", Config(), lambda _: None, lambda _: None, jobs=2)
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_told_and_no_other_is_left(history) -> None:
    def play() -> None:
        with shared(history, Config(), None, 2) as stretches:
            next(stretches)
            multiprocessing.active_children()[0].kill()
            for _ in stretches:
                pass

    with pytest.raises(Failure, match="was killed"):
        play()
    assert multiprocessing.active_children() == []
