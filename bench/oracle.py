"""The shortest delay that the records of an incident allow: a CUSUM that knows what will happen.

For incidents that move a share of something (failed calls, refusals, empty retrieval, overrides, work done by hand) it
is told the share before and the share during the incident, both counted in hindsight, the segment that is hit, and the
moment of the start. It looks at the same bins of five minutes as the detectors and rings at `THRESHOLD` nats of
log-likelihood ratio, about one false alarm in four months of one series (Page 1954; Moustakides 1986: no test with as
long a run between false alarms is faster). Who must find out the series, the size and the start needs longer.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labels import AFTER, HOUR, Event, Labels

from driftbell.collectors.call import Call
from driftbell.collectors.records import Record, read_records

BIN = 300.0
THRESHOLD = 10.5
BEFORE = 7 * 86400.0
"""Seconds before the start from which the share before is counted."""
CALM = 0.5
"""Pseudo-count that keeps a share that never happened from being impossible."""
Marks = Callable[[Record], Iterator[bool]]


def _of_call(mark: Callable[[Call], bool | None]) -> Marks:
    def marks(record: Record) -> Iterator[bool]:
        found = None if record.call is None else mark(record.call)
        if found is not None:
            yield found

    return marks


def _overrides(record: Record) -> Iterator[bool]:
    for judgement in record.judgements:
        if judgement.override is not None:
            yield judgement.override != "accepted"


def _by_hand(record: Record) -> Iterator[bool]:
    yield record.manual_task is not None


MARKS: dict[str, Marks] = {
    "provider_outage": _of_call(lambda call: call.status != "ok"),
    "retry_storm": _of_call(lambda call: call.attempts > 1),
    "refusal_up": _of_call(lambda call: call.refused),
    "format_fail": _of_call(lambda call: None if call.format_ok is None else not call.format_ok),
    "retrieval_empty": _of_call(lambda call: None if call.sources is None else not call.sources),
    "missing_citations": _of_call(lambda call: call.citations == 0 if call.sources else None),
    "overrides_up": _overrides,
    "usage_down": _by_hand,
}
"""What is counted, for each type of incident that moves a share."""


@dataclass(slots=True)
class _Counts:
    """Yes and all, before the incident and per bin from its start."""

    before: tuple[int, int]
    bins: dict[int, tuple[int, int]]


def oracle(file: Path, labels: Labels) -> dict[str, float | None]:
    """Hours to detect of each scored incident that moves a share, by its id; None if not until it is over."""
    events = [event for event in labels.incidents if event.scored and event.type in MARKS]
    counts = {event.id: _Counts((0, 0), {}) for event in events}
    by_workflow: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_workflow[event.workflow].append(event)
    for record, _, _ in read_records(file, lambda *_: None):
        about = record.call or record.manual_task
        if about is None:
            continue
        for event in by_workflow[about.workflow]:
            near = event.start - BEFORE <= record.ts <= event.end + AFTER
            if near and event.cause.get("segment") in (None, about.segment):
                _count(counts[event.id], event, record)
    return {event.id: _delay(counts[event.id], event) for event in events}


def _count(counts: _Counts, event: Event, record: Record) -> None:
    for mark in MARKS[event.type](record):
        if record.ts < event.start:
            yes, of = counts.before
            counts.before = yes + mark, of + 1
        else:
            place = int((record.ts - event.start) // BIN)
            yes, of = counts.bins.get(place, (0, 0))
            counts.bins[place] = yes + mark, of + 1


def _delay(counts: _Counts, event: Event) -> float | None:
    last = int((event.end - event.start) // BIN)
    during = [pair for place, pair in counts.bins.items() if place <= last]
    low = _share(*counts.before)
    high = _share(sum(yes for yes, _ in during), sum(of for _, of in during))
    if high <= low:
        return None
    for_yes, for_no = math.log(high / low), math.log((1 - high) / (1 - low))
    height = 0.0
    for place in sorted(counts.bins):
        yes, of = counts.bins[place]
        height = max(0.0, height + yes * for_yes + (of - yes) * for_no)
        if height >= THRESHOLD:
            return (place + 1) * BIN / HOUR
    return None


def _share(yes: int, of: int) -> float:
    return (yes + CALM) / (of + 2 * CALM)
