"""What was told or done during the week: incidents, and changes made on purpose with what moved after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly.figure import Draft, Figure, Unit
from driftbell.alerts.weekly.tally import WorkflowTally
from driftbell.alerts.weekly.weeks import USUAL_WEEKS, WEEK_DAYS, Days, Week, local_midnight
from driftbell.collectors.call import Marker

MAX_CHANGES = 20
FIRST_SEEN = "first seen"
"""The text of markers that the store makes itself."""
KINDS = {"prompt_version": "prompt", "price_version": "price list"}
"""Kinds of markers that are written otherwise for a reader."""
NEW_SHARE = 0.02
"""A version or model seen for the first time is told from this share of the week's calls on."""


@dataclass(frozen=True, slots=True)
class Told:
    """One incident as the summary needs it. Times are epoch seconds; ``ended_at`` None while it is not over.

    ``verdict`` is what people said when they acknowledged it: ``seen``, ``false_alarm``, ``new_normal`` or nothing.
    """

    id: str
    workflow: str
    family: str
    title: str
    opened_at: float
    started_at: float
    ended_at: float | None = None
    severity: Literal["page", "ticket", "info"] = "page"
    extra_usd: float | None = None
    cause: str | None = None
    confidence: Literal["likely", "possible", "unknown"] = "unknown"
    owner: str | None = None
    verdict: str | None = None
    reported: bool = True

    @property
    def still_open(self) -> bool:
        """Whether it is not over yet."""
        return self.ended_at is None

    @property
    def command(self) -> str:
        """What recomputes its numbers."""
        return f"driftbell explain {self.id}"

    def within(self, week: Week) -> bool:
        """Whether it was open at any moment of the week."""
        return self.opened_at < week.end and (self.ended_at is None or self.ended_at > week.start)


@dataclass(frozen=True, slots=True)
class Change:
    """Something new: when, what, and the figure that moved most from the days before to the days after.

    ``seen`` says that no one reported it: it was noticed in the calls, to the day. Moving after something is not
    moving because of it.
    """

    at: float
    kind: str
    what: str
    seen: bool
    moved: str | None = None
    before: float | None = None
    after: float | None = None
    unit: Unit | None = None


def changes_of(
    workflow: str,
    found: WorkflowTally,
    markers: Sequence[Marker],
    drafts: Sequence[Draft],
    figures: Sequence[Figure],
    days: Days,
) -> tuple[Change, ...]:
    """Reported markers of the week, and versions and models first seen in it that no marker names; oldest first."""
    week = days.week
    told = [m for m in markers if m.workflow in (None, workflow) and week.start <= m.ts < week.end]
    named = {marker.value for marker in told if marker.value}
    total = sum(found.series("calls").hits[USUAL_WEEKS * WEEK_DAYS :])
    changes = [Change(m.ts, m.kind, _words(m), m.text == FIRST_SEEN) for m in told if not _is_rare(m, found, total)]
    for (kind, value), by_day in sorted(found.versions.items()):
        first = min(by_day)
        enough = sum(by_day.values()) >= NEW_SHARE * total
        old_enough = found.first < USUAL_WEEKS * WEEK_DAYS
        if first >= USUAL_WEEKS * WEEK_DAYS and enough and old_enough and value not in named:
            at = local_midnight(days.dates[first], week.zone)
            changes.append(Change(at, kind, plain(f"{kind} {value} {FIRST_SEEN}", 80), True))
    changes.sort(key=lambda change: (change.at, change.what))
    kept = changes[:MAX_CHANGES]
    return tuple(_with_effect(change, _days_after(change, kept, days), drafts, figures, days) for change in kept)


def _words(marker: Marker) -> str:
    """What a marker says, with the name of what is new: ``prompt v14 live``, ``model m2 first seen``."""
    text, value = marker.text or "", marker.value or ""
    if value and value not in text and marker.text in (None, "", FIRST_SEEN):
        text = f"{KINDS.get(marker.kind, marker.kind)} {value} {text}"
    return plain(text or marker.kind, 80)


def _is_rare(marker: Marker, found: WorkflowTally, total: float) -> bool:
    """Whether nobody reported it and hardly any call has it."""
    by_day = found.versions.get((KINDS.get(marker.kind, marker.kind), marker.value or ""))
    return marker.text == FIRST_SEEN and by_day is not None and sum(by_day.values()) < NEW_SHARE * total


def _days_after(change: Change, changes: Sequence[Change], days: Days) -> range:
    """The whole days after a change until the next one of its kind; where there is none, the days it touched."""
    day = days.index(change.at) or 0
    later = [days.index(other.at) or 0 for other in changes if other.kind == change.kind and other.at > change.at]
    end = min(later, default=Days.count)
    return range(day + 1, end) if end > day + 1 else range(day, min(end + 1, Days.count))


def _with_effect(
    change: Change, after_days: range, drafts: Sequence[Draft], figures: Sequence[Figure], days: Days
) -> Change:
    day = days.index(change.at)
    moved = {figure.name for figure in figures if figure.moved and not figure.measure.weekly}
    best: tuple[float, Change] | None = None
    for draft in drafts:
        if day is None or draft.only is not None or draft.measure.name not in moved:
            continue
        before = _ratio(draft, range(max(day - WEEK_DAYS, 0), day))
        after = _ratio(draft, after_days)
        if before is None or after is None or _moved_already(draft, day, before, after):
            continue
        size = abs(after - before) / (draft.measure.worth.of(before) or 1.0)
        if size >= 1 and (best is None or size > best[0]):
            measure = draft.measure
            effect = (measure.label, before, after, measure.unit)
            best = size, Change(change.at, change.kind, change.what, change.seen, *effect)
    return best[1] if best else change


def _moved_already(draft: Draft, day: int, before: float, after: float) -> bool:
    """Whether the week's days before the change look like those after it, so that it came too late to matter."""
    early = _ratio(draft, range(USUAL_WEEKS * WEEK_DAYS, day))
    return early is not None and abs(early - after) < abs(early - before)


def _ratio(draft: Draft, days: range) -> float | None:
    hits, trials = (sum(values[day] for day in days) for values in (draft.series.hits, draft.series.trials))
    return hits / trials if trials >= draft.measure.least else None
