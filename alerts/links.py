"""Links in messages: to the page, and to acknowledge or silence with one click.

A signed link carries its own right: ``{page}/act/{action}/{incident}?until=…&sig=…``. Mail scanners open links, so
whoever serves them must ask for a confirming POST before anything changes.
"""

import hashlib
import hmac
from urllib.parse import quote, urlencode

from driftbell.alerts.message import Message
from driftbell.alerts.secret import resolve, resolve_url
from driftbell.alerts.settings import Links

ACTIONS = ("ack", "silence")
LABELS = {"ack": "Acknowledge", "silence": "Silence 4 h"}


class Linker:
    """Makes the links of a message from the settings. Without a page URL there are none but the runbook."""

    def __init__(self, settings: Links) -> None:
        self._settings = settings

    def links(self, message: Message) -> list[tuple[str, str]]:
        """(label, URL) in the order in which they help; acknowledging makes no sense once it is over."""
        found = [("Runbook", message.runbook)] if message.runbook else []
        if self._settings.page_url:
            page = resolve_url(self._settings.page_url).rstrip("/")
            found.append(("Incident", f"{page}/incidents/{quote(message.incident_id)}"))
            if not message.is_end and message.transition not in {"change", "test"}:
                found += [(LABELS[right], self._action(page, right, message)) for right in self._settings.rights]
        return found

    def _action(self, page: str, action: str, message: Message) -> str:
        target = f"{page}/act/{action}/{quote(message.incident_id)}"
        if self._settings.key is None:
            return target
        until = int(message.at + self._settings.valid_for)
        signature = sign(action, message.incident_id, until, resolve(self._settings.key))
        return f"{target}?{urlencode({'until': until, 'sig': signature})}"


def sign(action: str, incident_id: str, until: int, key: str) -> str:
    """The signature that allows ``action`` on one incident until the epoch second ``until``."""
    text = f"driftbell-link\n{action}\n{incident_id}\n{until}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def allowed(settings: Links, action: str, incident_id: str, until: str, signature: str, now: float) -> bool:
    """Whether a link with these parts gives the right to ``action`` at ``now``."""
    if settings.key is None or action not in settings.rights or not (until.isascii() and until.isdigit()):
        return False
    if len(until) > 12 or int(until) < now:
        return False
    right = sign(action, incident_id, int(until), resolve(settings.key))
    return hmac.compare_digest(right.encode(), signature.encode(errors="replace"))
