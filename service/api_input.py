"""What callers of the API may send, checked: a query or a body becomes values, or one error that says what to write."""

import json
import math
import re
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from driftbell.service.failure import Failure

MAX_BODY_BYTES = 65_536
MAX_TEXT = 200
MAX_SAID = 500
ERA = 2.5e11
"""The farthest time that can be asked for, in epoch seconds: some year of four digits."""
JSON = "application/json"
M = TypeVar("M", bound=BaseModel)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf(inity)?", re.ASCII)


class BadRequestError(Failure):
    """The request cannot be answered as it was put. ``status`` is the HTTP status code."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def query(request: Request, model: type[M]) -> M:
    """The query as ``model``; a parameter that stands there twice, or that nothing reads, is refused."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise BadRequestError(f"{name[:MAX_TEXT]} stands there twice")
        if name not in model.model_fields:
            there = f"there are {', '.join(model.model_fields)}" if model.model_fields else "there is none"
            raise BadRequestError(f"no parameter is called {name[:MAX_TEXT]!r}; {there}")
        found[name] = value
    return _valid(found, model)


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


def digits(value: object) -> object:
    """A whole number as a query writes it: digits and nothing else."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a whole number")
    return value


def truth(value: object) -> object:
    """``true`` or ``false`` in a query."""
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


def epoch(value: object) -> float | None:
    """Epoch seconds of a time in a query; raises ValueError."""
    try:
        return moment(str(value), "it")
    except BadRequestError as error:
        raise ValueError(str(error)) from None


def moment(given: str | None, name: str) -> float | None:
    """Epoch seconds of a time written as epoch seconds or as ISO 8601 with its zone."""
    if given is None:
        return None
    try:
        seconds = float(given) if _NUMBER.fullmatch(given) else _iso(given)
    except (ValueError, OverflowError):
        raise BadRequestError(
            f"{name} must be epoch seconds or a time with its zone, such as 2026-11-10T09:00:00Z"
        ) from None
    if not math.isfinite(seconds) or abs(seconds) > ERA:
        raise BadRequestError(f"{name} is no time of this era")
    return seconds


def _iso(given: str) -> float:
    parsed = datetime.fromisoformat(given.replace(" ", "+").upper())  # a '+' that was not escaped arrives as a blank
    if parsed.tzinfo is None:
        raise ValueError("no zone")
    return parsed.timestamp()


def from_here(request: Request) -> None:
    """Refuse what a page of another site posts.

    A browser of this machine may have such a page open, and it may post here, but not act: without a token, what
    names a foreign origin is refused.
    """
    origin = request.headers.get("origin")
    if not origin or "authorization" in request.headers:
        return
    try:
        there = urlsplit(origin).netloc
    except ValueError:
        there = ""
    if there != request.headers.get("host"):
        raise BadRequestError("a page of another origin may not do this", 403)


async def body(request: Request, model: type[M]) -> M:
    """The JSON body as ``model``; an empty one is an empty object. ``curl -d`` calls JSON a form: let pass."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind not in (JSON, "application/x-www-form-urlencoded"):
        raise BadRequestError(f"the content type must be {JSON}", 415)
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequestError(f"the body is larger than {MAX_BODY_BYTES} bytes", 413)
    try:
        given = json.loads(raw or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None
    return _valid(given, model)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _valid(given: object, model: type[M]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        if first["type"] == "model_type":
            where = "the body"
        why = first["msg"].removeprefix("Value error, ").removeprefix("it ")
        raise BadRequestError((f"{where}: {why}" if where else why)[:MAX_SAID]) from None
