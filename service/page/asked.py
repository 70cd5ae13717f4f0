"""What a URL of the page asks for, read leniently where it is harmless and refused in one sentence where it is not."""

from starlette.requests import Request

from driftbell.service.api_input import BadRequestError, moment

MAX_TEXT = 512


def text(request: Request, name: str, default: str | None = None) -> str | None:
    """A parameter of bounded length; an empty one counts as absent, as forms send their empty fields too."""
    given = request.query_params.get(name) or default
    if given is not None and len(given) > MAX_TEXT:
        raise BadRequestError(f"{name} is longer than {MAX_TEXT} characters")
    return given


def choice(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """One of ``allowed``, the first by default."""
    given = text(request, name, allowed[0]) or allowed[0]
    if given not in allowed:
        raise BadRequestError(f"{name} must be one of {', '.join(each for each in allowed if each)}")
    return given


def number(request: Request, name: str, most: int) -> int:
    """A whole number from 1 to ``most``, 1 by default."""
    given = text(request, name, "1") or "1"
    if not (given.isascii() and given.isdigit()) or not 1 <= int(given[:12]) <= most:
        raise BadRequestError(f"{name} must be a whole number from 1 to {most}")
    return int(given)


def time(request: Request, name: str) -> float | None:
    """Epoch seconds of a time written as such or as ISO 8601 with its zone."""
    return moment(text(request, name), name)
