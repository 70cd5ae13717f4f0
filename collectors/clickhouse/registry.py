"""The workflows that ClickHouse holds. One process writes them, the one that interprets; all others read."""

from dataclasses import dataclass, replace

from driftbell.collectors.call import Call
from driftbell.collectors.clickhouse.client import Client
from driftbell.collectors.workflows import AHEAD_S, OTHER, WORKFLOW_LIMIT, Workflow

_COLUMNS = (
    *("name", "owner", "risk_tier", "first_ts", "newest_ts", "received"),
    *("calls_purged", "minutes_purged", "version"),
)
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Known:
    """A workflow, and the times (epoch s) before which its calls and minute points are forgotten."""

    workflow: Workflow
    calls_purged: float | None = None
    minutes_purged: float | None = None


def load(client: Client) -> dict[str, Known]:
    """All workflows by name."""
    found = client.query(f"SELECT {', '.join(_COLUMNS[:-1])} FROM workflows FINAL ORDER BY name")
    return {row[0]: Known(Workflow(*row[:6]), *row[6:]) for row in found}


def save(client: Client, known: Known, version: int) -> None:
    """Write what is known of a workflow."""
    save_all(client, [known], version)


def save_all(client: Client, known: list[Known], version: int) -> None:
    """Write what is known of several workflows."""
    rows = [
        (
            *(w.name, w.owner, w.risk_tier, w.first_ts, w.newest_ts, w.received),
            *(one.calls_purged, one.minutes_purged, version),
        )
        for one in known
        for w in (one.workflow,)
    ]
    client.insert("workflows", _COLUMNS, rows)


class Registry:
    """What the interpreting process knows of the workflows; `save` writes what has changed."""

    def __init__(self, client: Client, limit: int = WORKFLOW_LIMIT) -> None:
        self._client = client
        self._limit = limit
        self._known = load(client)
        self._changed: set[str] = set()
        self._labelled: dict[str, float] = {}

    def reload(self) -> None:
        """Read what is stored, and forget what was not saved."""
        self._known = load(self._client)
        self._changed.clear()
        self._labelled.clear()

    def name(self, name: str) -> str:
        """The name under which a workflow is kept; one beyond the limit is `OTHER`."""
        return name if name in self._known or len(self._known) < self._limit else OTHER

    def floor(self, name: str) -> float:
        """The time before which the calls of a workflow are forgotten."""
        known = self._known.get(name)
        return NEVER if known is None or known.calls_purged is None else known.calls_purged

    def saw_call(self, name: str, call: Call, now: float) -> None:
        """Remember that a call ended, with its owner and risk tier."""
        self.saw(name, call.ts, now)
        if call.ts >= self._labelled.get(name, NEVER):
            self._labelled[name] = call.ts
            known = self._known[name]
            workflow = replace(
                known.workflow,
                owner=call.owner or known.workflow.owner,
                risk_tier=call.risk_tier or known.workflow.risk_tier,
            )
            self._known[name] = replace(known, workflow=workflow)

    def saw(self, name: str, ts: float, now: float) -> None:
        """Remember that a workflow was active at ``ts``, of which we heard at ``now``."""
        newest = ts if ts <= now + AHEAD_S else now
        known = self._known.get(name)
        if known is None:
            self._known[name] = Known(Workflow(name, None, None, ts, newest, now))
        else:
            w = known.workflow
            seen = replace(
                w, first_ts=min(w.first_ts, ts), newest_ts=max(w.newest_ts, newest), received=max(w.received, now)
            )
            self._known[name] = replace(known, workflow=seen)
        self._changed.add(name)

    def save(self, version: int) -> None:
        """Write what has changed."""
        save_all(self._client, [self._known[name] for name in sorted(self._changed)], version)
        self._changed.clear()
        self._labelled.clear()
