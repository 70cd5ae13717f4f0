"""Tree: parts by identity, with their parents, whatever is missing or circular in what was sent."""

from collections.abc import Iterable, Iterator

from driftbell.collectors.part import Part

Key = tuple[str, str]

MAX_DEPTH = 512
"""Levels of a trace beyond which a span counts as a root: what is done per call and ancestor stays bounded."""


class Tree:
    """The parts of connected traces. ``parts`` are in a fixed order: by time, then by identity."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = sorted(parts, key=lambda part: (part.start, part.end, part.key))
        self._by_key = {part.key: part for part in self.parts}
        self._depths: dict[Key, int] = {}
        self._cut: set[Key] = set()
        for part in self.parts:
            self._measure(part)

    def find(self, trace_id: str, span_id: str) -> Part | None:
        """The part with this identity."""
        return self._by_key.get((trace_id, span_id))

    def parent(self, part: Part) -> Part | None:
        """The parent, or ``None`` if there is none, it was not received, or it would close a circle."""
        if not part.parent_id or part.key in self._cut:
            return None
        return self._by_key.get((part.trace_id, part.parent_id))

    def ancestors(self, part: Part) -> Iterator[Part]:
        """The ancestors, nearest first."""
        above = self.parent(part)
        while above is not None:
            yield above
            above = self.parent(above)

    def children_first(self) -> list[Part]:
        """All parts, each after all of its descendants."""
        return sorted(self.parts, key=lambda part: -self._depths[part.key])

    def _measure(self, part: Part) -> None:
        """Set the depth of a part and of its ancestors; a link that closes a circle or leads too deep is cut."""
        way: list[Part] = []
        seen: set[Key] = set()
        here: Part | None = part
        while here is not None and here.key not in self._depths:
            way.append(here)
            seen.add(here.key)
            above = self.parent(here)
            if above is not None and above.key in seen:
                self._cut.add(here.key)
                above = None
            here = above
        depth = self._depths[here.key] if here is not None else -1
        for on_way in reversed(way):
            depth += 1
            if depth > MAX_DEPTH:
                self._cut.add(on_way.key)
                depth = 0
            self._depths[on_way.key] = depth
