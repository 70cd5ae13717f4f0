"""The calls: finding them, and the trail of one, which answers what produced an answer."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from driftbell.collectors.call import Call
from driftbell.collectors.search import Wanted
from driftbell.collectors.store import Store
from driftbell.service import oncall
from driftbell.service.page import asked as given
from driftbell.service.page.render import page, url
from driftbell.service.page.window import RANGES, asked_for
from driftbell.service.page.workflow import choices

ROWS = 50
FILTERS = ("workflow", "segment", "model", "prompt_version", "status", "user_id", "text")
STATUSES = ("ok", "error", "timeout", "rate_limited", "cancelled")
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
            link=call_link,
        )

    def trail(self, request: Request) -> Response:
        """Everything that is kept of one call."""
        trail = self._store.trail(request.path_params["trace"][:64], request.path_params["span"][:32])
        if trail is None:
            raise oncall.NotFoundError("there is no call with these ids; it may be older than calls are kept")
        call = trail.call
        changes = self._store.markers(call.workflow, call.ts - NEAR, call.ts + 1)[-10:]
        return page("call.html", trail=trail, call=call, changes=changes, link=call_link)


def call_link(call: Call) -> str | None:
    """The address of the trail of a call; None when its ids are not known."""
    return f"/calls/{call.trace_id}/{call.span_id}" if call.trace_id and call.span_id else None
