"""One cause is one incident; two causes are two."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from driftbell.alerts import history
from driftbell.alerts.incident import IncidentChange, apply, incident_line
from driftbell.alerts.record import Incident, decode, encode
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Cause, Finding

Make = Callable[..., Finding]
HOUR = 3600.0


def cycle(store: Store, now: float, *findings: Finding) -> list[IncidentChange]:
    with store.write() as tx:
        return apply(tx, findings, now, AlertSettings())


def all_of(store: Store) -> list[Incident]:
    return history.listed(store.read(), "all")


def tokens(make: Make, **changes: Any) -> Finding:
    fields = {"metric": "input_tokens", "unit": "tokens", "observed": 24_000.0, "usual": 12_000.0}
    return make(**{**fields, **changes})


def slow(make: Make, **changes: Any) -> Finding:
    fields = {"family": "reliability", "metric": "latency_ms", "unit": "ms", "observed": 9000.0, "usual": 2000.0}
    return make(**{**fields, "usd_per_hour": None, "cause": Cause(), **changes})


def test_what_starts_together_is_one_incident_led_by_what_explains_the_rest(store: Store, make: Make) -> None:
    cycle(store, make().ts, slow(make), make(), tokens(make))
    (incident,) = all_of(store)
    line = incident_line(incident)
    assert (line["family"], line["metric"]) == ("cost", "input_tokens")
    assert line["metrics"] == ["cost_per_call", "input_tokens", "latency_ms"]
    assert "cost per call up" in str(line["title"])


def test_what_only_moved_along_never_takes_the_lead(store: Store, make: Make) -> None:
    score = make(family="quality", metric="eval.groundedness", unit="score", observed=0.7, usual=0.86, cause=Cause())
    along = make(family="retrieval", metric="n_sources", unit="share", observed=None, usual=None, cause=Cause(),
                 related=("eval.groundedness",))  # fmt: skip
    (change,) = cycle(store, make().ts, along, score)
    assert incident_line(change.incident)["metric"] == "eval.groundedness"
    assert "0.86 -> 0.70" in str(incident_line(change.incident)["title"])


def test_what_joins_later_does_not_open_another(store: Store, make: Make) -> None:
    cycle(store, make().ts, make())
    assert cycle(store, make().ts + 900, replace(slow(make), ts=make().ts + 900)) == []
    assert len(all_of(store)) == 1


def test_two_named_causes_are_two_incidents(store: Store, make: Make) -> None:
    model = Cause(keys={"model": "m2"}, confidence="likely")
    prompt = Cause(keys={"model": "m1", "prompt_version": "v14"}, confidence="likely")
    cycle(store, make().ts, make(cause=model), tokens(make, cause=prompt))
    assert len(all_of(store)) == 2


def test_the_same_named_cause_joins_whenever_it_shows(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    late = t0 + 30 * HOUR
    cycle(store, late, replace(tokens(make), ts=late, started_at=late - HOUR))
    assert len(all_of(store)) == 1


def test_an_unexplained_change_hours_later_is_its_own_incident(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    late = t0 + 8 * HOUR
    cycle(store, late, replace(slow(make), ts=late, started_at=late - 600))
    assert len(all_of(store)) == 2


def test_a_named_change_does_not_drown_in_an_older_unexplained_incident(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make(cause=Cause()))
    late = t0 + 4 * HOUR
    (change,) = cycle(store, late, replace(tokens(make), ts=late, started_at=late - 600))
    assert change.transition == "opened"


def test_workflows_never_share_an_incident(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(workflow="a"), make(workflow="b"))
    assert len(all_of(store)) == 2


def test_a_broken_instrument_is_never_mixed_with_what_it_measures(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(), make(family="instrument", unit="share"))
    assert {i.family for i in all_of(store)} == {"cost", "instrument"}


def test_a_broken_instrument_is_one_incident_with_all_segments_and_measures(
    store: Store, make: Make, t0: float
) -> None:
    usage = make(family="instrument", metric="input_tokens", unit="share", observed=0.5, usual=0.0, usd_per_hour=None,
                 cause=Cause(), severity="ticket", segment=None, segments=())  # fmt: skip
    price = replace(usage, metric="cost_per_call", related=("input_tokens",), log_evidence=usage.log_evidence + 1)
    cycle(store, make().ts, usage, price)
    for minutes, segment in ((5, "north"), (60, "south")):
        ts = make().ts + 60 * minutes
        parts = (replace(f, ts=ts, segment=segment, related=("input_tokens",)) for f in (price, usage))
        assert "opened" not in {change.transition for change in cycle(store, ts, *parts)}
    (incident,) = all_of(store)
    line = incident_line(incident)
    assert (line["metric"], line["segment"], line["segments"]) == ("input_tokens", None, ["north", "south"])
    later = t0 + 30 * HOUR
    other = replace(usage, ts=later, segment="west", started_at=later - HOUR)
    assert len(cycle(store, later, other)) == 1
    assert len(all_of(store)) == 2


def test_two_channels_that_cannot_be_reached_are_two_incidents(store: Store, make: Make) -> None:
    broken = make(workflow="driftbell", family="instrument", metric="delivery", unit="share", cause=Cause())
    cycle(store, make().ts, *(replace(broken, segment=channel) for channel in ("chat", "pager")))
    assert len(all_of(store)) == 2


def test_segments_of_one_change_are_listed_in_one_incident(store: Store, make: Make) -> None:
    unsure = Cause()
    cycle(store, make().ts, *(make(segment=s, cause=unsure) for s in ("north", "south", "west")))
    (incident,) = all_of(store)
    assert incident.segments == ("north", "south", "west")


def test_the_title_speaks_of_the_segment_where_the_whole_hardly_moved(store: Store, make: Make) -> None:
    whole = tokens(make, segment=None, observed=816.0, usual=803.0, cause=Cause())
    cycle(store, make().ts, whole, replace(whole, segment="amer", observed=980.0))
    (incident,) = all_of(store)
    assert incident.lead.segment is None
    assert incident.headline.segment == "amer"
    assert "up 22%" in str(incident_line(incident)["title"])


def test_two_measures_of_one_metric_clear_apart(store: Store, make: Make, t0: float) -> None:
    cost, price = make(measure="cost"), make(measure="price")
    cycle(store, make().ts, cost, price)
    cycle(store, t0 + HOUR, replace(price, ts=t0 + HOUR, transition="cleared"))
    cycle(store, t0 + 30 * HOUR)
    assert all_of(store)[0].state == "open"


def test_the_order_of_findings_in_a_cycle_does_not_matter(make: Make) -> None:
    from sqlite_utils import Database

    from driftbell.alerts.schema import MIGRATIONS

    found = [make(), tokens(make), slow(make)]
    lines = []
    for order in (found, found[::-1]):
        db = Database(memory=True)
        MIGRATIONS.apply(db)
        (change,) = apply(db, order, make().ts, AlertSettings())
        lines.append(incident_line(change.incident))
    assert lines[0] == lines[1]


def test_the_line_has_every_published_field(store: Store, make: Make) -> None:
    (change,) = cycle(store, make().ts, make())
    published = {
        "ts", "workflow", "family", "metric", "segment", "cause", "severity", "observed", "usual", "started_at",
        "title",
    }  # fmt: skip
    assert published <= set(incident_line(change.incident))


def test_an_incident_reads_back_from_its_row_as_it_was(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(), tokens(make))
    (incident,) = all_of(store)
    assert decode(encode(incident)) == incident


def test_what_is_long_over_is_forgotten_with_its_history(store: Store, make: Make, t0: float) -> None:
    cycle(store, make().ts, make())
    cycle(store, t0 + HOUR, replace(make(), ts=t0 + HOUR, transition="cleared"))
    cycle(store, t0 + 9 * HOUR)
    with store.write() as tx:
        assert history.forget(tx, t0 + 8 * HOUR) == 0
        assert history.forget(tx, t0 + 10 * HOUR) == 1
    left = [store.read().execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("incidents", "incident_events")]
    assert left == [0, 0]


def test_a_number_that_is_no_number_is_not_known(store: Store, make: Make) -> None:
    cycle(store, make().ts, make(observed=float("nan"), usd_per_hour=float("inf"), log_evidence=float("inf")))
    line = incident_line(all_of(store)[0])
    assert (line["observed"], line["usd_per_hour"]) == (None, None)
