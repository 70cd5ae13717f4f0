"""History as people have it: out of order, with stray time stamps, with gaps."""

from dataclasses import replace

from driftbell.collectors.records import Record
from driftbell.collectors.rollup import rollup
from driftbell.detectors import replay
from driftbell.detectors.replay import LATENESS, Memory, Replay, _Lane
from driftbell.detectors.settings import DetectorSettings
from tests.detectors.traffic import DAY, HOUR, MONDAY, after, calls, findings, set_to

OUTAGE = after(MONDAY + 12 * DAY + 10 * HOUR, set_to(status="error"))


def replayed(history) -> tuple[list, Replay]:
    engine = Replay(DetectorSettings(), lambda call: call)
    found = [f for call in history for f in engine.take(Record(call.ts, call, (), None))]
    return [*found, *engine.finish()], engine


def test_records_out_of_order_within_hours_change_nothing() -> None:
    ordered = calls(13, 20, 1, OUTAGE)
    late = sorted(ordered, key=lambda call: call.ts + (LATENESS / 2 if call.output_tokens % 3 == 0 else 0.0))
    found, engine = replayed(late)
    assert engine.too_late == 0
    assert [(f.ts, f.id) for f in found] == [(f.ts, f.id) for f in findings(ordered)]
    assert found


def test_a_record_that_comes_days_late_is_counted_and_left_out() -> None:
    ordered = calls(13, 20, 2, OUTAGE)
    stray = replace(ordered[-1], ts=MONDAY + DAY)
    found, engine = replayed([*ordered, stray])
    assert engine.too_late == 1
    assert found == findings(ordered)


def test_a_stray_time_stamp_decades_away_costs_no_time() -> None:
    ordered = calls(2, 20, 3)
    _, engine = replayed([replace(ordered[0], ts=100.0), *ordered, replace(ordered[0], ts=4_102_444_800.0)])
    assert engine.too_late <= 2


class Forgetful(Memory):
    """What a service has when retention ran a moment ago: minutes of a day and no more."""

    def points(self, workflow, since, until, resolution="minute"):
        found = super().points(workflow, since, until, resolution)
        newest = self.fine[-1].key.minute if self.fine else 0
        return found if resolution != "minute" else [point for point in found if point.key.minute > newest - DAY]


def test_what_is_found_does_not_depend_on_when_old_minutes_are_forgotten(monkeypatch) -> None:
    def dearer(call, _rng):
        return replace(call, input_tokens=round(call.input_tokens * 1.25))

    slow = calls(19, 5, 1, after(MONDAY + 12 * DAY, dearer))
    expected = findings(slow)
    assert max(f.ts - f.started_at for f in expected if f.transition == "fired") > DAY
    monkeypatch.setattr(replay, "_Lane", lambda station: _Lane(station, Forgetful()))
    assert findings(slow) == expected


def test_the_days_that_a_replay_remembers_are_the_sums_of_their_minutes() -> None:
    minutes = rollup(calls(2, 20, 4))
    memory = Memory()
    for point in minutes:
        memory.add([point])
    for day in (1, 2):
        memory.end_day(int(MONDAY + day * DAY))
    for day in (0, 1):
        begin = MONDAY + day * DAY
        whole = memory.points("claims", begin, begin + DAY, "day")
        assert sum(point.calls for point in whole) == sum(
            begin <= p.key.minute < begin + DAY and p.calls for p in minutes
        )
        assert {point.key.minute for point in whole} == {begin}
