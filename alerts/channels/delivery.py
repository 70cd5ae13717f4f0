"""What every channel keeps to: it sends one message or raises one kind of error that says whether to try again."""

import logging
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol

import requests

from driftbell.alerts.message import Message

# At level DEBUG urllib3 writes the path of every request, which is the credential of some channels.
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

MAX_RESPONSE = 65_536
MAX_RETRY_AFTER = 3600.0
_TRY_AGAIN = {408: "timeout", 425: "too_early", 429: "rate_limited"}
_NEVER = {
    400: "bad_request", 401: "auth_error", 403: "auth_error", 404: "not_found", 410: "gone", 413: "too_large",
    422: "bad_request",
}  # fmt: skip


class DeliveryError(Exception):
    """A message was not delivered. ``reason`` is one of a few names and holds nothing of the message or address.

    ``permanent``: trying again cannot help until a person changes something. ``retry_after``: seconds that the
    server asked for.
    """

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.permanent, self.retry_after = reason, permanent, retry_after


class Channel(Protocol):
    """A way to people. Sending the same message twice must be harmless: its ``event_id`` stays the same."""

    name: str

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Deliver ``message``; raises DeliveryError, or SecretMissingError when a secret cannot be read.

        ``ref`` is what an earlier message of the same incident returned here (empty for the first). The result is
        kept for the next ones; it never holds a secret.
        """
        ...


def post(
    url: str, *, timeout: float, data: bytes | None = None, json: object = None, headers: dict[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> tuple[int, bytes]:  # fmt: skip
    """POST and return (status, body cut to 64 KiB) of a 2xx answer.

    Raises DeliveryError for everything else. Redirects are not followed: they would carry the secrets along.
    The error names no URL, since the URL of some channels is the credential.
    """
    try:
        with requests.post(
            url,
            data=data,
            json=json,
            headers=headers,
            auth=auth or _no_netrc,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = answer.raw.read(MAX_RESPONSE, decode_content=True) or b""
            if 200 <= answer.status_code < 300:
                return answer.status_code, body
            raise refusal(answer.status_code, wait_of(answer.headers))
    except requests.Timeout:
        raise DeliveryError("timeout") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
        raise DeliveryError("bad_address", permanent=True) from None
    except (requests.RequestException, OSError):
        raise DeliveryError("unreachable") from None


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that adds nothing; without one requests would put a password of ``~/.netrc`` over our token."""
    return request


def refusal(status: int, wait: float | None = None) -> DeliveryError:
    """The error for an HTTP status that is not 2xx; ``wait`` is what the server asked for, in seconds."""
    if status in _TRY_AGAIN:
        return DeliveryError(_TRY_AGAIN[status], retry_after=wait)
    if status >= 500:
        return DeliveryError("server_error", retry_after=wait)
    if 300 <= status < 400:
        return DeliveryError("redirected", permanent=True)
    return DeliveryError(_NEVER.get(status, f"refused_{status}"), permanent=True)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, at most an hour; None when it is absent or unreadable.

    Its date form is read against the server's own ``Date``, so that no clock has to be right.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), MAX_RETRY_AFTER))
    try:
        seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
