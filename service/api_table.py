"""The table of the API: what each operation takes and answers. The routes and the description are made from it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import anyio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from driftbell.service import api_input as given
from driftbell.service.sharing import Shared, Worked

READERS = 4
"""Questions that are answered at the same time; more of them would only take the interpreter from the receiver."""


class Query(BaseModel):
    """The query of an operation; an unknown parameter is refused: a misspelt filter must not look like an answer."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Body(BaseModel):
    """The JSON body of an operation."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=Body)
Name = Annotated[str, Field(min_length=1, max_length=given.MAX_TEXT)]
Moment = Annotated[
    float,
    BeforeValidator(given.epoch),
    WithJsonSchema(
        {
            "description": "Epoch seconds, or ISO 8601 with a zone.",
            "oneOf": [
                {"type": "number", "minimum": -given.ERA, "maximum": given.ERA},
                {"type": "string", "format": "date-time"},
            ],
        }
    ),
]
"""A time in a query."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """One request, checked. ``id`` is that of the path, ``""`` where the path has none."""

    query: Q
    body: B
    id: str


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, B]):
    """One method of one path. ``answer`` is the type of what ``run`` returns; ``fails`` are its own error codes."""

    method: str
    path: str
    summary: str
    run: Callable[[Asked[Q, B]], object]
    answer: Any
    query: type[Q] = Query  # type: ignore[assignment]
    body: type[B] = Body  # type: ignore[assignment]
    status: int = 200
    fails: tuple[int, ...] = ()
    shared: bool = False
    """Whether one answer may serve all who ask the same within some seconds (see `sharing`)."""

    @property
    def posts(self) -> bool:
        """Whether it takes a body."""
        return self.body is not Body


@dataclass
class Table:
    """Operations as routes: one per path, so that a wrong method is told every right one."""

    operations: Sequence[Operation[Any, Any]]
    _reading: anyio.CapacityLimiter | None = field(default=None, init=False)
    _sharing: Shared = field(default_factory=Shared, init=False)

    def routes(self) -> list[Route]:
        """The routes in the order of the table."""
        paths: dict[str, dict[str, Operation[Any, Any]]] = {}
        for operation in self.operations:
            paths.setdefault(operation.path, {})[operation.method] = operation
        return [Route(path, self._endpoint(methods), methods=list(methods)) for path, methods in paths.items()]

    def _endpoint(self, methods: dict[str, Operation[Any, Any]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            operation = methods.get("GET" if request.method == "HEAD" else request.method)
            if operation is None:
                raise HTTPException(405, headers={"Allow": ", ".join(methods)})
            return await self._answer(operation, request)

        return answer

    async def _answer(self, operation: Operation[Any, Any], request: Request) -> Response:
        query = given.query(request, operation.query)
        if operation.method != "GET":
            given.from_here(request)
        body = await given.body(request, operation.body) if operation.posts else operation.body()
        asked = Asked(query, body, request.path_params.get("id", ""))
        limiter = self._readers() if operation.method == "GET" else None

        async def work() -> Worked:
            return await anyio.to_thread.run_sync(_respond, operation, asked, limiter=limiter)

        if operation.shared:
            body = await self._sharing.answer(f"{operation.path} {asked.id} {query.model_dump_json()}", work)
        else:
            body = (await work()).body
        return Response(body, operation.status, media_type="application/json")

    def _readers(self) -> anyio.CapacityLimiter:
        if self._reading is None:  # it belongs to the event loop, which does not run yet when the table is made
            self._reading = anyio.CapacityLimiter(READERS)
        return self._reading


def _respond(operation: Operation[Any, Any], asked: Asked[Any, Any]) -> Worked:
    began = time.thread_time()
    body = bytes(JSONResponse(operation.run(asked)).body)
    return Worked(body, time.thread_time() - began)
