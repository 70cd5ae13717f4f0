"""Ten thousand findings in a minute: the incidents that they are, a bounded number of messages, bounded memory."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from driftbell.alerts import history
from driftbell.alerts.cycle import MAX_LOOKS
from driftbell.alerts.impact import Blind, Impact
from driftbell.alerts.incident import apply
from driftbell.alerts.record import MAX_MEMBERS, Incident
from driftbell.alerts.settings import AlertSettings, Lifecycle
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Cause, Finding

Make = Callable[..., Finding]
HOUR = 3600.0
SETTINGS = AlertSettings.model_validate(
    {
        "channels": {"hook": {"kind": "webhook", "url": "http://127.0.0.1:1", "secrets": ["env:K"]}},
        "routes": [{"channels": ["hook"]}],
    }
)


def cycle(store: Store, now: float, *findings: Finding) -> None:
    with store.write() as tx:
        apply(tx, findings, now, SETTINGS)


def messages(store: Store) -> Counter[str]:
    return Counter(row[0] for row in store.read().execute("SELECT transition FROM notifications"))


def test_ten_thousand_series_of_one_cause_are_one_incident_and_one_message(store: Store, make: Make) -> None:
    cycle(store, make().ts, *(make(segment=f"segment-{n}", id=f"f{n}") for n in range(10_000)))
    (incident,) = history.listed(store.read(), "all")
    assert (len(incident.members), incident.unlisted) == (MAX_MEMBERS, 10_000 - MAX_MEMBERS)
    assert messages(store) == {"opened": 1}


def test_many_workflows_at_once_are_one_incident_each_and_few_messages(store: Store, make: Make) -> None:
    found = [
        make(workflow=f"w{n % 1000}", metric=metric, segment=None, usd_per_hour=float(n % 1000))
        for n, metric in enumerate(["cost_per_call", "input_tokens", "output_tokens", "cached_share"] * 2500)
    ]
    cycle(store, make().ts, *found)
    assert len([i for i in history.listed(store.read(), "all", 2000) if i.workflow != "driftbell"]) == 1000
    assert messages(store)["opened"] == SETTINGS.lifecycle.openings_per_hour + 1


def test_the_costliest_are_told_first_and_the_storm_itself_is_told(store: Store, make: Make) -> None:
    cycle(store, make().ts, *(make(workflow=f"w{n}", usd_per_hour=float(n)) for n in range(200)))
    titles = [row[0] for row in store.read().execute("SELECT message ->> 'title' FROM notifications ORDER BY id")]
    assert titles[0].startswith("w199:")
    assert titles[-1] == "driftbell: opened incidents per hour over 30 (200)"


def test_the_calls_are_asked_about_a_bounded_number_of_incidents(store: Store, make: Make) -> None:
    class Counting(Blind):
        asked = 0

        def impact(self, incident: Incident, now: float) -> Impact:
            Counting.asked += 1
            return Impact()

    config = SETTINGS.model_copy(update={"lifecycle": Lifecycle(openings_per_hour=10_000)})
    with store.write() as tx:
        apply(tx, [make(workflow=f"w{n}") for n in range(500)], make().ts, config, Counting())
    assert messages(store)["opened"] == 500
    assert Counting.asked == MAX_LOOKS


def test_what_the_storm_held_back_is_told_hour_by_hour_while_it_is_open(store: Store, make: Make) -> None:
    cycle(store, make().ts, *(make(workflow=f"w{n}") for n in range(100)))
    for minute in range(1, 240):
        cycle(store, make().ts + minute * 60)
    assert messages(store)["opened"] == 101


def test_a_long_storm_does_not_grow(store: Store, make: Make) -> None:
    def minute(number: int) -> None:
        ts = make().ts + number * 60
        found = (make(segment=f"s{n}", cause=Cause(), transition="updated") for n in range(500))
        cycle(store, ts, *(replace(f, ts=ts) for f in found))

    minute(0)
    tracemalloc.start()
    minute(1)
    first = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    for number in range(2, 6):
        minute(number)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * first + 2_000_000
    rows = store.read().execute("SELECT count(*) FROM incident_events").fetchone()[0]
    assert rows < 20
