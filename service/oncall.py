"""What the person on call asks of incidents and does to them, the same for the command line and the API."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlite_utils import Database

from driftbell.alerts import actions, history
from driftbell.alerts.actions import ActionError
from driftbell.alerts.record import Incident
from driftbell.collectors.store import Store
from driftbell.service.failure import Failure


class NotFoundError(Failure):
    """There is no such incident."""


class RefusedError(Failure):
    """What was asked cannot be done to the incident as it is."""


def listed(store: Store, state: str, limit: int, before: float | None = None) -> list[Incident]:
    """Incidents in a state (``open``, ``resolved``, ``all``), the newest first."""
    return history.listed(store.read(), state, limit, before)


def find(store: Store, incident_id: str) -> Incident:
    """The incident with this id; raises `NotFoundError`."""
    incident = history.get(store.read(), incident_id)
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id[:80]}; driftbell incidents lists them")
    return incident


@contextmanager
def acting(store: Store, incident_id: str | None = None) -> Iterator[Database]:
    """A transaction for `driftbell.alerts.actions`, whose refusals become `NotFoundError` or `RefusedError`."""
    if incident_id is not None:
        find(store, incident_id)
    try:
        with store.write() as tx:
            yield tx
    except ActionError as error:
        raise RefusedError(str(error)) from None


def end_silence(store: Store, silence_id: str, now: float) -> None:
    """End a silence now; raises `NotFoundError` when there is none with this id that still holds."""
    try:
        with store.write() as tx:
            actions.end_silence(tx, silence_id, now)
    except ActionError as error:
        raise NotFoundError(str(error)) from None
