"""Labels of generated traffic and the score of alarms against them.

The rules: a hit is the first alarm of the incident's workflow in a family that fits, between its start and twelve hours
after its end. Every other alarm is false, unless it speaks of money, tokens or latency on a day on which the real
traffic underneath shifted by itself; further alarms of a workflow and family within six hours of a false one are the
same alarm. Incidents below the visibility floor (``scored`` false) count neither way.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

HOUR = 3600.0
AFTER = 12 * HOUR
SAME = 6 * HOUR
BENIGN = 48 * HOUR
FAMILIES: dict[str, frozenset[str]] = {
    "prompt_growth": frozenset({"cost", "reliability"}),
    "model_swap": frozenset({"cost", "reliability"}),
    "traffic_surge": frozenset({"cost"}),
    "retry_storm": frozenset({"cost", "reliability"}),
    "provider_outage": frozenset({"reliability", "cost", "retrieval"}),
    "p95_drift": frozenset({"reliability"}),
    "groundedness_drop": frozenset({"quality", "bypass"}),
    "refusal_up": frozenset({"quality"}),
    "format_fail": frozenset({"quality"}),
    "retrieval_empty": frozenset({"retrieval", "quality"}),
    "retrieval_score_drop": frozenset({"retrieval", "quality"}),
    "stale_index": frozenset({"retrieval"}),
    "missing_citations": frozenset({"retrieval"}),
    "overrides_up": frozenset({"bypass"}),
    "usage_down": frozenset({"bypass"}),
    "rubber_stamp": frozenset({"bypass"}),
}
"""Families in which each type of incident may rightly show."""
SHIFTS = {"input_tokens", "output_tokens", "latency_ms"}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm at epoch second ``ts``; ``keys`` is its named cause, the segment included. Family ``*`` fits all."""

    ts: float
    workflow: str
    family: str
    metric: str = ""
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A labelled incident or benign event; ``start`` and ``end`` in epoch seconds."""

    id: str
    type: str
    workflow: str
    start: float
    end: float
    family: str = ""
    metric: str = ""
    cause: dict[str, str] = field(default_factory=dict)
    scored: bool = True


@dataclass(frozen=True, slots=True)
class Labels:
    """What happened in one generated history of ``days`` days from ``t0``; ``shifts`` are (workflow, day)."""

    profile: str
    t0: float
    days: float
    workflows: tuple[str, ...]
    incidents: tuple[Event, ...]
    benign: tuple[Event, ...]
    shifts: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Score:
    """What alarms are worth against labels. Pairs are (found, of); ``hours`` are (type, time to detect).

    ``delays`` are the same hours by the id of the incident.
    """

    hours: tuple[tuple[str, float], ...]
    delays: dict[str, float]
    by_family: dict[str, tuple[int, int]]
    by_type: dict[str, tuple[int, int]]
    attributed: dict[str, tuple[int, int]]
    false: tuple[Alarm, ...]
    benign: int
    weeks: float

    @property
    def recall(self) -> float:
        """Share of the scored incidents that were found."""
        return len(self.hours) / max(sum(of for _, of in self.by_type.values()), 1)

    @property
    def median_hours(self) -> float | None:
        """Median time to detect."""
        return statistics.median(h for _, h in self.hours) if self.hours else None

    @property
    def false_per_week(self) -> float:
        """False alarms per workflow and week."""
        return len(self.false) / self.weeks

    @property
    def attribution(self) -> float | None:
        """Share of the found incidents whose first alarm named the right family and cause."""
        return sum(a for a, _ in self.attributed.values()) / len(self.hours) if self.hours else None

    def summary(self) -> dict[str, float | None]:
        """The five figures."""
        return {
            "recall": round(self.recall, 3),
            "hours": self.median_hours and round(self.median_hours, 2),
            "false_per_week": round(self.false_per_week, 3),
            "benign": self.benign,
            "attribution": self.attribution and round(self.attribution, 3),
        }


def read_labels(path: Path) -> Labels:
    """Labels as the generator writes them (JSON; event times in seconds since ``t0``)."""
    body = json.loads(path.read_text("utf-8"))
    t0 = datetime.fromisoformat(body["t0"].replace("Z", "+00:00")).timestamp()

    def event(of: dict[str, object]) -> Event:
        kept = {
            name: of[name] for name in ("id", "type", "workflow", "family", "metric", "cause", "scored") if name in of
        }
        start, end = float(str(of["start_s"])), float(str(of["end_s"]))
        return Event(start=t0 + start, end=t0 + end, **kept)  # type: ignore[arg-type]

    return Labels(
        profile=body["profile"],
        t0=t0,
        days=float(body["days"]),
        workflows=tuple(body["workflows"]),
        incidents=tuple(event(one) for one in body["incidents"]),
        benign=tuple(event(one) for one in body["benign"]),
        shifts=frozenset((one["workflow"], one["day"]) for one in body["natural_shifts"]),
    )


def score(alarms: Sequence[Alarm], labels: Labels) -> Score:
    """Score ``alarms`` by the rules above."""
    first: dict[str, Alarm] = {}
    false: list[Alarm] = []
    counted: dict[tuple[str, str], float] = {}
    for alarm in sorted(alarms, key=lambda a: a.ts):
        fitting = [event for event in labels.incidents if _fits(alarm, event)]
        for event in fitting:
            first.setdefault(event.id, alarm)
        if fitting or _muted(alarm, labels):
            continue
        of = (alarm.workflow, alarm.family)
        if alarm.ts - counted.get(of, float("-inf")) >= SAME:
            counted[of] = alarm.ts
            false.append(alarm)
    scored = [event for event in labels.incidents if event.scored]
    found = [event for event in scored if event.id in first]
    delays = {event.id: (first[event.id].ts - event.start) / HOUR for event in found}
    return Score(
        hours=tuple((event.type, delays[event.id]) for event in found),
        delays=delays,
        by_family=_pairs([(event.family, event.id in first) for event in scored]),
        by_type=_pairs([(event.type, event.id in first) for event in scored]),
        attributed=_pairs([(event.type, _right(first[event.id], event)) for event in found]),
        false=tuple(false),
        benign=sum(_in_benign(alarm, labels) for alarm in false),
        weeks=len(labels.workflows) * labels.days / 7,
    )


def _fits(alarm: Alarm, event: Event) -> bool:
    where = alarm.workflow in (event.workflow, "*")
    what = alarm.family == "*" or alarm.family in FAMILIES[event.type]
    return where and what and event.start <= alarm.ts <= event.end + AFTER


def _muted(alarm: Alarm, labels: Labels) -> bool:
    day = int((alarm.ts - labels.t0) // 86400)
    return (alarm.family == "cost" or alarm.metric in SHIFTS) and (alarm.workflow, day) in labels.shifts


def _right(alarm: Alarm, event: Event) -> bool:
    """The right family, every key of the cause, and the metric where the cause is at most a segment."""
    named = all(alarm.keys.get(key) == value for key, value in event.cause.items())
    by_metric = not set(event.cause) - {"segment"}
    return alarm.family == event.family and named and (not by_metric or alarm.metric == event.metric)


def _in_benign(alarm: Alarm, labels: Labels) -> bool:
    return any(
        event.workflow in (alarm.workflow, "*") and event.start <= alarm.ts <= min(event.end, event.start + BENIGN)
        for event in labels.benign
        if event.type != "weekend_cycle"
    )


def _pairs(marks: Sequence[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for name, hit in marks:
        found, of = sums.get(name, (0, 0))
        sums[name] = (found + hit, of + 1)
    return sums
