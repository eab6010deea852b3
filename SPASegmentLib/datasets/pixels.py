"""PNG, JPEG and other pictures from bytes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from SPASegmentLib.errors import DatasetError


def read_picture(data: bytes, case_id: str, what: str = "image") -> np.ndarray:
    """Decode a picture: (H, W) grey or (H, W, 3) RGB uint8, or (H, W) float32 in [0, 1] for deeper grey.

    Raises DatasetError naming the case where the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode in ("L", "RGB"):
                return np.asarray(picture)
            if picture.mode in ("1", "LA"):
                return np.asarray(picture.convert("L"))
            if picture.mode.startswith("I;16"):
                return np.asarray(picture).astype(np.float32) / np.float32(65535)
            if picture.mode == "I":
                return np.clip(np.asarray(picture), 0, 65535).astype(np.float32) / np.float32(65535)
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"Case {case_id}: its {what} is not a readable picture.") from error


def read_mask(data: bytes, case_id: str, what: str = "mask") -> np.ndarray:
    """Decode a mask picture: (H, W) bool, foreground where any channel is at least half of white."""
    mask = read_picture(data, case_id, what)
    threshold = 128 if mask.dtype == np.uint8 else 0.5
    if mask.ndim == 3:
        mask = mask.max(axis=2)
    return mask >= threshold
