"""SPASegment: interactive segmentation that learns what its user includes and leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SPASegmentLib.predictor import SPAPredictor

__all__ = ["SPAPredictor", "__version__"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """The front door, loaded when it is first asked for: the package alone imports nothing."""
    if name == "SPAPredictor":
        from SPASegmentLib.predictor import SPAPredictor

        return SPAPredictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
