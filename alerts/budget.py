"""The budget of false pages: what was promised and what people's verdicts say of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import gammaincinv

from driftbell.alerts.history import Reader

MONTH = 30 * 86_400.0
COUNTED = ("page", "ticket", "info")


@dataclass(frozen=True, slots=True)
class Kept:
    """What one workflow's incidents of one severity turned out to be, over ``months`` of watching.

    ``opened`` counts incidents; of them ``false_alarms``, ``new_normal`` and ``seen`` were judged so, and ``unjudged``
    by nobody.
    """

    workflow: str
    severity: str
    opened: int
    false_alarms: int
    new_normal: int
    seen: int
    months: float

    @property
    def unjudged(self) -> int:
        """Incidents that nobody has acknowledged."""
        return self.opened - self.false_alarms - self.new_normal - self.seen

    @property
    def per_month(self) -> float:
        """Realised false alarms a month, as judged."""
        return self.false_alarms / self.months

    @property
    def at_least(self) -> float:
        """Lower 95 % bound of the true number a month (exact Poisson, one-sided): above the promise, it is broken."""
        return float(gammaincinv(self.false_alarms, 0.05)) / self.months if self.false_alarms else 0.0


def realised(
    db: Reader, watched_since: Iterable[tuple[str, float]], now: float, months: float = 1.0, severity: str = "page"
) -> Sequence[Kept]:
    """What became of the incidents of the last ``months`` per workflow, by name.

    ``watched_since`` are the workflows with the time of their first call; one that is younger counts from then, but
    for at least a day. Incidents about the alerting itself are none of a workflow and are not counted.
    """
    since = now - months * MONTH
    query = (
        "SELECT workflow, count(*), sum(verdict = 'false_alarm'), sum(verdict = 'new_normal'), sum(verdict = 'seen') "
        "FROM incidents WHERE opened_at >= ? AND opened_at < ? AND severity = ? GROUP BY workflow"
    )
    counted = {row[0]: row[1:] for row in db.execute(query, [since, now, severity])}
    found = []
    for workflow, first in sorted(watched_since):
        opened, *judged = counted.get(workflow, (0, 0, 0, 0))
        false, normal, seen = (int(n or 0) for n in judged)
        span = min(max(now - first, 86_400.0), months * MONTH) / MONTH
        found.append(Kept(workflow, severity, opened, false, normal, seen, span))
    return found
