"""Numbers as people say them."""

from __future__ import annotations


def count_of(n: int, what: str) -> str:
    """How many of what: "1 image", "2 images"."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
