"""Whether a span failed, how, and with what error: from status, attributes, exception events and HTTP codes."""

from driftbell.collectors.call import Status
from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.aliases import Fact
from driftbell.collectors.dialects.vocabulary import REFUSED_FOR_GOOD, error_status
from driftbell.collectors.span import Span

_UNSET, _OK, _ERROR = 0, 1, 2
_STATUSES: tuple[Status, ...] = ("ok", "error", "timeout", "rate_limited", "cancelled")


def read_failure(span: Span, facts: dict[str, Fact]) -> bool:
    """Set ``status``, ``error_type`` and ``hopeless`` if the span failed; removes the fields it read them from.

    The words of an error are searched in every place, because frameworks hide a 429 behind an exception of their
    own. An exception that was recorded on a span which then ended well is no failure.
    """
    level, message = facts.pop("error_level", None), facts.pop("error_message", None)
    code, stated = facts.pop("error_code", None), facts.pop("status", None)
    succeeded = facts.pop("succeeded", None)
    if stated in _STATUSES:
        facts["status"] = stated
        return stated != "ok"
    exceptions = [event.attributes for event in span.events[:64] if event.name == "exception"]
    failed_code = code if isinstance(code, int) and 400 <= code < 600 else None
    error_type = facts.get("error_type")
    failed = span.status == _ERROR or str(level).upper() == "ERROR" or failed_code is not None or bool(error_type)
    failed = failed or (succeeded is False and span.status == _UNSET)
    if not failed and span.status == _UNSET and exceptions:
        failed = not (facts.get("output_tokens") or facts.get("finish_reason"))
    if not failed or (span.status == _OK and failed_code is None and not error_type):
        facts.pop("error_type", None)
        return False
    words = [str(error_type or ""), str(message or ""), span.status_message]
    for exception in exceptions[:4]:
        words += [str(exception.get(f"exception.{member}") or "")[:2000] for member in ("type", "message")]
        if error_type is None:
            error_type = values.text(exception.get("exception.type"))
    evidence = " ".join(words)[:8000]
    facts["status"] = error_status(evidence, failed_code)
    if error_type is None:
        error_type = str(failed_code) if failed_code is not None else _leading_word(span.status_message)
    if error_type is not None:
        facts["error_type"] = str(error_type).removeprefix("<class '").removesuffix("'>")[:120]
    if facts["status"] == "error" and (REFUSED_FOR_GOOD.search(evidence) or failed_code in range(400, 408)):
        facts["hopeless"] = True
    return True


def _leading_word(message: str) -> str | None:
    """``RateLimitError`` of ``RateLimitError: Error code: 429 …``; the rest of a message may hold anything."""
    head = message.partition(":")[0].strip()
    return head if head.isidentifier() and len(head) <= 80 else None
