"""Training batches: a rater subset as the user, a click, a region, augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig


@dataclass(eq=False)
class Batch:
    """image (B, C, G, G) in [0, 1]; target (B, G, G) {0, 1}; points (B, n, 2) (x, y) in grid cells, the seed
    first; labels (B, n): 1 positive, 0 negative, -1 no point. users (B, U, G, G): the targets of U users who
    may have made the same click, drawn as `target` was; before the first pick nothing tells them apart.

    Handed over inside a `Sealed` box: mixed precision would round coordinates and targets to bfloat16.
    """

    image: Tensor
    target: Tensor
    points: Tensor
    labels: Tensor
    users: Tensor


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
            others = np.stack([self._others(i, np.random.default_rng((seed, step, rank, i))) for i in chosen])
            wanted = np.concatenate([wanted, others], axis=1)
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
        while True:
            subset = rng.integers(1, 2 ** len(raters))
            members = [r for r in range(len(raters)) if subset >> r & 1]
            target = raters[members].mean(axis=0) >= 0.5
            if target.any():
                break
        agreed = raters.all(axis=0)
        spots = np.argwhere(agreed if agreed.any() else target)
        row, col = spots[rng.integers(len(spots))]
        return target, (int(row), int(col))

    def _others(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """What U - 1 further users want of this image: (U - 1, H, W) bool; none of them wants nothing."""
        raters = self.masks[index]
        subsets = (
            np.arange(1, 2 ** len(raters)) if len(raters) <= 6 else rng.integers(1, 2 ** len(raters), 64)
        )
        members = subsets[:, None] >> np.arange(len(raters)) & 1
        share = np.tensordot(members / members.sum(axis=1, keepdims=True), raters.astype(np.float64), axes=1)
        wanted = share >= 0.5 - 1e-9
        wanted = wanted[wanted.any(axis=(1, 2))]
        order = rng.permutation(len(wanted))
        return np.asarray(wanted[np.resize(order, self.users - 1)])

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
        height, width = targets.shape[2:]
        scale = np.array([2 / width, 2 / height])
        theta = views * scale[None, :, None]
        theta[:, :, 2] += scale / 2 - 1
        grid_size = [len(chosen), 1, self.config.grid, self.config.grid]
        grid = F.affine_grid(torch.from_numpy(theta).float(), grid_size, align_corners=False)
        pixels = torch.from_numpy(self.images[chosen]).float().div_(255)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        image = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        soft = F.grid_sample(torch.from_numpy(targets).float(), grid, align_corners=False)
        seed = self._seed(clicks, views)
        image = _vary_intensity(image, rng)
        if image.shape[1] < self.config.image_channels:
            image = image.expand(-1, self.config.image_channels, -1, -1)
        users = (soft >= 0.5).float()
        points, labels = _further_points(users[:, 0], seed, rng, self.further_points)
        return Batch(image, users[:, 0], points, labels, users)

    def _seed(self, clicks: np.ndarray, views: np.ndarray) -> Tensor:
        """Clicks in grid cells: (B, 2) (x, y)."""
        offset = clicks[:, ::-1] - views[:, :, 2]
        unit = np.linalg.solve(views[:, :, :2], offset[..., None])[..., 0]
        grid = self.config.grid
        return torch.from_numpy(np.clip((unit + 1) * grid / 2 - 0.5, 0, grid - 1)).float()


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
