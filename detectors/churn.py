"""Segments that come and go: a new one takes the place of the one that has been away longest."""

from dataclasses import fields
from typing import TYPE_CHECKING

from driftbell.detectors.group import WHOLE, GroupKey

if TYPE_CHECKING:
    from driftbell.detectors.workflow import WorkflowDetector

AWAY = 14 * 86400
"""Seconds without a call after which a segment or tier may go: its reference has forgotten most of it by then."""


def make_room(engine: "WorkflowDetector", start: int) -> bool:
    """Free the group that has been without calls longest, if for `AWAY` at least and without an alarm."""
    alarmed = {watch.group for watch in engine.watches if watch.alarm is not None}
    gone = [
        (group.seen, key)
        for key, group in engine.groups.items()
        if key != WHOLE and key not in alarmed and start - group.seen >= AWAY
    ]
    if not gone:
        return False
    _free(engine, min(gone)[1])
    return True


def _free(engine: "WorkflowDetector", key: GroupKey) -> None:
    """Forget a group with its watches; the indices of the others move up."""
    kept = [i for i, watch in enumerate(engine.watches) if watch.group != key]
    place = {old: new for new, old in enumerate(kept)}
    for part in (engine.tests, engine.seasons, engine.terms):
        for array in fields(part):
            old = getattr(part, array.name)
            setattr(part, array.name, old[:, kept] if part is engine.tests and old.ndim == 2 else old[kept])
    engine.watches = [engine.watches[i] for i in kept]
    engine.index = {watch.name: i for i, watch in enumerate(engine.watches)}
    del engine.groups[key]
    for group in engine.groups.values():
        group.index = {measure: [place[i] for i in indices if i in place] for measure, indices in group.index.items()}
    for episode in engine.episodes:
        episode.watches = [place[i] for i in episode.watches if i in place]
