"""Leaving the weekly summary with one click: what stands behind the List-Unsubscribe header of each mail (RFC 8058).

The random token in the link is the right to it, so no login is asked for. Opening the link changes nothing, because
mail scanners open links; the POST does, whether a mail program or the button of the page sends it.
"""

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from driftbell.alerts.plain import plain
from driftbell.alerts.weekly import readers
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.store import Store
from driftbell.service.act import MAX_FORM_BYTES, Page, answer

AGAIN = "again"
"""The field of the form that takes it back; a one-click request has another body."""
UNKNOWN = Page(
    404,
    "Not known",
    "Open the link at the end of a weekly summary: each mail has one of its own. This one is not known.",
)


class Unsubscribe:
    """The handlers, over one store."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock

    def routes(self) -> list[Route]:
        """GET shows, POST does."""
        one = f"{readers.PATH}/{{token}}"
        return [Route(readers.PATH, self.explain), Route(one, self.show), Route(one, self.change, methods=["POST"])]

    def explain(self, _request: Request) -> Response:
        """What a link without a token leads to."""
        return answer(UNKNOWN)

    def show(self, request: Request) -> Response:
        """What the link would do."""
        return answer(_page(readers.reader(self._store.read(), request.path_params["token"])))

    async def change(self, request: Request) -> Response:
        """Leave; with the field `AGAIN`, come back."""
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_FORM_BYTES:
                return answer(Page(413, "Too much", "The form is larger than this page makes it."))
        back = AGAIN in parse_qs(raw.decode("latin-1"))
        try:
            return answer(await run_in_threadpool(self._changed, request.path_params["token"], back))
        except StoreUnavailableError:
            return answer(Page(503, "Not now", "The store cannot be written at the moment. Try again in a minute."))

    def _changed(self, token: str, back: bool) -> Page:
        with self._store.write() as tx:
            if back:
                readers.come_back(tx, token)
            else:
                readers.leave(tx, token, self._clock())
            return _page(readers.reader(tx, token))


def _page(found: readers.Reader | None) -> Page:
    if found is None:
        return UNKNOWN
    facts = (("Summary", plain(found.recipient, 60)),)
    if found.left_at is None:
        text = "You get this weekly summary. The button ends that for your address, and for no other."
        return Page(200, "Weekly summary", text, facts, "Unsubscribe", {}, asks_name=False)
    text = "You get this weekly summary no more."
    return Page(200, "Unsubscribed", text, facts, "Subscribe again", {AGAIN: "1"}, asks_name=False)
