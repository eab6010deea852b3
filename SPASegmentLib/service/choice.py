"""Which server a user chose. Standard library only."""

from __future__ import annotations

import os
from dataclasses import dataclass

ADDRESS_VARIABLE = "SPASEGMENT_SERVER"
KEY_VARIABLE = "SPASEGMENT_SERVER_KEY"
INSECURE_VARIABLE = "SPASEGMENT_SERVER_INSECURE"
PATIENCE = 10.0
"""Seconds without a sign of life before a server counts as lost."""


@dataclass(frozen=True)
class ServerChoice:
    """A server to use. key: kept out of what is shown. fall_back: go on with the local model without it."""

    address: str
    key: str | None = None
    fall_back: bool = True
    patience: float = PATIENCE

    def __repr__(self) -> str:
        return f"ServerChoice({self.address!r})"


def chosen_server(address: str | None) -> ServerChoice | None:
    """The server of an address, its key from SPASEGMENT_SERVER_KEY; None without an address."""
    return ServerChoice(address, os.environ.get(KEY_VARIABLE) or None) if address else None
