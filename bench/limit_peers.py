"""Detectors as people use them, beside `limit`: they have defaults instead of a budget of false alarms.

- *ADWIN*, *KSWIN*: river's, defaults (KSWIN costs 0.3 ms a value, so on fewer streams)
- *fixed threshold*: the mean of the last 500 values above 1.5 times the usual mean (of the exponential of a normal)
- *Evidently*: what its drift report does with a reference of more than 1,000 rows, on windows of 500: Wasserstein
  distance over the reference's standard deviation, for rates Jensen-Shannon distance, drift from 0.1
- *NannyML*: univariate drift, chunks of 500: Jensen-Shannon distance in the reference's bins (Doane), drift beyond the
  mean and three standard deviations of the reference's own chunks
- *every 10,000*, *never*: dummies

Evidently's and NannyML's statistics are written down here with scipy, after their documentation; the packages are not
run. An alarm of a window comes at its end; the change comes at its middle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, KSWIN
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

Floats = NDArray[np.float64]
Draw = Callable[[tuple[int, ...], np.random.Generator], Floats]
LEARNT = 10_000
WINDOW = 500
EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """Mean delay in events (of the runs cut at ``cap``), mean events between alarms without change, share found."""

    delay: float
    run: float
    found: float


class FixedThreshold:
    """Ratio of the mean of the last window to the usual mean."""

    def __init__(self, reference: Floats, rate: bool) -> None:
        self.rate = rate
        self.usual = float((reference if rate else np.exp(reference)).mean())

    def alarms(self, values: Floats) -> Floats:
        """1-based positions of the values at which an alarm begins."""
        shown = values if self.rate else np.exp(values)
        sums = np.cumsum(np.insert(shown, 0, 0.0))
        over = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW > 1.5 * self.usual
        begins = np.flatnonzero(over & ~np.insert(over[:-1], 0, False))
        return begins.astype(float) + WINDOW


class Windows:
    """A distance of each window of `WINDOW` values from the reference, against a limit."""

    def __init__(self, distance: Callable[[Floats], float], limit: float) -> None:
        self.distance, self.limit = distance, limit

    def alarms(self, values: Floats) -> Floats:
        """1-based positions of the ends of the windows that drift."""
        ends = range(WINDOW, len(values) + 1, WINDOW)
        return np.array([end for end in ends if self.distance(values[end - WINDOW : end]) >= self.limit], float)


def evidently(reference: Floats, rate: bool) -> Windows:
    """Evidently's default test for a reference of more than 1,000 rows."""
    if rate:
        return Windows(lambda part: _shares(reference, part), 0.1)
    norm = max(float(reference.std()), 1e-3)
    return Windows(lambda part: float(wasserstein_distance(reference, part)) / norm, 0.1)


def nannyml(reference: Floats, rate: bool) -> Windows:
    """NannyML's default for univariate drift."""
    edges = np.array([-0.5, 0.5, 1.5]) if rate else np.histogram_bin_edges(reference, bins="doane")
    usual = np.histogram(reference, edges)[0] / len(reference)

    def distance(part: Floats) -> float:
        inside = np.histogram(part, edges)[0] / len(part)
        beyond = max(1.0 - float(inside.sum()), 0.0)
        return float(jensenshannon(np.append(usual, 0.0), np.append(inside, beyond), base=2))

    own = [distance(chunk) for chunk in np.split(reference, LEARNT // WINDOW)]
    return Windows(distance, float(np.mean(own) + 3 * np.std(own)))


def _shares(reference: Floats, part: Floats) -> float:
    p, q = float(reference.mean()), float(part.mean())
    return float(jensenshannon([p, 1 - p], [q, 1 - q]))


class River:
    """A detector of river, made new after the reference was read into it."""

    def __init__(self, make: Callable[[], ADWIN | KSWIN], reference: Floats) -> None:
        self.detector = make()
        for value in reference.tolist():
            self.detector.update(value)

    def alarms(self, values: Floats) -> Floats:
        """1-based positions at which drift is detected."""
        found = []
        for i, value in enumerate(values.tolist(), 1):
            self.detector.update(value)
            if self.detector.drift_detected:
                found.append(i)
        return np.array(found, float)


Peer = FixedThreshold | Windows | River
PEERS: dict[str, tuple[Callable[[Floats, bool], Peer], int]] = {
    "ADWIN": (lambda reference, _: River(ADWIN, reference), 30),
    "KSWIN": (lambda reference, _: River(lambda: KSWIN(seed=1), reference[-500:]), 4),
    "fixed threshold": (FixedThreshold, 100),
    "Evidently": (evidently, 30),
    "NannyML": (nannyml, 30),
}
"""How each is made from a reference, and on how many streams it is measured."""


def as_they_come(before: Draw, after: Draw, rate: bool, cap: int, seed: int) -> dict[str, Outcome]:
    """Every peer's outcome for a change; a stream that is not found counts with ``cap`` events."""
    found = {name: _outcome(make, streams, before, after, rate, cap, seed) for name, (make, streams) in PEERS.items()}
    found[f"every {EVERY:,}"] = Outcome(EVERY / 2, EVERY, 1.0)
    found["never"] = Outcome(math.inf, math.inf, 0.0)
    return found


def _outcome(
    make: Callable[[Floats, bool], Peer],
    streams: int,
    before: Draw,
    after: Draw,
    rate: bool,
    cap: int,
    seed: int,
) -> Outcome:
    rng = np.random.default_rng(seed)
    late, alarms, caught = list[float](), 0, 0
    quiet = 2_000 if streams < 10 else LEARNT
    for _ in range(streams):
        reference = before((LEARNT,), rng)
        alarms += len(make(reference, rate).alarms(before((quiet,), rng)))
        lead = WINDOW + WINDOW // 2
        hits = make(reference, rate).alarms(np.concatenate([before((lead,), rng), after((cap,), rng)])) - lead
        hits = hits[hits > 0]
        caught += len(hits) > 0
        late.append(float(hits[0]) if len(hits) else float(cap))
    return Outcome(sum(late) / streams, streams * quiet / alarms if alarms else math.inf, caught / streams)
