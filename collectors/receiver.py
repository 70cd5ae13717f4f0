"""OTLP over HTTP: an ASGI endpoint per signal, to be mounted beside whatever else the port serves.

The answer comes after the commit. Only 429 and 503 make OTLP clients try again, so whatever the store cannot take at
the moment is a 503 with Retry-After, and nothing is ever answered with another 5xx.
"""

import asyncio
import base64
import hmac
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from driftbell.collectors import response
from driftbell.collectors.batch import BadBatchError, OverloadedError, StoreUnavailableError, TooLargeError
from driftbell.collectors.decode import Encoding, MalformedError
from driftbell.collectors.intake import SIGNALS, Accepted, Admission, Intake, Signal

_ENCODINGS: dict[bytes, Encoding] = {b"application/x-protobuf": "protobuf", b"application/json": "json"}
_NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _RefusedError(Exception):
    """An answer that is not success."""

    code: int
    rpc_code: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Disconnected(Exception):  # noqa: N818  # an event, not an error
    """The sender went away before the body was complete."""


class Receiver:
    """The HTTP side of an `Intake`. ``token``, when given, must come as ``Authorization: Bearer``, or as a password."""

    def __init__(self, intake: Intake, token: str | None = None) -> None:
        self.intake = intake
        self._token = None if token is None else f"bearer {token}".encode()

    def routes(self, prefixes: Iterable[str] = ("",)) -> list[Route]:
        """A route per signal under each prefix, ``/v1/traces`` first of all."""
        return [Route(f"{p}/v1/{signal}", _Endpoint(self, signal)) for p in prefixes for signal in SIGNALS]

    async def handle(self, signal: Signal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        encoding = _encoding(headers)
        try:
            body = await self._answer(signal, scope, headers, encoding, receive)
            code, extra = 200, _NO_HEADERS
        except _Disconnected:
            self.intake.requests[signal, "disconnected"] += 1
            return
        except _RefusedError as refused:
            code, extra = refused.code, refused.headers
            body = response.error_body(encoding or "protobuf", refused.rpc_code, refused.message)
            log.log(
                logging.WARNING if code < 500 else logging.INFO, "%s refused, %d: %s", signal, code, refused.message
            )
        self.intake.requests[signal, str(code)] += 1
        media_type = response.MEDIA_TYPES[encoding or "protobuf"].encode()
        length = str(len(body)).encode()
        sent = [(b"content-type", media_type), (b"content-length", length), *extra]
        await send({"type": "http.response.start", "status": code, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, signal: Signal, scope: Scope, headers: dict[bytes, bytes], encoding: Encoding | None, receive: Receive
    ) -> bytes:
        if scope["method"] != "POST":
            raise _RefusedError(405, response.UNIMPLEMENTED, "use POST", ((b"allow", b"POST"),))
        if not self._trusted(headers.get(b"authorization", b"")):
            challenge = ((b"www-authenticate", b"Bearer"),)
            raise _RefusedError(401, response.UNAUTHENTICATED, "a valid bearer token is needed", challenge)
        if encoding is None:
            message = "the content type must be application/x-protobuf or application/json"
            raise _RefusedError(415, response.INVALID_ARGUMENT, message)
        try:
            with self.intake.admit() as admission:
                async with asyncio.timeout(self.intake.limits.receive_timeout):
                    body = await _read(headers, receive, admission)
                accepted = self.intake.accept(signal, body, encoding, _gzipped(headers))
                del body
                await self._committed(accepted)
        except TooLargeError as error:
            raise _RefusedError(413, response.INVALID_ARGUMENT, str(error)) from None
        except (MalformedError, BadBatchError) as error:
            raise _RefusedError(400, response.INVALID_ARGUMENT, str(error)) from None
        except TimeoutError:  # after a 408 the sender would drop the data
            later = ((b"retry-after", b"1"),)
            raise _RefusedError(503, response.UNAVAILABLE, "the body did not arrive in time", later) from None
        except StoreUnavailableError as error:
            message = str(error) if isinstance(error, OverloadedError) else "the store cannot write at the moment"
            seconds = str(max(1, math.ceil(error.retry_after))).encode()
            raise _RefusedError(503, response.UNAVAILABLE, message, ((b"retry-after", seconds),)) from None
        return response.success_body(signal, encoding, accepted.rejected, accepted.message)

    def _trusted(self, authorization: bytes) -> bool:
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(b" ")
        scheme, given = scheme.lower(), given.strip()
        if scheme == b"basic":  # all that some SDKs can send
            scheme, given = b"bearer", _password(given)
        return hmac.compare_digest(scheme + b" " + given, self._token)

    async def _committed(self, accepted: Accepted) -> None:
        if accepted.done is None:
            return
        try:
            async with asyncio.timeout(self.intake.limits.commit_timeout):
                await asyncio.wrap_future(accepted.done)
        except TimeoutError:
            raise StoreUnavailableError("the commit took too long") from None


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One signal of a receiver as an ASGI application."""

    receiver: Receiver
    signal: Signal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.receiver.handle(self.signal, scope, receive, send)


def _password(credentials: bytes) -> bytes:
    """The password of Basic credentials; empty if they are none."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


async def _read(headers: dict[bytes, bytes], receive: Receive, admission: Admission) -> bytes:
    """The body, chunked or not, counted while it comes."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit():
        admission.expect(int(declared))
    pieces: list[bytes] = []
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        piece = message.get("body", b"")
        admission.hold(len(piece))
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _encoding(headers: dict[bytes, bytes]) -> Encoding | None:
    return _ENCODINGS.get(headers.get(b"content-type", b"").partition(b";")[0].strip().lower())


def _gzipped(headers: dict[bytes, bytes]) -> bool:
    name = headers.get(b"content-encoding", b"").strip().lower()
    if name not in (b"", b"identity", b"gzip"):
        raise _RefusedError(415, response.INVALID_ARGUMENT, "the content encoding must be gzip or none")
    return name == b"gzip"
