"""What people said of incidents, as the detectors take it."""

from collections.abc import Iterable

from driftbell.alerts.actions import judged
from driftbell.alerts.history import Reader
from driftbell.detectors.verdict import Verdict

LOOKED_BACK = 30 * 86_400.0
"""A verdict reaches the detectors as long as they are not further behind than this."""


def verdicts(db: Reader, now: float) -> Iterable[Verdict]:
    """The verdicts of the last month that say more than that somebody has seen it, oldest first."""
    for one in judged(db, now - LOOKED_BACK):
        if one.verdict != "seen":
            told = tuple((metric, segment, tier, way) for _, metric, segment, tier, way in one.series)
            yield Verdict(one.incident_id, one.workflow, one.verdict, one.at, one.started_at, told)
