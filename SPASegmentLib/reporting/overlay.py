"""Masks drawn over a slice, told apart by hue, lightness and pattern; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MARGIN = 0.3
"""Room around the object, as a share of its extent."""
MIN_PIXELS = 32
"""The view shows at least this many slice pixels across."""


@dataclass(frozen=True)
class Look:
    """How a mask is drawn: fill and its opacity, outline, and the ink of its pattern."""

    fill: tuple[int, int, int]
    opacity: float
    line: tuple[int, int, int]
    ink: tuple[int, int, int] = (0, 0, 0)
    pattern: Callable[[np.ndarray, np.ndarray, float], np.ndarray] | None = None


def _stripes(row: np.ndarray, col: np.ndarray, unit: float) -> np.ndarray:
    return np.mod(row + col, 3.2 * unit) < unit


def _dots(row: np.ndarray, col: np.ndarray, unit: float) -> np.ndarray:
    step = 3.0 * unit
    odd = np.floor(row / step) % 2 * step / 2
    return np.hypot(np.mod(row, step) - step / 2, np.mod(col + odd, step) - step / 2) < 0.85 * unit


RECOMMENDED = Look((255, 221, 51), 0.20, (255, 221, 51))
ADDED = Look((120, 205, 255), 0.55, (190, 232, 255), (0, 70, 160), _stripes)
REMOVED = Look((196, 78, 0), 0.72, (255, 140, 40), (40, 8, 0), _dots)


@dataclass(frozen=True)
class View:
    """The square of a slice that every picture of one proposal shows.

    centre: (row, col) in pixels. size: mm across. spacing: (row, col) mm.
    """

    centre: tuple[float, float]
    size: float
    spacing: tuple[float, float]

    def pixels(self, across: int) -> tuple[np.ndarray, np.ndarray]:
        """Slice rows and columns (`across`,) under the middles of the picture's rows and columns."""
        steps = ((np.arange(across) + 0.5) / across - 0.5) * self.size
        return self.centre[0] + steps / self.spacing[0], self.centre[1] + steps / self.spacing[1]

    def place(self, row: float, col: float, across: int) -> tuple[float, float]:
        """Where a point of the slice lies in a picture `across` wide: (row, col)."""
        return (
            ((row - self.centre[0]) * self.spacing[0] / self.size + 0.5) * across - 0.5,
            ((col - self.centre[1]) * self.spacing[1] / self.size + 0.5) * across - 0.5,
        )


def view_of(masks: list[np.ndarray], points: list[tuple[float, float]], spacing: tuple[float, float]) -> View:
    """The view around all masks and points: (H, W) bool each, (row, col) each, spacing in mm."""
    shape = masks[0].shape
    found = [np.argwhere(mask) for mask in masks if mask.any()]
    inside = np.concatenate([*found, np.array(points, float).reshape(-1, 2)])
    if len(inside) == 0:
        inside = np.array([[0, 0], [shape[0] - 1, shape[1] - 1]])
    low, high = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    extent = float(max((high - low) * spacing)) * (1 + 2 * MARGIN)
    size = max(extent, MIN_PIXELS * float(np.sqrt(spacing[0] * spacing[1])))
    size = min(size, float(max(np.array(shape) * spacing)))
    centre = []
    for a, b, n, mm in zip(low, high, shape, spacing, strict=True):
        half = size / mm / 2
        middle = (a + b) / 2
        # Stay on the slice where it is larger than the view; centre the slice where it is not.
        centre.append(
            float(np.clip(middle, half - 0.5, n - half - 0.5)) if n >= 2 * half else float((n - 1) / 2)
        )
    return View((centre[0], centre[1]), size, spacing)


def stretched(pixels: np.ndarray, view: View) -> np.ndarray:
    """(H, W) in [0, 1] with the contrast of what is in view (all but a two-hundredth at each end).

    Colours, and views that are nearly flat, stay as they are.
    """
    if pixels.ndim == 3:
        return pixels
    rows, cols = (at[(at >= 0) & (at <= n - 1)] for at, n in zip(view.pixels(64), pixels.shape, strict=True))
    low, high = np.percentile(
        pixels[np.ix_(np.rint(rows).astype(int), np.rint(cols).astype(int))], (0.5, 99.5)
    )
    if high - low < 0.02:
        return pixels
    return np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32)


def draw(pixels: np.ndarray, view: View, across: int, layers: list[tuple[np.ndarray, Look]]) -> np.ndarray:
    """A picture (across, across, 3) uint8 of the slice with masks over it.

    pixels: (H, W) or (H, W, 3) in [0, 1]. Masks keep their exact pixel edges; the slice is interpolated.
    """
    rows, cols = view.pixels(across)
    picture = _sampled(pixels, rows, cols) * 255
    for mask, look in layers:
        _lay(picture, _under(mask, rows, cols), look)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def swatch(look: Look, height: int, width: int) -> np.ndarray:
    """A (height, width, 3) uint8 legend entry that looks as the mask does over mid-grey."""
    picture = np.full((height, width, 3), 70.0)
    mask = np.zeros((height, width), bool)
    mask[2:-2, 2:-2] = True
    _lay(picture, mask, look)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _sampled(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(len(rows), len(cols), 3) float in [0, 1]; black beside the slice."""
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    r, c = np.meshgrid(rows, cols, indexing="ij")
    height, width = channels.shape[:2]
    # Half a pixel of the border is part of the slice too, hence the clip before sampling.
    at = np.stack([np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)])
    drawn = np.stack(
        [ndimage.map_coordinates(channels[..., i], at, order=1) for i in range(channels.shape[2])], axis=-1
    )
    on = (r >= -0.5) & (r <= height - 0.5) & (c >= -0.5) & (c <= width - 0.5)
    return np.broadcast_to(np.clip(drawn, 0, 1) * on[..., None], (*r.shape, 3)).astype(np.float64)


def _under(mask: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The mask under each pixel of the picture, nearest neighbour."""
    r, c = np.floor(rows + 0.5).astype(int), np.floor(cols + 0.5).astype(int)
    on = ((r >= 0) & (r < mask.shape[0]))[:, None] & ((c >= 0) & (c < mask.shape[1]))[None]
    return mask[np.ix_(np.clip(r, 0, mask.shape[0] - 1), np.clip(c, 0, mask.shape[1] - 1))] & on


def _lay(picture: np.ndarray, mask: np.ndarray, look: Look) -> None:
    """Draw a mask of the picture's size into the picture."""
    unit = max(3.0, picture.shape[1] / 200)
    picture[mask] += (np.array(look.fill) - picture[mask]) * look.opacity
    if look.pattern is not None:
        row, col = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(float)
        picture[mask & look.pattern(row, col, unit)] = look.ink
    width = max(1, round(unit / 2))
    edge = mask & ~ndimage.binary_erosion(mask, iterations=width, border_value=1)
    picture[edge] = look.line
