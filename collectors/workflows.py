"""The workflows that the store has seen, and the bounds on how many it tells apart."""

import sqlite3
from collections import Counter
from dataclasses import dataclass

from driftbell.collectors.call import Call
from driftbell.collectors.dialects.values import printable

OTHER = "(other)"
"""What exceeds a bound is kept under this name."""
WORKFLOW_LIMIT = 2000
SENDER_LIMIT = 500
"""Workflows that one service may bring, so that one with an id in its names leaves room for the others."""
MAX_NAME = 200
AHEAD_S = 300.0
"""A call that ends further ahead of our clock does not move its workflow's newest time: the sender's clock is wrong."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow as the store knows it. Times are epoch seconds; ``received`` is the wall clock of the last arrival."""

    name: str
    owner: str | None
    risk_tier: str | None
    first_ts: float
    newest_ts: float
    received: float


@dataclass(slots=True)
class _Seen:
    first: float
    newest: float
    owner: str | None = None
    risk_tier: str | None = None
    labelled: float = float("-inf")


class Workflows:
    """Gives workflows their numbers. What a transaction adds counts only after `committed`."""

    def __init__(self, db: sqlite3.Connection, limit: int = WORKFLOW_LIMIT) -> None:
        self._ids: dict[str, int] = {}
        self._new: dict[str, int] = {}
        self._seen: dict[int, _Seen] = {}
        self._senders: dict[int, str] = {}
        self._brought: Counter[str] = Counter()
        self._limit = limit
        self.floors: dict[int, float] = {}
        """By number: the calls before this time are forgotten, so one that comes later cannot be counted right."""
        self.load(db)

    def load(self, db: sqlite3.Connection) -> None:
        """Read the numbers given so far, and how far back calls can still be taken."""
        self._ids = dict(db.execute("SELECT name, id FROM workflows"))
        self._brought = Counter(dict(db.execute("SELECT sender, count(*) FROM workflows GROUP BY sender")))
        self.floors = dict(db.execute("SELECT id, calls_purged FROM workflows WHERE calls_purged IS NOT NULL"))

    def number(self, name: str, sender: str | None = "") -> int:
        """The number of a workflow; one beyond a limit, of all or of its service, gets that of `OTHER`.

        So does a new one of nobody (None): it is told again by spans that are stored, and was beyond a limit before.
        """
        number = self.known(name)
        if number is None:
            shown = printable(name[:MAX_NAME]) or "unknown"
            if shown != name:
                return self.number(shown, sender)
            known = len(self._ids) + len(self._new)
            if name != OTHER and (sender is None or known >= self._limit or self._brought[sender] >= SENDER_LIMIT):
                return self.number(OTHER)
            number = self._new[name] = known + 1
            self._senders[number] = sender or ""
            self._brought[sender or ""] += name != OTHER
        return number

    def known(self, name: str) -> int | None:
        """The number of a workflow that has one."""
        return self._ids.get(name) or self._new.get(name)

    def is_other(self, number: int) -> bool:
        """Whether this is the number of what exceeds a limit."""
        return number == self.known(OTHER)

    def saw_call(self, number: int, call: Call, ts: float) -> None:
        """Remember that a call like ``call`` ended at ``ts``, with its owner and risk tier."""
        seen = self.saw(number, ts)
        if ts >= seen.labelled:
            seen.labelled = ts
            seen.owner = call.owner or seen.owner
            seen.risk_tier = call.risk_tier or seen.risk_tier

    def saw(self, number: int, ts: float) -> _Seen:
        """Remember that a workflow was active at ``ts``."""
        seen = self._seen.get(number)
        if seen is None:
            seen = self._seen[number] = _Seen(ts, ts)
        elif ts > seen.newest:
            seen.newest = ts
        elif ts < seen.first:
            seen.first = ts
        return seen

    def save(self, db: sqlite3.Connection, now: float) -> None:
        """Write what was seen, inside the caller's transaction."""
        names = {number: name for name, number in (*self._ids.items(), *self._new.items())}
        db.executemany(
            "INSERT INTO workflows (id, name, owner, risk_tier, first_ts, newest_ts, received, sender) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "owner = coalesce(excluded.owner, owner), risk_tier = coalesce(excluded.risk_tier, risk_tier), "
            "first_ts = min(first_ts, excluded.first_ts), newest_ts = max(newest_ts, excluded.newest_ts), "
            "received = max(received, excluded.received)",
            [
                (
                    *(n, names[n], s.owner, s.risk_tier, s.first, s.newest if s.newest <= now + AHEAD_S else now, now),
                    self._senders.get(n, ""),
                )
                for n, s in self._seen.items()
            ],
        )

    def committed(self) -> None:
        """The transaction is durable."""
        self._ids.update(self._new)
        self._forget()

    def forget(self) -> None:
        """The transaction did not happen."""
        for number in self._new.values():
            self._brought[self._senders.get(number, "")] -= 1
        self._forget()

    def _forget(self) -> None:
        self._senders.clear()
        self._new.clear()
        self._seen.clear()


def load_workflows(db: sqlite3.Connection) -> list[Workflow]:
    """All workflows by name."""
    rows = db.execute("SELECT name, owner, risk_tier, first_ts, newest_ts, received FROM workflows ORDER BY name")
    return [Workflow(*row) for row in rows]
