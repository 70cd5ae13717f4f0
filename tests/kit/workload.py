"""Traffic of one workflow with an incident in it: made from a seed, the same every time."""

import random
from collections.abc import Iterator
from dataclasses import replace

from driftbell.collectors.call import Call, Judgement
from driftbell.collectors.records import Record

HOUR = 3600.0
HOURS = 160
PER_HOUR = 60
DEAR_FROM = 150
"""Hour at which the prompt of segment amer triples."""
PRICES = {"atlas": {"input": 10, "output": 30}}


def hours(start: float, total: int = HOURS) -> Iterator[list[Record]]:
    """The records of each hour from ``start``, in order of time."""
    chance = random.Random(7)
    for hour in range(total):
        moments = sorted(chance.uniform(0, HOUR) for _ in range(PER_HOUR))
        yield [_record(chance, start + hour * HOUR + moment, dear=hour >= DEAR_FROM) for moment in moments]


def _record(chance: random.Random, ts: float, dear: bool) -> Record:
    segment = chance.choice(["amer", "emea"])
    tokens = round(chance.lognormvariate(6.9, 0.25)) * (3 if dear and segment == "amer" else 1)
    call = Call(ts, "triage", segment=segment, risk_tier="high", model="atlas", prompt_version="v1")
    call = replace(
        call,
        input_tokens=tokens,
        output_tokens=round(chance.lognormvariate(4, 0.3)),
        latency_ms=800.0,
        usage_source="provider",
    )
    return Record(ts, call, (Judgement(ts, override=chance.choice(["accepted"] * 9 + ["edited"])),), None)


def fields(record: Record) -> dict[str, object]:
    """A record as a line of a call record file."""
    call = record.call
    assert call is not None
    names = ("ts", "workflow", "segment", "risk_tier", "model", "prompt_version", "latency_ms", "status")
    tokens = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens}
    override = {"override": record.judgements[0].override == "edited"}
    return {**{name: getattr(call, name) for name in names}, **tokens, **override}
