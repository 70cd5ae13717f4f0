"""Delay against the physical limit: ``python bench/limit.py [--only NAME] [--seed N] [--peers-only] [--svg FILE]``.

Nine changes of known size in streams of single events. For known distributions before and after, with Kullback-Leibler
divergence KL, and a mean run of gamma events between false alarms, the mean delay is at least about
``(h - 1 + exp(-h)) / KL`` events, where ``exp(h) - h - 1 = gamma * KL``. Printed is the mean delay over that limit.

- *e-detector*: ours, guaranteed threshold ``log gamma``, size of the change unknown, baseline from 10,000 events,
  scores and coefficients as the engine makes them, tolerance and wiggle off (the limit knows of neither)
- *known*: Shiryaev-Roberts with both distributions known, threshold tuned in simulation to gamma
- *PageHinkley*: river's formula, alpha .9999, told the size of the change, its mean from 10,000 events, threshold tuned
- *rolling z*: mean of the last 500 against the known one, threshold tuned

*run* is the mean run without change, measured on streams in which nothing changes, each with its own baseline. A second
table has `limit_peers`: detectors with defaults instead of a budget of false alarms, and dummies, measured with the
delay's limit at 10,000 events.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from limit_peers import Outcome, as_they_come
from numpy.typing import NDArray
from plot import points
from river.drift import PageHinkley

from driftbell.collectors.point import bucket
from driftbell.detectors.baseline import Distribution, Share
from driftbell.detectors.sequential import LAMBDAS, EDetectors
from driftbell.detectors.workflow import DOUBT

Floats = NDArray[np.float64]
LEARNT = 10_000
WARM = 1000
HORIZON = 20_000
WINDOW = 500
STREAMS = 200
GAMMAS = (1e4, 1e5)
Draw = Callable[[tuple[int, ...], np.random.Generator], Floats]


@dataclass(frozen=True, slots=True)
class Case:
    """A change: draws before and after, log likelihood ratio of a value, KL, and what PageHinkley watches."""

    name: str
    before: Draw
    after: Draw
    ratio: Callable[[Floats], Floats]
    kl: float
    rate: bool
    shift: float


def rate(low: float, high: float) -> Case:
    """A rate that rises."""
    yes, no = math.log(high / low), math.log((1 - high) / (1 - low))
    return Case(
        f"rate {100 * low:g} to {100 * high:g} %",
        lambda size, rng: (rng.random(size) < low).astype(float),
        lambda size, rng: (rng.random(size) < high).astype(float),
        lambda x: x * yes + (1 - x) * no,
        high * yes + (1 - high) * no,
        True,
        high - low,
    )


def normal(name: str, shift: float) -> Case:
    """A shift of a normal, in standard deviations; the engine sees the exponential of the value."""
    return Case(
        name,
        lambda size, rng: rng.normal(size=size),
        lambda size, rng: shift + rng.normal(size=size),
        lambda x: shift * (x - shift / 2),
        shift * shift / 2,
        False,
        shift,
    )


CASES = (
    rate(0.02, 0.05),
    rate(0.10, 0.15),
    rate(0.01, 0.02),
    normal("normal +0.5 sd", 0.5),
    normal("normal +1 sd", 1.0),
    normal("normal +2 sd", 2.0),
    normal("log-normal mean x1.3", math.log(1.3)),
    normal("log-normal mean x1.5", math.log(1.5)),
    normal("log-normal mean x2", math.log(2.0)),
)


def limit(kl: float, gamma: float) -> float:
    """The least mean delay in events."""
    h = math.log(gamma * kl + 1)
    for _ in range(50):
        h = math.log(gamma * kl + 1 + h)
    return (h - 1 + math.exp(-h)) / kl


class Ours:
    """One e-detector per stream, each with a baseline of its own."""

    def __init__(self, case: Case, streams: int, rng: np.random.Generator) -> None:
        self.case = case
        self.tests = EDetectors()
        self.tests.grow(streams)
        self.tables: list[tuple[int, Floats]] = []
        for i, values in enumerate(case.before((streams, LEARNT), rng)):
            if case.rate:
                self._rate(i, values)
            else:
                self._quantity(i, values)

    def _rate(self, i: int, values: Floats) -> None:
        share = Share(float(values.sum()), float(len(values)))
        null = share.level() + share.doubt(DOUBT)
        spread = math.sqrt(share.level() * (1 - share.level()))
        for k, size in enumerate(LAMBDAS):
            goal = min(null + size * max(spread, math.sqrt(null * (1 - null))), 0.5 + null / 2)
            tilt = math.log(goal / (1 - goal)) - math.log(null / (1 - null))
            self.tests.slope[k, i] = tilt
            self.tests.toll[k, i] = math.log1p(null * math.expm1(tilt))

    def _quantity(self, i: int, values: Floats) -> None:
        distribution = Distribution()
        for index, n in zip(*np.unique([bucket(v) for v in np.exp(values)], return_counts=True), strict=True):
            distribution.known[int(index)] = float(n)
        distribution.prepare()
        low, high = bucket(math.exp(-9.0)), bucket(math.exp(12.0))
        self.tables.append((low, np.array([distribution.score(b) for b in range(low, high + 1)])))
        for k, size in enumerate(LAMBDAS):
            self.tests.slope[k, i] = size
            self.tests.toll[k, i] = size * size / 2 + size * DOUBT / math.sqrt(LEARNT)

    def scores(self, values: Floats) -> Floats:
        """The scores of values of shape (streams, events)."""
        if self.case.rate:
            return values
        indices = np.floor(values / math.log(2) * 8).astype(int)
        return np.stack([table[row - low] for row, (low, table) in zip(indices, self.tables, strict=True)])

    def evidence(self, values: Floats) -> Floats:
        """Log evidence after each event, shape (streams, events)."""
        scores, one = self.scores(values), np.ones(len(values))
        zero = np.zeros(len(values))
        return np.stack([self.tests.step(s, one, zero, zero, 0.0) for s in scores.T], axis=1)


class Known:
    """Shiryaev-Roberts with the true likelihood ratio; ``log R`` after each event."""

    def __init__(self, case: Case, streams: int) -> None:
        self.case, self.log_r = case, np.full(streams, -50.0)

    def evidence(self, values: Floats) -> Floats:
        ratios = self.case.ratio(values)
        found = np.empty_like(ratios)
        for i in range(values.shape[1]):
            self.log_r = np.logaddexp(self.log_r, 0.0) + ratios[:, i]
            found[:, i] = self.log_r
        return found


class Hinkley:
    """river's PageHinkley (direction up) over many streams, with the statistic instead of the decision."""

    def __init__(self, case: Case, streams: int, learnt: Floats | None = None) -> None:
        self.delta, self.alpha = case.shift / 2, 0.9999
        self.n, self.mean = (0, np.zeros(streams)) if learnt is None else (LEARNT, learnt)
        self.sum = np.zeros(streams)
        self.least = np.full(streams, np.inf)

    def evidence(self, values: Floats) -> Floats:
        found = np.empty_like(values)
        for i in range(values.shape[1]):
            self.n += 1
            self.mean = self.mean + (values[:, i] - self.mean) / self.n
            self.sum = self.alpha * self.sum + values[:, i] - self.mean - self.delta
            self.least = np.minimum(self.least, self.sum)
            found[:, i] = self.sum - self.least
        return found


class Rolling:
    """Mean of the last `WINDOW` values less the known mean."""

    def __init__(self, case: Case, streams: int, rng: np.random.Generator) -> None:
        self.mean = float(case.before((200_000,), rng).mean())
        self.tail = case.before((streams, WINDOW), rng)

    def evidence(self, values: Floats) -> Floats:
        joined = np.concatenate([self.tail, values], axis=1)
        self.tail = joined[:, -WINDOW:]
        sums = np.cumsum(np.pad(joined, ((0, 0), (1, 0))), axis=1)
        return (sums[:, WINDOW + 1 :] - sums[:, 1:-WINDOW]) / WINDOW - self.mean


Detector = Ours | Known | Hinkley | Rolling


def run_length(highest: Floats, threshold: float) -> float:
    """Mean run between alarms, from the highest statistic of each stream over `HORIZON` events."""
    quiet = float(np.mean(highest <= threshold))
    return math.inf if quiet == 1.0 else HORIZON / -math.log(quiet) if quiet else 0.0


def tuned(highest: Floats, gamma: float) -> float:
    """Threshold at which the mean run between alarms is ``gamma``."""
    return float(np.quantile(highest, math.exp(-HORIZON / gamma)))


def delays(case: Case, make: Callable[[], Detector], thresholds: list[float], cap: int, seed: int) -> list[float]:
    """Mean delay per threshold, of the streams that did not alarm before the change; at most ``cap`` each."""
    detector, rng = make(), np.random.default_rng(seed)
    before = detector.evidence(case.before((STREAMS, WARM), rng))
    after = detector.evidence(case.after((STREAMS, cap), rng))
    means = []
    for threshold in thresholds:
        clean = before.max(axis=1) <= threshold
        over = after[clean] > threshold
        first = np.where(over.any(axis=1), over.argmax(axis=1) + 1, cap)
        means.append(float(first.mean()) if clean.any() else math.nan)
    return means


def same_as_river(case: Case) -> None:
    """Fail unless `Hinkley` alarms where river's PageHinkley does."""
    rng = np.random.default_rng(5)
    values = np.concatenate([case.before((1, WARM), rng), case.after((1, 4000), rng)], axis=1)
    threshold = 10 * case.shift
    river = PageHinkley(delta=case.shift / 2, threshold=threshold, alpha=0.9999, mode="up")
    ours = Hinkley(case, 1).evidence(values)[0]
    for i, value in enumerate(values[0].tolist()):
        river.update(value)
        if river.drift_detected or ours[i] > threshold:
            assert river.drift_detected == (ours[i] > threshold), f"PageHinkley differs from river's at event {i}"
            return
    raise AssertionError("PageHinkley never alarmed")


def measure(case: Case, seed: int) -> dict[str, list[float]]:
    """Ratios of the delay to the limit at `GAMMAS`, and mean runs, by detector."""
    rng = np.random.default_rng(seed)
    ours = Ours(case, STREAMS, rng)
    learnt = case.before((STREAMS, LEARNT), rng).mean(axis=1)
    fresh: dict[str, Callable[[], Detector]] = {
        "known": lambda: Known(case, STREAMS),
        "PageHinkley": lambda: Hinkley(case, STREAMS, learnt),
        "rolling z": lambda: Rolling(case, STREAMS, np.random.default_rng(seed)),
    }
    unchanged = case.before((STREAMS, HORIZON), rng)
    found: dict[str, list[float]] = {}
    highest = ours.evidence(unchanged).max(axis=1)
    found["run"] = [run_length(highest, math.log(gamma)) for gamma in GAMMAS]
    limits = [limit(case.kl, gamma) for gamma in GAMMAS]
    cap = int(20 * limits[1])

    def rested() -> Detector:
        for i in range(STREAMS):
            ours.tests.rest(i, 0.0)
        return ours

    late = delays(case, rested, [math.log(gamma) for gamma in GAMMAS], int(6 * limits[1]), seed + 1)
    found["e-detector"] = [d / best for d, best in zip(late, limits, strict=True)]
    for name, make in fresh.items():
        highest = make().evidence(unchanged).max(axis=1)
        thresholds = [tuned(highest, gamma) for gamma in GAMMAS]
        late = delays(case, make, thresholds, cap if name != "known" else int(6 * limits[1]), seed + 1)
        found[name] = [d / best for d, best in zip(late, limits, strict=True)]
    found["limit"] = limits
    return found


def pair(values: list[float], digits: int = 2) -> str:
    """Two figures as ``a / b``."""
    return " / ".join("> 1e6" if math.isinf(v) else f"{v:,.{digits}f}" for v in values)


def compare(cases: Sequence[Case], seed: int) -> dict[str, dict[str, Outcome]]:
    """Outcomes of the detectors that have no budget, by case and name."""
    found = {}
    print("| change | " + "delay over the limit (found), events between alarms")
    for case in cases:
        best = limit(case.kl, 1e4)
        found[case.name] = as_they_come(case.before, case.after, case.rate, int(20 * best) + 1000, seed)
        cells = [
            f"{name} {outcome.delay / best:.2f} ({outcome.found:.0%}), {pair([outcome.run], 0)}"
            for name, outcome in found[case.name].items()
        ]
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    return found


def draw(path: Path, rows: dict[str, dict[str, list[float]]], peers: dict[str, dict[str, Outcome]]) -> None:
    """Write how late and how often wrong each is, over all cases: mean of the delays, total of the false alarms."""
    found = [("driftbell", 1 / _mean([1 / row["run"][0] for row in rows.values()]), "e-detector")]
    found += [("PageHinkley, tuned", GAMMAS[0], "PageHinkley"), ("rolling z, tuned", GAMMAS[0], "rolling z")]
    dots = [(label, run, _mean([row[name][0] for row in rows.values()])) for label, run, name in found]
    for name in next(iter(peers.values())):
        late = _mean([peers[case.name][name].delay / limit(case.kl, 1e4) for case in CASES if case.name in peers])
        often = _mean([1 / outcomes[name].run for outcomes in peers.values()])
        dots += [(name, 1 / often if often else math.inf, late)] if math.isfinite(late) else []
    points(
        path,
        "How late and how often wrong: mean over nine changes (best: bottom right)",
        dots,
        ("events between false alarms", "delay, times the least possible"),
        ((300.0, 1e6), (1.0, 300.0)),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def main() -> None:
    """Measure every case and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--peers-only", action="store_true", help="only the detectors without a budget")
    parser.add_argument("--svg", type=Path, help="also draw a plot into this file")
    given = parser.parse_args()
    chosen = [case for case in CASES if given.only in case.name]
    peers = compare(chosen, given.seed)
    if given.peers_only:
        return
    same_as_river(CASES[4])
    print("| change | limit | e-detector | known | PageHinkley | rolling z | run of ours |")
    rows = {}
    for case in chosen:
        found = rows[case.name] = measure(case, given.seed)
        cells = [pair(found[n]) for n in ("e-detector", "known", "PageHinkley", "rolling z")]
        print(
            f"| {case.name} | {pair(found['limit'], 0)} | {' | '.join(cells)} | {pair(found['run'], 0)} |", flush=True
        )
    for g, gamma in enumerate(GAMMAS):
        ours = [row["e-detector"][g] for row in rows.values()]
        against = [row["e-detector"][g] / row["known"][g] for row in rows.values()]
        print(f"gamma {gamma:g}: mean {np.mean(ours):.2f}, worst {max(ours):.2f} of the limit; "
              f"mean {np.mean(against):.2f}, worst {max(against):.2f} of the simulated limit")  # fmt: skip
    if given.svg is not None:
        draw(given.svg, rows, peers)


if __name__ == "__main__":
    main()
