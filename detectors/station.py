"""Station: everything that watches one workflow, the sequential tests and the rules beside them, step by step."""

import json
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from driftbell.collectors.binned import by_part
from driftbell.collectors.point import Point
from driftbell.detectors import state
from driftbell.detectors.burn import BurnWatch
from driftbell.detectors.drift import DriftWatch
from driftbell.detectors.finding import Finding
from driftbell.detectors.history import History
from driftbell.detectors.limit import LimitWatch
from driftbell.detectors.report import Reporter
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.spend import BudgetWatch
from driftbell.detectors.trust import Gate
from driftbell.detectors.verdict import Verdict, accept
from driftbell.detectors.workflow import BIN, WorkflowDetector

REMEMBERED = 1000
"""Verdicts that are known to have been applied."""


class Rule(Protocol):
    """What is watched beside the sequential tests: it takes in every bin, and its state is plain numbers."""

    @property
    def name(self) -> str:
        """What tells it from the others of its kind; a rule of another name begins anew."""
        ...

    def step(self, start: int, points: Sequence[Point], ts: float, history: History) -> list[Finding]:
        """Findings of the bin that begins at ``start``, dated ``ts``."""
        ...

    def open(self, ts: float, transition: Literal["no_data", "cleared"]) -> list[Finding]:
        """A finding of this kind for every alarm that is on."""
        ...

    def dump(self) -> object:
        """The state as plain numbers."""
        ...

    def load(self, stored: object) -> None:
        """Inverse of `dump`."""
        ...


class Station:
    """Steps one workflow through its bins in event time."""

    def __init__(self, workflow: str, settings: DetectorSettings, engine: WorkflowDetector | None = None) -> None:
        self.settings = settings
        self.engine = engine or WorkflowDetector(workflow, settings)
        self.drift = DriftWatch(self.engine)
        self.rules: list[Rule] = [*_rules(workflow, settings), *([self.drift] if settings.drift else [])]
        self.gate = Gate(workflow, settings.settle_hours * 3600)
        self.applied: dict[str, float] = {}

    @property
    def workflow(self) -> str:
        """The workflow that is watched."""
        return self.engine.workflow

    def step(self, start: int, points: Sequence[Point], history: History) -> list[Finding]:
        """Take in the points of ``[start, start + BIN)``; bins come in order, those without points too."""
        ts = start + BIN + self.settings.grace
        points = by_part(points)  # as a store may have done already: whoever reads them, it gives the same
        step = self.engine.step(start, points)
        told = step.happened or any(episode.looks_again(ts) for episode in self.engine.episodes)
        findings = Reporter(self.engine, history).report(start, step, self.settings.grace) if told else []
        findings = self.drift.join(findings)
        for rule in self.rules:
            findings += rule.step(start, points, ts, history)
        if step.volume is not None and step.volume.kind == "silence":
            findings += [finding for rule in self.rules for finding in rule.open(ts, "no_data")]
        return self.gate.admit(findings, start + BIN, ts, history)

    def judge(self, verdicts: Iterable[Verdict], start: int, history: History) -> None:
        """Apply what people said before the bin that begins at ``start``, each verdict once."""
        for verdict in sorted(verdicts, key=lambda verdict: (verdict.at, verdict.id)):
            if verdict.at <= start and self.applied.get(verdict.id, 0.0) < verdict.at:
                accept(self.engine, history, verdict, start)
                self.drift.accept(verdict)
                self.applied[verdict.id] = verdict.at
        while len(self.applied) > REMEMBERED:
            del self.applied[min(self.applied, key=lambda name: (self.applied[name], name))]

    def dump(self) -> tuple[str, str]:
        """The state of the engine and that of the rest, as JSON text."""
        rules = {f"{type(rule).__name__} {rule.name}": rule.dump() for rule in self.rules}
        beside = {"rules": rules, "applied": self.applied, "gate": self.gate.dump()}
        return state.dump(self.engine), json.dumps(beside, separators=(",", ":"))

    @classmethod
    def restore(cls, workflow: str, engine: str, beside: str, settings: DetectorSettings) -> "Station":
        """Inverse of `dump`; a rule that the settings no longer have is forgotten. Raises `state.StateError`."""
        station = cls(workflow, settings, state.load(workflow, engine, settings))
        stored = json.loads(beside)
        station.applied = stored.get("applied", {})
        if "gate" in stored:
            station.gate.load(stored["gate"])
        rules = stored.get("rules", {})
        for rule in station.rules:
            key = f"{type(rule).__name__} {rule.name}"
            if key in rules:
                rule.load(rules[key])
        return station

    def advance(
        self,
        history: History,
        bins: dict[int, list[Point]],
        start: int,
        until: int,
        verdicts: Sequence[Verdict] = (),
    ) -> list[Finding]:
        """Step through the bins of ``[start, until)``; a verdict counts from the first bin that begins after it."""
        findings: list[Finding] = []
        for begin in range(start, until, BIN):
            if verdicts:
                self.judge(verdicts, begin, history)
            findings += self.step(begin, bins.get(begin, []), history)
        return findings


def _rules(workflow: str, settings: DetectorSettings) -> list[Rule]:
    """The rules that cover a workflow; of two that say the same of it only one."""
    rules: list[Rule] = []
    rules += [LimitWatch(workflow, limit) for limit in settings.limits if limit.covers(workflow)]
    rules += [BudgetWatch(workflow, budget) for budget in settings.budgets if budget.covers(workflow)]
    rules += [BurnWatch(workflow, objective) for objective in settings.objectives if objective.covers(workflow)]
    return list({(type(rule), rule.name): rule for rule in rules}.values())
