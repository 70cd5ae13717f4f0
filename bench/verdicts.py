"""How often a weekly summary tells a change that is none, and how often it finds one that is real.

    python bench/verdicts.py [--mails 400] [--seed 20261121] [--kinds share,money] [--trends 0,0.01] [--quick]

Made-up mails of twenty figures; nothing is learned from the seeds used here. Each figure has its own size (100 to 3,000
cases a working day, less at the weekend) and level, its days swing by 10 %, its weeks by `SWINGS` by themselves (log
scale), and it grows by a trend per week. False: share of the mails in which nothing changed that tell a change. Power:
share of the changed figures that are told, where three of the twenty change by so much in the last week.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftbell.alerts.weekly.tally import Series
from driftbell.alerts.weekly.verdict import Worth, compare, discoveries, judge, weighed
from driftbell.alerts.weekly.weeks import USUAL_WEEKS

FIGURES, CHANGED = 20, 3
SWINGS = (0.0, 0.05, 0.1, 0.2)
HISTORY = (2, 4, 12)
CHANGES = (0.15, 0.3, 0.5)
DAY_SWING = 0.1
WORTH = {"share": Worth(0.05, 0.01), "money": Worth(0.05)}


@dataclass(frozen=True, slots=True)
class Setting:
    """What mails are made of: ``history`` usual weeks are known, ``change`` is that of the changed figures."""

    kind: str
    swing: float
    history: int
    trend: float = 0.0
    change: float = 0.0


Figure = tuple[Series, list[tuple[float, float]], list[int]]
"""35 days, the weeks before them, and which of the usual weeks are known."""


def figure(setting: Setting, chance: np.random.Generator, *, changed: bool) -> Figure:
    """One figure of a mail."""
    weeks = max(setting.history, USUAL_WEEKS) + 1
    daily = np.exp(chance.uniform(np.log(100), np.log(3000)))
    trials = np.maximum(1, chance.poisson(daily * np.tile([1.0] * 5 + [0.4] * 2, weeks)))
    rates = chance.normal(0, setting.swing, weeks) + np.log1p(setting.trend) * np.arange(weeks)
    level = np.exp(np.repeat(rates, 7) + chance.normal(0, DAY_SWING, 7 * weeks))
    if changed:
        level[-7:] *= 1 + setting.change
    if setting.kind == "share":
        share = np.exp(chance.uniform(np.log(0.03), np.log(0.4)))
        hits = chance.binomial(trials, np.minimum(share * level, 1.0)).astype(float)
    else:
        hits = 0.01 * level * chance.gamma(trials.astype(float))  # each call costs an exponential amount
    known = [week for week in range(USUAL_WEEKS) if week >= USUAL_WEEKS - setting.history]
    days = 7 * (USUAL_WEEKS + 1)
    hits[-days : -days + 7 * (USUAL_WEEKS - len(known))] = 0
    counted = trials.astype(float)
    counted[-days : -days + 7 * (USUAL_WEEKS - len(known))] = 0
    before = list(zip(_by_week(hits[:-days]), _by_week(counted[:-days]), strict=True))
    return Series(hits[-days:].tolist(), counted[-days:].tolist()), before, known


def _by_week(days: np.ndarray) -> list[float]:
    return [float(total) for total in days.reshape(-1, 7).sum(1)]


def told(setting: Setting, chance: np.random.Generator) -> Sequence[bool]:
    """Which figures of one mail are told as changed; the first `CHANGED` are, where the setting changes any."""
    compared = []
    for number in range(FIGURES):
        days, before, known = figure(setting, chance, changed=bool(setting.change) and number < CHANGED)
        share = setting.kind == "share"
        compared.append(compare(days, WORTH[setting.kind], share=share, weeks=known, least=30, earlier=before))
    found = weighed(compared)
    verdicts = [judge(one, real, -1)[0] for one, real in zip(found, discoveries(found), strict=True)]
    return [verdict in ("Better", "Worse") for verdict in verdicts]


def measured(setting: Setting, mails: int, seed: int) -> float:
    """Share of false mails, or of the changed figures that were found."""
    chance = np.random.default_rng([seed, *(round(1000 * x) for x in (setting.swing, setting.trend, setting.change))])
    shares = []
    for _ in range(mails):
        found = told(setting, chance)
        shares.append(sum(found[:CHANGED]) / CHANGED if setting.change else float(any(found)))
    return float(np.mean(shares))


def main() -> None:
    """Print two tables; exit 1 where more than one mail in ten tells a change that is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--kinds", default="share,money")
    parser.add_argument("--trends", default="0,0.01")
    asked = parser.parse_args()
    kinds, trends = asked.kinds.split(","), [float(trend) for trend in asked.trends.split(",")]
    before, worst = time.process_time(), 0.0
    print(f"{asked.mails} mails of {FIGURES} figures per cell, seed {asked.seed}; weeks swing by 0, 5, 10, 20 %")
    print("\nmails in which nothing changes and a change is told")
    for kind in kinds:
        for history in HISTORY:
            for trend in trends:
                cells = [measured(Setting(kind, s, history, trend), asked.mails, asked.seed) for s in SWINGS]
                worst = max(worst, *cells)
                print(f"  {kind:6} {history:2} weeks, trend {trend:.0%}: " + "  ".join(f"{c:6.1%}" for c in cells))
    print(f"\nchanged figures that are told, {CHANGED} of {FIGURES} changed")
    for kind in kinds:
        for history in HISTORY:
            for change in CHANGES:
                cells = [
                    measured(Setting(kind, s, history, change=change), asked.mails, asked.seed + 1) for s in SWINGS
                ]
                print(f"  {kind:6} {history:2} weeks, +{change:.0%}: " + "  ".join(f"{c:6.1%}" for c in cells))
    print(f"\n{time.process_time() - before:.0f} CPU s")
    if worst > 0.1:
        raise SystemExit(f"a mail in which nothing changes tells a change in {worst:.1%} of the cases")


if __name__ == "__main__":
    main()
