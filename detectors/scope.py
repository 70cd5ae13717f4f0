"""Scope: to which calls a rule of the configuration applies, and the groups that it is kept for."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from driftbell.collectors.point import Point
from driftbell.detectors.group import WHOLE, GroupKey

MAX_GROUPS = 40
"""Segments of one workflow for which one rule is kept; later ones are left to the whole workflow."""
Pattern = Annotated[str, Field(min_length=1, max_length=200)]


class Scope(BaseModel):
    """Which workflows, and within each the whole (nothing else named), segments or a risk tier.

    ``workflow`` and ``segment`` are patterns (``claims-*``); a segment pattern keeps each segment that matches apart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    workflow: Pattern = "*"
    segment: Pattern | None = None
    risk_tier: Pattern | None = None

    @property
    def where(self) -> str:
        """What part of a workflow is meant, as a rule's name ends."""
        return (f" segment={self.segment}" if self.segment else "") + (
            f" tier={self.risk_tier}" if self.risk_tier else ""
        )

    def covers(self, workflow: str) -> bool:
        """Whether the rule is meant for a workflow."""
        return fnmatchcase(workflow, self.workflow)

    def groups(self, points: Iterable[Point], known: Iterable[GroupKey]) -> dict[GroupKey, list[Point]]:
        """The points of a bin by the groups that the rule is kept for; ``known`` groups come first in the bound."""
        allowed = set(known)
        found: dict[GroupKey, list[Point]] = {}
        for point in points:
            key = self._group(point)
            if key is None or (key not in allowed and len(allowed) >= MAX_GROUPS):
                continue
            allowed.add(key)
            found.setdefault(key, []).append(point)
        return found

    def _group(self, point: Point) -> GroupKey | None:
        _, _, segment, tier, _, _ = point.key
        if self.risk_tier is not None and (tier is None or not fnmatchcase(tier, self.risk_tier)):
            return None
        if self.segment is not None:
            return ("segment", segment) if segment is not None and fnmatchcase(segment, self.segment) else None
        return WHOLE if self.risk_tier is None or tier is None else ("risk_tier", tier)


def sides(group: GroupKey) -> tuple[str | None, str | None]:
    """``(segment, risk tier)`` of a group, as a finding names them."""
    dimension, value = group
    return (value if dimension == "segment" else None), (value if dimension == "risk_tier" else None)
