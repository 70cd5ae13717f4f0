"""Workflows move between detectors whole: with state, findings, incidents and what was told of them."""

import pytest
from driftbell_process import driftbell

from driftbell.collectors.clickhouse.shard import Shard
from driftbell.collectors.store import Store
from driftbell.service.migrations import MIGRATIONS
from driftbell.service.resharding import reshard

WORKFLOWS = [f"workflow-{n}" for n in range(12)]
READ = "SELECT name, partition, body FROM exported_tables"
QUERIES = {
    "state": "SELECT workflow, next_bin, state, beside FROM detector_state",
    "findings": "SELECT workflow, id, body FROM findings",
    "incidents": "SELECT workflow, id, body FROM incidents",
    "events": "SELECT i.workflow, e.ts, e.reason FROM incident_events e JOIN incidents i ON i.id = e.incident_id",
    "messages": "SELECT i.workflow, n.event_id, n.channel, n.state FROM notifications n "
    "JOIN incidents i ON i.id = n.incident_id",
}


def filled(folder, workflows):
    """A folder in which every workflow has one row of everything, whatever else a table needs."""
    store = Store.open(folder, MIGRATIONS)
    with store.write() as tx:
        for name in workflows:
            given = {"workflow": name, "id": f"id-{name}", "incident_id": f"id-{name}", "event_id": f"id-{name}.1"}
            for table in ("detector_state", "findings", "incidents", "incident_events", "notifications"):
                row = {}
                for _, column, kind, needed, default, key in tx.execute(f"PRAGMA table_info({table})").fetchall():
                    whole = key and kind == "INTEGER"
                    if column in given and not whole:
                        row[column] = given[column]
                    elif needed and default is None and not whole:
                        row[column] = f"{column} of {name}" if kind == "TEXT" else 7
                tx.table(table).insert(row)
    store.close()
    return folder


def held(folder) -> dict[str, list]:
    store = Store.open(folder, MIGRATIONS)
    found = {what: sorted(map(tuple, store.read().execute(query).fetchall())) for what, query in QUERIES.items()}
    store.close()
    return found


def test_workflows_move_from_one_folder_to_three_and_back_to_two_and_none_is_lost_or_twice(tmp_path):
    one = filled(tmp_path / "one", WORKFLOWS)
    whole = held(one)
    assert all(len(rows) == len(WORKFLOWS) for rows in whole.values())
    three = [tmp_path / f"three-{at}" for at in range(3)]
    assert sum(reshard([one], three)) == len(WORKFLOWS)
    for at, folder in enumerate(three):
        for rows in held(folder).values():
            assert [row[0] for row in rows] == sorted(name for name in WORKFLOWS if Shard(at, 3).owns(name))
    two = [tmp_path / f"two-{at}" for at in range(2)]
    reshard(three, two)
    parts = [held(folder) for folder in two]
    assert {what: sorted(row for part in parts for row in part[what]) for what in whole} == whole


@pytest.mark.parametrize(
    ("folders", "into", "said"),
    [(["none"], "new", "there is no data in"), (["full"], "full", "name new folders")],
)
def test_wrong_folders_are_one_line_that_says_what_to_do(folders, into, said, tmp_path):
    filled(tmp_path / "full", WORKFLOWS[:1])
    ran = driftbell("reshard", *(tmp_path / folder for folder in folders), "--into", tmp_path / into)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_what_was_read_of_an_exported_table_is_known_wherever_the_first_shard_goes(tmp_path):
    sources = [filled(tmp_path / f"source-{at}", [WORKFLOWS[at]]) for at in range(2)]
    store = Store.open(sources[1], MIGRATIONS)
    with store.write() as tx:
        tx.table("exported_tables").insert({"name": "otel_traces", "partition": "20261121", "body": "{}"})
    store.close()
    reshard(sources, [tmp_path / "new-0"])
    moved = Store.open(tmp_path / "new-0", MIGRATIONS)
    assert moved.read().execute(READ).fetchall() == [("otel_traces", "20261121", "{}")]
    moved.close()
