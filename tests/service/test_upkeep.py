"""What an operator does to data that is stored: other prices, and a user who wants to be forgotten."""

import json
from dataclasses import replace

import pytest
from driftbell_process import driftbell
from running_service import CALL, NOW

from driftbell.collectors.batch import Batch
from driftbell.collectors.dialects.values import hashed
from driftbell.collectors.store import Store
from driftbell.service.failure import Failure
from driftbell.service.moments import moment


@pytest.fixture
def folder(tmp_path):
    """Four calls of two users, a day apart each."""
    store = Store.open(tmp_path / "data", clock=lambda: NOW)
    calls = [
        replace(CALL, ts=NOW - 86_400 * day, user_id=user, trace_id=f"{day:032x}", span_id=f"{day:016x}")
        for day, user in enumerate(("ana", "bo", "ana", hashed("cy")), 1)
    ]
    store.append(Batch(calls=calls))
    store.refresh_all()
    store.close()
    return tmp_path / "data"


def opened(folder):
    return Store.open(folder, clock=lambda: NOW)


def test_history_is_priced_again_from_a_day_on(folder, tmp_path):
    config = tmp_path / "driftbell.yaml"
    config.write_text("prices: {atlas: {input: 1000, output: 0}}\n")
    since = "2026-11-16T00:00"
    ended = driftbell("reprice", "--since", since, "--data-dir", folder, "--config", config)
    assert (ended.returncode, ended.stdout) == (0, "2 calls have another cost now\n"), ended.stderr
    store = opened(folder)
    assert [call.cost_usd for call in store.calls().calls] == [None, None, pytest.approx(0.1), pytest.approx(0.1)]
    costs = [point.quantities["cost"].total for point in store.points("triage", 0, NOW) if "cost" in point.quantities]
    assert costs == pytest.approx([0.1, 0.1])
    store.close()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", ""])
def test_what_is_no_time_is_told_in_one_line(folder, text):
    ended = driftbell("reprice", "--since", text, "--data-dir", folder)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "7d" in ended.stderr


def test_times_are_dates_moments_or_so_long_ago():
    assert moment("--since", "2d", NOW) == NOW - 2 * 86_400
    assert moment("--since", "1970-01-02", NOW) == 86_400
    assert moment("--since", "1970-01-01T01:00+01:00", NOW) == 0
    with pytest.raises(Failure):
        moment("--since", "soon", NOW)


def test_a_user_is_forgotten_by_hash_in_calls_and_points(folder):
    ended = driftbell("forget-user", "ana", "--yes", "--data-dir", folder)
    assert (ended.returncode, ended.stdout) == (0, "2 calls and tasks of user ana deleted\n"), ended.stderr
    store = opened(folder)
    assert [call.user_id for call in store.calls().calls] == [hashed("cy"), "bo"]
    assert sum(point.calls for point in store.points("triage", 0, NOW)) == 2
    assert "ana" not in json.dumps([list(point.users) for point in store.points("triage", 0, NOW, "day")])
    store.close()
    again = driftbell("forget-user", "ana", "--yes", "--data-dir", folder)
    assert again.returncode == 1
    assert "nothing of user ana" in again.stderr


def test_a_user_may_be_named_as_other_instrumentations_send_it(folder):
    assert "1 calls" in driftbell("forget-user", "cy", "--plain", "--yes", "--data-dir", folder).stdout


def test_without_a_yes_nothing_is_deleted(folder):
    ended = driftbell("forget-user", "ana", "--data-dir", folder)
    assert ended.returncode != 0
    store = opened(folder)
    assert len(store.calls().calls) == 4
    store.close()


def test_a_user_is_forgotten_beside_a_running_service(serve):
    running = serve(alerts={})
    calls = [replace(CALL, ts=NOW - n, user_id="ana" if n == 2 else "bo", owner=f"team-{n}") for n in (1, 2, 3)]
    assert running.send(*calls).ok
    ended = driftbell("forget-user", "ana", "--yes", "--data-dir", running.service.store.path.parent)
    assert ended.returncode == 0, ended.stderr
    assert running.send(*[replace(call, ts=call.ts - 100) for call in calls if call.user_id != "ana"]).ok
    found = running.get("/api/v1/calls").json()["calls"]
    assert [call["user_id"] for call in found] == ["bo"] * 4
