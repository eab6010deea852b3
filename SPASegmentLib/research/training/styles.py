"""Styles of outlining, users of their own in training: what one draws where another drew this mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Style = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(mask (H, W) bool, grey pixels (H, W), rng) -> (H, W) bool."""


def drawn_in_style(
    mask: np.ndarray, pixels: np.ndarray, click: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """The mask as another person would draw it: one style of `STYLES`, or the mask where it leaves no object.

    mask: (H, W) bool holding `click`. pixels: (H, W) grey. A style whose mask is below a fifth of the area,
    or loses the clicked pixel, is no way to draw this object.
    """
    margin = 4 + int(0.2 * np.sqrt(mask.sum()))
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = tuple(slice(max(hit[0] - margin, 0), hit[-1] + margin + 1) for hit in (rows, cols))
    styled = STYLES[rng.integers(len(STYLES))](mask[box], pixels[box], rng)
    result = np.zeros_like(mask)
    result[box] = styled
    return result if result[click] and result.sum() >= 0.2 * mask.sum() else mask


def _radius(mask: np.ndarray, low: float, high: float, rng: np.random.Generator) -> float:
    """Pixels: a share of the radius of a disc of the mask's area, at least one."""
    return max(1.0, rng.uniform(low, high) * float(np.sqrt(mask.sum() / np.pi)))


def _wider(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~mask) <= _radius(mask, 0.06, 0.25, rng))


def _tighter(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(
        ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > _radius(mask, 0.06, 0.25, rng)
    )


def _smoother(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), _radius(mask, 0.1, 0.35, rng)) >= 0.5)


def _filled(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(ndimage.binary_fill_holes(mask))


def _convex(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    edge = np.argwhere(mask)
    try:
        corners = edge[ConvexHull(edge).vertices]
    except (QhullError, ValueError):  # a line or a few pixels have no hull
        return mask
    drawn = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(drawn).polygon([(int(col), int(row)) for row, col in corners], fill=1)
    return mask | np.asarray(drawn)


def _without_appendage(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is left when parts that hang on by a neck are cut off."""
    reach = _radius(mask, 0.15, 0.45, rng)
    core = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > reach
    labels, count = ndimage.label(core)
    if not count:
        return mask
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return mask & (ndimage.distance_transform_edt(~largest) <= reach + 1)


def _one_part(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest of several parts."""
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def _bright_or_dark(mask: np.ndarray, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The brighter or the darker part within the mask, without its crumbs."""
    share = rng.uniform(0.2, 0.45)
    values = pixels[mask]
    if rng.random() < 0.5:
        part = mask & (pixels >= np.quantile(values, share))
    else:
        part = mask & (pixels <= np.quantile(values, 1 - share))
    return np.asarray(ndimage.median_filter(part, 3))


STYLES: tuple[Style, ...] = (
    _wider,
    _wider,
    _tighter,
    _tighter,
    _smoother,
    _filled,
    _convex,
    _without_appendage,
    _one_part,
    _bright_or_dark,
)
