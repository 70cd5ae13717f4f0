"""The API under ``/api/v1``: calls, usage, incidents and workflows out; acknowledgements, silences and markers in.

Every mistake of the caller is answered with 400 and ``{"error": …}``. Handlers that read run in threads of their own.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from driftbell.alerts import actions, history
from driftbell.alerts.line import incident_line
from driftbell.alerts.record import Verdict
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.batch import Batch, StoreUnavailableError
from driftbell.collectors.call import Marker
from driftbell.collectors.query import BadQueryError, Usage
from driftbell.collectors.store import Store
from driftbell.detectors.duration import Seconds
from driftbell.service import api_input as given
from driftbell.service import oncall
from driftbell.service.api_input import BadRequestError

log = logging.getLogger("driftbell.service")

MAX_PAGE = 1000
Name = Field(default=None, min_length=1, max_length=200)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class AckBody(_Body):
    """Who takes the incident, and what they say of it."""

    by: str = Field(default="api", min_length=1, max_length=80)
    verdict: Verdict = "seen"


class ResolveBody(_Body):
    """Who says that it is over."""

    by: str = Field(default="api", min_length=1, max_length=80)


class SilenceBody(_Body):
    """What not to hear of, and for how long."""

    duration: Seconds = Field(alias="for", gt=0)
    workflow: str | None = Name
    family: str | None = Name
    segment: str | None = Name
    incident_id: str | None = Name
    by: str = Field(default="api", min_length=1, max_length=80)
    reason: str = Field(default="", max_length=200)


class MarkerBody(_Body):
    """Something that changed on purpose. ``ts`` is epoch seconds, by default now."""

    kind: str = Field(min_length=1, max_length=80)
    value: str | None = Name
    workflow: str | None = Name
    text: str | None = Name
    ts: float | None = Field(default=None, ge=0, le=1e11, allow_inf_nan=False)


class Api:
    """The handlers, over one store."""

    def __init__(self, store: Store, alerts: AlertSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._alerts = alerts
        self._clock = clock

    def routes(self) -> list[Route]:
        """Everything under ``/api/v1``."""
        return [
            Route("/api/v1/calls", self.calls),
            Route("/api/v1/usage", self.usage),
            Route("/api/v1/incidents", self.incidents),
            Route("/api/v1/incidents/{incident}", self.incident),
            Route("/api/v1/workflows", self.workflows),
            Route("/api/v1/incidents/{incident}/ack", self.acknowledge, methods=["POST"]),
            Route("/api/v1/incidents/{incident}/resolve", self.resolve, methods=["POST"]),
            Route("/api/v1/silences", self.silence, methods=["POST"]),
            Route("/api/v1/markers", self.mark, methods=["POST"]),
        ]

    def calls(self, request: Request) -> JSONResponse:
        """A page of calls by time."""
        given.only(request, "workflow", "since", "until", "limit", "cursor")
        span = given.interval(request)
        limit = given.number(request, "limit", 100, MAX_PAGE)
        workflow, cursor = given.text(request, "workflow"), given.text(request, "cursor")
        page = self._store.calls(workflow, span.since, span.until, limit, cursor)
        return JSONResponse({"calls": [asdict(call) for call in page.calls], "next": page.next})

    def usage(self, request: Request) -> JSONResponse:
        """Sums per group."""
        given.only(request, "group_by", "since", "until")
        span = given.interval(request)
        names = (given.text(request, "group_by") or "workflow").split(",")
        groups = self._store.usage([name.strip() for name in names if name.strip()], span.since, span.until)
        return JSONResponse({"groups": [_group(usage) for usage in groups]})

    def incidents(self, request: Request) -> JSONResponse:
        """Incidents, the newest first."""
        given.only(request, "state", "limit", "before")
        state = given.choice(request, "state", ("open", "resolved", "all"))
        limit = given.number(request, "limit", 200, MAX_PAGE)
        before = given.moment(given.text(request, "before"), "before")
        found = oncall.listed(self._store, state, limit, before)
        return JSONResponse({"incidents": [incident_line(incident) for incident in found]})

    def incident(self, request: Request) -> JSONResponse:
        """One incident with every decision about it and every message of it."""
        given.only(request)
        incident = oncall.find(self._store, request.path_params["incident"])
        db = self._store.read()
        told = {"history": history.events(db, incident.id), "deliveries": history.deliveries(db, incident.id)}
        return JSONResponse({**incident_line(incident), **told})

    def workflows(self, request: Request) -> JSONResponse:
        """The workflows that were seen."""
        given.only(request)
        return JSONResponse({"workflows": [asdict(workflow) for workflow in self._store.workflows()]})

    async def acknowledge(self, request: Request) -> JSONResponse:
        """Take an incident."""
        body = await given.body(request, AckBody)
        return JSONResponse(await run_in_threadpool(self._acknowledge, request.path_params["incident"], body))

    def _acknowledge(self, incident_id: str, body: AckBody) -> dict[str, object]:
        with oncall.acting(self._store, incident_id) as tx:
            return incident_line(
                actions.acknowledge(tx, incident_id, body.by, self._clock(), self._alerts, body.verdict)
            )

    async def resolve(self, request: Request) -> JSONResponse:
        """Close an incident."""
        body = await given.body(request, ResolveBody)
        return JSONResponse(await run_in_threadpool(self._resolve, request.path_params["incident"], body))

    def _resolve(self, incident_id: str, body: ResolveBody) -> dict[str, object]:
        with oncall.acting(self._store, incident_id) as tx:
            return incident_line(actions.resolve(tx, incident_id, body.by, self._clock(), self._alerts))

    async def silence(self, request: Request) -> JSONResponse:
        """Keep something quiet for a while."""
        body = await given.body(request, SilenceBody)
        return JSONResponse(await run_in_threadpool(self._silence, body), status_code=201)

    def _silence(self, body: SilenceBody) -> dict[str, object]:
        target = body.model_dump(include={"workflow", "family", "segment", "incident_id", "by", "reason"})
        with oncall.acting(self._store, body.incident_id) as tx:
            return asdict(actions.silence(tx, now=self._clock(), seconds=body.duration, **target))

    async def mark(self, request: Request) -> JSONResponse:
        """Note that something changed on purpose."""
        body = await given.body(request, MarkerBody)
        ts = self._clock() if body.ts is None else body.ts
        parts = (ts, body.kind, body.workflow, body.value, body.text)
        marker = Marker(*parts, id=blake2b(repr(parts).encode(), digest_size=8).hexdigest())
        await run_in_threadpool(self._store.append, Batch(markers=[marker]))
        return JSONResponse(asdict(marker), status_code=201)


def _group(usage: Usage) -> dict[str, object]:
    sums = asdict(usage)
    group: dict[str, object] = sums.pop("group")
    cost = sums["cost_usd"]
    return {**group, **sums, "cost_usd": cost if cost is None or math.isfinite(cost) else None}


def bad_request(_request: Request, error: Exception) -> JSONResponse:
    """The caller's mistake, told in one sentence."""
    status = 404 if isinstance(error, oncall.NotFoundError) else 400
    if isinstance(error, BadRequestError):
        status = error.status
    return JSONResponse({"error": str(error)}, status_code=status)


def unavailable(_request: Request, error: Exception) -> JSONResponse:
    """The store cannot be written or read at the moment."""
    after = error.retry_after if isinstance(error, StoreUnavailableError) else 5.0
    return JSONResponse({"error": str(error)}, status_code=503, headers={"Retry-After": str(math.ceil(after))})


def http_error(_request: Request, error: Exception) -> JSONResponse:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def unforeseen(request: Request, error: Exception) -> JSONResponse:
    """A defect of ours: told in the log, not to the caller."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "internal error; the log of the service says more"}, status_code=500)


ERRORS = {
    BadRequestError: bad_request,
    BadQueryError: bad_request,
    oncall.NotFoundError: bad_request,
    oncall.RefusedError: bad_request,
    StoreUnavailableError: unavailable,
    HTTPException: http_error,
    Exception: unforeseen,
}
"""What each error is answered with."""
