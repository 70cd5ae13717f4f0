"""History through the detectors, stretch by stretch of its file, by one process or by several that share the workflows.

No workflow knows of another, so each process reads the whole file and plays its own workflows. What they find is put
in the order in which one process would have found it.
"""

import gc
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from driftbell.collectors.pricing import price
from driftbell.collectors.records import Record, read_records
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import LATENESS, Replay
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.inject import AFTER, Injection, Injector

LENGTH = 1 << 16
"""Bytes of the file in one stretch."""
MAX_BAD_TOLD = 5


@dataclass(slots=True)
class BadLines:
    """How many lines could not be read, and number and reason of the first."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def note(self, number: int, reason: str) -> None:
        """Count one."""
        self.add(BadLines(1, [(number, reason)]))

    def add(self, other: "BadLines") -> None:
        """Count those of another process."""
        self.count += other.count
        self.first = sorted([*self.first, *other.first])[:MAX_BAD_TOLD]


@dataclass(slots=True)
class Stretch:
    """What the file brought up to byte ``read``.

    ``found`` are the findings by the line after which they came, and ``ending`` those of the end of the history by the
    place of their workflow, in order of appearance; with these come the lines that could not be read and how many
    records were ``too_late``. ``first`` and ``last`` are epoch seconds.
    """

    read: int
    found: list[tuple[int, list[Finding]]] = field(default_factory=list)
    ending: list[tuple[int, Finding]] = field(default_factory=list)
    records: int = 0
    too_late: int = 0
    bad: BadLines = field(default_factory=BadLines)
    first: float = float("inf")
    last: float = float("-inf")
    workflows: set[str] = field(default_factory=set)

    def count(self, record: Record, workflow: str) -> None:
        """Count one record."""
        self.records += 1
        self.first, self.last = min(self.first, record.ts), max(self.last, record.ts)
        self.workflows.add(workflow)

    def add(self, other: "Stretch") -> None:
        """Add what the same stretch brought another process."""
        self.read = max(self.read, other.read)
        self.found = sorted([*self.found, *other.found], key=lambda pair: pair[0])
        self.ending += other.ending
        self.records += other.records
        self.too_late += other.too_late
        self.bad.add(other.bad)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.workflows |= other.workflows


class Turns:
    """Deals the workflows to ``of`` processes in turn, in the order in which they appear."""

    def __init__(self, part: int, of: int) -> None:
        self.order: dict[str, int] = {}
        self._part, self._of = part, of

    def mine(self, workflow: str) -> bool:
        """Whether it is this process that plays the workflow."""
        return self.order.setdefault(workflow, len(self.order)) % self._of == self._part


def played(
    file: Path, config: Config, injection: Injection | None = None, part: int = 0, of: int = 1
) -> Iterator[Stretch]:
    """Play every workflow whose turn it is; the last stretch ends with the file. Raises `Failure`."""
    prices, turns = config.price_table(), Turns(part, of)
    injector = None if injection is None else Injector(injection)
    priced = (lambda call: call) if injector is None else injector.priced
    engine = Replay(config.detectors, lambda call: priced(price(call, prices)))
    stretch = Stretch(LENGTH)
    bad = BadLines()
    try:
        for given, number, read in read_records(file, bad.note, turns.mine):
            while read > stretch.read:
                yield stretch
                stretch = Stretch(stretch.read + LENGTH)
            record = given if injector is None else _injected(injector, given)
            if record is None:
                continue
            if injection is not None and record.ts > injection.end + AFTER + LATENESS:
                break
            about = record.call or record.manual_task
            assert about is not None
            stretch.count(record, about.workflow)
            if findings := engine.take(record):
                stretch.found.append((number, findings))
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror or error}") from None
    stretch.ending = [(turns.order[finding.workflow], finding) for finding in engine.finish()]
    stretch.too_late, stretch.bad = engine.too_late, bad
    yield stretch


def _injected(injector: Injector, record: Record) -> Record | None:
    about = record.call or record.manual_task
    if about is None or not injector.injection.covers(about.workflow):
        return None
    return injector.record(record)


@contextmanager
def shared(file: Path, config: Config, injection: Injection | None, jobs: int) -> Iterator[Iterator[Stretch]]:
    """`played` by ``jobs`` processes, gone at the end; by one with an injection, whose chances are drawn in order."""
    if jobs == 1 or injection is not None:
        yield played(file, config, injection)
        return
    spawn = multiprocessing.get_context("spawn")
    ends, processes = [], []
    try:
        for part in range(jobs):
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_play, args=(theirs, file, config, part, jobs), daemon=True)
            process.start()
            theirs.close()
            ends.append(ours)
            processes.append(process)
        yield _together(ends)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _play(end: Connection, file: Path, config: Config, part: int, of: int) -> None:
    gc.set_threshold(200_000, 20, 50)
    try:
        for stretch in played(file, config, None, part, of):
            end.send(stretch)
        end.send(None)
    except Failure as failure:
        end.send(failure)
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # nobody listens any more


def _together(ends: list[Connection]) -> Iterator[Stretch]:
    """The stretches of all processes, added up one by one; raises the `Failure` of any."""
    reading = list(ends)
    while reading:
        whole = Stretch(0)
        for end in list(reading):
            try:
                said = end.recv()
            except EOFError:
                raise Failure("a process of the replay was killed; with --jobs 1 there is only one") from None
            if isinstance(said, Failure):
                raise said
            if said is None:
                reading.remove(end)
            else:
                whole.add(said)
        if reading:
            yield whole
