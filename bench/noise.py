"""False alarms when nothing changes: ``python bench/noise.py [--quick] [--jobs N] [--only NAME]``.

Synthetic workflows (`unchanged`) with three segments, two risk tiers and every measure, as calls through the code of
`driftbell replay` under default settings. An alarm is an episode that opens; what moved with it is not counted again.
A stream counts from the end of the learning period. Promised is one false page per workflow and month.
"""

import argparse
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from unchanged import Setting, records

from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Replay
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.workflow import WorkflowDetector

SETTINGS = (
    Setting("iid, 5 an hour", 5),
    Setting("iid, 50 an hour", 50),
    Setting("iid, 500 an hour", 500),
    Setting("AR(1) .5 by call", 50, by_call=0.5),
    Setting("AR(1) .8 by call", 50, by_call=0.8),
    Setting("AR(1) .5 by hour", 50, hourly=(0.5, 0.3)),
    Setting("AR(1) .8 by hour", 50, hourly=(0.8, 0.3)),
    Setting("daily season .5 sd", 50, daily=0.5),
    Setting("daily season 1 sd", 50, daily=1.0),
    Setting("weekly season 1 sd", 50, weekly=1.0),
    Setting("sessions of 6", 50, session=6.0),
)
BUSY = 200.0
"""Calls an hour from which one stream of 26 days has to do: half a million calls would take minutes."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream's outcome: alarms as ``day metric`` and the months that it was watched after learning."""

    setting: str
    alarms: tuple[str, ...]
    months: float
    watched: int


def run(job: tuple[Setting, int, int]) -> Stream:
    """Play one stream."""
    setting, days, seed = job
    settings = DetectorSettings()
    engine = Replay(settings, lambda call: call)
    first, found = math.inf, list[Finding]()
    for record in records(setting, days, seed):
        first = min(first, record.ts)
        found += engine.take(record)
    found += engine.finish()
    opened = [f for f in found if f.transition == "fired" and not f.cause.text.startswith("Moved with")]
    alarms = tuple(f"{(f.ts - first) / 86400:.0f} {f.metric}@{f.segment or '*'}" for f in opened)
    (lane,) = engine._lanes.values()
    detector: WorkflowDetector = lane.station.engine
    return Stream(setting.name, alarms, (days - settings.learn_days) / 30, len(detector.watches))


def tell(name: str, streams: list[Stream], promised: float) -> None:
    """One row of the table."""
    rates = [len(s.alarms) / s.months for s in streams]
    months = sum(s.months for s in streams)
    within = sum(rate <= promised for rate in rates) / len(rates)
    beyond = sum(rate > 2 * promised for rate in rates) / len(rates)
    mean = sum(len(s.alarms) for s in streams) / months
    watched = statistics.median(s.watched for s in streams)
    print(f"| {name} | {len(streams)} | {months:.1f} | {watched:.0f} | {mean:.2f} | {within:.0%} | {beyond:.0%} |")
    kinds: dict[str, int] = {}
    for stream in streams:
        for alarm in stream.alarms:
            metric = alarm.split(" ")[1]
            kinds[metric] = kinds.get(metric, 0) + 1
    if kinds:
        print("  ", ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items(), key=lambda i: -i[1])))


def main() -> None:
    """Play every setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one stream of a month per setting")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--days", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="settings whose name contains this")
    given = parser.parse_args()
    streams, days = (1, 23) if given.quick else (given.streams, given.days)
    chosen = [setting for setting in SETTINGS if given.only in setting.name]
    jobs = []
    for seed in range(streams):
        for setting in chosen:
            if setting.per_hour < BUSY:
                jobs.append((setting, days, 1000 + seed))
            elif seed == 0 and not given.quick:
                jobs.append((setting, 26, 1000))
    start, done = time.perf_counter(), list[Stream]()
    with ProcessPoolExecutor(given.jobs) as pool:
        for stream in pool.map(run, jobs):
            done.append(stream)
            print(f"{stream.setting}: {', '.join(stream.alarms) or '-'} in {stream.months:.1f} months", flush=True)
    print("| setting | streams | months | series | alarms a month | within 1 a month | beyond 2 |")
    for setting in chosen:
        of = [stream for stream in done if stream.setting == setting.name]
        if of:
            tell(setting.name, of, DetectorSettings().false_pages_per_month)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
