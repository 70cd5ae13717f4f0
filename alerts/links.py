"""Links in messages: to the page, and to act on an incident with one click.

A signed link carries its own right to one action on one incident: ``{page}/act/{action}/{incident}?until=…&sig=…``.
Mail scanners open links, so whoever serves them must ask for a confirming POST before anything changes.
"""

import hashlib
import hmac
from urllib.parse import quote, urlencode

from driftbell.alerts.message import Message
from driftbell.alerts.secret import SecretMissingError, resolve, resolve_url
from driftbell.alerts.settings import Links

SILENCE = 4 * 3600.0
"""Seconds for which a silence link keeps its incident quiet."""
LABELS = {"ack": "Acknowledge", "silence": "Silence 4 h", "false_alarm": "False alarm", "new_normal": "New normal"}
VERDICTS = ("false_alarm", "new_normal")
"""Said of what was measured in a workflow; of a broken channel they mean nothing."""
SHORTEST_KEY = 16
"""Characters; a shorter key could be guessed from one link, away from the service."""


class Linker:
    """Makes the links of a message from the settings. Without a page URL there are the runbook and traces only."""

    def __init__(self, settings: Links) -> None:
        self._settings = settings

    def links(self, message: Message) -> list[tuple[str, str]]:
        """(label, URL) in the order in which they help; acting makes no sense once it is over."""
        found = [("Runbook", message.runbook)] if message.runbook else []
        page = _address(self._settings.page_url).rstrip("/")
        if page and message.transition not in {"change", "test"}:  # these are of no incident
            found.append(("Incident", f"{page}/incidents/{quote(message.incident_id)}"))
            if not message.is_end:
                rights = [right for right in self._settings.rights if not (message.is_about_us and right in VERDICTS)]
                found += [(LABELS[right], self._action(page, right, message)) for right in rights]
        if not message.is_end and (template := _address(self._settings.trace_url)):
            for number, trace in enumerate(message.trace_ids, 1):
                found.append((f"Trace {number}", template.replace("{trace_id}", quote(trace))))
        return found

    def _action(self, page: str, action: str, message: Message) -> str:
        """The signed link; unsigned without a usable key, since a message must go out all the same."""
        target = f"{page}/act/{action}/{quote(message.incident_id)}"
        until = int(message.at + self._settings.valid_for)
        try:
            key = None if self._settings.key is None else link_key(self._settings.key)
        except SecretMissingError:
            return target
        if key is None:
            return target
        signature = sign(action, message.incident_id, until, key)
        return f"{target}?{urlencode({'until': until, 'sig': signature})}"


def _address(text: str | None) -> str:
    """The URL that a setting means; empty without one, since a message must go out without its links too."""
    try:
        return resolve_url(text) if text else ""
    except SecretMissingError:
        return ""


def link_key(reference: str) -> str:
    """The key behind ``reference``; raises SecretMissingError when it is absent or so short that it can be guessed."""
    key = resolve(reference)
    if len(key) < SHORTEST_KEY:
        raise SecretMissingError(f"the secret {reference} is shorter than {SHORTEST_KEY} characters")
    return key


def sign(action: str, incident_id: str, until: int, key: str) -> str:
    """The signature that allows ``action`` on one incident until the epoch second ``until``."""
    text = f"driftbell-link\n{action}\n{incident_id}\n{until}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def allowed(settings: Links, action: str, incident_id: str, until: str, signature: str, now: float) -> bool:
    """Whether a link with these parts gives the right to ``action`` at ``now``; False without a usable key."""
    if settings.key is None or action not in settings.rights or not (until.isascii() and until.isdigit()):
        return False
    if len(until) > 12 or int(until) < now:
        return False
    try:
        right = sign(action, incident_id, int(until), link_key(settings.key))
    except SecretMissingError:
        return False
    return hmac.compare_digest(right.encode(), signature.encode(errors="replace"))
