"""Moments as people write them on the command line."""

from datetime import UTC, datetime

from driftbell.detectors.duration import parse_duration
from driftbell.service.failure import Failure


def moment(option: str, text: str, now: float) -> float:
    """Epoch seconds of a date, a time (ISO 8601, UTC if it names no zone) or a length of time ago; raises `Failure`."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option}: {text[:40]!r} is no time; write 2026-11-01, 2026-11-01T08:00Z or 7d") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
