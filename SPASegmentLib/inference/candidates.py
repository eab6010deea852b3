"""From the network's N samples to at most K candidates a person can choose from.

Paper Section 3.3: K-means on the N predictions gives K candidates. What is added here is what a user needs:
no specks, no two candidates that are the same, none that was turned down before, one stable order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.types import PointPrompt, Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.describe import describe_all
from SPASegmentLib.inference.kmeans import inner_products, kmeans, one_thread
from SPASegmentLib.inference.messages import Candidate, ProposalRequest

K = DEFAULT.candidates
"""Candidates shown at once (the paper's K)."""
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Selection:
    """Which masks are worth showing.

    kept: indices into the masks, in the order shown. supports: of each, with that of its duplicates added.
    fewer_reason: one sentence where fewer than the limit are left, else "".
    """

    kept: tuple[int, ...]
    supports: tuple[float, ...]
    fewer_reason: str


def cluster(
    samples: np.ndarray,
    weights: np.ndarray | None = None,
    k: int = K,
    seed: int = 0,
    products: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Group N probability maps into at most k clusters by weighted K-means (paper Section 3.3).

    samples: (N, G, G) float. weights: (N,) non-negative, or None for equal ones. products: `inner_products(
    samples)`, for callers that cluster the same samples more than once.
    Returns labels (N,) int and centroids (k', G, G) float32, the weighted means of each cluster's maps, from
    the largest mask (cells >= 0.5) to the smallest; k' < k where there are fewer distinct samples.
    """
    n = len(samples)
    flat = np.ascontiguousarray(samples, dtype=np.float32).reshape(n, -1)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if not weight.sum() > 0:
        weight = np.ones(n)
    weight = weight / weight.sum() + 1e-12  # clusters of samples without any weight have a mean, too
    labels = kmeans(inner_products(samples) if products is None else products, weight, k, seed)
    return _ordered_by_area(flat, weight, labels, samples.shape[1:])


def _ordered_by_area(
    flat: np.ndarray, weight: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Number the clusters from large to small, leaving out empty ones; labels and centroids."""
    old = np.unique(labels)
    shares = (labels == old[:, None]) * weight
    shares /= shares.sum(axis=1, keepdims=True)
    with one_thread():
        centroids = shares.astype(np.float32) @ flat
    keys = [
        (-int(np.count_nonzero(centroid >= 0.5)), -float(centroid.sum()), int(np.argmax(labels == label)))
        for label, centroid in zip(old, centroids, strict=True)
    ]
    order = sorted(range(len(old)), key=keys.__getitem__)
    renumbered = np.empty(len(labels), dtype=np.int64)
    for new, index in enumerate(order):
        renumbered[labels == old[index]] = new
    return renumbered, centroids[order].reshape(-1, *shape)


def clean_mask(
    mask: np.ndarray,
    points: Sequence[PointPrompt] = (),
    *,
    speck_pixels: int = DEFAULT.speck_pixels,
    speck_share: float = DEFAULT.speck_share,
) -> np.ndarray:
    """Remove specks and fill pin-holes; cleaning twice changes nothing more.

    A speck is a component below max(speck_pixels, speck_share of the largest component) that no positive
    point lies on; a pin-hole is an enclosed background component below the same size without a negative
    point. Components are 4-connected, so that a pixel hanging on by its corner counts as a speck, except
    along a line so thin that it hangs together by corners only. The largest component always stays.

    mask: (H, W) bool. Returns a new (H, W) bool array.
    """
    mask = np.asarray(mask, dtype=bool)
    box = bounding_box(mask)
    cleaned = np.zeros_like(mask)
    if box is None:
        return cleaned
    part = np.pad(mask[box], 1)
    shift = (1 - box[0].start, 1 - box[1].start)
    keep = _pixels(points, True, shift, part.shape)
    open_ = _pixels(points, False, shift, part.shape)
    while True:
        after, limit = _without_specks(part, keep, speck_pixels, speck_share)
        after = _without_pinholes(after, open_, limit)
        if np.array_equal(after, part):
            break
        part = after
    cleaned[box] = part[1:-1, 1:-1]
    return cleaned


def outlined(probability: np.ndarray, request: ProposalRequest, cut: float = 0.5) -> np.ndarray:
    """The recommended mask: a (H, W) probability cut, clean; at least the likeliest spot at a user's seed."""
    mask = clean_mask(probability >= cut, request.placed)
    if mask.any() or request.carried is not None:
        return mask
    peak = float(probability.max())
    if peak > DEFAULT.faint_peak:
        mask = clean_mask(probability >= DEFAULT.faint_level * peak, request.points)
    if not mask.any():
        mask = np.zeros(probability.shape, dtype=bool)
        seed = next(p for p in request.points if p.positive)
        mask[round(seed.row), round(seed.col)] = True
    return mask


def hold_points(mask: np.ndarray, request: ProposalRequest, region: Region) -> np.ndarray:
    """The mask with a small disc added at positive points outside it and taken away at negative ones inside.

    mask: (H, W) bool. region: whose cells give the disc's size. The seed's disc, like any point's, gives way
    where another point contradicts it; the pixel under a point always obeys.
    """
    image = request.image
    radius = DEFAULT.held_cells * region.size_mm / region.grid
    held = np.array(mask, dtype=bool)
    rows, cols = (np.arange(n) * step for n, step in zip(image.shape, image.spacing, strict=True))
    pixels = [(round(p.row), round(p.col), p.positive) for p in request.placed]
    wrong = [(row, col, positive) for row, col, positive in pixels if mask[row, col] != positive]
    for row, col, positive in wrong:
        down, right = rows - rows[row], cols - cols[col]
        near = np.flatnonzero(abs(down) <= radius), np.flatnonzero(abs(right) <= radius)
        disc = np.add.outer(down[near[0]] ** 2, right[near[1]] ** 2) <= radius**2
        box = np.ix_(*near)
        held[box] = held[box] | disc if positive else held[box] & ~disc
    for row, col, positive in pixels if wrong else ():
        held[row, col] = positive
    return held


def _without_specks(
    mask: np.ndarray, keep: Sequence[tuple[int, int]], speck_pixels: int, speck_share: float
) -> tuple[np.ndarray, float]:
    """The mask without its specks, and the size below which a component was one."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask, float(speck_pixels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    sizes[0] = 0
    joined, joined_count = ndimage.label(mask, structure=_EIGHT)
    parent = np.zeros(count + 1, dtype=int)
    parent[labels[mask]] = joined[mask]
    solid = np.zeros(joined_count + 1)
    np.maximum.at(solid, parent, sizes)
    total = np.bincount(joined.ravel(), minlength=joined_count + 1).astype(float)
    # A line held together by corners counts as a whole: all of its parts are below the speck size.
    thin = (solid < speck_pixels) & (total >= speck_pixels)
    worth = np.where(thin[parent], total[parent], sizes)
    worth[0] = 0
    limit = max(float(speck_pixels), speck_share * float(worth.max()))
    kept = worth >= limit
    for row, col in keep:
        kept[labels[row, col]] = True
    kept[0] = False
    if not kept.any():
        kept[int(worth.argmax())] = True
    return kept[labels], limit


def _without_pinholes(mask: np.ndarray, open_: Sequence[tuple[int, int]], limit: float) -> np.ndarray:
    """The mask with enclosed background components below `limit` pixels filled; its border is background."""
    labels, count = ndimage.label(~mask)
    if count <= 1:
        return mask
    fill = np.bincount(labels.ravel(), minlength=count + 1) < limit
    fill[0] = False
    fill[labels[0, 0]] = False
    for row, col in open_:
        fill[labels[row, col]] = False
    return mask | fill[labels]


def bounding_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of a (H, W) mask; None where it is empty."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _pixels(
    points: Sequence[PointPrompt], positive: bool, shift: tuple[int, int], shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Pixels under the points of one sign that lie inside a box shifted by `shift`."""
    found = []
    for point in points:
        row, col = round(point.row) + shift[0], round(point.col) + shift[1]
        if point.positive == positive and 0 <= row < shape[0] and 0 <= col < shape[1]:
            found.append((row, col))
    return found


def same_mask(
    a: np.ndarray,
    b: np.ndarray,
    *,
    distinct_pixels: int = DEFAULT.distinct_pixels,
    distinct_share: float = DEFAULT.distinct_share,
    piece_share: float = 0.0,
    in_pieces: bool = False,
) -> bool:
    """Whether a user would call two (H, W) masks the same: they differ by less than both thresholds allow.

    piece_share: they are the same, too, where no connected piece of what differs has this share of the larger
    one's area: specks are nothing a person compares. in_pieces: smaller pieces do not count at all.
    """
    area = max(np.count_nonzero(a), np.count_nonzero(b))
    least = max(distinct_pixels, distinct_share * area)
    differ = np.not_equal(a, b)
    if np.count_nonzero(differ) < least:
        return True
    box = bounding_box(differ)
    if not piece_share or box is None:
        return False
    pieces = np.bincount(ndimage.label(differ[box], structure=_EIGHT)[0].ravel())[1:]
    seen = pieces[pieces >= max(distinct_pixels, piece_share * area)]
    return bool(seen.sum() < least) if in_pieces else not len(seen)


def select(
    recommendation: np.ndarray,
    masks: Sequence[np.ndarray],
    supports: Sequence[float],
    *,
    rejected: Sequence[np.ndarray] = (),
    limit: int = K,
    distinct_pixels: int = DEFAULT.distinct_pixels,
    distinct_share: float = DEFAULT.distinct_share,
    piece_share: float = 0.0,
    in_pieces: bool = False,
) -> Selection:
    """Choose which masks to show, the better supported first where two are the same.

    recommendation: (H, W) bool. masks: cleaned (H, W) bool each. rejected: masks turned down before.
    Shown are masks that are not empty and differ (`same_mask`) from the recommendation, from the rejected
    ones and from each other; in order of area, then support (both falling), then index.
    """

    same = partial(
        same_mask,
        distinct_pixels=distinct_pixels,
        distinct_share=distinct_share,
        piece_share=piece_share,
        in_pieces=in_pieces,
    )
    support = {i: float(s) for i, s in enumerate(supports)}
    kept: list[int] = []
    turned_down = 0
    for i in sorted(support, key=lambda i: (-support[i], i)):
        mask = masks[i]
        if not mask.any() or same(mask, recommendation):
            continue
        if any(same(mask, old) for old in rejected):
            turned_down += 1
            continue
        twin = next((j for j in kept if same(mask, masks[j])), None)
        if twin is not None:
            support[twin] += support[i]
        elif len(kept) < limit:
            kept.append(i)
    kept.sort(key=lambda i: (-int(np.count_nonzero(masks[i])), -support[i], i))
    reason = _fewer_reason(len(kept), limit, turned_down)
    return Selection(tuple(kept), tuple(min(1.0, support[i]) for i in kept), reason)


def worth_showing(centroids: np.ndarray, mean: np.ndarray, pixel_cells: float) -> int:
    """About how many centroids give masks that differ from the recommendation and from each other.

    Asked on the network's grid, with half of what `select` asks for: a quick look before masks are made.
    centroids: (k, G, G). mean: (G, G) the recommendation. pixel_cells: cells a pixel covers.
    """
    masks = (
        (np.concatenate([mean[None], centroids]) >= 0.5).reshape(len(centroids) + 1, -1).astype(np.float32)
    )
    with one_thread():
        shared = masks @ masks.T
    area = np.diagonal(shared)
    differ = area[:, None] + area - 2 * shared
    share = DEFAULT.distinct_share * np.maximum(area[:, None], area)
    least = np.maximum(DEFAULT.distinct_pixels * pixel_cells, share) / 2
    kept = [0]
    for i in range(1, len(masks)):
        if area[i] and all(differ[i, j] >= least[i, j] for j in kept):
            kept.append(i)
    return len(kept) - 1


def _fewer_reason(shown: int, limit: int, turned_down: int) -> str:
    """Why fewer than `limit` are shown, in one sentence."""
    if shown >= limit:
        return ""
    count = ("No", "Only one", "Only two", "Only three")[shown] if shown < 4 else f"Only {shown}"
    noun, verb = ("alternative", "is") if shown == 1 else ("alternatives", "are")
    if turned_down:
        why = "everything else the model considers likely was turned down before"
    elif shown:
        why = "the model's other samples agree with these or with the recommendation"
    else:
        why = "all of the model's samples agree with the recommendation"
    return f"{count} {noun} {verb} shown: {why}."


def assemble(
    recommendation: np.ndarray,
    masks: Sequence[np.ndarray],
    supports: Sequence[float],
    *,
    spacing: tuple[float, float],
    points: Sequence[PointPrompt] = (),
    rejected: Sequence[np.ndarray] = (),
    limit: int = K,
) -> tuple[tuple[Candidate, ...], str]:
    """Clean, choose, order and describe the candidates of one proposal.

    recommendation: (H, W) bool, cleaned. masks: one (H, W) bool per cluster (more than `limit` are welcome
    after "none of these"). supports: share of the samples in each cluster. spacing: (row, col) mm.
    points: the user's points. rejected: masks turned down before on this slice.
    Returns the candidates, whose `cluster` is the index into `masks`, and why they are fewer than `limit`.
    """
    cleaned = [clean_mask(mask, points) for mask in masks]
    selection = select(recommendation, cleaned, supports, rejected=rejected, limit=limit)
    return described(recommendation, cleaned, selection, spacing), selection.fewer_reason


def described(
    recommendation: np.ndarray,
    cleaned: Sequence[np.ndarray],
    selection: Selection,
    spacing: tuple[float, float],
) -> tuple[Candidate, ...]:
    """The candidates a selection of cleaned (H, W) masks gives, described against the recommendation."""
    shown = [cleaned[i] for i in selection.kept]
    descriptions = describe_all(recommendation, shown, selection.supports, spacing)
    return tuple(
        Candidate(mask, description, index)
        for mask, description, index in zip(shown, descriptions, selection.kept, strict=True)
    )
