"""PagerDuty Events API v2: trigger, acknowledge and resolve under one dedup_key; change events for deployments.

Forms and limits: https://developer.pagerduty.com/docs/send-alert-event and send-change-event. An acknowledgement or
resolution under another routing key than the trigger is dropped without an error, so the key is kept by name.
"""

from datetime import UTC, datetime
from typing import Any

from driftbell.alerts.channels.delivery import DeliveryError, post
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import shorten
from driftbell.alerts.render import headline, rows
from driftbell.alerts.secret import SecretMissingError, fingerprint, resolve, resolve_url
from driftbell.alerts.settings import PagerDutySection

MAX_SUMMARY = 1024
MAX_DETAIL = 500
SEVERITIES = {"page": "critical", "ticket": "warning", "info": "info"}
ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve"}


class PagerDutyChannel:
    """Sends to one service (or event rule set) of PagerDuty."""

    def __init__(self, name: str, section: PagerDutySection, zone: str, linker: Linker, environment: str) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker
        self._environment = environment

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Send ``message`` as an event; see `Channel.send`. Keeps a fingerprint of the routing key."""
        key = self._key(ref.get("key"))
        if message.transition == "change":
            self._post("/v2/change/enqueue", self._change(message, key))
            return ref
        action = ACTIONS.get(message.transition, "trigger")
        self._post("/v2/enqueue", self._event(message, key, action))
        if message.transition == "test":
            self._post("/v2/enqueue", self._event(message, key, "resolve"))
        return {"key": fingerprint(key)}

    def _key(self, opened_with: str | None) -> str:
        """The routing key with the fingerprint ``opened_with``, the present one when nothing was opened yet."""
        present = resolve(self._section.routing_key)
        if opened_with in {None, fingerprint(present)}:
            return present
        for reference in self._section.previous_keys:
            try:
                older = resolve(reference)
            except SecretMissingError:
                continue
            if fingerprint(older) == opened_with:
                return older
        raise DeliveryError("routing_key_changed", permanent=True)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        post(resolve_url(self._section.api_url).rstrip("/") + path, json=body, timeout=self._section.timeout)

    def _event(self, message: Message, key: str, action: str) -> dict[str, Any]:
        event: dict[str, Any] = {"routing_key": key, "event_action": action, "dedup_key": message.dedup_key}
        if action != "trigger":
            return event
        links = self._linker.links(message)
        return {
            **event,
            "client": "driftbell",
            "payload": {
                "summary": shorten(headline(message, self._zone), MAX_SUMMARY),
                "source": f"driftbell/{self._environment}",
                "severity": "info" if message.transition == "test" else SEVERITIES[message.severity],
                "timestamp": iso(message.at),
                "component": message.workflow,
                "group": self._environment,
                "class": message.family,
                "custom_details": self._details(message),
            },
            "links": [{"href": url, "text": label} for label, url in links],
        }

    def _details(self, message: Message) -> dict[str, str]:
        facts = {row.label: shorten(row.text, MAX_DETAIL) for row in rows(message, self._zone)}
        return {**facts, "event_id": message.event_id, "metric": message.metric}

    def _change(self, message: Message, key: str) -> dict[str, Any]:
        payload = {
            "summary": shorten(message.title, MAX_SUMMARY),
            "timestamp": iso(message.at),
            "source": f"driftbell/{self._environment}",
            "custom_details": {"workflow": message.workflow, "event_id": message.event_id},
        }
        return {"routing_key": key, "payload": payload, "links": []}


def iso(ts: float) -> str:
    """The time in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
