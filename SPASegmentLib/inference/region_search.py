"""Finding the region: a few looks around the seed until the object's size is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.special import log_softmax

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt, Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Carried, ProposalRequest, UsualArea
from SPASegmentLib.network.config import SPAConfig


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network sees in a region.

    mask: (H, W) bool, what it takes for the object. certainty: in [0, 1]. expected: the Dice it expects of
    the mask, or None where it has no head for it. means: (M, G, G) uint8, probability * 255 of the
    components' means. log_weights: (M,) of the components.
    """

    mask: np.ndarray
    certainty: float
    expected: float | None = None
    means: np.ndarray | None = None
    log_weights: np.ndarray | None = None


Look = Callable[[Sequence[Region]], list[Sight]]


@dataclass(frozen=True, eq=False)
class FoundRegion:
    """Where an object was found.

    log_weight: log-probability that it is the one meant, beside the others. log_certainty: the same from what
    the network thinks of its masks alone, for those whose further points say what is meant.
    """

    region: Region
    log_weight: float = 0.0
    log_certainty: float = 0.0
    sight: Sight | None = None


def find_regions(request: ProposalRequest, config: SPAConfig, look: Look) -> tuple[FoundRegion, ...]:
    """The region that fits the object under the first positive point and, after it, those of others there.

    look: what the network sees in regions. A network that says how good its mask is, is asked at every scale
    (`_at_every_scale`). To others, a click in the middle of an organ shows the first look nothing but tissue,
    in which it may find a spot that is no object; so where the mask does not clearly stand out from what
    surrounds it, larger regions are tried, and the one the network is most certain of is kept (the larger one
    of equals).
    """
    if config.extent_bins:
        return _at_every_scale(request, config, look)
    image = request.image
    best, most_certain = None, -1.0
    for factor in DEFAULT.first_regions:
        size = factor * config.default_region * min(image.spacing)
        if best is not None and size > 2 * _longer_side(request):
            break
        region, sight = _settle(request, config, look, first_region(request, config, factor))
        if best is None or sight.certainty >= most_certain - DEFAULT.as_certain:
            best, most_certain = region, sight.certainty
        if stands_out(image.pixels, sight.mask) >= DEFAULT.stands_out:
            break
    assert best is not None
    return (FoundRegion(best),)


def carried_region(request: ProposalRequest, carried: Carried, config: SPAConfig) -> Region:
    """The region that fits a carried mask; the object's size is known, so nothing has to be looked at."""
    start = Region(seed_of(request), config.default_region * min(request.image.spacing), config.grid)
    return zoom.refine(
        start, carried.mask >= 0.5, seed_of(request), request.image.spacing, factor=config.zoom_factor
    )


def boxed_region(point: PointPrompt, request: ProposalRequest, config: SPAConfig) -> Region:
    """The region that fits the box a user drew around a point."""
    assert point.size_mm is not None
    smallest = zoom.MIN_PIXELS * min(request.image.spacing)
    size = max(config.zoom_factor * point.size_mm, smallest)
    return Region((point.row, point.col), size, config.grid)


def first_region(request: ProposalRequest, config: SPAConfig, factor: float = 1.0) -> Region:
    """The square around the seed before anything is known of the object, `factor` default ones wide."""
    image = request.image
    size = factor * config.default_region * min(image.spacing)
    return zoom.region_around(seed_of(request), size, config.grid, image.shape, image.spacing)


def _settle(request: ProposalRequest, config: SPAConfig, look: Look, region: Region) -> tuple[Region, Sight]:
    """Look, fit the region to what was found, look again until it stays."""
    image, seed = request.image, seed_of(request)
    (sight,) = look([region])
    for _ in range(DEFAULT.looks - 1):
        better = zoom.refine(region, sight.mask, seed, image.spacing, factor=config.zoom_factor)
        moved = float(np.hypot(*np.subtract(better.centre, region.centre))) * min(image.spacing)
        resized = abs(np.log(better.size_mm / region.size_mm))
        if resized < DEFAULT.settled_size and moved < DEFAULT.settled_shift * region.size_mm:
            break
        region = better
        (sight,) = look([region])
    return region, sight


def _at_every_scale(request: ProposalRequest, config: SPAConfig, look: Look) -> tuple[FoundRegion, ...]:
    """Look around the seed at every scale, fit each region to what is found there; the best comes first.

    A click says nothing of how large the object is, and one that lies off its middle leaves a region of the
    right size in the wrong place; so each look's mask is given a region of its own, and what the network
    thinks of its mask there decides, and how many masks are smaller (`_distinct`). Regions with masks of
    their own are other objects that may be meant.
    """
    image, seed = request.image, seed_of(request)
    size = zoom.MIN_PIXELS * min(image.spacing)
    regions: list[Region] = []
    while size <= DEFAULT.widest_look * _longer_side(request) or not regions:
        regions.append(Region(seed, size, config.grid))
        size *= DEFAULT.scale_step
    fitted = dict.fromkeys(
        zoom.refine(region, sight.mask, seed, image.spacing, factor=config.zoom_factor)
        for region, sight in zip(regions, look(regions), strict=True)
    )
    return _distinct(list(fitted), look(list(fitted)))


def _distinct(regions: Sequence[Region], sights: Sequence[Sight]) -> tuple[FoundRegion, ...]:
    """The best region of each object found, the likeliest object first after the best region's own."""
    certainty = _certainty(sights)
    worth = certainty + DEFAULT.larger_share * _smaller(sights)
    share = np.exp((np.stack([worth, certainty]) - worth.max()) / DEFAULT.region_softness)
    kept: list[int] = []
    total: list[np.ndarray] = []
    for index in np.argsort(-worth, kind="stable"):
        mask = sights[index].mask
        same = [n for n, k in enumerate(kept) if _dice(mask, sights[k].mask) > DEFAULT.same_object]
        if same:
            total[same[0]] += share[:, index]
        elif len(kept) <= DEFAULT.other_regions and (mask.any() or not kept):
            kept.append(int(index))
            total.append(share[:, index].copy())
    logs = np.log(total / np.sum(total, axis=0))
    return tuple(
        FoundRegion(regions[k], float(weight), float(certain), sights[k])
        for k, (weight, certain) in zip(kept, logs, strict=True)
    )


def of_usual_area(
    found: tuple[FoundRegion, ...], usual: UsualArea, spacing: tuple[float, float]
) -> tuple[FoundRegion, ...]:
    """The regions with the weights that a user has for whom objects are about so large; the likeliest first.

    found: as `find_regions` gives them, each with its own weight. spacing: (row, col) mm of the slice.
    """
    if len(found) < 2:
        return found
    areas = np.array([_area(region, spacing) for region in found])
    distance = (np.log(np.maximum(areas, spacing[0] * spacing[1])) - usual.log_mm2) / usual.deviation
    share = log_softmax(-0.5 * DEFAULT.area_share * distance**2)
    doubt = np.log(DEFAULT.area_doubt / len(found))
    follows = np.logaddexp(np.log1p(-DEFAULT.area_doubt) + share, doubt)
    logs = log_softmax([region.log_weight for region in found] + follows)
    certain = log_softmax([region.log_certainty for region in found] + follows)
    return tuple(
        replace(found[k], log_weight=float(logs[k]), log_certainty=float(certain[k]))
        for k in np.argsort(-logs, kind="stable")
    )


def _area(found: FoundRegion, spacing: tuple[float, float]) -> float:
    """mm2 of what was found in a region."""
    assert found.sight is not None
    return float(np.count_nonzero(found.sight.mask)) * spacing[0] * spacing[1]


def _certainty(sights: Sequence[Sight]) -> np.ndarray:
    """(n,) what the network thinks of its mask in each region: how sure it is, and the Dice it expects."""
    return np.array([sight.certainty + DEFAULT.expected_share * (sight.expected or 0.0) for sight in sights])


def _smaller(sights: Sequence[Sight]) -> np.ndarray:
    """(n,) share of the regions whose masks are smaller than a region's.

    The network is as sure of a spot within an organ as of the organ, and people mean the organ more often.
    """
    areas = np.array([np.count_nonzero(sight.mask) for sight in sights])
    return np.asarray((areas[None] < areas[:, None]).mean(axis=1))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    """Of (H, W) bool masks."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


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
    """The last region, or the one that fits the last pick where that is of another or reaches its border."""
    last = request.answered[-1]
    feedback = last.proposal.feedback
    region = replace(feedback.region, grid=config.grid)
    if last.picked is None:
        return region
    cells = feedback.clusters[last.picked] >= 128
    elsewhere = replace(feedback.on_region(last.picked), grid=config.grid) != region
    if not (elsewhere or cells[[0, -1]].any() or cells[:, [0, -1]].any()):
        return region
    mask = last.proposal.candidates[last.picked].mask
    return zoom.refine(region, mask, seed_of(request), request.image.spacing, factor=config.zoom_factor)


def room_for_points(region: Region, request: ProposalRequest, config: SPAConfig) -> Region:
    """The region, or a larger one that holds every positive point and what the region was fitted to.

    A point outside would say nothing. Negative points outside need no room: the mask ends at the region.
    """
    spacing = np.array(request.image.spacing)
    half = region.size_mm / 2 / spacing
    room = half * (1 - 2 * DEFAULT.point_margin)
    points = np.array([(p.row, p.col) for p in request.points if p.positive])
    if (np.abs(points - region.centre) <= room).all():
        return region
    corners = [*points, region.centre - half / config.zoom_factor, region.centre + half / config.zoom_factor]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    size = float(config.zoom_factor * ((high - low) * spacing).max())
    row, col = (low + high) / 2
    return Region((float(row), float(col)), size, region.grid)


def seed_of(request: ProposalRequest) -> tuple[float, float]:
    """(row, col) of the first positive point."""
    return next((p.row, p.col) for p in request.points if p.positive)


def _longer_side(request: ProposalRequest) -> float:
    return max(n * step for n, step in zip(request.image.shape, request.image.spacing, strict=True))
