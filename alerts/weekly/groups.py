"""Segments, risk tiers and people: which groups are looked at by themselves, and which must not be shown."""

from driftbell.alerts.weekly.tally import CALLS, ENOUGH_PEOPLE, Only, WorkflowTally
from driftbell.alerts.weekly.weeks import USUAL_WEEKS, WEEK_DAYS, Days

MAX_GROUPS = 12
"""Segments or risk tiers looked at by themselves, the largest first."""


def groups_of(found: WorkflowTally) -> list[Only]:
    """Segments and risk tiers worth a look of their own: where there is more than one, the largest first."""
    groups: list[Only] = []
    for place in (0, 1):
        sizes: dict[str, float] = {}
        for key, measures in found.slices.items():
            value = key[place]
            calls = sum(measures[CALLS][USUAL_WEEKS * WEEK_DAYS : Days.count])
            if value is not None and calls:
                sizes[value] = sizes.get(value, 0.0) + calls
        largest = sorted(sizes, key=lambda value: (-sizes[value], value))[:MAX_GROUPS]
        groups += [Only(place, value) for value in largest if len(sizes) > 1]
    return groups


def may_show_people(found: WorkflowTally) -> bool:
    """Whether people's choices may be shown by segment: every segment must be known to hold enough people.

    One small segment hides them all, else it could be found by subtraction. Risk tiers follow the same rule.
    """
    by_segment = [people for segment, people in found.people.items() if segment is not None]
    return bool(by_segment) and all(len(people) >= ENOUGH_PEOPLE for people in by_segment)


def few_people(found: WorkflowTally) -> bool:
    """Whether so few people used the whole workflow that what they did is not shown."""
    people = len(found.people.get(None, ()))
    return 0 < people < ENOUGH_PEOPLE
