"""Made-up traffic for the detectors: three weeks of steady calls, with one thing changed at a known time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from driftbell.collectors.call import Call, Source
from driftbell.collectors.records import Record
from driftbell.detectors.finding import Finding
from driftbell.detectors.replay import Replay
from driftbell.detectors.settings import DetectorSettings

HOUR = 3600.0
DAY = 86400.0
MONDAY = 1_772_409_600.0
"""Monday 2 March 2026, 00:00 UTC."""
Edit = Callable[[Call, np.random.Generator], Call]


def calls(days: float, per_hour: float, seed: int, edit: Edit | None = None) -> list[Call]:
    """Calls of one workflow in two segments, priced, with sources; ``edit`` may change each."""
    rng = np.random.default_rng(seed)
    n = int(days * 24 * per_hour)
    times = np.sort(rng.uniform(MONDAY, MONDAY + days * DAY, n))
    tokens = np.exp(rng.normal(7.0, 0.6, n)).astype(int) + 1
    output = np.exp(rng.normal(5.0, 0.5, n)).astype(int) + 1
    draws = rng.random((n, 4))
    made = []
    for i in range(n):
        call = Call(
            ts=float(times[i]),
            workflow="claims",
            segment="north" if draws[i, 0] < 0.6 else "south",
            model="atlas",
            prompt_version="v1",
            input_tokens=int(tokens[i]),
            output_tokens=int(output[i]),
            usage_source="provider",
            cost_usd=(int(tokens[i]) * 3 + int(output[i]) * 15) / 1e6,
            cost_source="computed",
            latency_ms=float(300 + 12 * output[i] * (0.8 + 0.4 * draws[i, 1])),
            status="error" if draws[i, 2] < 0.01 else "ok",
            refused=bool(draws[i, 3] < 0.01),
            sources=(Source("a", 0.8, 3.0), Source("b", 0.7, 9.0)),
            citations=1,
            user_id=f"u{i % 41}",
        )
        made.append(call if edit is None else edit(call, rng))
    return made


def findings(history: list[Call], settings: DetectorSettings | None = None) -> list[Finding]:
    """What the detectors say of ``history``."""
    replay = Replay(settings or DetectorSettings(), lambda call: call)
    found: list[Finding] = []
    for call in sorted(history, key=lambda call: call.ts):
        found += replay.take(Record(call.ts, call, (), None))
    return [*found, *replay.finish()]


def leads(found: list[Finding]) -> list[Finding]:
    """The findings that open something of their own."""
    return [f for f in found if f.transition == "fired" and not f.related]


def after(start: float, change: Edit) -> Edit:
    """``change`` from ``start`` (epoch s) on."""
    return lambda call, rng: change(call, rng) if call.ts >= start else call


def set_to(**fields: object) -> Edit:
    """An edit that sets fields."""
    return lambda call, rng: replace(call, **fields)  # type: ignore[arg-type]
