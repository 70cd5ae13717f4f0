"""What is in the outbox is delivered: in order, at once or as soon as possible, on the second channel if need be."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from driftbell.alerts import history
from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.incident import apply
from driftbell.alerts.message import Message
from driftbell.alerts.outbox import LEASE, Channels, deliver_due
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding

Make = Callable[..., Finding]
SETTINGS = AlertSettings.model_validate(
    {
        "channels": {
            "first": {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:K"], "fallback": "second"},
            "second": {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:K"]},
        },
        "routes": [{"channels": ["first"]}],
    }
)


@dataclass
class Recorder:
    """A channel that takes what it gets, or refuses as told."""

    name: str
    got: list[Message] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    error: DeliveryError | None = None

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        self.tried.append(message.event_id)
        if self.error is not None:
            raise self.error
        self.got.append(message)
        return {"seen": str(int(ref.get("seen", "0")) + 1)}


@pytest.fixture
def first() -> Recorder:
    return Recorder("first")


@pytest.fixture
def second() -> Recorder:
    return Recorder("second")


@pytest.fixture
def channels(first: Recorder, second: Recorder) -> Channels:
    by_name: Mapping[str, Any] = {"first": first, "second": second}
    return Channels(by_name, SETTINGS)


def write(store: Store, now: float, *findings: Finding) -> None:
    with store.write() as tx:
        apply(tx, findings, now, SETTINGS)


def run(store: Store, channels: Channels, start: float, seconds: float, step: float = 1.0) -> None:
    """Deliver every ``step`` seconds, as the service's loop does."""
    for tick in range(int(seconds / step) + 1):
        deliver_due(store, channels, start + tick * step)


def rows(store: Store) -> list[tuple[str, str, str]]:
    found = store.read().execute("SELECT transition, channel, state FROM notifications ORDER BY id")
    return [tuple(row) for row in found]


def test_a_message_is_delivered_at_once_and_once(store: Store, make: Make, first: Recorder, channels: Channels) -> None:
    write(store, make().ts, make())
    run(store, channels, make().ts, 120)
    assert [m.transition for m in first.got] == ["opened"]


def test_it_is_tried_again_after_5_15_30_and_60_seconds(
    store: Store, make: Make, first: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("unreachable")
    seen = []
    for second_of in range(120):
        before = len(first.tried)
        deliver_due(store, channels, make().ts + second_of)
        seen += [second_of] * (len(first.tried) - before)
    assert seen == [0, 5, 15, 30, 60]
    assert len(set(first.tried)) == 1


def test_the_second_channel_has_it_within_two_minutes_of_an_outage(
    store: Store, make: Make, first: Recorder, second: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("timeout")
    run(store, channels, make().ts, 110)
    assert second.got[0].event_id == first.tried[0]


def test_the_other_channels_hear_that_one_is_down(
    store: Store, make: Make, first: Recorder, second: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("timeout")
    run(store, channels, make().ts, 600)
    assert [m.title for m in second.got if m.family == "instrument"] == ["driftbell: alert channel broken: first"]


def test_the_first_channel_gets_it_when_it_is_back(
    store: Store, make: Make, first: Recorder, second: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("unreachable")
    run(store, channels, make().ts, 600)
    first.error = None
    run(store, channels, make().ts + 601, 1800, step=10)
    assert [m.family for m in first.got] == ["cost"]
    assert [m.family for m in second.got].count("cost") == 1


def test_the_second_channel_hears_of_the_end_too(
    store: Store, make: Make, t0: float, first: Recorder, second: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("unreachable")
    run(store, channels, make().ts, 100)
    write(store, t0 + 7200, replace(make(), ts=t0 + 7200, transition="cleared"))
    write(store, t0 + 20_000)
    run(store, channels, t0 + 20_000, 10)
    assert [m.transition for m in second.got if m.family == "cost"] == ["opened", "resolved"]


def test_an_end_never_overtakes_the_opening(
    store: Store, make: Make, t0: float, first: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("unreachable")
    run(store, channels, make().ts, 3)
    write(store, t0 + 7200, replace(make(), ts=t0 + 7200, transition="cleared"))
    write(store, t0 + 20_000)
    first.error = None
    run(store, channels, t0 + 20_000, 10)
    assert [m.transition for m in first.got] == ["opened", "resolved"]


def test_retry_after_is_honoured_for_the_whole_channel(
    store: Store, make: Make, first: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make(), make(workflow="other", cause=replace(make().cause, keys={})))
    first.error = DeliveryError("rate_limited", retry_after=40.0)
    run(store, channels, make().ts, 39)
    assert len(first.tried) == 1  # the other row waits too
    first.error = None
    run(store, channels, make().ts + 40, 2)
    assert len(first.got) == 2


def test_a_refusal_for_good_goes_to_the_other_channel_and_becomes_an_incident_there(
    store: Store, make: Make, first: Recorder, second: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("auth_error", permanent=True)
    run(store, channels, make().ts, 5)
    assert len(first.tried) == 1
    assert {(m.family, m.workflow) for m in second.got} == {("cost", "claims-triage"), ("instrument", "driftbell")}


def test_the_channel_incident_ends_when_the_channel_works_again(
    store: Store, make: Make, first: Recorder, channels: Channels, t0: float
) -> None:
    write(store, make().ts, make())
    first.error = DeliveryError("gone", permanent=True)
    run(store, channels, make().ts, 5)
    first.error = None
    write(store, t0 + 4000, make(workflow="other", cause=replace(make().cause, keys={}), ts=t0 + 4000))
    run(store, channels, t0 + 4000, 5)
    write(store, t0 + 20_000)
    states = {i.family: i.state for i in history.listed(store.read(), "all")}
    assert states["instrument"] == "resolved"


def test_two_workers_do_not_send_the_same_row(
    open_store: Callable[[], Store], make: Make, first: Recorder, channels: Channels
) -> None:
    one, other = open_store(), open_store()
    write(one, make().ts, make())
    deliver_due(one, channels, make().ts)
    deliver_due(other, channels, make().ts)
    assert len(first.got) == 1


def test_a_worker_that_died_in_the_middle_loses_nothing(
    store: Store, make: Make, first: Recorder, channels: Channels
) -> None:
    class DiedError(BaseException):
        pass

    write(store, make().ts, make())
    take = first.send

    def die(message: Message, ref: dict[str, str]) -> dict[str, str]:
        take(message, ref)
        raise DiedError

    first.send = die  # type: ignore[method-assign]
    with pytest.raises(DiedError):
        deliver_due(store, channels, make().ts)
    first.send = take  # type: ignore[method-assign]
    run(store, channels, make().ts + LEASE, 2)
    assert [m.event_id for m in first.got] == [first.got[0].event_id] * 2


def test_what_one_channel_told_us_is_given_back_to_it(
    store: Store, make: Make, t0: float, first: Recorder, channels: Channels
) -> None:
    write(store, make().ts, make())
    run(store, channels, make().ts, 1)
    write(store, t0 + 7200, replace(make(), ts=t0 + 7200, transition="no_data"))
    run(store, channels, t0 + 7200, 1)
    refs = store.read().execute("SELECT ref FROM notifications ORDER BY id").fetchall()
    assert refs == [('{"seen": "1"}',), ('{"seen": "2"}',)]


def test_rows_for_a_channel_that_was_removed_are_given_up(store: Store, make: Make, second: Recorder) -> None:
    write(store, make().ts, make())
    without = SETTINGS.model_copy(update={"channels": {"second": SETTINGS.channels["second"]}})
    deliver_due(store, Channels({"second": second}, without), make().ts)
    assert rows(store) == [("opened", "first", "failed")]


def test_a_missing_secret_is_told_on_another_channel_and_not_by_value(
    store: Store, make: Make, second: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    from driftbell.alerts.channels.build import build_channels

    os.environ.pop("K", None)
    built = build_channels(SETTINGS)
    write(store, make().ts, make())
    channels = Channels({**built.by_name, "second": second}, SETTINGS)
    run(store, channels, make().ts, 3)
    assert "secret_missing" in caplog.text
    assert "instrument" in {m.family for m in second.got}
