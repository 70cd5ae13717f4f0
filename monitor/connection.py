"""The HTTP connection to a target: TLS, and the proxies that the environment names.

Loaded by the first request, in the exporting thread: the HTTP and TLS modules cost as much as the SDK.
"""

import base64
import http.client
import ssl
import urllib.request
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from driftbell.monitor.target import Target, address


class UnsupportedProxyError(OSError):
    """A proxy that is not spoken to over plain HTTP, such as a SOCKS proxy."""


class Route(NamedTuple):
    """A connection, the path to ask for on it, and the headers that it takes besides the request's own."""

    connection: http.client.HTTPConnection
    path: str
    headers: dict[str, str]


def tls(target: Target) -> ssl.SSLContext | None:
    """The TLS settings of an https target, None for http. Raises `OSError` for certificates that cannot be used."""
    if not target.url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=target.ca_file)
    if target.client_cert:
        context.load_cert_chain(target.client_cert, target.client_key)
    return context


def route(target: Target, context: ssl.SSLContext | None) -> Route:
    """The way to the target; nothing is connected yet. Raises `UnsupportedProxyError`.

    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` mean what they mean to other Python programs: plain
    HTTP is asked of the proxy with the whole address, HTTPS goes through a tunnel.
    """
    parts = address(target.url)
    host, port = parts.hostname or "", parts.port or (80 if context is None else 443)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = _credentials("Authorization", parts)
    proxy = _proxy(parts.scheme, host, port)
    near = (host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    if context is not None:
        connection = http.client.HTTPSConnection(*near, context=context)
        if proxy is not None:
            connection.set_tunnel(host, port, _credentials("Proxy-Authorization", proxy))
        return Route(connection, path, headers)
    if proxy is not None:
        path = f"http://{parts.netloc.rpartition('@')[2]}{path}"
        headers |= _credentials("Proxy-Authorization", proxy)
    return Route(http.client.HTTPConnection(*near), path, headers)


def _proxy(scheme: str, host: str, port: int) -> SplitResult | None:
    if urllib.request.proxy_bypass(host) or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    proxies = urllib.request.getproxies()
    given = proxies.get(scheme) or proxies.get("all")
    if not given:
        return None
    try:
        proxy = urlsplit(given if "//" in given else f"http://{given}")
        usable = proxy.scheme == "http" and bool(proxy.hostname) and proxy.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UnsupportedProxyError
    return proxy


def _credentials(header: str, parts: SplitResult) -> dict[str, str]:
    """Basic credentials (RFC 7617) out of ``user:password@host``."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: f"Basic {base64.b64encode(pair.encode()).decode()}"}
