"""What the user can set for the steps to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError


@dataclass
class InteractionSettings:
    """What the user can set. window: (low, high) intensities or None. samples: N, or None.

    keep_approved: folder for approved objects, see `profiles.approvals`; None keeps nothing.
    """

    learn: bool = True
    samples: int | None = None
    window: tuple[float, float] | None = None
    keep_approved: Path | None = None

    def choose_window(self, window: Sequence[float] | None) -> None:
        """Raises InputError for what is no window."""
        if window is None:
            self.window = None
            return
        try:
            low, high = (float(value) for value in window)
        except (TypeError, ValueError):
            raise InputError("A window is two intensities, black and white.") from None
        if not (np.isfinite([low, high]).all() and low < high):
            raise InputError("The window's first intensity must lie below its second one.")
        self.window = (low, high)
