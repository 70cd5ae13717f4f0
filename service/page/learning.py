"""How far a workflow is learned: which of its series may already ring, and what the others still wait for."""

from dataclasses import dataclass

from driftbell.collectors.store import Store
from driftbell.collectors.workflows import Workflow
from driftbell.detectors import state
from driftbell.detectors.settings import DetectorSettings

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Learning:
    """``ready`` of ``series`` may ring; ``days`` have been seen of ``needed``. ``evaluated`` is how far (epoch s).

    ``problem`` says why what was learned cannot be read, if so.
    """

    days: float
    needed: float
    series: int
    ready: int
    evaluated: float | None
    problem: str = ""

    @property
    def going_on(self) -> bool:
        """Whether the days that are needed have not passed yet."""
        return self.days < self.needed

    @property
    def part(self) -> float:
        """How much of the time has passed, 0..1."""
        return min(self.days / self.needed, 1.0)


def learning_of(store: Store, settings: DetectorSettings, workflow: Workflow, now: float) -> Learning:
    """Read the state of the detector of one workflow."""
    row = (
        store.read()
        .execute("SELECT next_bin, state FROM detector_state WHERE workflow = ?", (workflow.name,))
        .fetchone()
    )
    days = max(now - workflow.first_ts, 0.0) / DAY
    if row is None:
        return Learning(days, settings.learn_days, 0, 0, None)
    try:
        watches = state.load(workflow.name, row[1], settings).watches
    except state.StateError as error:
        return Learning(days, settings.learn_days, 0, 0, float(row[0]), str(error))
    return Learning(days, settings.learn_days, len(watches), sum(watch.ready for watch in watches), float(row[0]))
