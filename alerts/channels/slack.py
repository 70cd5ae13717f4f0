"""Slack: with a bot token one message that shows the present state, its history in the thread; or an incoming webhook.

Forms and limits: https://docs.slack.dev/reference/methods/chat.postMessage, chat.update and Block Kit. Data stands in
plain and rich text elements only, which Slack does not search for markup or mentions.
"""

import json
from typing import Any

from driftbell.alerts.channels.delivery import DeliveryError, post
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import no_mentions, shorten
from driftbell.alerts.render import headline, rows, state_word
from driftbell.alerts.secret import resolve, resolve_url
from driftbell.alerts.settings import SlackSection
from driftbell.alerts.wording import moment, signed_money

MAX_HEADER = 150
MAX_ROW = 500
COLOURS = {"page": "#b3261e", "ticket": "#b57b0e", "info": "#2c5f9e"}
ENDED, UNSURE = "#1b6e3c", "#5b6470"
_EDIT_REFUSED = {"cant_update_message", "edit_window_closed", "message_not_found", "update_failed"}
_AUTH = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
_NOWHERE = {"channel_not_found", "is_archived", "not_in_channel"}
_PASSING = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}


class SlackChannel:
    """Posts to one Slack channel."""

    def __init__(self, name: str, section: SlackSection, zone: str, linker: Linker) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Post or edit ``message``; see `Channel.send`. Keeps the time stamp by which Slack names the message."""
        body = form(message, self._zone, self._linker)
        if self._section.webhook is not None:
            body.pop("metadata")  # known to chat.postMessage only
            post(resolve(self._section.webhook), json=body, timeout=self._section.timeout)
            return ref
        if "ts" not in ref or message.transition == "test":
            answer = self._call("chat.postMessage", {"channel": self._section.channel, **body})
            return {"ts": str(answer.get("ts", "")), "channel": str(answer.get("channel", ""))}
        self._edit(body, ref)
        reply = {"channel": ref["channel"], "thread_ts": ref["ts"], **_brief(message, self._zone)}
        if message.transition == "escalated" or message.reason in {"severity_raised", "reopened"}:
            reply["reply_broadcast"] = True
        self._call("chat.postMessage", reply)
        return ref

    def _edit(self, body: dict[str, Any], ref: dict[str, str]) -> None:
        """Show the new state in the first message; where Slack refuses the edit the reply in the thread must do."""
        try:
            self._call("chat.update", {"channel": ref["channel"], "ts": ref["ts"], **body})
        except DeliveryError as error:
            if error.reason != "edit_refused":
                raise

    def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        token = resolve(str(self._section.token))
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json; charset=utf-8"}
        url = f"{resolve_url(self._section.api_url).rstrip('/')}/{method}"
        _, raw = post(url, data=json.dumps(body).encode(), headers=headers, timeout=self._section.timeout)
        try:
            answer = json.loads(raw)
        except ValueError:
            raise DeliveryError("bad_answer") from None
        if isinstance(answer, dict) and answer.get("ok") is True:
            return answer
        raise _refusal(str(answer.get("error", "")) if isinstance(answer, dict) else "")


def _refusal(code: str) -> DeliveryError:
    if code in _EDIT_REFUSED:
        return DeliveryError("edit_refused", permanent=True)
    if code in _AUTH:
        return DeliveryError("auth_error", permanent=True)
    if code in _NOWHERE:
        return DeliveryError("not_found", permanent=True)
    if code in {"ratelimited", "rate_limited"}:
        return DeliveryError("rate_limited", retry_after=30.0)
    return DeliveryError("server_error") if code in _PASSING else DeliveryError("refused", permanent=True)


def form(message: Message, zone: str, linker: Linker) -> dict[str, Any]:
    """The body of a message without its address: title line as fallback text, and the coloured card."""
    return {
        "text": _escape(headline(message, zone)),
        "mrkdwn": False,
        "unfurl_links": False,
        "metadata": _metadata(message),
        "attachments": [{"color": colour(message), "blocks": _blocks(message, zone, linker)}],
    }


def colour(message: Message) -> str:
    """The edge of the card; the state stands in the title as a word too."""
    if message.is_end:
        return ENDED
    return UNSURE if message.transition in {"unknown", "test"} else COLOURS[message.severity]


def _brief(message: Message, zone: str) -> dict[str, Any]:
    """What the thread is told: the event, without the card that the first message shows."""
    news = [
        row
        for row in rows(message, zone)
        if row.label in {"News", "Lasted", "Worst", "Cost", "Now", "No data", "Closed", "Also"}
    ]
    elements = [_text(f"{headline(message, zone)}\n", bold=True)]
    elements += [_text(f"{row.label}: {shorten(row.text, MAX_ROW)}\n") for row in news]
    return {
        "text": _escape(headline(message, zone)),
        "mrkdwn": False,
        "metadata": _metadata(message),
        "blocks": [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}],
    }


def _blocks(message: Message, zone: str, linker: Linker) -> list[dict[str, Any]]:
    title = shorten(_escape(headline(message, zone)), MAX_HEADER)
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}]
    fields = _fields(message, zone)
    if fields and not message.is_end:
        blocks.append({"type": "section", "fields": fields})
    elements: list[dict[str, Any]] = []
    for row in rows(message, zone):
        elements += [_text(f"{row.label}  ", bold=True), _text(f"{shorten(row.text, MAX_ROW)}\n")]
    blocks.append({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]})
    buttons = [
        {"type": "button", "text": {"type": "plain_text", "text": label, "emoji": False}, "url": url,
         "action_id": f"link-{index}"}
        for index, (label, url) in enumerate(linker.links(message)) if len(url) <= 3000
    ]  # fmt: skip
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return blocks


def _fields(message: Message, zone: str) -> list[dict[str, Any]]:
    """The four numbers side by side, as far as they are known."""
    pairs = [
        ("Usual", message.usual),
        ("Now", message.observed),
        ("Since", moment(message.started_at, zone)),
        ("Cost", f"{signed_money(message.usd_per_hour)}/hour" if message.usd_per_hour else None),
    ]
    if message.transition == "test":
        return []
    return [
        {"type": "plain_text", "text": _escape(f"{label}\n{value}"), "emoji": False} for label, value in pairs if value
    ]


def _metadata(message: Message) -> dict[str, Any]:
    """What lets a reader of the channel recognise the same event twice."""
    return {
        "event_type": f"driftbell_{state_word(message).lower().replace(' ', '_')}",
        "event_payload": {"event_id": message.event_id, "dedup_key": _escape(message.dedup_key)},
    }


def _text(text: str, *, bold: bool = False) -> dict[str, Any]:
    element: dict[str, Any] = {"type": "text", "text": no_mentions(text)}
    return {**element, "style": {"bold": True}} if bold else element


def _escape(text: str) -> str:
    """``text`` for fields in which Slack knows entities: no markup, no mention."""
    safe = no_mentions(text).replace("&", "&amp;")
    return safe.replace("<", "&lt;").replace(">", "&gt;")
