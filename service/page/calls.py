"""The calls: finding them, and the trail of one, which answers what produced an answer."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from driftbell.alerts.plain import plain
from driftbell.alerts.wording import milliseconds, money
from driftbell.collectors.call import Call
from driftbell.collectors.search import Wanted
from driftbell.collectors.store import Store
from driftbell.service import oncall
from driftbell.service.page import asked as given
from driftbell.service.page.render import named, page, url
from driftbell.service.page.window import RANGES, asked_for
from driftbell.service.page.workflow import choices

ROWS = 50
FILTERS = ("workflow", "segment", "model", "prompt_version", "status", "user_id", "text")
STATUSES = ("ok", "error", "timeout", "rate_limited", "cancelled")
Fact = tuple[str, str | None, str]
"""Label, value (None: not told) and what is added to it in small."""
NEAR = 6 * 3600.0
"""Changes so long before a call are shown beside it."""


class CallsPage:
    """``/calls`` and ``/calls/{trace}/{span}``."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock

    def show(self, request: Request) -> Response:
        """A page of calls, the newest first."""
        window = asked_for(request, self._clock(), "24h")
        chosen = {name: given.text(request, name) for name in FILTERS}
        wanted = Wanted(since=window.since, until=window.until, **chosen)
        found = self._store.search(wanted, ROWS, given.text(request, "cursor"))
        asked = {**chosen, **window.asked}
        workflow = chosen["workflow"]
        return page(
            request,
            "calls.html",
            found=found,
            chosen=chosen,
            window=window,
            older=url("/calls", **asked, cursor=found.next) if found.next else None,
            first=url("/calls", **asked) if request.query_params.get("cursor") else None,
            workflows=[w.name for w in self._store.workflows()][:2000],
            choices=choices(self._store, workflow) if workflow else None,
            statuses=STATUSES,
            ranges=RANGES,
        )

    def trail(self, request: Request) -> Response:
        """Everything that is kept of one call."""
        trail = self._store.trail(request.path_params["trace"][:64], request.path_params["span"][:32])
        if trail is None:
            raise oncall.NotFoundError("there is no call with these ids; it may be older than calls are kept")
        call = trail.call
        changes = self._store.markers(call.workflow, call.ts - NEAR, call.ts + 1)[-10:]
        return page(request, "call.html", trail=trail, call=call, changes=changes, made=_made(call), used=_used(call))


def _made(call: Call) -> list[Fact]:
    """What the answer was made by."""
    names = (
        ("Model", call.model),
        ("Provider", call.provider),
        ("Prompt", call.prompt_name),
        ("Prompt version", call.prompt_version),
        ("Release", call.release),
        ("Operation", call.operation),
        ("Segment", call.segment),
        ("Risk tier", call.risk_tier),
        ("Owner", call.owner),
        ("User", call.user_id),
        ("Session", call.session_id),
    )
    facts: list[Fact] = [(label, None if name is None else named(name, 100), "") for label, name in names]
    return [*facts, ("Fallback", _yes(call.fallback), "")]


def _used(call: Call) -> list[Fact]:
    """What it took."""
    cost = None if call.cost_usd is None else money(call.cost_usd)
    prices = f"{call.cost_source}, prices {plain(call.price_version, 40)}" if call.price_version else call.cost_source
    first = f"first token after {milliseconds(call.ttft_ms)}" if call.ttft_ms is not None else ""
    cached = f"{call.cached_tokens:,} cached" if call.cached_tokens else ""
    reasoning = f"{call.reasoning_tokens:,} reasoning" if call.reasoning_tokens else ""
    return [
        ("Input tokens", _count(call.input_tokens), cached),
        ("Output tokens", _count(call.output_tokens), reasoning),
        ("Usage", call.usage_source, ""),
        ("Cost", cost, prices),
        ("Took", None if call.latency_ms is None else milliseconds(call.latency_ms), first),
        ("Attempts", f"{call.attempts:,}", ""),
        ("Finish reason", None if call.finish_reason is None else named(call.finish_reason), ""),
        ("Refused", _yes(call.refused), ""),
        ("Format kept", _yes(call.format_ok), ""),
    ]


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
