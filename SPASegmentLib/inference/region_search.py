"""Finding the region: a few looks around the seed until the object's size is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.extent import SMALLEST, STEP


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network sees in a region.

    mask: (H, W) bool, what it takes for the object. certainty: in [0, 1]. sizes: (bins,) probabilities of the
    object's extent relative to the region (see network/extent.py), or None where it does not say.
    """

    mask: np.ndarray
    certainty: float
    sizes: np.ndarray | None = None


RegionLook = Callable[[Region], Sight]


def find_region(request: ProposalRequest, config: SPAConfig, look: RegionLook) -> Region:
    """The region that fits the object under the first positive point.

    look: what the network sees in a region. A network that says how large the object is, is asked at
    several scales (`_by_extent`). To others, a click in the middle of an organ shows the first look nothing
    but tissue, in which it may find a spot that is no object; so where the mask does not clearly stand out
    from what surrounds it, larger regions are tried, and the one the network is most certain of is kept (the
    larger one of equals).
    """
    if config.extent_bins:
        return _by_extent(request, config, look)
    image = request.image
    best, most_certain = None, -1.0
    for factor in DEFAULT.first_regions:
        size = factor * config.default_region * min(image.spacing)
        if best is not None and size > 2 * _longer_side(request):
            break
        region, sight = _settle(request, config, look, first_region(request, config, factor), DEFAULT.looks)
        if best is None or sight.certainty >= most_certain - DEFAULT.as_certain:
            best, most_certain = region, sight.certainty
        if stands_out(image.pixels, sight.mask) >= DEFAULT.stands_out:
            break
    assert best is not None
    return best


def first_region(request: ProposalRequest, config: SPAConfig, factor: float = 1.0) -> Region:
    """The square around the seed before anything is known of the object, `factor` default ones wide."""
    image = request.image
    size = factor * config.default_region * min(image.spacing)
    return zoom.region_around(seed_of(request), size, config.grid, image.shape, image.spacing)


def _settle(
    request: ProposalRequest, config: SPAConfig, look: RegionLook, region: Region, looks: int
) -> tuple[Region, Sight]:
    """Look, fit the region to what was found, look again until it stays."""
    image, seed = request.image, seed_of(request)
    sight = look(region)
    for _ in range(looks - 1):
        better = zoom.refine(region, sight.mask, seed, image.spacing, factor=config.zoom_factor)
        moved = float(np.hypot(*np.subtract(better.centre, region.centre))) * min(image.spacing)
        resized = abs(np.log(better.size_mm / region.size_mm))
        if resized < DEFAULT.settled_size and moved < DEFAULT.settled_shift * region.size_mm:
            break
        region = better
        sight = look(region)
    return region, sight


def _by_extent(request: ProposalRequest, config: SPAConfig, look: RegionLook) -> Region:
    """Ask at every scale the slice has how large the object is, go there, fit the region to what is found."""
    image = request.image
    found: list[tuple[float, np.ndarray]] = []
    for factor in DEFAULT.first_regions:
        size = factor * config.default_region * min(image.spacing)
        if found and size > 2 * _longer_side(request):
            break
        first = first_region(request, config, factor)
        sizes = look(first).sizes
        assert sizes is not None
        found.append((first.size_mm, sizes))
    extent = likely_extent(found)
    seed = seed_of(request)
    size = max(config.zoom_factor * extent, zoom.MIN_PIXELS * min(image.spacing))
    start = zoom.region_around(seed, size, config.grid, image.shape, image.spacing)
    return _settle(request, config, look, start, DEFAULT.extent_looks)[0]


def likely_extent(found: Sequence[tuple[float, np.ndarray]]) -> float:
    """The most likely extent in mm: (side of a region in mm, probabilities of the bins) of every look.

    The looks' opinions are averaged; what a look says at the ends of its scale counts little, as it only
    knows there that the object is smaller, or larger, than it can tell.
    """
    sides = np.log2([side for side, _ in found])
    axis = np.arange(sides.min() + SMALLEST, sides.max() + 3, STEP / 2)
    total = np.zeros(len(axis))
    for side, sizes in found:
        relative = SMALLEST + STEP * np.arange(len(sizes))
        trust = np.where((relative > -3.5) & (relative < 0.4), 1.0, 0.2)
        total += np.interp(axis, relative + np.log2(side), sizes * trust, left=0, right=0)
    smooth = np.convolve(total, [0.25, 0.5, 1, 0.5, 0.25], mode="same")
    return float(2 ** axis[int(smooth.argmax())])


def stands_out(pixels: np.ndarray, mask: np.ndarray) -> float:
    """How much a mask differs from the ring around it: difference of means over the mean deviation.

    pixels: (H, W) or (H, W, 3). mask: (H, W) bool. 0 for an empty mask or one without surroundings.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0
    margin = DEFAULT.ring_pixels + 1
    box = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(cols[0] - margin, 0), cols[-1] + margin + 1),
    )
    inside, part = mask[box], pixels[box]
    ring = ndimage.binary_dilation(inside, iterations=DEFAULT.ring_pixels) & ~inside
    if not ring.any():
        return 0.0
    part = part.reshape(*inside.shape, -1)
    within, around = part[inside], part[ring]
    difference = np.abs(within.mean(axis=0) - around.mean(axis=0))
    noise = 0.5 * (within.std(axis=0) + around.std(axis=0)) + DEFAULT.least_noise
    return float((difference / noise).max())


def room_for_pick(request: ProposalRequest, config: SPAConfig) -> Region:
    """The last region, or a larger one when the last picked candidate reaches its border."""
    last = request.answered[-1]
    region = replace(last.proposal.feedback.region, grid=config.grid)
    if last.picked is None:
        return region
    cells = last.proposal.feedback.clusters[last.picked] >= 128
    if not (cells[[0, -1]].any() or cells[:, [0, -1]].any()):
        return region
    mask = last.proposal.candidates[last.picked].mask
    return zoom.refine(region, mask, seed_of(request), request.image.spacing, factor=config.zoom_factor)


def seed_of(request: ProposalRequest) -> tuple[float, float]:
    """(row, col) of the first positive point."""
    return next((p.row, p.col) for p in request.points if p.positive)


def _longer_side(request: ProposalRequest) -> float:
    return max(n * step for n, step in zip(request.image.shape, request.image.spacing, strict=True))
