"""Sending one OTLP request over HTTP, with a bounded wait for everything but name resolution."""

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from driftbell.monitor.target import Target

if TYPE_CHECKING:
    import ssl

    from driftbell.monitor.connection import Route

RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER: Final = 64 * 1024
_MAX_RETRY_AFTER: Final = 60.0


class Answer(NamedTuple):
    """What became of a request: ``taken``, or whether a later try makes sense.

    ``rejected`` counts spans that the receiver refused of a request that it took; ``reason`` is a class name or an
    HTTP status, never a body.
    """

    taken: bool
    retry: bool = False
    retry_after: float | None = None
    rejected: int = 0
    reason: str = ""


class Sender(Protocol):
    """What carries a request's bytes to the receiver."""

    def send(self, body: bytes, timeout: float) -> Answer:
        """Send once, within about ``timeout`` seconds. Never raises for errors of the network or the receiver."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpSender:
    """Keeps one connection to the target. Used by one thread at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._headers = {"Content-Type": "application/x-protobuf", "User-Agent": "driftbell"}
        self._tls: ssl.SSLContext | None = None
        self._route: Route | None = None

    def send(self, body: bytes, timeout: float) -> Answer:
        """Post ``body``; a stale kept connection is replaced once. Never raises for network or protocol errors."""
        import http.client

        headers = self._headers
        if self._target.compress:
            import gzip

            body = gzip.compress(body, compresslevel=1)
            headers = {**headers, "Content-Encoding": "gzip"}
        for kept in (self._route is not None, False):
            try:
                return self._post(body, headers, timeout)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                answer = Answer(False, retry=True, reason=type(error).__name__)
                if not kept or isinstance(error, TimeoutError):
                    break
        return answer

    def _post(self, body: bytes, headers: dict[str, str], timeout: float) -> Answer:
        route = self._route = self._route or self._new_route()
        connection = route.connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request("POST", route.path, body, {**headers, **route.headers, **self._target.headers})
        response = connection.getresponse()
        text = response.read(_MAX_ANSWER)
        if not response.isclosed() or response.will_close:
            self.close()
        if 200 <= response.status < 300:
            return Answer(True, rejected=rejected_spans(text))
        retry = response.status in RETRYABLE
        return Answer(False, retry, _seconds(response.getheader("Retry-After")), reason=f"HTTP {response.status}")

    def _new_route(self) -> "Route":
        from driftbell.monitor import connection

        if self._tls is None:
            self._tls = connection.tls(self._target)
        return connection.route(self._target, self._tls)

    def close(self) -> None:
        """Close the kept connection."""
        route, self._route = self._route, None
        if route is not None:
            route.connection.close()


def rejected_spans(answer: bytes) -> int:
    """``partial_success.rejected_spans`` of an ``ExportTraceServiceResponse``; 0 for none, and for garbage."""
    try:
        if answer[:1] != b"\x0a":
            return 0
        _, at = _varint(answer, 1)
        return _varint(answer, at + 1)[0] if answer[at : at + 1] == b"\x08" else 0
    except IndexError:
        return 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 64:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return number, at


def _seconds(retry_after: str | None) -> float | None:
    """The delay form of ``Retry-After``; the date form is left to our own back-off."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), _MAX_RETRY_AFTER)
