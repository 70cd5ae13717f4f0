"""Import of history: files into the store, and the detectors through it, so that what is usual is known at once.

What is found in imported periods is recorded as incidents, but nobody is told and none stays open: it is of the past.
A workflow is watched from its next call on. Stored rows are found again by their ids, so importing twice changes
nothing, and what was interrupted is finished by importing again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter
from sqlite_utils import Database

from driftbell.alerts import actions, history
from driftbell.alerts.history import Note
from driftbell.alerts.incident import Incident, apply
from driftbell.collectors.batch import Batch, StoreUnavailableError
from driftbell.collectors.imports.lines import UnreadableError
from driftbell.collectors.imports.read import Format, detect, portions
from driftbell.collectors.span import UNKNOWN
from driftbell.collectors.store import Store
from driftbell.collectors.workflows import Workflow
from driftbell.detectors.evaluate import LONGEST_HISTORY, Detectors, learned
from driftbell.detectors.finding import Finding
from driftbell.detectors.workflow import BIN
from driftbell.service.app import open_store
from driftbell.service.config import Config
from driftbell.service.failure import Failure
from driftbell.service.ownership import UNFINISHED, Ownership

DAY = 86_400.0
MAX_BAD_TOLD = 5
BY = "import"
_FINDING = TypeAdapter(Finding)


@dataclass
class FileReport:
    """What became of one file. ``bad`` counts rows; the first few are told in ``first_bad``."""

    path: Path
    form: Format
    rows: int = 0
    bad: int = 0
    first_bad: list[str] = field(default_factory=list)

    def note(self, number: int, reason: str) -> None:
        """Count a bad row."""
        self.bad += 1
        if len(self.first_bad) < MAX_BAD_TOLD:
            self.first_bad.append(f"{self.path.name} row {number}: {reason}")


@dataclass
class Report:
    """What an import brought: calls and judgements that are new, what was learned, and incidents of the past."""

    files: list[FileReport] = field(default_factory=list)
    new: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By workflow: calls and judgements that were not known."""
    days: dict[str, float] = field(default_factory=dict)
    """By workflow: days that its detector lived through now."""
    not_learned: list[str] = field(default_factory=list)
    """Workflows that are watched already, or whose history goes on: what lies before that is stored, not learned."""
    incidents: list[Incident] = field(default_factory=list)
    too_old: int = 0
    """Calls from before the time of which calls were forgotten: they could not be counted right."""


@dataclass(frozen=True)
class Progress:
    """How far it is: ``read(path, bytes)`` of a file, ``learned(days, of)`` of the history."""

    read: Callable[[Path, int], None]
    learned: Callable[[float, float], None]


class Clock:
    """The time of the imported data: what is imported counts as received when it happened."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now or time.time()


def import_history(files: Sequence[Path], form: Format | None, config: Config, progress: Progress) -> Report:
    """Import ``files`` into the data folder of ``config``, whose service must be stopped, and learn from them.

    Without files, an interrupted import is finished. Raises `Failure`, before anything is stored if a file's format
    is not known.
    """
    report = Report([FileReport(path, form or _format(path)) for path in files])
    clock = Clock()
    with _owned(config, clock) as store:
        mark = config.data_dir / UNFINISHED
        mark.touch()
        before = _counts(store)
        for each in report.files:
            _store(store, each, clock, progress)
        store.refresh_all()
        _compare(report, before, _counts(store))
        report.too_old = store.trust_totals().get((UNKNOWN, "too_old"), 0)
        lived = _Learning(store, config, report, progress).run()
        report.not_learned = sorted(set(report.new) - {each.name for each in lived})
        report.incidents = _record(store, _past_incidents(store, config, lived))
        mark.unlink()
    return report


@contextmanager
def _owned(config: Config, clock: Clock) -> Iterator[Store]:
    if config.store is not None:
        raise Failure("import into a data folder without store:, then driftbell migrate it to the store")
    owner = Ownership(config.data_dir)
    try:
        store = open_store(config, clock)
        try:
            yield store
        except StoreUnavailableError as error:
            raise Failure(f"the import stopped: {error}. What was stored stays; import again to go on") from None
        finally:
            store.close()
    finally:
        owner.release()


def _format(path: Path) -> Format:
    try:
        return detect(path)
    except (OSError, UnreadableError) as error:
        raise Failure(f"cannot read {path}: {_said(error)}") from None


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _store(store: Store, report: FileReport, clock: Clock, progress: Progress) -> None:
    try:
        for portion in portions(report.path, report.form, report.note):
            now = time.time()
            newest = max((span.end for span in portion.spans if span.end <= now), default=clock())
            clock.now = newest
            if portion.spans:
                store.append(Batch(spans=portion.spans))
            report.rows += portion.rows
            progress.read(report.path, portion.read)
    except (OSError, UnreadableError) as error:
        raise Failure(f"cannot read {report.path}: {_said(error)}") from None


def _counts(store: Store) -> dict[str, tuple[int, int]]:
    """Calls and judgements by workflow."""
    query = """SELECT name, (SELECT count(*) FROM calls c WHERE c.workflow = w.id),
        (SELECT count(*) FROM judgements j WHERE j.workflow = w.id) FROM workflows w"""
    return {name: (calls, judgements) for name, calls, judgements in store.read().execute(query)}


def _compare(report: Report, before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> None:
    for name, (calls, judgements) in after.items():
        had = before.get(name, (0, 0))
        if (calls, judgements) != had:
            report.new[name] = (calls - had[0], judgements - had[1])


class _Learning:
    """Takes the detectors through what is stored, a day at a time."""

    def __init__(self, store: Store, config: Config, report: Report, progress: Progress) -> None:
        self._store = store
        self._report = report
        self._progress = progress
        self._detectors = Detectors(config.detectors)

    def run(self) -> list[Workflow]:
        """Live through all that is to be learned; the workflows, each from where its learning began."""
        new = list(self._due())
        begin = min((each.first_ts for each in new), default=0.0)
        end = max((each.newest_ts for each in new), default=0.0)
        at = begin
        while new and at < end:
            at = min(at + DAY, end)
            with self._store.write() as tx:
                for workflow in new:
                    self._live(tx, workflow, at)
            self._progress.learned((at - begin) / DAY, (end - begin) / DAY)
        return new

    def _due(self) -> Iterator[Workflow]:
        """Workflows that no service watches yet, with history that was not learned; long ago does not matter."""
        marks = {
            name: (mark, bool(from_history))
            for name, mark, from_history in self._store.read().execute(
                "SELECT workflow, next_bin, learned FROM detector_state"
            )
        }
        for workflow in self._store.workflows():
            mark, from_history = marks.get(workflow.name, (None, True))
            if mark is None:
                yield replace(workflow, first_ts=max(workflow.first_ts, workflow.newest_ts - LONGEST_HISTORY))
            elif from_history and mark < workflow.newest_ts:
                yield replace(workflow, first_ts=float(mark))

    def _live(self, tx: Database, workflow: Workflow, until: float) -> None:
        if workflow.first_ts >= until:
            return
        now = min(until, workflow.newest_ts)
        as_of = [replace(workflow, received=now)]
        while bins := self._detectors.cycle(tx, self._store, as_of, now).bins:
            self._report.days[workflow.name] = self._report.days.get(workflow.name, 0.0) + bins * BIN / DAY
        learned(tx, workflow.name, workflow.newest_ts if until >= workflow.newest_ts else None)


def _past_incidents(store: Store, config: Config, workflows: Iterable[Workflow]) -> list[Incident]:
    """The incidents that the stored findings since ``workflows`` began to learn make, all of them closed.

    They are made apart from the store's own, which the past must not touch.
    """
    alerts = config.alerts.model_copy(update={"channels": {}, "routes": (), "escalation": ()})
    query = "SELECT body FROM findings WHERE workflow = ? AND ts >= ?"
    bodies = [row[0] for each in workflows for row in store.read().execute(query, (each.name, each.first_ts))]
    findings = [_FINDING.validate_json(body) for body in bodies]
    if not findings:
        return []
    end = max(each.newest_ts for each in workflows)
    with TemporaryDirectory(prefix="driftbell-import-") as folder:
        apart = open_store(config.model_copy(update={"data_dir": Path(folder)}))
        try:
            for ts in sorted({finding.ts for finding in findings}):
                with apart.write() as tx:
                    apply(tx, [finding for finding in findings if finding.ts == ts], ts, alerts)
            with apart.write() as tx:
                apply(tx, [], end, alerts)
            for incident in history.listed(apart.read(), "open", 10_000):
                with apart.write() as tx:
                    actions.resolve(tx, incident.id, BY, end, alerts)
            return history.listed(apart.read(), "all", 10_000)
        finally:
            apart.close()


def _record(store: Store, incidents: Iterable[Incident]) -> list[Incident]:
    """Keep the incidents that are not known yet, with the one decision about them; which these were."""
    new = []
    with store.write() as tx:
        for incident in incidents:
            if history.get(tx, incident.id) is None:
                history.save(tx, incident)
                history.store_note(
                    tx, Note(incident.id, "not_told", "imported", None, incident.opened_at, incident.opened_at)
                )
                new.append(incident)
    return new
