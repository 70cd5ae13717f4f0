"""Prometheus Alertmanager API v2: an alert per open incident, posted again while it is open, with an explicit end.

Form: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Alertmanager forgets alerts when it
restarts and calls an alert resolved when its ``endsAt`` passes, so `repost` says again and again that it is not.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from driftbell.alerts.channels.delivery import post
from driftbell.alerts.channels.pagerduty import iso
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import shorten
from driftbell.alerts.render import headline, rows
from driftbell.alerts.secret import resolve, resolve_url
from driftbell.alerts.settings import AlertmanagerSection

MAX_ANNOTATION = 500


class AlertmanagerChannel:
    """Posts to one Alertmanager (or the load balancer of several)."""

    def __init__(
        self,
        name: str,
        section: AlertmanagerSection,
        zone: str,
        linker: Linker,
        environment: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker
        self._environment, self._clock = environment, clock

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Post the alert of ``message``; see `Channel.send`. Keeps its labels, which are its identity there.

        Where a label changed (a raised severity), the alert under the old labels is ended in the same request.
        """
        now = self._clock()
        labels = self._labels(message)
        alerts = [self._alert(message, labels, now)]
        former = json.loads(ref["labels"]) if "labels" in ref else labels
        if former != labels:
            alerts.append({**self._alert(message, former, now), "endsAt": iso(now)})
        self._post(alerts)
        return {"labels": json.dumps(labels)}

    def repost(self, told: Sequence[tuple[Message, dict[str, str]]]) -> None:
        """Post again what is open: for each incident its latest message, with the reference of `send`."""
        now = self._clock()
        alerts = [self._alert(m, json.loads(ref["labels"]), now) for m, ref in told if "labels" in ref]
        if alerts:
            self._post(alerts)

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        url = resolve_url(self._section.url).rstrip("/") + "/api/v2/alerts"
        auth = None
        if self._section.user and self._section.password:
            auth = (self._section.user, resolve(self._section.password))
        post(url, json=alerts, timeout=self._section.timeout, auth=auth)

    def _labels(self, message: Message) -> dict[str, str]:
        return {
            "alertname": f"Driftbell{message.family.capitalize()}",
            "workflow": message.workflow,
            "family": message.family,
            "severity": message.severity,
            "environment": self._environment,
            "incident": message.incident_id,
            **({"owner": message.owner} if message.owner else {}),
        }

    def _alert(self, message: Message, labels: dict[str, str], now: float) -> dict[str, Any]:
        over = message.transition in {"resolved", "test"}
        links = self._linker.links(message)
        facts = {row.label.lower().replace(" ", "_"): shorten(row.text, MAX_ANNOTATION)
                 for row in rows(message, self._zone)}  # fmt: skip
        annotations = {"summary": headline(message, self._zone), "event_id": message.event_id, **facts}
        if message.runbook:
            annotations["runbook_url"] = message.runbook
        return {
            "labels": labels,
            "annotations": annotations,
            "startsAt": iso(min(message.started_at, now)),
            "endsAt": iso(now if over else now + self._section.hold),
            "generatorURL": next((url for label, url in links if label == "Incident"), ""),
        }
