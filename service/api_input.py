"""What callers of the API may send, checked: a query or a body becomes values, or one error that says what to write."""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from driftbell.service.failure import Failure

MAX_BODY_BYTES = 65_536
MAX_TEXT = 200
M = TypeVar("M", bound=BaseModel)


class BadRequestError(Failure):
    """The request cannot be answered as it was put. ``status`` is the HTTP status code."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open interval ``[since, until)`` in epoch seconds."""

    since: float
    until: float


def only(request: Request, *known: str) -> None:
    """Refuse a query parameter that nothing reads: a misspelt filter must not look like an answer."""
    for name in request.query_params:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            raise BadRequestError(f"no parameter is called {name[:MAX_TEXT]!r}; {there}")


def text(request: Request, name: str, default: str | None = None) -> str | None:
    """A query parameter of bounded length; an empty one counts as absent."""
    given = request.query_params.get(name) or default
    if given is not None and len(given) > MAX_TEXT:
        raise BadRequestError(f"{name} is longer than {MAX_TEXT} characters")
    return given


def choice(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """One of ``allowed``, the first by default."""
    given = text(request, name, allowed[0])
    if given not in allowed:
        raise BadRequestError(f"{name} must be one of {', '.join(allowed)}")
    return str(given)


def number(request: Request, name: str, default: int, most: int) -> int:
    """A whole number from 1 to ``most``."""
    given = text(request, name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit()) or not 1 <= int(given) <= most:
        raise BadRequestError(f"{name} must be a whole number from 1 to {most}")
    return int(given)


def interval(request: Request) -> Span:
    """``since`` and ``until``; without them, everything."""
    since, until = moment(text(request, "since"), "since"), moment(text(request, "until"), "until")
    span = Span(-math.inf if since is None else since, math.inf if until is None else until)
    if span.since > span.until:
        raise BadRequestError("since must not be later than until")
    return span


def moment(given: str | None, name: str) -> float | None:
    """Epoch seconds of a time written as epoch seconds or as ISO 8601 with its zone."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = _iso(given)
        except (ValueError, OverflowError):
            raise BadRequestError(
                f"{name} must be epoch seconds or a time with its zone, such as 2026-11-10T09:00:00Z"
            ) from None
    if not math.isfinite(seconds) or abs(seconds) > 1e11:
        raise BadRequestError(f"{name} is no time of this era")
    return seconds


def _iso(given: str) -> float:
    parsed = datetime.fromisoformat(given.replace(" ", "+"))  # a '+' that was not escaped arrives as a blank
    if parsed.tzinfo is None:
        raise ValueError("no zone")
    return parsed.timestamp()


async def body(request: Request, model: type[M]) -> M:
    """The JSON body as ``model``; an empty body is an empty object.

    A page of another site that a browser of this machine has open may post here, but not act: without a token,
    what names a foreign origin is refused.
    """
    origin = request.headers.get("origin")
    if origin and "authorization" not in request.headers and urlsplit(origin).netloc != request.headers.get("host"):
        raise BadRequestError("a page of another origin may not do this", 403)
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequestError(f"the body is larger than {MAX_BODY_BYTES} bytes", 413)
    try:
        given = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the body"
        raise BadRequestError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
