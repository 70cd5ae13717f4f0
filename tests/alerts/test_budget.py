"""The promise of few false pages is held against what people said of the pages."""

from dataclasses import replace

import pytest

from driftbell.alerts.actions import acknowledge
from driftbell.alerts.budget import MONTH, realised
from driftbell.alerts.incident import apply
from driftbell.alerts.settings import AlertSettings
from driftbell.detectors.finding import Finding

NOW = 1_795_000_000.0
PAGE = Finding(
    ts=NOW - 20 * 86400,
    transition="fired",
    workflow="claims",
    family="cost",
    metric="cost_per_call",
    direction=1,
    unit="usd",
    observed=0.05,
    usual=0.03,
    started_at=NOW - 20 * 86400 - 600,
    id="claims/1",
)


@pytest.fixture
def judged(store):
    """Five pages of one workflow, a day apart: two false, one new normal, one seen, one that nobody judged."""
    verdicts = ("false_alarm", "false_alarm", "new_normal", "seen", None)
    config = AlertSettings()
    with store.write() as tx:
        for i, verdict in enumerate(verdicts):
            ts = PAGE.ts + i * 86400
            found = replace(PAGE, ts=ts, started_at=ts - 600, metric=f"eval.m{i}", family="quality", id=f"claims/{i}")
            (opened,) = [c for c in apply(tx, [found], ts, config) if c.transition == "opened"]
            if verdict:
                acknowledge(tx, opened.incident.id, "ana", ts + 60, config, verdict)
            if verdict == "seen":
                acknowledge(tx, opened.incident.id, "ana", ts + 70, config, verdict)
    return store


def test_only_what_people_called_false_counts(judged):
    (kept,) = realised(judged.read(), [("claims", NOW - 60 * 86400)], NOW)
    assert (kept.opened, kept.false_alarms, kept.new_normal, kept.seen, kept.unjudged) == (5, 2, 1, 1, 1)
    assert kept.per_month == pytest.approx(2.0)


def test_two_where_one_was_promised_may_be_chance_and_a_dozen_is_not(judged):
    (kept,) = realised(judged.read(), [("claims", NOW - 60 * 86400)], NOW)
    assert kept.at_least < 1.0
    assert replace(kept, false_alarms=12).at_least > 1.0


def test_a_young_workflow_is_measured_over_the_time_it_was_watched(judged):
    (kept,) = realised(judged.read(), [("claims", NOW - 0.5 * MONTH)], NOW)
    assert kept.months == pytest.approx(0.5)


def test_a_workflow_without_a_page_keeps_its_promise(judged):
    kept = {one.workflow: one for one in realised(judged.read(), [("triage", NOW - MONTH)], NOW)}
    assert (kept["triage"].opened, kept["triage"].per_month, kept["triage"].at_least) == (0, 0.0, 0.0)
