"""Time to the first token, from attributes in seconds, milliseconds or an unstated unit, or from span events."""

import re

from driftbell.collectors.dialects import values
from driftbell.collectors.dialects.aliases import Fact
from driftbell.collectors.span import Span

FIRST_TOKEN = re.compile(r"first.?(token|chunk)", re.IGNORECASE)
SLACK_S = 0.05
_WHOLE = 0.95


def first_token_ms(span: Span, facts: dict[str, Fact]) -> float | None:
    """Milliseconds to the first token, or ``None``; removes from ``facts`` the fields it was read from.

    A value beyond the duration of the span is wrong. A field whose unit depends on the emitter is taken as
    milliseconds if it came as an integer, else as seconds; never for a call that was not streamed, and if nobody says
    whether it was, only if it is less than the duration, with which some emitters fill it.
    """
    duration = span.end - span.start
    stated_s, stated_ms = facts.pop("ttft_s", None), facts.pop("ttft_ms", None)
    loose, moment = facts.pop("ttft_any", None), facts.pop("first_token_at", None)
    candidates: list[float] = []
    if stated_s is not None:
        candidates.append(float(stated_s))
    if stated_ms is not None:
        candidates.append(float(stated_ms) / 1e3)
    if moment is not None:
        candidates.append(float(moment) - span.start)
    candidates += [event.time - span.start for event in span.events[:64] if FIRST_TOKEN.search(event.name[:80])]
    if loose is not None and facts.get("streamed") is not False:
        likely = [found for found in _either_unit(span, float(loose)) if found <= duration + SLACK_S]
        if facts.get("streamed") or (likely and likely[0] < _WHOLE * duration):
            candidates += likely[:1]
    for found in candidates:
        if 0 <= found <= duration + SLACK_S:
            return found * 1e3
    return None


def _either_unit(span: Span, given: float) -> list[float]:
    whole = any(
        isinstance(value, int) and values.number(value) == given
        for name, value in span.attributes.items()
        if name.endswith("time_to_first_token")
    )
    return [given / 1e3, given] if whole else [given, given / 1e3]
