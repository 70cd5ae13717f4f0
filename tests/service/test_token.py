"""With a token configured, only `/healthz` answers without it."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from driftbell.service.token import BearerToken, allowed


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret "])
def test_the_token_is_accepted(header):
    assert allowed(header, "s3cret")


@pytest.mark.parametrize(
    "header", [None, "", "s3cret", "Basic s3cret", "Bearer", "Bearer s3cre", "Bearer s3cret2", "Bearer é"]
)
def test_anything_else_is_not(header):
    assert not allowed(header, "s3cret")


async def answer(path: str, headers: list[tuple[bytes, bytes]]) -> int:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = BearerToken(Starlette(routes=[Route("/healthz", hello), Route("/api/v1/calls", hello)]), "s3cret")
    statuses = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    await app(scope, receive, send)
    return statuses[0]


def test_a_request_without_the_token_is_refused():
    import asyncio

    given = [(b"authorization", b"Bearer s3cret")]
    assert asyncio.run(answer("/api/v1/calls", [])) == 401
    assert asyncio.run(answer("/api/v1/calls", given)) == 200
    assert asyncio.run(answer("/healthz", [])) == 200
