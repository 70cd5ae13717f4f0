"""The overview: every workflow, the worst first. Read from the snapshot, whatever the number of calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from driftbell.alerts.plain import plain
from driftbell.alerts.wording import duration
from driftbell.service.page import asked as given
from driftbell.service.page.chart import spark
from driftbell.service.page.figures import COLUMNS
from driftbell.service.page.glance import DAY, Glance, Glances, Snapshot
from driftbell.service.page.render import page, url

ROWS = 50
SOON = 180.0
"""A workflow that is seconds old has calls but no points yet; its page is loaded again until they are there."""
USUAL = "127.0.0.1:4318"
"""Where applications send to unless they are told otherwise."""
SORTS = ("worst", "name", "spend", "calls")
STATES = {
    "page": "Page",
    "ticket": "Ticket",
    "unknown": "Cannot tell",
    "quiet": "Quiet",
    "learning": "Learning",
    "usual": "As usual",
}
"""What is said of a workflow."""


@dataclass(frozen=True, slots=True)
class Row:
    """One workflow as it is shown."""

    glance: Glance
    state: str
    spark: str
    note: str = ""
    counting: bool = False


class OverviewPage:
    """``/``."""

    def __init__(self, glances: Glances, clock: Callable[[], float]) -> None:
        self._glances, self._clock = glances, clock

    def show(self, request: Request) -> Response:
        """The page of the rows that were asked for, or how to begin while there is no workflow."""
        snapshot = self._glances.latest()
        if not snapshot.glances:
            host = request.headers.get("host", USUAL)
            endpoint = f"{request.url.scheme}://{host}"
            return page(request, "start.html", endpoint=endpoint, usual=host in (USUAL, "localhost:4318"))
        asked = given.text(request, "q") or ""
        sort = given.choice(request, "sort", SORTS)
        state = given.choice(request, "state", ("", *STATES))
        found = [g for g in _sorted(snapshot.glances, sort) if _fits(g, asked) and state in ("", g.state)]
        pages = max(-(-len(found) // ROWS), 1)
        number = min(given.number(request, "page", 10_000), pages)
        rows = [_row(g, snapshot) for g in found[(number - 1) * ROWS : number * ROWS]]
        counts = {name: sum(1 for g in snapshot.glances if g.state == name) for name in STATES}

        def link(**changed: object) -> str:
            now: dict[str, object] = {"q": asked, "state": state, "sort": sort if sort != SORTS[0] else None}
            return url("/", **{**now, **changed})

        return page(
            request,
            "overview.html",
            rows=rows,
            snapshot=snapshot,
            age=self._clock() - snapshot.at,
            counts={name: n for name, n in counts.items() if n},
            total=len(snapshot.glances),
            states=STATES,
            found=len(found),
            spend=sum(_value(g, "spend") for g in found),
            calls=sum(_value(g, "calls") for g in found),
            columns=COLUMNS,
            asked=asked,
            state=state,
            sort=sort,
            number=number,
            pages=pages,
            link=link,
        )


def _row(glance: Glance, snapshot: Snapshot) -> Row:
    note, counting = "", False
    if snapshot.at - glance.workflow.first_ts < SOON and not glance.figures["calls"].value:
        note, counting = "first calls are being counted", True
    elif glance.state == "learning":
        days = (snapshot.at - glance.workflow.first_ts) / DAY
        note = f"day {max(int(days), 0) + 1} of {snapshot.learns / DAY:g}"
    elif glance.state == "quiet":
        note = f"for {duration(snapshot.at - glance.workflow.newest_ts)}"
    return Row(glance, STATES[glance.state], spark(glance.hourly), note, counting)


def _sorted(glances: Sequence[Glance], sort: str) -> Sequence[Glance]:
    if sort == "name":
        return sorted(glances, key=lambda g: g.workflow.name.casefold())
    if sort == "spend":
        return sorted(glances, key=lambda g: -_value(g, "spend"))
    if sort == "calls":
        return sorted(glances, key=lambda g: -_value(g, "calls"))
    return glances


def _value(glance: Glance, column: str) -> float:
    """A number to sort and add up by: what is not known weighs nothing."""
    return glance.figures[column].value or 0.0


def _fits(glance: Glance, asked: str) -> bool:
    words = asked.casefold().split()
    text = plain(
        f"{glance.workflow.name} {glance.workflow.owner or ''} {glance.workflow.risk_tier or ''}", 600
    ).casefold()
    return all(word in text for word in words)
