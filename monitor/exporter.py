"""Sending one OTLP request over HTTP, with a bounded wait for everything but name resolution."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from driftbell.monitor.guard import SettingError

if TYPE_CHECKING:
    import http.client

RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER: Final = 64 * 1024
_MAX_RETRY_AFTER: Final = 60.0


class Target(NamedTuple):
    """Where spans are sent and how; ``url`` is the full address of the traces endpoint."""

    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    timeout: float = 10.0
    compress: bool = False
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    grpc: bool = False


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
    """Keeps one connection to the target. Used by one thread at a time.

    The HTTP and TLS modules are imported by the first request, in the exporting thread: they cost as much as the SDK.
    """

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError("the OTLP endpoint must be an http:// or https:// address")
        self._parts = parts
        self._target = target
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: bytes, timeout: float) -> Answer:
        """Post ``body``; a stale kept connection is replaced once. Never raises for network or protocol errors."""
        import http.client

        headers = {"Content-Type": "application/x-protobuf", "User-Agent": "driftbell", **self._target.headers}
        if self._target.compress:
            import gzip

            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        kept = self._connection is not None
        try:
            return self._post(body, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError):
                return Answer(False, retry=True, reason=type(error).__name__)
        try:
            return self._post(body, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer(False, retry=True, reason=type(error).__name__)

    def _post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        connection = self._connection or self._connect()
        connection.timeout = timeout
        self._connection = connection
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request("POST", self._path, body, dict(headers))
        response = connection.getresponse()
        text = response.read(_MAX_ANSWER)
        if not response.isclosed() or response.will_close:
            self.close()
        if 200 <= response.status < 300:
            return Answer(True, rejected=rejected_spans(text))
        retry = response.status in RETRYABLE
        return Answer(False, retry, _seconds(response.getheader("Retry-After")), reason=f"HTTP {response.status}")

    def _connect(self) -> "http.client.HTTPConnection":
        import http.client
        import urllib.request

        host, port = self._parts.hostname or "", self._parts.port
        secure = self._parts.scheme == "https"
        proxy = None
        if not urllib.request.proxy_bypass(host):
            proxy = urllib.request.getproxies().get(self._parts.scheme)
        if proxy is not None:
            through = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
            near = (through.hostname or "", through.port or 80)
        else:
            near = (host, port or (443 if secure else 80))
        connection: http.client.HTTPConnection
        if secure:
            import ssl

            context = ssl.create_default_context(cafile=self._target.ca_file)
            if self._target.client_cert:
                context.load_cert_chain(self._target.client_cert, self._target.client_key)
            connection = http.client.HTTPSConnection(*near, timeout=self._target.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(*near, timeout=self._target.timeout)
        if proxy is not None:
            connection.set_tunnel(host, port or (443 if secure else 80))
        return connection

    def close(self) -> None:
        """Close the kept connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


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


def target_from_environment(endpoint: str | None = None, headers: Mapping[str, str] | None = None) -> Target:
    """The target that the arguments, else the standard ``OTEL_EXPORTER_OTLP_*`` variables, else the defaults name.

    ``endpoint`` is a base address (``/v1/traces`` is added, as for ``OTEL_EXPORTER_OTLP_ENDPOINT``).
    """
    url = None if endpoint else os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not url:
        base = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
        url = base if base.rstrip("/").endswith("/v1/traces") else base.rstrip("/") + "/v1/traces"
    return Target(
        url,
        {**_header_list(_setting("HEADERS")), **(headers or {})},
        _timeout(_setting("TIMEOUT")),
        _setting("COMPRESSION").strip().lower() == "gzip",
        _setting("CERTIFICATE") or None,
        _setting("CLIENT_CERTIFICATE") or None,
        _setting("CLIENT_KEY") or None,
        endpoint is None and _setting("PROTOCOL").strip().lower() == "grpc",
    )


DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"


def _setting(name: str) -> str:
    variables = (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")
    return next((found for variable in variables if (found := os.environ.get(variable))), "")


def _timeout(given: str) -> float:
    try:
        seconds = float(given)
    except ValueError:
        return 10.0
    return min(max(seconds, 0.1), 60.0)


def _header_list(given: str) -> dict[str, str]:
    pairs = (item.split("=", 1) for item in given.split(",") if "=" in item)
    return {unquote(name.strip()).lower(): unquote(text.strip()) for name, text in pairs}
