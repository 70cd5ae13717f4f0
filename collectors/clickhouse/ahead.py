"""Reading ahead: who reads one workflow after the other gets the next ones with the same question."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from driftbell.collectors.clickhouse import points
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.clickhouse.points import Row

MOST_WORKFLOWS = 100
MOST_INTERVALS = 2000
"""Of all workflows together that are read with one question."""
WINDOWS = 4
"""Windows of time that one reader goes through side by side."""
Window = tuple[int, float, float, bool]


@dataclass(slots=True)
class _Reader:
    """What one thread was given, and what it will ask for next; of one state of the points."""

    generation: int = -1
    last: dict[Window, str] = field(default_factory=dict)
    held: dict[Window, dict[str, list[Row]]] = field(default_factory=dict)


class Ahead:
    """Rows of points, each given out once. What was read ahead is forgotten when points are rebuilt here."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._local = threading.local()
        self._generation = 0
        self._order: Sequence[str] = ()
        self._after: dict[str, int] = {}

    def forget(self) -> None:
        """Read anew: points have changed."""
        self._generation += 1

    def follow(self, names: Sequence[str]) -> None:
        """The workflows in the order in which they are read."""
        self._order = names
        self._after = {name: at for at, name in enumerate(names)}
        self.forget()

    def rows(self, resolution: int, workflow: str, since: float, until: float, spreads: bool = True) -> list[Row]:
        """The rows of a workflow; when the one before it was asked for last, those of the next are read with them."""
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None or reader.generation != self._generation:
            reader = self._local.reader = _Reader(self._generation)
        window = (resolution, since, until, spreads)
        held = reader.held.get(window, {}).pop(workflow, None)
        if held is None:
            wanted = self._next(reader.last.get(window), workflow, window)
            found = points.rows(self._client, resolution, wanted, since, until, spreads)
            held = found.pop(workflow)
            while len(reader.held) >= WINDOWS:
                reader.held.pop(next(iter(reader.held)))
                reader.last.clear()
            reader.held[window] = found
        if len(reader.last) > 4 * WINDOWS:
            reader.last.clear()
        reader.last[window] = workflow
        return held

    def _next(self, last: str | None, workflow: str, window: Window) -> list[str]:
        at, before = self._after.get(workflow), self._after.get(last or "")
        if at is None or before is None or before + 1 != at:
            return [workflow]
        resolution, since, until, _ = window
        intervals = max((until - since) / resolution, 1.0)
        most = int(min(MOST_WORKFLOWS, MOST_INTERVALS // intervals))
        return list(self._order[at : at + max(most, 1)])
