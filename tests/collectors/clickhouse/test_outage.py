"""ClickHouse goes away for an hour: nothing acknowledged is lost, nothing false is said, and it catches up."""

from contextlib import suppress

import pytest
from clickhouse import new_client, opened

from driftbell.collectors.batch import Batch, StoreUnavailableError
from driftbell.detectors.evaluate import Detectors
from driftbell.detectors.settings import DetectorSettings
from driftbell.service.migrations import MIGRATIONS

START = 1_760_000_000.0
EVER = (-1e12, 1e12)


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


class Wire:
    """A client that can be cut, before an insert or after as many rows as some tables take."""

    def __init__(self, client) -> None:
        self.client = client
        self.cut = False
        self.inserts_left = None

    def _check(self) -> None:
        if self.cut:
            raise StoreUnavailableError("ClickHouse does not answer")

    def query(self, sql, given=None):
        self._check()
        return self.client.query(sql, given)

    def command(self, sql, given=None):
        self._check()
        self.client.command(sql, given)

    def insert(self, table, columns, rows):
        self._check()
        if self.inserts_left is not None and rows:
            if self.inserts_left == 0:
                raise StoreUnavailableError("ClickHouse does not answer")
            self.inserts_left -= 1
        self.client.insert(table, columns, rows)

    def close(self):
        self.client.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wire():
    return Wire(new_client())


@pytest.fixture
def store(tmp_path, wire, clock):
    store = opened(tmp_path, wire, migrations=MIGRATIONS, clock=clock)
    yield store
    wire.cut = False
    store.close()


def test_a_sender_is_told_to_come_again_and_what_it_sends_then_counts_once(store, wire, spans, all_calls):
    sent = [spans.call(at) for at in range(20)]
    wire.cut = True
    with pytest.raises(StoreUnavailableError) as refused:
        store.append(Batch(sent))
    assert refused.value.retry_after > 0
    wire.cut = False
    store.append(Batch(sent))
    store.refresh_all()
    assert len(all_calls(store)) == 20
    assert sum(point.calls for point in store.points("answer", *EVER)) == 20


def test_a_cut_between_any_two_inserts_changes_nothing_in_the_end(store, wire, spans, all_calls):
    for after in range(14):
        late = spans.call(60.0 * after)
        wire.inserts_left = after
        for work in (lambda sent=late: store.append(Batch([sent])), store.refresh_all):
            with suppress(StoreUnavailableError):
                work()
        assert wire.inserts_left == 0, "there was nothing left to cut"
        wire.inserts_left = None
        store.append(Batch([late]))
        store.refresh_all()
    assert [call.ts - START for call in all_calls(store)] == [60.0 * after for after in range(14)]
    assert [p.calls for p in store.points("answer", *EVER)] == [1] * 14
    assert store.points("answer", *EVER) == store.recount("answer", *EVER)


def test_an_hour_without_clickhouse_is_no_silence(store, wire, spans, clock):
    settings = DetectorSettings()
    store.append(Batch([spans.call(at * 10.0) for at in range(60)]))
    clock.now = START + 600
    store.refresh_all()
    wire.cut = True
    clock.now += 60
    with pytest.raises(StoreUnavailableError):
        store.refresh_points()
    clock.now = START + 4200
    wire.cut = False
    store.refresh_all()
    (workflow,) = store.workflows()
    detectors = Detectors(settings)
    with store.write() as tx:
        detectors.cycle(tx, store, [workflow], clock.now)
    # As long as senders may still have something to send again, what is evaluated ends with the newest call.
    assert watermark(store) <= START + 600
    clock.now += settings.idle + 1
    late = [spans.call(600 + at * 10.0) for at in range(400)]
    store.append(Batch(late))
    store.refresh_all()
    with store.write() as tx:
        detectors.cycle(tx, store, store.workflows(), clock.now)
    assert watermark(store) > START + 3600
    assert sum(point.calls for point in store.points("answer", *EVER)) == 460


def watermark(store) -> float:
    return max((row[0] for row in store.read().execute("SELECT next_bin FROM detector_state")), default=0.0)


def test_a_shard_waits_for_the_one_that_interprets(tmp_path, spans, clock):
    from driftbell.collectors.clickhouse.shard import Shard

    client = new_client()
    first = opened(tmp_path / "0", client, clock=clock, shard=Shard(0, 2))
    other = opened(tmp_path / "1", client, clock=clock, shard=Shard(1, 2))
    with pytest.raises(StoreUnavailableError, match="shard that interprets"):
        other.refresh_points(until=clock.now - 60)
    first.append(Batch([spans.call(1.0, workflow=f"w{n}") for n in range(20)]))
    clock.now += 300
    first.refresh_all()
    other.refresh_all()
    names = [{workflow.name for workflow in store.workflows()} for store in (first, other)]
    assert names[0] | names[1] == {f"w{n}" for n in range(20)}
    assert not names[0] & names[1]
    assert names[0]
    assert names[1]
    for store, mine in zip((first, other), names, strict=True):
        for name in mine:
            assert sum(point.calls for point in store.points(name, *EVER)) == 1


def test_a_user_is_forgotten_with_spans_calls_and_points(store, spans, all_calls):
    store.append(Batch([spans.call(at, user_id=f"u{at % 2}") for at in range(10)]))
    store.refresh_all()
    (gone, *_) = {call.user_id for call in all_calls(store)}
    assert store.delete_user(gone) == 5
    assert {call.user_id for call in all_calls(store)} == {
        user for point in store.points("answer", *EVER) for user in point.users
    }
    assert len(all_calls(store)) == 5
    assert [p.calls for p in store.points("answer", *EVER)] == [p.calls for p in store.recount("answer", *EVER)]


def test_what_is_older_than_it_is_kept_goes_by_days(store, spans, clock, all_calls):
    from driftbell.collectors.retention import RetentionPolicy

    policy = RetentionPolicy(calls=3, minutes=1, hours=40, days=80)
    store.append(Batch([spans.call(0.0)]))
    store.refresh_all()
    clock.now = START + 5 * 86400
    store.append(Batch([spans.call(5 * 86400.0)]))
    assert store.retain(clock.now, policy) == 1
    assert [call.ts for call in all_calls(store)] == [START + 5 * 86400]
    assert sum(p.calls for p in store.points("answer", *EVER, "hour")) == 2
    assert [p.key.minute for p in store.points("answer", *EVER)] == [START + 5 * 86400 - 20]
    store.append(Batch([spans.call(60.0)]))
    store.refresh_all()
    assert len(all_calls(store)) == 1, "what can no longer be counted right is not taken"


def test_spans_of_a_receiver_whose_clock_is_hours_behind_are_read_too(tmp_path, store, wire, spans, clock, all_calls):
    behind = opened(tmp_path / "behind", wire.client, clock=lambda: clock.now - 3 * 3600, watches=False)
    for _ in range(3):
        clock.now += 1800
        store.append(Batch([spans.call(clock.now - START)]))
        store.refresh_all()
        behind.append(Batch([spans.call(clock.now - START)]))
    clock.now += 3600
    store.refresh_points()
    assert len(all_calls(store)) == 6
