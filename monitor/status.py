"""How a call that raised is told: its status and the class of its exception, never its message."""

from typing import Any, Final

_LINKS_FOLLOWED: Final = 4
_RATE_LIMITED: Final = ("ratelimit", "throttl", "toomanyrequests", "resourceexhausted", "quota")


def error_type(error: BaseException) -> str:
    """The class of the exception with the package it comes from, such as ``openai.RateLimitError``."""
    package = type(error).__module__.partition(".")[0]
    name = type(error).__qualname__[:160]
    return name if package in ("builtins", "__main__") else f"{package[:39]}.{name}"


def status(error: BaseException) -> str:
    """``timeout``, ``rate_limited``, ``cancelled`` or ``error``; frameworks that wrap a cause are looked through."""
    if not isinstance(error, Exception):  # cancelled tasks, closed generators, interrupts
        return "cancelled"
    link: BaseException | None = error
    for _ in range(_LINKS_FOLLOWED):
        if link is None:
            break
        name = type(link).__name__.lower()
        if _code(link) == 429 or any(part in name for part in _RATE_LIMITED):
            return "rate_limited"
        if isinstance(link, TimeoutError) or "timeout" in name or _code(link) in (408, 504):
            return "timeout"
        link = link.__cause__ or link.__context__
    return "error"


def _code(error: BaseException) -> int | None:
    """The HTTP status that clients hang on their exceptions, each under another name."""
    for name in ("status_code", "code", "http_status"):
        value = vars(error).get(name) if hasattr(error, "__dict__") else None
        if type(value) is int:
            return value
    response: Any = vars(error).get("response") if hasattr(error, "__dict__") else None
    if type(response) is dict:  # botocore's ClientError
        about = response.get("ResponseMetadata")
        found = about.get("HTTPStatusCode") if type(about) is dict else None
        return found if type(found) is int else None
    return None
