"""What the made-up abdomen and brain are drawn with: soft shapes on a grid that bends a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from SPASegmentLib.imaging.sample import Point

BEND_MM, WAVE_MM = 2.5, 17.0
"""How far the grid bends, and over what length (of one radian)."""


@dataclass(frozen=True)
class Shape:
    """An ellipsoid. centre, radii: mm along (x left, y back, z up). value: its intensity. width: of its edge.

    sides: +1 and -1 draw it there and mirrored at x = 0.
    """

    name: str
    centre: Point
    radii: Point
    value: float
    width: float = 1.2
    sides: tuple[int, ...] = (1,)


class Canvas:
    """A volume that is drawn. values: (K, J, I) float32. x, y, z: mm from its middle, bent as the seed says.

    labels: (K, J, I) uint8, numbers from 1 in the order of `names`, of the voxels that a named shape fills.
    """

    def __init__(
        self, shape: tuple[int, int, int], spacing: Sequence[float], background: float, seed: int
    ) -> None:
        """shape, spacing: along (k, j, i)."""
        self.random = np.random.default_rng([seed, 1])
        self.values = np.full(shape, background, np.float32)
        self.labels = np.zeros(shape, np.uint8)
        self.names: list[str] = []
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(shape, spacing, strict=True)
        )
        x, y, z = bent(np.array([seed, 3]), x[None, None, :], y[None, :, None], z[:, None, None])
        self.x, self.y, self.z = (np.ascontiguousarray(np.broadcast_to(c, shape)) for c in (x, y, z))

    def ellipsoid(self, shape: Shape, side: int = 1) -> np.ndarray:
        """(K, J, I) float32, about the distance in mm from the surface; positive inside."""
        (cx, cy, cz), (rx, ry, rz) = shape.centre, shape.radii
        distance = ((self.x - side * cx) / rx) ** 2
        distance += ((self.y - cy) / ry) ** 2
        distance += ((self.z - cz) / rz) ** 2
        return np.asarray((1 - np.sqrt(distance)) * min(shape.radii))

    def draw(self, shape: Shape, within: np.ndarray | None = None) -> None:
        """Draw an ellipsoid. within: (K, J, I) in [0, 1], the part of it that is there."""
        for side in shape.sides:
            inside = edge(self.ellipsoid(shape, side), shape.width)
            self.fill(inside if within is None else inside * within, shape.value, shape.name)

    def fill(self, inside: np.ndarray, value: float | np.ndarray, name: str = "") -> None:
        """Draw over what is there. inside: (K, J, I) in [0, 1]. name: of the structure, "" for none."""
        self.values += (value - self.values) * inside
        if name and name not in self.names:
            self.names.append(name)
        self.labels[inside > 0.5] = self.names.index(name) + 1 if name else 0

    def texture(self, cells: float) -> np.ndarray:
        """(K, J, I) float32 smooth noise of deviation 1. cells: length of its waves."""
        noise = self.random.standard_normal(self.values.shape, dtype=np.float32)
        smooth = ndimage.gaussian_filter(noise, cells, truncate=3)
        return np.asarray(smooth / smooth.std())


def edge(inside: np.ndarray, width: float) -> np.ndarray:
    """0 outside to 1 inside, over about four widths; `inside` is positive inside."""
    return np.asarray(0.5 + 0.5 * np.tanh(inside / (2 * width)))


def bent(
    key: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates in mm, each moved along waves of the two others."""
    phases = np.random.default_rng(key).uniform(0, 2 * np.pi, (3, 2)).astype(np.float32)

    def wave(a: np.ndarray, b: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return np.asarray(BEND_MM * (np.sin(a / WAVE_MM + phase[0]) + np.sin(b / WAVE_MM + phase[1])))

    return x + wave(y, z, phases[0]), y + wave(z, x, phases[1]), z + wave(x, y, phases[2])


def straight(seed: int, at: Point) -> np.ndarray:
    """(3,) where a point of the bent coordinates lies, in mm from the middle: x, y, z."""
    target = np.array(at)
    found = target.copy()
    for _ in range(30):
        found = found + 0.7 * (target - np.array(bent(np.array([seed, 3]), *found)))
    return found
