"""Addresses: where the service may listen, and the sockets for it."""

import ipaddress
import socket

from driftbell.service.config import parse_address
from driftbell.service.failure import Failure


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(addresses: list[str], has_token: bool) -> None:
    """Refuse an address that other machines reach while no token guards it."""
    for address in addresses:
        host, _ = parse_address(address)
        if not has_token and not is_loopback(host):
            raise Failure(
                f"{address} can be reached from other machines: set 'token: env:NAME' in the configuration "
                "(senders then need 'Authorization: Bearer …'), or listen on 127.0.0.1"
            )


def bind(address: str) -> socket.socket:
    """A listening socket; says who is in the way when there is none to be had."""
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=False)
    except OSError as error:
        raise Failure(
            f"cannot listen on {address}: {error.strerror or error}; is another driftbell or collector running there? "
            "Choose another address with --http HOST:PORT"
        ) from None


def shown(host: str, port: int) -> str:
    """``HOST:PORT`` as it is written in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
