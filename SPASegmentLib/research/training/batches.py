"""Training batches: a rater subset as the user, a click, a region, augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.datasets.draws import draw_agreeing, draw_subset, half_agree, members


@dataclass(eq=False)
class Batch:
    """image (B, C, G, G) in [0, 1]; target (B, G, G) {0, 1}; points (B, n, 2) (x, y) in grid cells, the seed
    first; labels (B, n): 1 positive, 0 negative, -1 no point. users (B, U, G, G): the targets of U users who
    may have made the same click, drawn as `target` was; before the first pick nothing tells them apart.
    context (B, C, G, G), neighbours (B, 2 n, G, G), carried (B, 1, G, G): see `SPANetwork.encode_image` and
    `Interaction`. extents (B, U): log2 of each user's extent over the region's side, NaN for empty targets.

    Handed over inside a `Sealed` box: mixed precision would round coordinates and targets to bfloat16.
    """

    image: Tensor
    target: Tensor
    points: Tensor
    labels: Tensor
    users: Tensor
    context: Tensor | None = None
    neighbours: Tensor | None = None
    carried: Tensor | None = None
    extents: Tensor | None = None


FEW_RATERS = 4
"""Up to so many raters, all their subsets are further users of an image; of more, some are drawn."""


class Sealed:
    """A box that precision plugins do not look into."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class BatchMaker:
    """Draws batches; the batch of a step is a pure function of (seed, step), which makes runs resumable.

    images: (n, H, W) or (n, H, W, 3) uint8. masks: (n, R, H, W) bool.
    """

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        config: SPAConfig,
        region_known: float,
        further_points: float = 0.0,
        users: int = 1,
    ) -> None:
        usable = masks.reshape(len(masks), -1).any(axis=1)
        self.images, self.masks = images, masks
        self.indices = np.flatnonzero(usable)
        self.config, self.region_known, self.further_points = config, region_known, further_points
        self.users = users

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> Batch:
        """The batch of `step` in an endless stream of shuffled epochs; `rank` tells processes apart."""
        rng = np.random.default_rng((seed, step, rank, 1))
        chosen = self._indices(seed, step, size, rank)
        targets, clicks = zip(*(self._user(i, rng) for i in chosen), strict=True)
        views = [self._view(t, c, rng) for t, c in zip(targets, clicks, strict=True)]
        wanted = np.stack(targets)[:, None]
        if self.users > 1:
            others = [
                self._others(i, click, np.random.default_rng((seed, step, rank, i)))
                for i, click in zip(chosen, clicks, strict=True)
            ]
            wanted = np.concatenate([wanted, np.stack(others)], axis=1)
        return self._crop(chosen, wanted, np.array(clicks), np.stack(views), rng)

    def _indices(self, seed: int, step: int, size: int, rank: int) -> np.ndarray:
        first, n = step * size, len(self.indices)
        positions = np.arange(first, first + size)
        epochs = positions // n
        orders = {e: np.random.default_rng((seed, int(e), rank, 2)).permutation(n) for e in np.unique(epochs)}
        return self.indices[[orders[e][p % n] for e, p in zip(epochs, positions, strict=True)]]

    def _user(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
        """A target and a click as the protocol draws them."""
        raters = self.masks[index]
        target = wanted_mask(raters, rng)
        agreed = raters.all(axis=0)
        spots = np.argwhere(agreed if agreed.any() else target)
        row, col = spots[rng.integers(len(spots))]
        return target, (int(row), int(col))

    def _others(self, index: int, click: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """What U - 1 further users want of this image who may have clicked there: (U - 1, H, W) bool."""
        raters, needed = self.masks[index], self.users - 1
        votes = raters[:, click[0], click[1]]
        if len(raters) > FEW_RATERS:
            return np.stack([half_agree(raters[draw_agreeing(votes, rng)]) for _ in range(needed)])
        everyone = tuple(range(len(raters)))
        subsets = [list(members(everyone, number)) for number in range(1, 2 ** len(raters))]
        agreeing = [subset for subset in subsets if half_agree(votes[subset])]
        order = np.resize(rng.permutation(len(agreeing)), needed)
        return np.stack([half_agree(raters[agreeing[i]]) for i in order])

    def _view(self, target: np.ndarray, click: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Region and augmentation as an affine map grid -> slice: (2, 3), pixels, (x, y)."""
        row, col = np.array(click, dtype=float)
        if rng.random() < self.region_known:
            rows, cols = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
            extent = max(rows[-1] - rows[0], cols[-1] - cols[0]) + 1
            size = extent * self.config.zoom_factor * math.exp(rng.normal(0, 0.25))
            size = float(np.clip(size, 24, self.config.default_region * 2))
            centre = np.array([(rows[0] + rows[-1]) / 2, (cols[0] + cols[-1]) / 2])
            centre += rng.normal(0, 0.06 * size, 2)
            reach = 0.4 * size
            centre = np.clip(centre, [row - reach, col - reach], [row + reach, col + reach])
        else:
            size, centre = self.config.default_region * math.exp(rng.normal(0, 0.15)), np.array([row, col])
        angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else math.pi / 2 * rng.integers(4)
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ np.diag([mirror, 1.0]) * (size / 2)
        return np.hstack([matrix, centre[::-1][:, None]])

    def _crop(
        self,
        chosen: np.ndarray,
        targets: np.ndarray,
        clicks: np.ndarray,
        views: np.ndarray,
        rng: np.random.Generator,
    ) -> Batch:
        parts = [self._sampled(*item) for item in zip(chosen, targets, views, strict=True)]
        image, soft = (torch.cat(part) for part in zip(*parts, strict=True))
        seed = self._seed(clicks, views)
        image = _vary_intensity(image, rng)
        if image.shape[1] < self.config.image_channels:
            image = image.expand(-1, self.config.image_channels, -1, -1)
        users = (soft >= 0.5).float()
        points, labels = _further_points(users[:, 0], seed, rng, self.further_points)
        return Batch(image, users[:, 0], points, labels, users)

    def _sampled(self, index: int, targets: np.ndarray, view: np.ndarray) -> tuple[Tensor, Tensor]:
        """One image (1, C, G, G) in [0, 1] and its targets (1, U, G, G), resampled bilinearly.

        Only what the view can touch is converted: a slice may be a hundred times as large.
        """
        rows, cols = _touched(view, targets.shape[1:])
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[index][rows, cols])).float().div_(255)
        pixels = pixels[None, None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)[None]
        masks = torch.from_numpy(np.ascontiguousarray(targets[:, rows, cols])).float()[None]
        scale = np.array([2 / masks.shape[3], 2 / masks.shape[2]])
        theta = view * scale[:, None]
        theta[:, 2] += scale * (0.5 - np.array([cols.start, rows.start])) - 1
        size = [1, 1, self.config.grid, self.config.grid]
        grid = F.affine_grid(torch.from_numpy(theta).float()[None], size, align_corners=False)
        image = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        return image, F.grid_sample(masks, grid, align_corners=False)

    def _seed(self, clicks: np.ndarray, views: np.ndarray) -> Tensor:
        """Clicks in grid cells: (B, 2) (x, y)."""
        offset = clicks[:, ::-1] - views[:, :, 2]
        unit = np.linalg.solve(views[:, :, :2], offset[..., None])[..., 0]
        grid = self.config.grid
        return torch.from_numpy(np.clip((unit + 1) * grid / 2 - 0.5, 0, grid - 1)).float()


def wanted_mask(raters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The protocol's target of a user: (R, H, W), not all empty -> (H, W) bool."""
    drawn = draw_subset(raters, tuple(range(len(raters))), rng)
    assert drawn is not None
    return drawn.target


def _touched(view: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that bilinear sampling of a view (2, 3) may read; at least one of each."""
    reach = np.abs(view[:, :2]).sum(axis=1)
    found = []
    for centre, half, length in zip(view[::-1, 2], reach[::-1], shape, strict=True):
        first = int(np.clip(math.floor(centre - half) - 1, 0, length - 1))
        found.append(slice(first, int(np.clip(math.ceil(centre + half) + 2, first + 1, length))))
    return found[0], found[1]


def _vary_intensity(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Contrast, brightness, gamma and noise, each mild and per image."""
    shape = (len(image), 1, 1, 1)
    draw = lambda low, high: torch.from_numpy(rng.uniform(low, high, shape)).float()  # noqa: E731
    image = (image - 0.5) * draw(0.85, 1.15) + 0.5 + draw(-0.06, 0.06)
    image = image.clamp(0, 1) ** draw(0.85, 1.18)
    noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    return (image + noise * draw(0, 0.03)).clamp(0, 1)


def _further_points(
    target: Tensor, seed: Tensor, rng: np.random.Generator, share: float
) -> tuple[Tensor, Tensor]:
    """For a share of the cases, one more positive and/or one negative point near the outline.

    They teach the network what points mean that a user places after the seed; -> (B, 3, 2), (B, 3).
    """
    grid = target.shape[-1]
    near = F.max_pool2d(target[:, None], 9, stride=1, padding=4)[:, 0] * (1 - target)
    spots, labels = [seed], [torch.ones(len(seed))]
    for label, where in ((1, target), (0, near)):
        noise = torch.from_numpy(rng.random(target.shape, dtype=np.float32))
        value, index = (noise * where).flatten(1).max(dim=1)
        given = torch.from_numpy(rng.random(len(seed)) < share) & (value > 0)
        spots.append(torch.stack([index % grid, index // grid], dim=-1).float())
        labels.append(torch.where(given, float(label), -1.0))
    return torch.stack(spots, dim=1), torch.stack(labels, dim=1)
