"""Replay of history: call records through rollup, detectors and incidents in event time; nothing is sent."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils import Database

from driftbell.alerts.incident import apply, incident_line
from driftbell.collectors.pricing import price
from driftbell.collectors.records import read_records
from driftbell.collectors.store import Store
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Replay
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.ownership import Ownership

WEEK = 7 * 86_400.0
MAX_BAD_TOLD = 5


@dataclass
class Report:
    """What a replay brought: an incident line per opening, in the order of the openings."""

    lines: list[dict[str, object]] = field(default_factory=list)
    records: int = 0
    bad: int = 0
    first_bad: list[str] = field(default_factory=list)
    too_late: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    workflows: set[str] = field(default_factory=set)

    @property
    def weeks(self) -> float:
        """Length of the history in weeks, at least a day."""
        return max((self.last - self.first) / WEEK, 1 / 7) if self.records else 1 / 7

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
) -> Report:
    """Run ``file`` through the detectors; ``opened`` gets each incident line when it would have been told.

    ``progress`` is called with the bytes read so far. Bad lines are counted and left out. The incidents are kept in
    ``folder``, if one is named; it must not be a service's. Raises `Failure` when it is, or the file cannot be read.
    """
    report = Report()
    config = _telling_nobody(config)
    prices = config.price_table()
    engine = Replay(config.detectors, lambda call: price(call, prices))
    with incident_store(config, folder) as store:
        try:
            for number, (record, read) in enumerate(read_records(file, lambda n, why: _bad(report, n, why))):
                findings = engine.take(record)
                if findings:
                    _open(store, findings, config, report, opened)
                report.records += 1
                report.first, report.last = min(report.first, record.ts), max(report.last, record.ts)
                about = record.call or record.manual_task
                if about is not None:
                    report.workflows.add(about.workflow)
                if number % 2000 == 0:
                    progress(read)
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror or error}") from None
        _open(store, list(engine.finish()), config, report, opened)
    report.too_late = engine.too_late
    return report


@contextmanager
def incident_store(config: Config, folder: Path | None) -> Iterator[Store]:
    """A store for the incidents, in ``folder`` or a temporary one; raises `Failure` for a service's folder."""
    with TemporaryDirectory(prefix="driftbell-replay-") as temporary:
        kept = Path(temporary) if folder is None else folder
        owner = Ownership(kept)
        try:
            store = open_store(config.model_copy(update={"data_dir": kept}))
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
    for ts in sorted({finding.ts for finding in findings}):
        with store.write() as tx:
            for line in _apply(tx, [finding for finding in findings if finding.ts == ts], ts, config):
                report.lines.append(line)
                opened(line)


def _apply(tx: Database, findings: list[Finding], ts: float, config: Config) -> list[dict[str, object]]:
    changes = apply(tx, findings, ts, config.alerts)
    return [incident_line(change.incident) for change in changes if change.transition == "opened"]


def _bad(report: Report, number: int, reason: str) -> None:
    report.bad += 1
    if len(report.first_bad) < MAX_BAD_TOLD:
        report.first_bad.append(f"line {number}: {reason}")
