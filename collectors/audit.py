"""The trail of one call: the spans that told of it, what people said of it later, and the other calls of its trace."""

import json
import sqlite3
from dataclasses import dataclass

from driftbell.collectors import rows
from driftbell.collectors.call import Call, Judgement
from driftbell.collectors.connect import gathered
from driftbell.collectors.reading import Reading
from driftbell.collectors.recent import Recent, calls_of

MOST_SIBLINGS = 100


@dataclass(frozen=True, slots=True)
class Trail:
    """Everything that is kept of one call. ``spans`` are those of its trace, by end; ``siblings`` its other calls."""

    call: Call
    judgements: tuple[Judgement, ...]
    spans: tuple[Reading, ...]
    siblings: tuple[Call, ...]


def trail(db: sqlite3.Connection, trace_id: str, span_id: str) -> Trail | None:
    """The trail of the call with these ids (hex); None when there is no such call."""
    try:
        trace, ids = rows.trace_key(trace_id), (bytes.fromhex(trace_id), bytes.fromhex(span_id))
    except ValueError:
        return None
    made = json.dumps(calls_of(db, [trace], Recent(db)))
    where = "c.trace_id = ? AND c.id IN (SELECT value FROM json_each(?))"
    query = f"{rows.SELECT_CALLS} WHERE {where} ORDER BY c.ts LIMIT {MOST_SIBLINGS}"
    calls = [rows.call_of(row) for row in db.execute(query, (ids[0], made))]
    call = next((call for call in calls if call.span_id == span_id), None)
    if call is None:
        return None
    spans, tied = gathered(db, trace)
    judged = [each for each in _judgements(db, tied) if speaks_of(each, call)]
    siblings = tuple(other for other in calls if other is not call)
    return Trail(call, tuple(judged), tuple(spans), siblings)


def _judgements(db: sqlite3.Connection, traces: set[int]) -> list[Judgement]:
    """What was reported in any of ``traces``; a report is kept with one of those that it is tied to."""
    query = rows.SELECT_JUDGEMENTS + "WHERE j.home IN (SELECT value FROM json_each(?)) ORDER BY j.ts, j.id"
    return [rows.judgement_of(row) for row in db.execute(query, (json.dumps(sorted(traces)),))]


def speaks_of(judgement: Judgement, call: Call) -> bool:
    """Whether a judgement is of this call."""
    if judgement.call_trace_id is not None:
        return judgement.call_trace_id == call.trace_id and judgement.call_span_id in (None, "", call.span_id)
    return judgement.response_id is not None and judgement.response_id == call.response_id
