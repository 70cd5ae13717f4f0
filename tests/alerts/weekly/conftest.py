"""Five weeks of calls of a made-up insurer, with what really happened to each feature written down here.

Claims triage: prompt v14 doubles the input of the high-risk segment from Tuesday to Wednesday of the last week, and
all week staff use fewer suggestions. Policy search: from an index rebuild on Thursday on, one answer in ten has no
document.
Letter drafting: nothing at all happens.
"""

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest
from weekly_post import READER, Memory

from driftbell.alerts.weekly.numbers import Facts, WeeklyNumbers, weekly_numbers
from driftbell.alerts.weekly.schedule import send_moment
from driftbell.alerts.weekly.settings import EVERYONE, Recipient, WeeklySettings
from driftbell.alerts.weekly.told import Told
from driftbell.alerts.weekly.weeks import HOUR, Days, Week, week_named
from driftbell.collectors.call import Call, Judgement, ManualTask, Marker, Source
from driftbell.collectors.point import Point, PointKey, merge
from driftbell.collectors.rollup import Rollup
from driftbell.detectors.decomposition import UnitPrices

PRICES = {"birch-pro": UnitPrices(3e-6, 15e-6, 0.3e-6), "atlas-mini": UnitPrices(0.15e-6, 0.6e-6, 0.075e-6)}
DAY = 24 * HOUR
Record = Call | Judgement | ManualTask


WEEK = week_named("2026-W46", "Europe/Berlin")
PROMPT_LIVE = WEEK.start + DAY + 9.2 * HOUR
PROMPT_UNDONE = WEEK.start + 2 * DAY + 16.6 * HOUR


def cost(call: Call) -> Call:
    """The call with its price."""
    price = PRICES[call.model or ""]
    usd = (call.input_tokens or 0) * price.input + (call.output_tokens or 0) * price.output
    return replace(call, cost_usd=usd * call.attempts, cost_source="computed")


def five_weeks(week: Week, seed: int = 1, per_day: int = 150) -> list[Record]:
    """Every record of the five weeks that end with ``week``."""
    days, chance = Days(week), random.Random(seed)
    found: list[Record] = []
    for day in range(Days.count):
        busy = 1.0 if day % 7 < 5 else 0.3
        for _ in range(int(per_day * busy * chance.uniform(0.9, 1.1))):
            ts = chance.uniform(days.edges[day], days.edges[day + 1] - 1)
            for make in (_claim, _search, _letter):
                found.extend(make(ts, day, chance))
    return found


def _call(ts: float, workflow: str, chance: random.Random, **fields: object) -> Call:
    known: dict[str, object] = {
        "model": "birch-pro",
        "usage_source": "provider",
        "user_id": f"u{chance.randrange(60)}",
        "latency_ms": chance.lognormvariate(7.2, 0.4),
        "status": "error" if chance.random() < 0.01 else "ok",
        "attempts": 2 if chance.random() < 0.02 else 1,
        "risk_tier": "medium",
    }
    return cost(Call(ts, workflow, **(known | fields)))  # type: ignore[arg-type]


def _judged(call: Call, **what: object) -> Judgement:
    place = (call.workflow, call.segment, call.risk_tier, call.model, call.prompt_version)
    return Judgement(call.ts, *place, **what)  # type: ignore[arg-type]


def _claim(ts: float, day: int, chance: random.Random) -> Iterator[Record]:
    new = PROMPT_LIVE <= ts < PROMPT_UNDONE
    high = chance.random() < 0.56
    tokens = (24_000 if new else 12_000) if high else 4_000
    call = _call(
        ts,
        "claims-triage",
        chance,
        segment="high-risk" if high else "standard",
        risk_tier="high" if high else "low",
        prompt_version="v14" if new else "v13",
        input_tokens=int(tokens * chance.uniform(0.9, 1.1)),
        output_tokens=600 if high else 300,
    )
    yield call
    if call.status == "ok":
        draw = chance.random()
        kind = "accepted" if draw < (0.62 if day >= 28 else 0.71) else "edited" if draw < 0.9 else "rejected"
        yield _judged(call, override=kind)
        if chance.random() < 0.3:
            yield _judged(call, evaluation="groundedness", score=min(1.0, chance.gauss(0.91, 0.05)))
    if chance.random() < (0.15 if day >= 28 else 0.09):
        yield ManualTask(ts, "claims-triage", call.segment, call.risk_tier, call.user_id)


def _search(ts: float, day: int, chance: random.Random) -> Iterator[Record]:
    empty = chance.random() < (0.10 if day >= 31 else 0.02)
    tokens = {"input_tokens": int(chance.uniform(900, 1100)), "output_tokens": 120, "model": "atlas-mini"}
    call = _call(ts, "policy-search", chance, sources=() if empty else (Source("d1", 0.7, 12.0),), **tokens)
    yield call
    if call.status == "ok":
        yield _judged(call, outcome="resolved" if chance.random() < 0.93 else "escalated")


def _letter(ts: float, day: int, chance: random.Random) -> Iterator[Record]:
    yield _call(ts, "letter-drafting", chance, input_tokens=int(chance.uniform(1800, 2200)), output_tokens=500)


def hour_points(records: list[Record]) -> list[Point]:
    """The records as hour points, as the store keeps them."""
    rollup = Rollup()
    for record in records:
        if isinstance(record, Call):
            rollup.call(record)
        elif isinstance(record, Judgement):
            rollup.judgement(record)
        else:
            rollup.manual_task(record)
    hours: dict[PointKey, Point] = {}
    for point in rollup.points():
        key = point.key._replace(minute=point.key.minute // HOUR * HOUR)
        if key in hours:
            hours[key].add(point)
        else:
            hours[key] = merge([point], key)
    return list(hours.values())


def facts(week: Week) -> Facts:
    """What people and the detectors said during the week."""
    thursday = week.start + 3 * DAY + 6 * HOUR
    told = (
        Told(
            id="inc-7",
            workflow="claims-triage",
            family="cost",
            title="claims-triage: cost per call up 62% (3.2c -> 5.3c)",
            opened_at=PROMPT_LIVE + 17 * 60,
            started_at=PROMPT_LIVE,
            ended_at=PROMPT_UNDONE,
            extra_usd=6.96,
            cause="Prompt v14 doubled the input in high-risk.",
            confidence="likely",
            owner="Claims AI",
            verdict="seen",
        ),
        Told(
            id="inc-9",
            workflow="policy-search",
            family="retrieval",
            title="policy-search: no document found in 10% of answers",
            opened_at=thursday + 3600,
            started_at=thursday,
            severity="page",
            cause="The search index was rebuilt.",
            confidence="possible",
            owner="Search team",
        ),
    )
    markers = (
        Marker(PROMPT_LIVE, "prompt", "claims-triage", "v14", "prompt v14 live", "m1"),
        Marker(PROMPT_UNDONE, "prompt", "claims-triage", "v13", "prompt v14 undone", "m3"),
        Marker(thursday - HOUR, "index", "policy-search", None, "search index rebuilt", "m2"),
    )
    return Facts(markers=markers, told=told, prices=PRICES, promised_false_pages=1.0)


SETTINGS = WeeklySettings.model_validate(
    {
        "workflows": {
            "claims-triage": {"title": "Claims triage", "owner": "Claims AI", "budget_per_month": 400},
            "policy-search": {"title": "Policy search", "owner": "Search team"},
            "letter-drafting": {"title": "Letter drafting"},
        },
        "page": "https://driftbell.example.org",
        "unsubscribe": "https://driftbell.example.org/unsubscribe?k=1",
    }
)


def numbers(
    workflows: tuple[str, ...] = ("*",),
    records: list[Record] | None = None,
    week: Week = WEEK,
    settings: WeeklySettings = SETTINGS,
    told: Facts | None = None,
) -> WeeklyNumbers:
    """The numbers of the made-up insurer for whoever reads ``workflows``."""
    recipient = Recipient(**{**EVERYONE.model_dump(), "workflows": workflows, "zone": week.zone_name})
    points = hour_points(five_weeks(week) if records is None else records)
    return weekly_numbers(points, week, facts(week) if told is None else told, settings, recipient)


@pytest.fixture(scope="session")
def insurer() -> ModuleType:
    """Everything above, for tests."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """The five weeks of records."""
    return five_weeks(WEEK)


@pytest.fixture(scope="session")
def points(insurer, records):
    return [point for point in insurer.hour_points(records) if point.key.workflow == "claims-triage"]


@pytest.fixture
def source(insurer, points):
    return Memory(points, insurer.facts(insurer.WEEK))


@pytest.fixture
def configured(insurer) -> WeeklySettings:
    return insurer.SETTINGS.model_copy(update={"recipients": (READER,)})


@pytest.fixture
def due(insurer) -> float:
    return send_moment(insurer.WEEK, READER, 2)
