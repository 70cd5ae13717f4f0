"""The rounds of a service while calls keep coming."""

import workload
from running_service import NOW

from driftbell.collectors.batch import Batch
from driftbell.collectors.imports.call_records import spans
from driftbell.service.config import Config
from driftbell.service.rounds import Rounds
from driftbell.service.stores import open_store

START = NOW // 86400 * 86400
HOURS = 30


def learned(folder, arrive) -> list:
    """What the detectors know after a backlog of hours has come; ``arrive`` gets the store, the hours and the round."""
    config = Config.model_validate({"data_dir": folder, "public_prices": False})
    store = open_store(config, lambda: START + 2 * HOURS * 3600)
    try:
        rounds = Rounds(store, config, store.clock)
        arrive(store, workload.hours(START, HOURS), rounds.evaluate)
        rounds.evaluate()
        return store.read().execute("SELECT next_bin, state FROM detector_state").fetchall()
    finally:
        store.close()


def append(store, hour) -> None:
    made = [
        span for number, record in enumerate(hour) for span in spans(record, b"%024d" % (record.ts * 1000 + number))
    ]
    store.append(Batch(spans=made))


def one_by_one(store, hours, evaluate) -> None:
    for hour in hours:
        append(store, hour)
        evaluate()


def while_evaluating(store, hours, evaluate) -> None:
    """Each hour comes at the worst moment: after the points have been made of what had come before."""
    append(store, next(hours))
    refresh = store.refresh_points

    def refreshed(**options) -> bool:
        more = refresh(**options)
        if not more and (hour := next(hours, None)) is not None:
            append(store, hour)
        return more

    store.refresh_points = refreshed
    for _ in range(HOURS):
        evaluate()


def test_calls_of_a_backlog_that_come_during_a_round_are_all_learned_from(tmp_path):
    assert learned(tmp_path / "worst", while_evaluating) == learned(tmp_path / "quiet", one_by_one) != []
