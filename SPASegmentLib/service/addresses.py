"""Addresses of servers, and which of them are this computer's own."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from SPASegmentLib.errors import ServerError

USUAL_PORT = 8770


def is_loopback(name: str) -> bool:
    """Whether a host name is this computer's own for certain: localhost or a loopback address."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def server_address(text: str, *, insecure: bool = False) -> str:
    """An address as people write it, whole: https unless it is this computer's own, no slash at the end.

    insecure: also take http to other computers. Raises ServerError for what is no address.
    """
    text = text.strip()
    if "://" not in text:
        text = f"{'http' if is_loopback(_host(f'//{text}')) else 'https'}://{text}"
    text = text.rstrip("/")
    host = _host(text)
    parts = urlsplit(text if host else "")
    odd = parts.query or parts.fragment or parts.username or any(letter.isspace() for letter in text)
    if parts.scheme not in ("http", "https") or not host or odd:
        raise ServerError(f"{text!r} is no server's address; write it like https://segment.example.org.")
    if parts.scheme == "http" and not is_loopback(host) and not insecure:
        raise ServerError(
            f"The server {host} is on another computer and its address has no https, so images and key could "
            "be read on the way; use its https address."
        )
    return text


def _host(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
        return parts.hostname or ""
    except ValueError:
        return ""
