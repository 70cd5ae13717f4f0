"""Numbers for what replaces what: later ones are larger, also after a restart and when a clock is set back."""

import threading

from driftbell.collectors.clickhouse.client import Client

_TABLES = ("calls", "judgements", "manual_tasks", "workflows", "points")


class Version:
    """Gives out versions of rows to this process; each row is only ever written by one process at a time."""

    def __init__(self, client: Client) -> None:
        self._lock = threading.Lock()
        self._last: int = max(client.query(f"SELECT max(version) FROM {table}")[0][0] for table in _TABLES)

    def next(self, now: float) -> int:
        """A version that is larger than all before it."""
        with self._lock:
            self._last = max(int(now * 1e6), self._last + 1)
            return self._last
