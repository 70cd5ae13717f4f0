"""Adding up: it does not matter how the points come, and what is stored is told as what was made."""

import random

from driftbell.alerts.weekly.adding import tally
from driftbell.alerts.weekly.settings import EVERYONE, Recipient
from driftbell.alerts.weekly.tally import MAX_NAMES
from driftbell.alerts.weekly.weeks import Days, week_named
from driftbell.collectors.call import Judgement
from driftbell.collectors.rollup import rollup
from driftbell.collectors.sums import stored_of

DAYS = Days(week_named("2026-W46"))


def told(found):
    """Everything that is kept, without the order in which it was added up."""
    return {
        name: (
            {place: {n: list(row) for n, row in measures.items()} for place, measures in one.slices.items()},
            {
                k: (c.rates, {n: (q.count, round(q.total, 9)) for n, q in c.quantities.items()})
                for k, c in one.cells.items()
            },
            {place: (q.count, dict(sorted(q.buckets.items()))) for place, q in one.histograms.items()},
            one.versions,
            one.first,
            one.names,
        )
        for name, one in found.items()
    }


def whole(found):
    """`told` with sums that do not depend on their order."""
    rounded = {}
    for name, (slices, *rest) in told(found).items():
        sums = {place: {n: [round(x, 6) for x in row] for n, row in m.items()} for place, m in slices.items()}
        rounded[name] = (sums, *rest)
    return rounded


def test_points_count_the_same_in_any_order_and_as_they_are_stored(insurer):
    points = insurer.hour_points(insurer.five_weeks(insurer.WEEK, per_day=20))
    days = Days(insurer.WEEK)
    mixed = random.Random(3).sample(points, len(points))
    expected = whole(tally(points, days, EVERYONE))
    assert set(expected) == {"claims-triage", "policy-search", "letter-drafting"}
    assert whole(tally(mixed, days, EVERYONE)) == expected
    assert whole(tally(map(stored_of, points), days, EVERYONE)) == expected


def test_only_what_the_recipient_reads_is_added_up(insurer):
    points = insurer.hour_points(insurer.five_weeks(insurer.WEEK, per_day=5))
    found = tally(points, Days(insurer.WEEK), Recipient(name="r", workflows=("policy-*",)))
    assert list(found) == ["policy-search"]


def test_more_kinds_of_outcomes_than_are_kept_are_counted_as_left_out():
    given = [Judgement(DAYS.start + i, "w", outcome=f"kind-{i}", id=str(i)) for i in range(MAX_NAMES + 5)]
    one = tally(rollup([], given), DAYS, EVERYONE)["w"]
    assert len(one.names) == MAX_NAMES
    assert one.left_out == 5
    assert sum(name.startswith("outcome.") for name in next(iter(one.slices.values()))) == MAX_NAMES


def test_weeks_before_the_five_count_only_after_one_of_them():
    early = rollup([], [Judgement(DAYS.earlier[0] + 86_400, "w", outcome="resolved", id="a")])
    late = rollup([], [Judgement(DAYS.start + 3600, "w", outcome="resolved", id="b")])
    assert tally([*early, *late], DAYS, EVERYONE)["w"].before is None
    before = tally([*late, *early], DAYS, EVERYONE)["w"].before
    assert before is not None
    assert before.series("outcome.resolved").hits[0] == 1
