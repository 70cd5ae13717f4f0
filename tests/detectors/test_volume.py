"""A user who outruns all others rings within minutes; people who work in bursts do not."""

import numpy as np
import pytest

from driftbell.detectors.volume import BIN, DAY, HOUR, Volume, VolumeAlarm

MONDAY = 4 * DAY
DAYS = 21


def day_of(rng: np.random.Generator, per_hour: float, session: float) -> list[dict[str, int]]:
    """Calls by user of each bin of a day; a user's calls come ``session`` at a time, within two bins."""
    bins: list[dict[str, int]] = [{} for _ in range(DAY // BIN)]
    for start in range(len(bins)):
        for _ in range(rng.poisson(per_hour / session * BIN / HOUR)):
            user = f"u{rng.integers(20)}"
            for _ in range(int(rng.geometric(1 / session))):
                place = min(start + int(rng.integers(2)), len(bins) - 1)
                bins[place][user] = bins[place].get(user, 0) + 1
    return bins


def play(volume: Volume, day: int, bins: list[dict[str, int]]) -> list[VolumeAlarm]:
    begin = MONDAY + day * DAY
    found = (volume.step(begin + i * BIN, sum(users.values()), users) for i, users in enumerate(bins))
    return [alarm for alarm in found if alarm is not None]


def looping(bins: list[dict[str, int]], hour: int, each: int) -> list[dict[str, int]]:
    """The same day with one user who calls ``each`` times in every bin of four hours."""
    first = hour * HOUR // BIN + 3
    return [{**b, "loop": each} if first <= i < first + 48 else b for i, b in enumerate(bins)]


@pytest.mark.parametrize("session", [1.0, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_nobody_rings_who_works_as_people_did_before(seed, session):
    rng, volume = np.random.default_rng(seed), Volume()
    assert [play(volume, day, day_of(rng, 60, session)) for day in range(DAYS)] == [[]] * DAYS


@pytest.mark.parametrize("seed", range(3))
def test_a_loop_rings_within_twenty_minutes_with_its_user(seed):
    rng, volume = np.random.default_rng(seed), Volume()
    for day in range(14):
        play(volume, day, day_of(rng, 60, 1.0))
    (alarm,) = play(volume, 14, looping(day_of(rng, 60, 1.0), hour=10, each=10))
    assert (alarm.kind, alarm.user_id) == ("loop", "loop")
    assert alarm.n <= 4 * 10
    assert alarm.window <= 20 * 60


def test_a_loop_that_was_called_usual_does_not_ring_again():
    rng, volume = np.random.default_rng(5), Volume()
    for day in range(14):
        play(volume, day, day_of(rng, 60, 1.0))
    again = looping(day_of(rng, 60, 1.0), hour=10, each=10)
    stop = next(i for i in range(len(again)) if volume.step(MONDAY + 14 * DAY + i * BIN, 10, again[i]))
    volume.expect()
    rest = [volume.step(MONDAY + 14 * DAY + i * BIN, 10, again[i]) for i in range(stop + 1, len(again))]
    assert volume.alarm is None
    assert rest == [None] * len(rest)
    assert play(volume, 15, again) == []
