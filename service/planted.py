"""What was put into the demonstration's sample, and which of it rang. Times are those of the sample, epoch seconds."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from driftbell.alerts.record import Incident
from driftbell.detectors.finding import Family

LATE: Final = 86_400.0
"""Seconds after the end of a trouble within which an alarm still tells of it."""


class Planted(NamedTuple):
    """One trouble: in words, the workflow that has it in ``[since, until)``, and the families that can tell of it."""

    what: str
    workflow: str
    since: float
    until: float
    families: tuple[Family, ...]

    def rang(self, incident: Incident, shift: float) -> bool:
        """Whether an incident tells of it, in a sample that is moved by ``shift`` seconds."""
        at = incident.opened_at - shift
        fits = incident.workflow == self.workflow and incident.family in self.families
        return fits and self.since <= at < self.until + LATE


def _march(day: int, hour: int, minute: int) -> float:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp()


PLANTED: Final = (
    Planted("groundedness falls a little", "contract-review", _march(10, 12, 20), _march(12, 2, 43), ("quality",)),
    Planted(
        "share of work done with the AI falls", "reply-drafts", _march(10, 14, 20), _march(13, 14, 45), ("bypass",)
    ),
    Planted("retrieval scores fall", "policy-search", _march(10, 17, 40), _march(13, 1, 3), ("retrieval",)),
    Planted(
        "retrieval finds nothing in some calls",
        "contract-review",
        _march(13, 15, 20),
        _march(14, 23, 19),
        ("retrieval",),
    ),
    Planted("prompt grows in amer", "policy-search", _march(14, 17, 40), _march(17, 13, 33), ("cost",)),
    Planted("more refusals in emea", "reply-drafts", _march(16, 7, 20), _march(17, 17, 55), ("quality",)),
    Planted(
        "retrieval scores fall a little in amer",
        "contract-review",
        _march(16, 12, 0),
        _march(18, 3, 38),
        ("retrieval",),
    ),
    Planted(
        "a dearer model, cedar-max", "reply-drafts", _march(19, 12, 40), _march(21, 17, 16), ("cost", "reliability")
    ),
    Planted(
        "one user loops: traffic trebles",
        "contract-review",
        _march(19, 17, 20),
        _march(19, 23, 59),
        ("cost", "reliability"),
    ),
    Planted("answers in the wrong format", "policy-search", _march(20, 17, 30), _march(21, 3, 12), ("quality",)),
    Planted("documents go stale", "contract-review", _march(21, 15, 40), _march(23, 0, 0), ("retrieval",)),
)
"""The rows of the table in ``sample/README.md``, by their begin."""


def missed(incidents: Iterable[Incident], shift: float) -> list[Planted]:
    """What was put in and did not ring."""
    found = list(incidents)
    return [each for each in PLANTED if not any(each.rang(incident, shift) for incident in found)]


def unasked(incidents: Iterable[Incident], shift: float) -> list[Incident]:
    """Incidents that tell of nothing that was put in: false alarms, or real events of the traffic below."""
    return [found for found in incidents if not any(each.rang(found, shift) for each in PLANTED)]
