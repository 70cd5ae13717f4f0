"""Series: which measure is watched, in which direction, and what change of it is worth a page."""

from dataclasses import dataclass
from typing import Literal

from driftbell.detectors.finding import Family

Kind = Literal["rate", "quantity", "tail"]


@dataclass(frozen=True, slots=True)
class Series:
    """One watched statistic of a workflow, a segment or a risk tier.

    ``measure`` names the rate or quantity of the point; ``metric`` is the name that people and the contract use.
    ``kind``: ``rate`` tests the share of hits, ``quantity`` the whole distribution, ``tail`` the share of values
    beyond the usual worst twentieth. ``worth`` is the smallest change worth a page: for a rate or tail an absolute
    share (0.03 is three points), for a quantity a ratio (1.2 is 20 % up, 0.9 is 10 % down).
    ``strata`` says that the measure is kept in strata ``measure|k``, each with a reference of its own.
    ``leads`` says that a ``worth`` configured for the metric is meant for this series.
    ``contrast`` also compares each segment with the rest of its workflow at the same time.
    """

    family: Family
    metric: str
    measure: str
    kind: Kind
    direction: Literal[1, -1]
    worth: float
    unit: str
    strata: bool = False
    contrast: bool = False
    leads: bool = True

    @property
    def name(self) -> str:
        """Unique within a group of a workflow."""
        return f"{self.measure}:{self.kind}:{'up' if self.direction > 0 else 'down'}"
