"""The API under ``/api/v1``: calls, points, usage, incidents and workflows out; what people decide in.

`Api.operations` is the table that routes, checks and the OpenAPI description are made from. Handlers run in threads;
every mistake of the caller is answered with ``{"error": …}`` (see `api_errors`).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, fields
from hashlib import blake2b
from typing import Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from driftbell.alerts import actions, history
from driftbell.alerts.line import incident_line
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.batch import Batch
from driftbell.collectors.call import Call, Marker
from driftbell.collectors.point import BUCKETS_PER_OCTAVE, ZERO_BUCKET, Point, Quantity
from driftbell.collectors.query import Usage
from driftbell.collectors.store import Store
from driftbell.service import api_answers as answer
from driftbell.service import api_questions as ask
from driftbell.service import oncall
from driftbell.service.api_errors import ERRORS
from driftbell.service.api_table import Asked, Body, Operation, Query, Table
from driftbell.service.evidence import Evidence
from driftbell.service.openapi import describe

__all__ = ["ERRORS", "Api"]

_SHOWN = {"workflow", "family", "segment", "incident_id", "by", "reason"}


class Api:
    """The handlers, over one store."""

    def __init__(self, store: Store, alerts: AlertSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._alerts = alerts
        self._clock = clock
        self._look = Evidence(store)

    def routes(self) -> list[Route]:
        """Everything under ``/api/v1``."""
        operations = self.operations()
        description = JSONResponse(describe(operations))
        return [*Table(operations).routes(), Route("/api/v1/openapi.json", lambda _: description)]

    def operations(self) -> list[Operation[Any, Any]]:
        """The table."""
        at = "/api/v1"
        one = f"{at}/incidents/{{id}}"
        return [
            Operation("GET", f"{at}/workflows", "Workflows that were seen", self.workflows, answer.Workflows),
            Operation("GET", f"{at}/calls", "Calls in order of time", self.calls, answer.Calls, ask.CallsQuery),
            Operation(
                *("GET", f"{at}/usage", "Sums over calls", self.usage, answer.UsageAnswer, ask.UsageQuery), shared=True
            ),
            Operation(
                *("GET", f"{at}/points", "What detectors see", self.points, answer.Points, ask.PointsQuery), shared=True
            ),
            Operation("GET", f"{at}/incidents", "Incidents", self.incidents, answer.Incidents, ask.IncidentsQuery),
            Operation("GET", one, "One incident", self.incident, answer.IncidentWhole, fails=(404,)),
            Operation("GET", f"{one}/events", "Decisions about it", self.events, answer.Events, fails=(404,)),
            Operation(
                *("POST", f"{one}/ack", "Take it, or say what it was", self.acknowledge, answer.IncidentLine),
                body=ask.AckBody,
                fails=(404, 409),
            ),
            Operation(
                *("POST", f"{one}/resolve", "Close it", self.resolve, answer.IncidentLine),
                body=ask.ResolveBody,
                fails=(404, 409),
            ),
            Operation("GET", f"{at}/silences", "Silences that hold", self.silences, answer.Silences),
            Operation(
                *("POST", f"{at}/silences", "Keep something quiet for a while", self.silence, answer.SilenceLine),
                body=ask.SilenceBody,
                status=201,
                fails=(404, 409),
            ),
            Operation(
                *("DELETE", f"{at}/silences/{{id}}", "End a silence now", self.unsilence, answer.Silences),
                fails=(404,),
            ),
            Operation("GET", f"{at}/markers", "What changed when", self.markers, answer.Markers, ask.MarkersQuery),
            Operation(
                *("POST", f"{at}/markers", "Say that something changed on purpose", self.mark, answer.MarkerLine),
                body=ask.MarkerBody,
                status=201,
            ),
        ]

    def workflows(self, _asked: Asked[Query, Body]) -> object:
        """The workflows that were seen."""
        return {"workflows": [asdict(workflow) for workflow in self._store.workflows()]}

    def calls(self, asked: Asked[ask.CallsQuery, Body]) -> object:
        """A page of calls by time."""
        query = asked.query
        page = self._store.calls(query.workflow, *_span(query), query.limit, query.cursor)
        return {"calls": [_call(call) for call in page.calls], "next": page.next}

    def usage(self, asked: Asked[ask.UsageQuery, Body]) -> object:
        """Sums per group."""
        groups = self._store.usage(asked.query.group_by.split(","), *_span(asked.query))
        return {"groups": [_group(usage) for usage in groups]}

    def points(self, asked: Asked[ask.PointsQuery, Body]) -> object:
        """A page of points, of whole intervals."""
        query = asked.query
        page = self._store.point_page(
            query.workflow, query.resolution, *_span(query), query.limit, histograms=query.histograms
        )
        return {"points": [_point(point, query.histograms) for point in page.points], "next": page.next}

    def incidents(self, asked: Asked[ask.IncidentsQuery, Body]) -> object:
        """Incidents, the newest first."""
        query = asked.query
        found = oncall.listed(self._store, query.state, query.limit, query.before)
        return {"incidents": [incident_line(incident) for incident in found]}

    def incident(self, asked: Asked[Query, Body]) -> object:
        """One incident with every decision about it and every message of it."""
        incident = oncall.find(self._store, asked.id)
        db = self._store.read()
        told = {"history": history.events(db, incident.id), "deliveries": history.deliveries(db, incident.id)}
        return {**incident_line(incident), **told}

    def events(self, asked: Asked[Query, Body]) -> object:
        """Every decision about one incident."""
        incident = oncall.find(self._store, asked.id)
        return {"events": history.events(self._store.read(), incident.id)}

    def acknowledge(self, asked: Asked[Query, ask.AckBody]) -> object:
        """Take an incident."""
        by, verdict = asked.body.by, asked.body.verdict
        with oncall.acting(self._store, asked.id) as tx:
            return incident_line(
                actions.acknowledge(tx, asked.id, by, self._clock(), self._alerts, verdict, self._look)
            )

    def resolve(self, asked: Asked[Query, ask.ResolveBody]) -> object:
        """Close an incident."""
        with oncall.acting(self._store, asked.id) as tx:
            return incident_line(actions.resolve(tx, asked.id, asked.body.by, self._clock(), self._alerts, self._look))

    def silences(self, _asked: Asked[Query, Body]) -> object:
        """The silences that hold."""
        return {"silences": [asdict(each) for each in history.silences(self._store.read(), self._clock())]}

    def silence(self, asked: Asked[Query, ask.SilenceBody]) -> object:
        """Keep something quiet for a while."""
        target = asked.body.model_dump(include=_SHOWN)
        with oncall.acting(self._store, asked.body.incident_id) as tx:
            return asdict(actions.silence(tx, now=self._clock(), seconds=asked.body.duration, **target))

    def unsilence(self, asked: Asked[Query, Body]) -> object:
        """End a silence; those that still hold."""
        oncall.end_silence(self._store, asked.id, self._clock())
        return self.silences(asked)

    def markers(self, asked: Asked[ask.MarkersQuery, Body]) -> object:
        """Markers by time, those that were sent and first occurrences."""
        query = asked.query
        found = self._store.markers(query.workflow, *_span(query))
        return {"markers": [asdict(marker) for marker in found[: query.limit]]}

    def mark(self, asked: Asked[Query, ask.MarkerBody]) -> object:
        """Note that something changed on purpose."""
        body = asked.body
        ts = self._clock() if body.ts is None else body.ts
        parts = (ts, body.kind, body.workflow, body.value, body.text)
        marker = Marker(*parts, id=blake2b(repr(parts).encode(), digest_size=8).hexdigest())
        self._store.append(Batch(markers=[marker]))
        return asdict(marker)


def _span(query: ask.Interval) -> tuple[float, float]:
    return (-math.inf if query.since is None else query.since, math.inf if query.until is None else query.until)


_CALL = [each.name for each in fields(Call)]


def _call(call: Call) -> dict[str, object]:
    """Like `asdict`, which takes five times as long for copying what nobody changes."""
    told: dict[str, object] = {name: getattr(call, name) for name in _CALL}
    if call.sources is not None:
        told["sources"] = [asdict(source) for source in call.sources]
    return told


def _group(usage: Usage) -> dict[str, object]:
    sums = asdict(usage)
    group: dict[str, object] = sums.pop("group")
    cost = sums["cost_usd"]
    return {**group, **sums, "cost_usd": cost if cost is None or math.isfinite(cost) else None}


def _point(point: Point, histograms: bool) -> dict[str, object]:
    """A point without its users, who are nobody's business outside the detectors."""
    start, workflow, segment, risk_tier, model, prompt_version = point.key
    return {
        "start": start,
        "workflow": workflow,
        "segment": segment,
        "risk_tier": risk_tier,
        "model": model,
        "prompt_version": prompt_version,
        "calls": point.calls,
        "manual": point.manual,
        "rates": {name: {"hits": hits, "trials": trials} for name, (hits, trials) in point.rates.items()},
        "quantities": {name: _spread(quantity, histograms) for name, quantity in point.quantities.items()},
    }


def _spread(quantity: Quantity, histogram_too: bool) -> dict[str, object]:
    if not histogram_too:
        return {"count": quantity.count, "total": quantity.total, "histogram": None}
    buckets = sorted((int(at), n) for at, n in quantity.buckets.items())
    histogram = [(0.0 if at == ZERO_BUCKET else 2.0 ** (at / BUCKETS_PER_OCTAVE), n) for at, n in buckets]
    return {"count": quantity.count, "total": quantity.total, "histogram": histogram}
