"""PNG, JPEG and other pictures from bytes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from SPASegmentLib.errors import DatasetError


def read_picture(data: bytes, case_id: str, what: str = "image") -> np.ndarray:
    """Decode a picture: (H, W) grey or (H, W, 3) RGB uint8, or (H, W) float32 in [0, 1] for 16-bit grey.

    Raises DatasetError naming the case where the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _pixels(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"Case {case_id}: its {what} is not a readable picture.") from error


def _pixels(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("L", "RGB"):
        return np.asarray(picture)
    if picture.mode in ("1", "LA"):
        return np.asarray(picture.convert("L"))
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return np.clip(np.asarray(picture), 0, 65535).astype(np.float32) / np.float32(65535)
    rgb = np.asarray(picture.convert("RGB"))
    return rgb[..., 0] if picture.mode == "P" and _is_grey(rgb) else rgb


def _is_grey(rgb: np.ndarray) -> bool:
    return bool((rgb == rgb[..., :1]).all())


def read_mask(data: bytes, case_id: str) -> np.ndarray:
    """Decode a mask picture: (H, W) bool, foreground where the brightest channel is at least half of white.

    A mask whose values stay below half of white and are not all 0 (0/1 or label masks) is foreground
    wherever it is not 0.
    """
    mask = read_picture(data, case_id, "mask")
    if mask.ndim == 3:
        mask = mask.max(axis=2)
    half = 127 if mask.dtype == np.uint8 else 0.5
    return mask > half if mask.max(initial=0) > half else mask > 0


def read_stored_picture(data: bytes, case_id: str) -> np.ndarray:
    """Decode a picture in its stored intensities: (H, W), or (H, W, 3) where it is in colour.

    Raises DatasetError naming the case where the bytes are no picture.
    """
    return _stored(data, case_id, "image", palette=False)


def read_mask_values(data: bytes, case_id: str) -> np.ndarray:
    """Decode a mask in its stored values, such as ids: (H, W) integers. Of a palette picture its indices.

    Raises DatasetError naming the case where the bytes are no picture or its channels differ.
    """
    mask = _stored(data, case_id, "mask", palette=True)
    if mask.ndim == 2:
        return mask
    if not _is_grey(mask):
        raise DatasetError(f"Case {case_id}: its mask is in colour; masks hold one value a pixel.")
    return mask[..., 0]


def _stored(data: bytes, case_id: str, what: str, *, palette: bool) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode == "P":
                return np.asarray(picture) if palette else _pixels(picture)
            if picture.mode == "F" or picture.mode.startswith("I"):
                return np.asarray(picture)
            return _pixels(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"Case {case_id}: its {what} is not a readable picture.") from error
