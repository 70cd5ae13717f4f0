"""Replay of history: call records through rollup, detectors and incidents in event time; nothing is sent."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils import Database

from driftbell.alerts.incident import apply, incident_line
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.inject import Injection, Outcome, outcome
from driftbell.service.ownership import Ownership
from driftbell.service.played import BadLines, Stretch, shared

WEEK = 7 * 86_400.0


@dataclass
class Report:
    """What a replay brought: an incident line per opening, and what the detectors told, in the order of time."""

    lines: list[dict[str, object]] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    records: int = 0
    bad: BadLines = field(default_factory=BadLines)
    too_late: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    workflows: set[str] = field(default_factory=set)

    def add(self, stretch: Stretch) -> None:
        """Count what a stretch of the history held."""
        self.records += stretch.records
        self.too_late += stretch.too_late
        self.first, self.last = min(self.first, stretch.first), max(self.last, stretch.last)
        self.workflows |= stretch.workflows
        self.bad.add(stretch.bad)

    @property
    def weeks(self) -> float:
        """Length of the history in weeks, at least a day."""
        return max((self.last - self.first) / WEEK, 1 / 7) if self.records else 1 / 7

    def rates(self) -> list[tuple[str, str, float]]:
        """``(workflow, family, openings a week)`` of what opened at all."""
        opened = Counter((str(line["workflow"]), str(line["family"])) for line in self.lines)
        return [(workflow, family, n / self.weeks) for (workflow, family), n in sorted(opened.items())]

    def per_week(self) -> dict[int, Counter[str]]:
        """Openings by week of the history (0 is the first) and severity."""
        weeks: dict[int, Counter[str]] = {}
        for line in self.lines:
            week = int((float(str(line["ts"])) - self.first) // WEEK)
            weeks.setdefault(week, Counter())[str(line["severity"])] += 1
        return weeks


def replay(
    file: Path,
    config: Config,
    opened: Callable[[dict[str, object]], None],
    progress: Callable[[int], None],
    folder: Path | None = None,
    injection: Injection | None = None,
    jobs: int = 1,
) -> Report:
    """Run ``file`` through the detectors; ``opened`` gets each incident line when it would have been told.

    ``progress`` is called with the bytes read so far. Bad lines are counted and left out. The incidents are kept in
    ``folder``, if one is named; it must not be a service's. With an ``injection`` (placed on the history) only the
    workflows that it means are run, until it can no longer be found. ``jobs`` processes share the workflows among
    them, which changes nothing in what is found. Raises `Failure` when the folder is a service's, or the file cannot
    be read.
    """
    report = Report()
    config = _telling_nobody(config)
    with incident_store(config, folder) as store, shared(file, config, injection, jobs) as stretches:
        ending: list[tuple[int, Finding]] = []
        for stretch in stretches:
            for _, findings in stretch.found:
                _open(store, findings, config, report, opened)
            ending += stretch.ending
            report.add(stretch)
            progress(stretch.read)
        ending.sort(key=lambda pair: pair[0])
        _open(store, [finding for _, finding in ending], config, report, opened)
    return report


def inject(
    file: Path, config: Config, injection: Injection, untouched: Report, progress: Callable[[int], None]
) -> list[Outcome]:
    """Whether, and how soon, ``injection`` would have been told in each workflow that it means, by name."""
    workflows = sorted(workflow for workflow in untouched.workflows if injection.covers(workflow))
    if not workflows:
        raise Failure(
            f"--inject {injection.text}: the history has no such workflow: {', '.join(sorted(untouched.workflows))}"
        )
    placed = injection.placed(untouched.first, untouched.last)
    changed = replay(file, config, lambda _: None, progress, injection=placed)
    found = []
    for workflow in workflows:
        opened = {float(str(line["ts"])) for line in changed.lines if line["workflow"] == workflow}
        found.append(outcome(placed, workflow, changed.told, untouched.told, opened))
    return found


@contextmanager
def incident_store(config: Config, folder: Path | None) -> Iterator[Store]:
    """A store for the incidents, in ``folder`` or a temporary one; raises `Failure` for a service's folder."""
    with TemporaryDirectory(prefix="driftbell-replay-") as temporary:
        kept = Path(temporary) if folder is None else folder
        owner = Ownership(kept)
        try:
            store = open_store(config.model_copy(update={"data_dir": kept, "store": None}))
            try:
                if store.workflows():
                    raise Failure(
                        f"{kept} holds the calls of a service; keep the incidents of a replay in another folder"
                    )
                yield store
            finally:
                store.close()
        finally:
            owner.release()


def _telling_nobody(config: Config) -> Config:
    """The configuration without a way out: what no route leads to is never queued, so nothing can be sent later."""
    quiet: dict[str, object] = {"channels": {}, "routes": (), "escalation": ()}
    return config.model_copy(update={"alerts": config.alerts.model_copy(update=quiet)})


def _open(
    store: Store,
    findings: list[Finding],
    config: Config,
    report: Report,
    opened: Callable[[dict[str, object]], None],
) -> None:
    report.told += sorted((f for f in findings if f.transition == "fired"), key=lambda f: f.ts)
    for ts in sorted({finding.ts for finding in findings}):
        with store.write() as tx:
            for line in _apply(tx, [finding for finding in findings if finding.ts == ts], ts, config):
                report.lines.append(line)
                opened(line)


def _apply(tx: Database, findings: list[Finding], ts: float, config: Config) -> list[dict[str, object]]:
    changes = apply(tx, findings, ts, config.alerts)
    return [incident_line(change.incident) for change in changes if change.transition == "opened"]
