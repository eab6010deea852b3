"""Sockets that a server listens at."""

from __future__ import annotations

import socket

from SPASegmentLib.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises InputError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"The server cannot listen at {host}:{port} ({error.strerror or error}); choose another --port."
        ) from error
    listening.listen(1024)
    return listening


def address_of(listening: socket.socket, scheme: str) -> str:
    """Its address as a client writes it."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
