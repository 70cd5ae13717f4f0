"""Feed a store in this process, without HTTP, and print where its CPU goes and what its file holds.

usage: stages.py [--spans N] [--batch B]

Spans are those of ``ingest.py`` with new ids, times and counts in each request. A commit takes two requests, as under
load. Times are of the one thread that does the work, in microseconds per span; the parts of a stage stand below it.
"""

import argparse
import gc
import gzip
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from soak import MOULDS, Mould, size_of

from driftbell.collectors import ingest, recent
from driftbell.collectors.batch import Batch
from driftbell.collectors.decode import read_traces
from driftbell.collectors.intake import inflate
from driftbell.collectors.store import Store
from driftbell.collectors.template import Templates

WARM_UP = 20
STAGES: tuple[tuple[str, Any, str], ...] = (
    ("look for what belongs to them", ingest, "sort_out"),
    ("make rows and prices", ingest.Ingest, "_add_alone"),
    ("write", ingest.Ingest, "_write"),
    ("  chunks", ingest, "_write_alone"),
    ("  keys", recent.Recent, "add"),
    ("keep keys in mind", recent.Recent, "committed"),
)
"""What is timed inside a commit: a name, and where the function is."""


class Times:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def take(self, stage: str, work: Any, *given: Any) -> Any:
        """Do ``work`` and add its time to ``stage``."""
        began = time.thread_time()
        try:
            return work(*given)
        finally:
            self.spent[stage] += time.thread_time() - began

    def watch(self, stage: str, place: Any, name: str) -> None:
        """Time every call of a function."""
        work = getattr(place, name)
        setattr(place, name, lambda *given: self.take(stage, work, *given))


def feed(store: Store, requests: int, batch: int, times: Times) -> None:
    """Store ``requests`` requests after some that are not counted."""
    moulds = [Mould(batch, random.Random(number)) for number in range(MOULDS)]
    templates = Templates()
    held = []
    for at in range(WARM_UP + requests):
        if at == WARM_UP:
            times.spent.clear()
        packed = gzip.compress(moulds[at % MOULDS].copy(), 1)
        body = times.take("gunzip", inflate, packed, 64 << 20)
        found = times.take("read spans", read_traces, body, templates)
        taken = Batch(found.spans, found.filled, refused=found.refused)
        held.append(times.take("read spans", ingest.prepare, taken, time.time()))
        if len(held) == 2:
            times.take("commit", store._commit, held)
            held = []
    times.take("points", lambda: [None for _ in store._rebuilding(_due(store), store.clock())])


def _due(store: Store) -> Any:
    from driftbell.collectors import refresh

    return [item for item in refresh.changed(store.read(), 100_000) if item[0] == refresh.MINUTE]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=512)
    given = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the service does
    requests = max(2, given.spans // given.batch // 2 * 2)
    times = Times()
    for stage in STAGES:
        times.watch(*stage)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder))
        feed(store, requests, given.batch, times)
        spans = (WARM_UP + requests) * given.batch
        for stage in ("gunzip", "read spans", "commit", *(f"  {name}" for name, *_ in STAGES), "points"):
            print(f"{stage:36s}{times.spent[stage.removeprefix('  ')] / requests / given.batch * 1e6:7.1f} µs")
        print(f"{'bytes per span, with the log':36s}{size_of(Path(folder)) / spans:7.1f}")
        with store.write() as db:
            tables = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8").fetchall()
        for name, size in tables:
            print(f"  {name:34s}{size / spans:7.1f}")
        store.close()


if __name__ == "__main__":
    main()
