"""A made-up chest CT to try things on: no patient, no download, the same voxels for the same seed.

Lungs, ribs, spine, heart and branching vessels are simple shapes in Hounsfield units. The nodules are of the
kinds on which readers disagree: soft rims, a ground-glass halo, a vessel that runs into the nodule, a
satellite, and one that leans on the chest wall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.types import Volume

SHAPE = (160, 200, 200)
SPACING = (1.5, 1.25, 1.25)
"""mm, (k, j, i)."""
TILT_DEGREES = (8.0, -11.0, 17.0)
"""Rotation about R, A, S of the rotated sample."""
AIR, LUNG, FAT, MUSCLE, BLOOD, BONE, MARROW = -1000.0, -860.0, -95.0, 50.0, 42.0, 620.0, 220.0
NOISE_HU = 22.0

Point = tuple[float, float, float]


@dataclass(frozen=True)
class SampleSeed:
    """A place worth clicking. ras: mm. name: what lies there. across: mm around it that show it."""

    name: str
    ras: Point
    across: float = 52.0


@dataclass(frozen=True)
class _Nodule:
    """centre: mm from the middle of the volume towards (left, posterior, superior); radii and width in mm."""

    name: str
    centre: Point
    radius: float
    width: float
    halo: float = 0.0
    satellite: Point | None = None
    vessel_to: Point | None = None


_NODULES = (
    _Nodule("nodule with a soft rim", (-62.0, 12.0, 18.0), 8.5, 2.0),
    _Nodule("part-solid nodule with a halo", (62.0, 26.0, 36.0), 6.5, 1.2, halo=12.5),
    _Nodule("nodule on a vessel", (-55.0, -20.0, -12.0), 8.0, 1.3, vessel_to=(-20.0, 6.0, -2.0)),
    _Nodule("nodule with a satellite", (66.0, 12.0, -6.0), 9.0, 1.5, satellite=(57.0, 26.0, -6.0)),
    _Nodule("nodule at the chest wall", (-85.0, 34.0, -34.0), 10.0, 1.6),
)


def make_sample_volume(seed: int = 0, *, rotated: bool = False) -> Volume:
    """The sample volume: (160, 200, 200) int16 in HU, voxels of 1.5 x 1.25 x 1.25 mm (k, j, i).

    seed: changes nodules, vessels and noise a little. rotated: tilt the patient on the table, so that no
    axis of the grid is an axis of RAS.
    """
    matrix = sample_matrix(SHAPE, SPACING, rotated)
    return Volume(_voxels(seed).copy(), matrix, modality="CT", name="made-up chest CT")


def sample_seeds(seed: int = 0, *, rotated: bool = False) -> tuple[SampleSeed, ...]:
    """Where the nodules of `make_sample_volume` with the same arguments lie."""
    matrix = sample_matrix(SHAPE, SPACING, rotated)
    middle = (np.array(SHAPE[::-1]) - 1) / 2
    seeds = []
    for nodule in _placed(seed):
        ijk = np.rint(np.array(nodule.centre) / SPACING[::-1] + middle)
        ras = np.round(matrix[:3, :3] @ ijk + matrix[:3, 3], 2)
        seeds.append(SampleSeed(nodule.name, (float(ras[0]), float(ras[1]), float(ras[2]))))
    return tuple(seeds)


def sample_matrix(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], rotated: bool
) -> np.ndarray:
    """(4, 4) voxel -> RAS of a supine patient, i to the left, j to the back, k upwards, near the origin.

    shape, spacing: along (k, j, i).
    """
    x, y, z = np.deg2rad(TILT_DEGREES) if rotated else (0.0, 0.0, 0.0)
    about_r = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_a = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_s = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_r @ about_a @ about_s @ np.diag([-spacing[2], -spacing[1], spacing[0]])
    middle = (np.array(shape[::-1]) - 1) / 2
    matrix[:3, 3] = np.array([0.0, -20.0, -120.0]) - matrix[:3, :3] @ middle
    return matrix


@lru_cache(maxsize=1)
def _voxels(seed: int) -> np.ndarray:
    """(K, J, I) int16 HU, to be copied: the sample and the tilted sample have the same voxels."""
    random = np.random.default_rng([seed, 1])
    body = _Body()
    hu = body.tissue()
    lungs = body.lungs
    nodules = _placed(seed)
    for tube in _vessel_tree(random):
        _add_tube(hu, lungs, *tube)
    for nodule in nodules:
        if nodule.vessel_to is not None:
            _add_tube(hu, lungs, np.array(nodule.centre), np.array(nodule.vessel_to), 1.9, 3.2)
    for nodule in nodules:
        if nodule.halo:
            _add_ball(hu, nodule.centre, nodule.halo, 2.2, random, peak=-560.0)
        _add_ball(hu, nodule.centre, nodule.radius, nodule.width, random)
        if nodule.satellite is not None:
            _add_ball(hu, nodule.satellite, 4.2, 1.2, random)
    hu = ndimage.gaussian_filter(hu, (0.3, 0.5, 0.5), truncate=3)
    noise = random.standard_normal(SHAPE, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0, 0.5, 0.5), truncate=2)
    hu += noise * (NOISE_HU / float(noise.std()))
    return np.asarray(np.clip(np.rint(hu), -1024, 3071).astype(np.int16))


def _placed(seed: int) -> tuple[_Nodule, ...]:
    """The nodules, each moved and sized a little as the seed says."""
    random = np.random.default_rng([seed, 2])
    placed = []
    for nodule in _NODULES:
        move = random.uniform(-2.5, 2.5, 3)
        size = random.uniform(0.9, 1.1)
        x, y, z = np.array(nodule.centre) + move
        satellite = nodule.satellite
        if satellite is not None:
            satellite = (satellite[0] + move[0], satellite[1] + move[1], satellite[2] + move[2])
        placed.append(
            _Nodule(
                nodule.name,
                (float(x), float(y), float(z)),
                nodule.radius * size,
                nodule.width,
                nodule.halo * size,
                satellite,
                nodule.vessel_to,
            )
        )
    return tuple(placed)


class _Body:
    """The large organs. Coordinates are mm from the middle, (z up, y back, x left), broadcast to SHAPE."""

    def __init__(self) -> None:
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32) for n, s in zip(SHAPE, SPACING, strict=True)
        )
        self.z, self.y, self.x = z[:, None, None], y[None, :, None], x[None, None, :]
        self.lungs = self._lungs()

    def tissue(self) -> np.ndarray:
        """(K, J, I) float32 HU without vessels, nodules and noise."""
        x, y, z = self.x, self.y, self.z
        trunk = (np.abs(x / 119) ** 2.4 + np.abs(y / 89) ** 2.4) ** (1 / 2.4)
        inner = (np.abs(x / 107) ** 2.4 + np.abs(y / 79) ** 2.4) ** (1 / 2.4)
        plane = AIR + (FAT - AIR) * _edge(1 - trunk, 0.006) + (MUSCLE - FAT) * _edge(1 - inner, 0.012)
        hu = np.repeat(plane.astype(np.float32), SHAPE[0], axis=0)
        hu += (LUNG + 30 * (y / 60) - MUSCLE) * self.lungs
        hu = self._bones(hu)
        aorta = _edge(12 - np.hypot(x - 16, y - 38), 0.8)
        trachea = _edge(7.5 - np.hypot(x, y - 14), 0.8) * _edge(z - 18, 2)
        return hu + (BLOOD - hu) * aorta + (AIR - hu) * trachea

    def _lungs(self) -> np.ndarray:
        """(K, J, I) float32, 1 inside the lungs, soft at the edge."""
        x, y, z = self.x, self.y, self.z
        both = np.zeros(SHAPE, np.float32)
        for side in (-1, 1):
            floor = -84 + 22 * np.exp(-(((x - side * 52) / 36) ** 2) - (y / 46) ** 2)
            height = np.clip((z + 84) / 196, 0, 1)
            width = np.sqrt(np.clip(1 - height**2.6, 0, 1)) + 0.02
            round_ = np.hypot((x - side * 54) / (44 * width), (y - 4) / (66 * width))
            both = np.maximum(both, _edge((1 - round_) * 40 * width, 0.9) * _edge(z - floor, 1.2))
        heart = np.sqrt(((x - 18) / 45) ** 2 + ((y + 22) / 42) ** 2 + ((z + 44) / 46) ** 2)
        spine = np.hypot(x / 24, (y - 64) / 24)
        middle = np.hypot(x / 24, (y - 14) / 40)
        for organ in (heart, spine, middle):
            both *= _edge((organ - 1) * 30, 0.9)
        return both

    def _bones(self, hu: np.ndarray) -> np.ndarray:
        """Ribs, spine and breastbone drawn into the tissue."""
        x, y, z = self.x, self.y, self.z
        shell = (np.abs(x / 103) ** 2.3 + np.abs(y / 75) ** 2.3) ** (1 / 2.3)
        slant = np.mod(z - 0.42 * y + 300, 25.0) - 12.5
        distance = np.hypot((shell - 1) * 80, slant * 0.8)
        wall = (1 - self.lungs) * (np.abs(x) > 14)
        hu = hu + (BONE - hu) * _edge(5.0 - distance, 0.5) * wall
        hu = hu + (MARROW - hu) * _edge(3.0 - distance, 0.5) * wall
        disc = np.abs(np.mod(z + 300, 26.0) - 13) < 3
        body = np.hypot(x / 17, (y - 62) / 14)
        vertebra = _edge((1 - body) * 15, 0.5) * np.where(disc, 0.15, 1.0)
        hu = hu + (MARROW + (BONE - MARROW) * _edge((body - 0.86) * 15, 0.5) - hu) * vertebra
        canal = _edge(5 - np.hypot(x, y - 81), 0.6)
        sternum = _edge((1 - np.hypot(x / 16, (y + 76) / 5)) * 5, 0.5)
        return hu + (20 - hu) * canal + (MARROW + 150 - hu) * sternum


def _edge(inside: np.ndarray, width: float) -> np.ndarray:
    """0 outside to 1 inside, over about four widths; `inside` is positive inside."""
    return 0.5 + 0.5 * np.tanh(inside / (2 * width))


def _box(low: np.ndarray, high: np.ndarray) -> tuple[tuple[slice, ...], list[np.ndarray]]:
    """Voxels between two (x, y, z) corners in mm, and their z, y, x there."""
    slices, axes = [], []
    for n, spacing, a, b in zip(SHAPE, SPACING, low[::-1], high[::-1], strict=True):
        start = int(np.clip(np.floor(a / spacing + (n - 1) / 2), 0, n))
        stop = int(np.clip(np.ceil(b / spacing + (n - 1) / 2) + 1, start, n))
        slices.append(slice(start, stop))
        axes.append((np.arange(start, stop) - (n - 1) / 2) * spacing)
    z, y, x = axes
    return tuple(slices), [z[:, None, None], y[None, :, None], x[None, None, :]]


def _add_ball(
    hu: np.ndarray,
    centre: Point,
    radius: float,
    width: float,
    random: np.random.Generator,
    peak: float = 30.0,
) -> None:
    """A lobulated ball with a soft edge of `width` mm, where it is denser than what is there."""
    middle = np.array(centre)
    reach = 1.5 * radius + 6 * width
    box, (z, y, x) = _box(middle - reach, middle + reach)
    dx, dy, dz = x - middle[0], y - middle[1], z - middle[2]
    distance = np.sqrt(dx**2 + dy**2 + dz**2) + 1e-6
    lobes = np.zeros_like(distance)
    for _ in range(9):
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        along = (dx * direction[0] + dy * direction[1] + dz * direction[2]) / distance
        lobes += random.uniform(-0.3, 0.42) * np.clip(along, 0, 1) ** 5
    profile = _edge(radius * (1 + lobes) - distance, width)
    hu[box] = np.maximum(hu[box], hu[box] + (peak - hu[box]) * profile)


def _add_tube(
    hu: np.ndarray, lungs: np.ndarray, start: np.ndarray, end: np.ndarray, r0: float, r1: float
) -> None:
    """A blood vessel from `start` to `end` (x, y, z in mm) with radii r0 and r1, inside the lungs only."""
    box, (z, y, x) = _box(np.minimum(start, end) - r0 - 4, np.maximum(start, end) + r0 + 4)
    axis = end - start
    along = ((x - start[0]) * axis[0] + (y - start[1]) * axis[1] + (z - start[2]) * axis[2]) / (axis @ axis)
    along = np.clip(along, 0, 1)
    nearest = (start[i] + along * axis[i] for i in range(3))
    distance = np.sqrt(sum((c - n) ** 2 for c, n in zip((x, y, z), nearest, strict=True)))
    profile = _edge(r0 + (r1 - r0) * along - distance, 0.5) * lungs[box]
    hu[box] = np.maximum(hu[box], hu[box] + (BLOOD - hu[box]) * profile)


def _vessel_tree(random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, float, float]]:
    """(start, end, radius at start, radius at end) of the vessels of both lungs, in mm."""
    for side in (-1, 1):
        for towards in ((0.6, -0.5, 0.9), (1.0, 0.2, 0.1), (0.6, 0.5, -0.9), (0.9, -0.6, -0.3)):
            direction = np.array([side * towards[0], towards[1], towards[2]])
            root = np.array([side * 22.0, 8.0, 2.0])
            yield from _branch(random, root, direction / np.linalg.norm(direction), 26.0, 3.6, 6)


def _branch(
    random: np.random.Generator,
    start: np.ndarray,
    direction: np.ndarray,
    length: float,
    radius: float,
    generations: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, float, float]]:
    """A vessel and the two it splits into, down to the last generation."""
    end = start + direction * length
    yield start, end, radius, radius * 0.8
    if generations == 1:
        return
    across = np.cross(direction, random.normal(size=3))
    across /= np.linalg.norm(across)
    for turn in (random.uniform(0.3, 0.6), -random.uniform(0.4, 0.8)):
        child = direction + turn * across
        share = random.uniform(0.7, 0.85)
        yield from _branch(
            random, end, child / np.linalg.norm(child), length * share, radius * 0.74, generations - 1
        )
