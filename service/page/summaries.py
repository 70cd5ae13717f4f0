"""The weekly summaries as they were frozen for their readers; before the first one, the last week as it stands."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from driftbell.alerts.summary import summarise
from driftbell.alerts.weekly import archive
from driftbell.alerts.weekly.settings import EVERYONE
from driftbell.alerts.weekly.weeks import last_full_week
from driftbell.collectors.store import Store
from driftbell.service import oncall, weekly
from driftbell.service.config import Config
from driftbell.service.page import asked as given
from driftbell.service.page.render import page

LISTED = 60


class SummariesPage:
    """``/summaries``."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], float]) -> None:
        self._store, self._config, self._clock = store, config, clock

    def show(self, request: Request) -> Response:
        """The list, with the summary that was chosen or else the newest."""
        db = self._store.read()
        issued = archive.stored(db, limit=LISTED)
        recipient, week = given.text(request, "to"), given.text(request, "week")
        if recipient is None or week is None:
            chosen = issued[0] if issued else None
        else:
            chosen = next((each for each in issued if (each.recipient, each.week) == (recipient, week)), None)
            if chosen is None:
                raise oncall.NotFoundError("there is no such summary")
        data = archive.load(db, chosen.recipient, chosen.week) if chosen else self._computed()
        return page(
            request, "summaries.html", issued=issued, chosen=chosen, data=data, letter=data["letter"] if data else None
        )

    def _computed(self) -> dict[str, Any] | None:
        """The last full week of everything, as it would be told now."""
        if not self._store.workflows():
            return None
        week = last_full_week(self._clock(), EVERYONE.zone)
        return summarise(weekly.source(self._store, self._config), self._config.weekly, EVERYONE, week).data
