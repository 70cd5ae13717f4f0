"""What a summary speaks of first: of a feature its loudest matter, of the features the one with the loudest.

A figure that moved weighs as often as the smallest change worth telling goes into it; one in money no more than what it
cost is worth. An incident weighs one such change, and one more for each `LEAST_USD` that it cost.
"""

from typing import TYPE_CHECKING

from driftbell.alerts.weekly.figure import Figure
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.words import JUDGED

if TYPE_CHECKING:
    from driftbell.alerts.weekly.numbers import WorkflowWeek

LEAST_USD = 5.0
"""A rise of cost, or an incident that is over, below this is told, but nobody is asked to act on it."""
MOST = 20.0
"""What money can add to the weight of an incident."""


def extra_usd(figure: Figure) -> float | None:
    """What the change cost this week beyond the usual; None for figures that are not in money."""
    if figure.measure.unit != "usd" or figure.difference is None:
        return None
    return figure.difference if figure.measure.weekly else figure.difference * figure.cases


def weight_of(matter: Figure | Told) -> float:
    """How much a matter weighs; 0.0 for what did not move and for what people said was no incident."""
    if isinstance(matter, Told):
        if matter.verdict in JUDGED:
            return 0.0
        return 1.0 + min(max(matter.extra_usd or 0.0, 0.0) / LEAST_USD, MOST)
    usd = extra_usd(matter)
    return matter.weight if usd is None else matter.weight * min(abs(usd) / LEAST_USD, 1.0)


def loudest(week: "WorkflowWeek") -> Figure | Told | None:
    """What is to be said first of a feature; None when it was as usual.

    An open incident before what is over; among figures the order of `WorkflowWeek.moved`. A figure in whose place an
    incident would weigh the same comes first, since it is compared with the usual week.
    """
    open_ones = [one for one in week.told if one.still_open and weight_of(one)]
    incident = max(open_ones or week.told, key=weight_of, default=None)
    if not week.moved:
        return incident
    figure = week.moved[0]
    worst = max(weight_of(one) for one in week.moved)
    return incident if incident is not None and weight_of(incident) > worst else figure


def worst_first(week: "WorkflowWeek") -> tuple[object, ...]:
    """The key by which features are ordered: open incidents, then the loudest trouble, then all trouble, then good."""
    still = sum(one.still_open for one in week.told)
    trouble = [weight_of(figure) for figure in week.moved if figure.verdict == "Worse"]
    trouble += [weight_of(one) for one in week.told]
    better = sum(weight_of(figure) for figure in week.moved if figure.verdict == "Better")
    return (-still, -max(trouble, default=0.0), -sum(trouble), -better, week.workflow)
