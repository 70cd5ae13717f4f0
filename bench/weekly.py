"""All weekly summaries of 1,000 workflows from day points: time and memory, on one core.

    python bench/weekly.py [--workflows 1000] [--weeks 2] [--slices 4] [--earlier 0]

The points are made first, as the encoded rows that a store holds; decoding them is part of the measured time. Limits:
10 s and 500 MB for two weeks (this week and one usual week). A real summary reads five weeks, and eight earlier ones.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterator

from driftbell.alerts.weekly.letter import compose
from driftbell.alerts.weekly.numbers import Facts, weekly_numbers
from driftbell.alerts.weekly.render import render
from driftbell.alerts.weekly.settings import EVERYONE, WeeklySettings
from driftbell.alerts.weekly.weeks import EARLIER_WEEKS, Days, week_named
from driftbell.collectors.call import Call, Judgement, Source
from driftbell.collectors.point import PointKey, merge
from driftbell.collectors.press import press, release
from driftbell.collectors.rollup import rollup
from driftbell.collectors.sums import Stored, read_stored

DAY = 86_400
MAX_SECONDS, MAX_MB = 10.0, 500.0


def day_texts(count: int, chance: random.Random) -> list[str]:
    """Measures of ``count`` different days of one slice, encoded; 200 calls each with everything that can be said."""
    texts = []
    for _ in range(count):
        calls = [
            Call(
                i,
                "w",
                segment="s",
                model="m",
                input_tokens=chance.randrange(500, 4000),
                cached_tokens=100,
                output_tokens=chance.randrange(50, 900),
                cost_usd=chance.uniform(0.001, 0.01),
                latency_ms=chance.lognormvariate(7, 0.5),
                status="ok" if chance.random() < 0.99 else "error",
                refused=chance.random() < 0.01,
                format_ok=True,
                sources=(Source("d", chance.random(), 3.0),),
                citations=1,
                usage_source="provider",
                user_id=f"u{chance.randrange(40)}",
            )
            for i in range(200)
        ]
        told = [Judgement(c.ts, "w", "s", None, "m", override=chance.choice(["accepted", "edited"])) for c in calls]
        told += [Judgement(c.ts, "w", "s", None, "m", evaluation="groundedness", score=0.9) for c in calls[::5]]
        texts.append(merge(rollup(calls, told), PointKey(0, "w", "s", None, "m", None)).encode())
    return texts


def points(
    texts: list[bytes], days: Days, workflows: int, slices: int, weeks: int, earlier: int = 0
) -> Iterator[Stored]:
    """Day points as a store would give them: decoded one after the other, the earlier weeks of a workflow last."""
    starts = [int(edge) for edge in days.edges[Days.count - 7 * weeks : -1]]
    starts += [int(days.start) - DAY * (i + 1) for i in range(7 * earlier)]
    for number in range(workflows):
        for day, start in enumerate(starts):
            for slice_ in range(slices):
                key = PointKey(start, f"workflow-{number}", f"s{slice_}", None, f"m{slice_ % 2}", "v1")
                yield read_stored(key, release(texts[(number + day * 7 + slice_) % len(texts)]))


def main() -> None:
    """Measure and print one line; exit 1 beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--weeks", type=int, default=2, choices=range(1, 6))
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--earlier", type=int, default=0, choices=range(EARLIER_WEEKS + 1))
    asked = parser.parse_args()
    days, texts = Days(week_named("2026-W46")), [press(text) for text in day_texts(50, random.Random(1))]
    before = time.process_time()
    given = points(texts, days, asked.workflows, asked.slices, asked.weeks, asked.earlier)
    numbers = weekly_numbers(given, days.week, Facts(), WeeklySettings(), EVERYONE)
    seconds = time.process_time() - before
    rendered = render(compose(numbers, WeeklySettings()))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(numbers.workflows)} workflows x {asked.weeks} + {asked.earlier} weeks x {asked.slices} slices: "
        f"{seconds:.1f} CPU s, {megabytes:.0f} MB peak, {numbers.compared} comparisons, "
        f"mail {len(rendered.html.encode())} bytes"
    )
    if asked.weeks <= 2 and not asked.earlier and (seconds > MAX_SECONDS or megabytes > MAX_MB):
        raise SystemExit(f"beyond the limit of {MAX_SECONDS:g} s and {MAX_MB:g} MB")


if __name__ == "__main__":
    main()
