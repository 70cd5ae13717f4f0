"""What an application imports: observe a call, report what became of it.

>>> from driftbell import monitor
>>> monitor.configure(service="helpdesk")  # doctest: +SKIP
>>> @monitor.observe(workflow="triage", segment=lambda ticket: ticket.country)
... def triage(ticket): ...
"""

from driftbell.monitor.call import Call, Source
from driftbell.monitor.observe import Observation, current_call, observe
from driftbell.monitor.outcome import evaluation, feedback, manual_task, marker, outcome, override
from driftbell.monitor.provider import configure, dropped, flush, shutdown

__all__ = [
    "Call",
    "Observation",
    "Source",
    "configure",
    "current_call",
    "dropped",
    "evaluation",
    "feedback",
    "flush",
    "manual_task",
    "marker",
    "observe",
    "outcome",
    "override",
    "shutdown",
]
