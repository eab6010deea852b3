"""Numbers as people say them."""

from __future__ import annotations


def count_of(n: int, what: str) -> str:
    """How many of what: "1 image", "2 images"."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def written(value: float) -> str:
    """An area as people write it: 25, 3.4, 0.05."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"
