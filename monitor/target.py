"""Where spans are sent and how: the arguments of `configure` over the standard ``OTEL_EXPORTER_OTLP_*`` variables."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from driftbell.monitor.guard import SettingError

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
DEFAULT_GRPC_ENDPOINT: Final = "http://127.0.0.1:4317"
_TIMEOUT: Final = 10.0
_LONGEST_TIMEOUT: Final = 60.0
_MILLISECONDS_FROM: Final = 1000.0


class Target(NamedTuple):
    """``url`` is the full address of the traces endpoint; ``timeout`` is that of one request, in seconds."""

    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    timeout: float = _TIMEOUT
    compress: bool = False
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    grpc: bool = False


def target_from_environment(endpoint: str | None = None, headers: Mapping[str, str] | None = None) -> Target:
    """The target that the arguments, else the variables, else the defaults name. Raises `SettingError`.

    ``endpoint`` is a base address (``/v1/traces`` is added, as for ``OTEL_EXPORTER_OTLP_ENDPOINT``). A target for gRPC
    has ``https`` in its ``url`` when it is to be encrypted.
    """
    grpc = endpoint is None and _setting("PROTOCOL").strip().lower() == "grpc"
    url = None if endpoint else os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not url:
        default = DEFAULT_GRPC_ENDPOINT if grpc else DEFAULT_ENDPOINT
        base = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or default
        url = base if base.rstrip("/").endswith("/v1/traces") else base.rstrip("/") + "/v1/traces"
    if grpc and "//" not in url:
        url = f"http{'' if _setting('INSECURE').strip().lower() == 'true' else 's'}://{url}"
    address(url)
    return Target(
        url,
        _checked({**_header_list(_setting("HEADERS")), **(headers or {})}),
        _timeout(_setting("TIMEOUT")),
        _setting("COMPRESSION").strip().lower() == "gzip",
        _file("CERTIFICATE"),
        _file("CLIENT_CERTIFICATE"),
        _file("CLIENT_KEY"),
        grpc,
    )


def address(url: str) -> SplitResult:
    """The parts of an address; raises `SettingError` for one that is not ``http://`` or ``https://`` with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that do not close
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingError("the OTLP endpoint must be an http:// or https:// address")
    return parts


def _setting(name: str) -> str:
    variables = (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")
    return next((found for variable in variables if (found := os.environ.get(variable))), "")


def _file(name: str) -> str | None:
    path = _setting(name)
    if path and not os.access(path, os.R_OK):
        raise SettingError(f"OTEL_EXPORTER_OTLP_{name} must name a file that can be read; {path} cannot")
    return path or None


def _timeout(given: str) -> float:
    """Seconds, as OpenTelemetry for Python takes them; a thousand and more are the specification's milliseconds."""
    try:
        seconds = float(given)
    except ValueError:
        return _TIMEOUT
    if seconds >= _MILLISECONDS_FROM:
        seconds /= 1000
    return min(max(seconds, 0.1), _LONGEST_TIMEOUT)


def _header_list(given: str) -> dict[str, str]:
    pairs = (item.split("=", 1) for item in given.split(",") if "=" in item)
    return {unquote(name.strip()).lower(): unquote(text.strip()) for name, text in pairs}


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers that every HTTP library can send; their values are secrets and are not told."""
    for name, text in headers.items():
        sound = isinstance(name, str) and isinstance(text, str) and name and (name + text).isascii()
        if not sound or not (name + text).isprintable() or ":" in name or " " in name:
            raise SettingError(f"the OTLP header {name!a:.40} must be printable ASCII, in its name and in its value")
    return headers
