"""Microsoft Teams by a Workflows webhook ("post to a channel when a webhook request is received"): an Adaptive Card.

Forms: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors and https://adaptivecards.io (1.4).
A card cannot be changed later, so each event is one of its own. Data stands in text runs, which know no Markdown.
"""

import json
from typing import Any

from driftbell.alerts.channels.delivery import post
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import no_mentions, shorten
from driftbell.alerts.render import headline, rows
from driftbell.alerts.secret import resolve
from driftbell.alerts.settings import TeamsSection

MAX_BYTES = 20_000
"""Teams documents 28 KB; from about 21 KB on cards were seen to get lost."""
MAX_ROW = 600
MAX_ACTIONS = 6
"""More are not shown; the first are those that help most."""
STYLES = {"page": "attention", "ticket": "warning", "info": "accent"}


class TeamsChannel:
    """Posts cards to one workflow URL, which is itself the credential."""

    def __init__(self, name: str, section: TeamsSection, zone: str, linker: Linker) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Post the card of ``message``; see `Channel.send`."""
        body = json.dumps(card(message, self._zone, self._linker), ensure_ascii=False).encode()
        headers = {"content-type": "application/json; charset=utf-8"}
        post(resolve(self._section.webhook), data=body, headers=headers, timeout=self._section.timeout)
        return ref


def card(message: Message, zone: str, linker: Linker) -> dict[str, Any]:
    """The request body, at most `MAX_BYTES`: rows are shortened until it fits."""
    limit = MAX_ROW
    while True:
        made = _card(message, zone, linker, limit)
        if len(json.dumps(made, ensure_ascii=False).encode()) <= MAX_BYTES or limit <= 40:
            return made
        limit //= 2


def _card(message: Message, zone: str, linker: Linker, limit: int) -> dict[str, Any]:
    style = "good" if message.is_end else STYLES[message.severity]
    if message.transition in {"unknown", "test"}:
        style = "default"
    facts = [_rich([_run(f"{row.label}  ", bold=True), _run(shorten(row.text, limit))]) for row in rows(message, zone)]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            {
                "type": "Container",
                "style": style,
                "bleed": True,
                "items": [_rich([_run(headline(message, zone), bold=True, size="Large")])],
            },
            *facts,
            _rich([_run(message.event_id, size="Small")]),
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": label, "url": url} for label, url in linker.links(message)[:MAX_ACTIONS]
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _rich(inlines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": inlines}


def _run(text: str, *, bold: bool = False, size: str = "Default") -> dict[str, Any]:
    run: dict[str, Any] = {"type": "TextRun", "text": no_mentions(text), "size": size}
    return {**run, "weight": "Bolder"} if bold else run
