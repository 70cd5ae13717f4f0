"""Synthetic workflows in which nothing changes: call records with every measure that the detectors watch.

Values are drawn around fixed levels. What may vary, by setting: the rate of calls, how calls cluster, and a latent
level per measure that moves by itself (AR(1) from hour to hour or from call to call, daily or weekly season).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftbell.collectors.call import Call, Judgement, Source
from driftbell.collectors.records import Record

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DAY = 86400.0
HOUR = 3600.0
T0 = 1_772_409_600.0
"""A Monday, 00:00 UTC."""
MEASURES = ("input", "output", "cached", "latency", "ttft", "score", "age", "search", "eval", "edit", "review", "rates")
USERS = 60
SEGMENTS = ("amer", "apac", "emea")
TIERS = {"amer": "low", "apac": "high", "emea": "low"}


@dataclass(frozen=True, slots=True)
class Setting:
    """How a stream behaves while nothing changes.

    ``per_hour`` calls on average. ``hourly`` is ``(phi, sd)`` of a latent level per measure, AR(1) from hour to hour,
    in standard deviations of one value; ``by_call`` is phi of an AR(1) from call to call that makes up all of the
    value's variance. ``daily`` and ``weekly`` are amplitudes of a sine in standard deviations; with them, traffic moves
    by a factor of three over the day or falls to a third at weekends. ``session`` is the mean number of calls of a
    session, which share half of their variance and a user.
    """

    name: str
    per_hour: float
    hourly: tuple[float, float] = (0.0, 0.0)
    by_call: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    session: float = 1.0


def records(setting: Setting, days: int, seed: int) -> Iterator[Record]:
    """The call records of one workflow over ``days``, in the order of time."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 1, len(MEASURES))
    latent = np.zeros(len(MEASURES))
    last = rng.normal(size=len(MEASURES))
    phi, sd = setting.hourly
    for hour in range(days * 24):
        latent = phi * latent + math.sqrt(1 - phi * phi) * sd * rng.normal(size=len(MEASURES))
        start = T0 + hour * HOUR
        times, users, sessions = _arrivals(setting, start, rng)
        if not len(times):
            continue
        noise = _noise(setting, sessions, last, rng)
        last = noise[-1]
        season = np.stack([_season(setting, times, phase) for phase in phases], axis=1)
        yield from _calls(times, users, noise, latent + season, rng)


def _arrivals(setting: Setting, start: float, rng: np.random.Generator) -> tuple[Floats, Integers, Integers]:
    """Times within the hour, sorted, and user and session of each call; calls of a session come within minutes."""
    traffic = 1.0
    if setting.daily:
        traffic *= 1.0 + 0.5 * math.sin(2 * math.pi * ((start % DAY) / DAY - 0.3))
    if setting.weekly and ((start - T0) // DAY) % 7 >= 5:
        traffic *= 0.33
    sessions = rng.poisson(setting.per_hour * traffic / setting.session)
    sizes = rng.geometric(1 / setting.session, sessions) if setting.session > 1 else np.ones(sessions, np.int64)
    begins = np.repeat(rng.uniform(0, HOUR, sessions), sizes)
    users = np.repeat(np.minimum(rng.zipf(1.6, sessions), USERS), sizes)
    session = np.repeat(np.arange(sessions), sizes)
    times = begins + (rng.exponential(60.0, len(begins)) if setting.session > 1 else 0.0)
    order = np.argsort(times, kind="stable")
    times = start + np.minimum(times, HOUR - 0.001)
    return times[order], users[order], session[order]


def _noise(setting: Setting, sessions: Integers, last: Floats, rng: np.random.Generator) -> Floats:
    """Unit noise, one row per call and one column per measure."""
    noise = rng.normal(size=(len(sessions), len(MEASURES)))
    if setting.by_call:
        phi, fresh = setting.by_call, math.sqrt(1 - setting.by_call**2)
        for i in range(len(noise)):
            last = phi * last + fresh * noise[i]
            noise[i] = last
    if setting.session > 1:
        shared = rng.normal(size=(int(sessions.max()) + 1, len(MEASURES)))
        noise = (noise + shared[sessions]) / math.sqrt(2)
    return noise


def _season(setting: Setting, times: Floats, phase: float) -> Floats:
    level = setting.daily * np.sin(2 * math.pi * (times / DAY + phase))
    if setting.weekly:
        level = level + setting.weekly * np.sin(2 * math.pi * ((times - T0) / (7 * DAY) + phase))
    return level


def _calls(times: Floats, users: Integers, noise: Floats, level: Floats, rng: np.random.Generator) -> Iterator[Record]:
    z = {name: noise[:, i] + level[:, i] for i, name in enumerate(MEASURES)}
    odds = np.exp(0.25 * level[:, -1])
    chance = rng.uniform(size=(len(times), 12))
    pick = rng.integers(0, 3, len(times))
    for i, ts in enumerate(times.tolist()):
        yield _record(ts, int(users[i]), {name: float(v[i]) for name, v in z.items()}, chance[i] / odds[i], pick[i])


def _record(ts: float, user: int, z: dict[str, float], chance: Floats, pick: int) -> Record:
    """One call with its judgements; ``chance`` are uniform numbers that decide on the rates."""
    segment = SEGMENTS[pick]
    dimensions = {"workflow": "unchanged", "segment": segment, "risk_tier": TIERS[segment], "model": "m"}
    tokens_in = max(round(1500 * math.exp(0.6 * z["input"])), 1)
    tokens_out = max(round(250 * math.exp(0.5 * z["output"])), 1)
    cached = min(max(0.5 + 0.15 * z["cached"], 0.0), 1.0)
    age = 30 * math.exp(0.4 * z["age"])
    top = _unit(0.8 + 0.06 * z["score"])
    sources = tuple(Source(f"d{j}", top * 0.9**j, age * (1 + j / 5)) for j in range(4)) if chance[0] > 0.03 else ()
    call = Call(
        ts,
        **dimensions,
        input_tokens=tokens_in,
        cached_tokens=round(cached * tokens_in),
        output_tokens=tokens_out,
        usage_source="provider",
        cost_usd=(tokens_in * (1 - 0.9 * cached) * 1.0 + tokens_out * 4.0) / 1e6,
        cost_source="computed",
        latency_ms=(300 + 0.04 * tokens_in + 12 * tokens_out) * math.exp(0.3 * z["latency"]),
        ttft_ms=400 * math.exp(0.3 * z["ttft"]),
        status="error" if chance[1] < 0.01 else "ok",
        attempts=2 if chance[2] < 0.02 else 1,
        refused=bool(chance[3] < 0.02),
        format_ok=bool(chance[4] > 0.02),
        finish_reason="length" if chance[5] < 0.02 else "stop",
        sources=sources,
        citations=0 if chance[6] < 0.1 else 2,
        retrieval_ms=80 * math.exp(0.4 * z["search"]),
        user_id=f"u{user}",
    )
    return Record(ts, call, tuple(_judgements(ts, dimensions, z, chance)), None)


def _judgements(ts: float, dimensions: dict[str, str], z: dict[str, float], chance: Floats) -> Iterator[Judgement]:
    edited = chance[7] < 0.2
    yield Judgement(
        ts,
        **dimensions,
        override="edited" if edited else "accepted",
        edit_distance=_unit(0.3 * math.exp(0.5 * z["edit"])) if edited else 0.0,
        review_ms=20_000 * math.exp(0.7 * z["review"]),
    )
    yield Judgement(ts, **dimensions, outcome="escalated" if chance[8] < 0.08 else "resolved")
    if chance[9] % 0.1 < 0.02:
        yield Judgement(ts, **dimensions, evaluation="groundedness", score=_unit(0.85 + 0.08 * z["eval"]))
    if chance[10] % 0.1 < 0.01:
        yield Judgement(ts, **dimensions, feedback=-1 if chance[11] < 0.2 else 1)


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)
