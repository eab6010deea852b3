"""Tasks as the network sees them: region, surroundings, neighbours, prompts, other scanners' intensities."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.batches import Batch
from SPASegmentLib.research.training.tasks import ClickTask, TaskMaker


def vary_intensities(views: Tensor, rng: np.random.Generator) -> Tensor:
    """One look of an image, the same for all its views: (V, C, G, G) in [0, 1] -> the same.

    Window (a part of the range, or beyond it), gamma, inversion, a bias field, noise, blur; colour turned
    grey or its channels apart. Each happens to some images only: images as they are stay the commonest.
    """
    if rng.random() < 0.4:
        low, high = np.quantile(views[0].numpy(), [rng.uniform(0, 0.06), rng.uniform(0.94, 1)])
        low, high = low - rng.uniform(0, 0.15), high + rng.uniform(0, 0.15)
        views = (views - low) / max(high - low, 0.05)
    views = (views - 0.5) * rng.uniform(0.85, 1.15) + 0.5 + rng.uniform(-0.06, 0.06)
    views = views.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.1:
        views = 1 - views
    if views.shape[1] == 3:
        views = _vary_colour(views, rng)
    if rng.random() < 0.25:
        views = views * _bias(views.shape[-1], rng)
    if rng.random() < 0.2:
        views = _blurred(views, rng.uniform(0.4, 1.2))
    noise = torch.from_numpy(rng.standard_normal((len(views), 1, *views.shape[2:]), dtype=np.float32))
    return (views + noise * float(rng.choice([0.01, 0.03, 0.08], p=[0.5, 0.35, 0.15]))).clamp(0, 1)


def _vary_colour(views: Tensor, rng: np.random.Generator) -> Tensor:
    draw = rng.random()
    if draw < 0.15:
        weights = views.new_tensor(rng.dirichlet([2, 2, 2]))[:, None, None]
        return (views * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    if draw < 0.5:
        return (views * views.new_tensor(rng.uniform(0.85, 1.15, 3))[:, None, None]).clamp(0, 1)
    return views


def _bias(size: int, rng: np.random.Generator) -> Tensor:
    """A smooth field around 1: (1, 1, G, G)."""
    coarse = torch.from_numpy(rng.uniform(0.7, 1.3, (1, 1, 3, 3))).float()
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def _blurred(views: Tensor, deviation: float) -> Tensor:
    axis = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(axis**2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    channels = views.shape[1]
    rows = kernel.view(1, 1, 7, 1).expand(channels, 1, 7, 1)
    padded = F.pad(views, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, rows, groups=channels), rows.mT, groups=channels)


NO_NEIGHBOURS = 0.4
"""How often a slice of a stack is shown without its neighbours, as single images always are."""


class ViewMaker:
    """Batches of tasks; the batch of a step is a pure function of (seed, step, rank)."""

    def __init__(self, tasks: TaskMaker, config: SPAConfig) -> None:
        self.tasks, self.config = tasks, config

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng((seed, step, rank, 11))
        views = [self._one(self.tasks.task(rng), rng) for _ in range(size)]
        image, context, neighbours, users, carried, clicks, extents = map(
            torch.stack, zip(*views, strict=True)
        )
        config = self.config
        return Batch(
            image,
            users[:, 0],
            clicks[:, None],
            torch.ones(size, 1),
            users,
            context=context if config.context else None,
            neighbours=neighbours if config.neighbours else None,
            carried=carried if "carried" in config.planes else None,
            extents=extents,
        )

    def _one(self, task: ClickTask, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """image (C, G, G), context (C, G, G), neighbours (2n, G, G), users (U, G, G), carried (1, G, G),
        click (2,) (x, y) cells, log2 extents over the region's side (U,)."""
        config, stack = self.config, task.stack
        view = _affine(task, rng)
        wide = view.copy()
        wide[:, :2] *= config.context or 1.0
        pixels = _planes(stack.slice(task.axis, task.index), config.image_channels)
        looks = [sampled(pixels, view, config.grid), sampled(pixels, wide, config.grid)]
        near, there = self._neighbours(task, view, rng)
        channels = config.image_channels
        seen = vary_intensities(torch.stack([*looks, *(n.expand(channels, -1, -1) for n in near)]), rng)
        neighbours = (
            torch.stack(
                [
                    part.mean(dim=0) if known else torch.full_like(part[0], 0.5)
                    for part, known in zip(seen[2:], there, strict=True)
                ]
            )
            if config.neighbours
            else seen.new_zeros(0, config.grid, config.grid)
        )
        masks = sampled(torch.from_numpy(task.users.astype(np.float32)), view, config.grid, edge="zeros")
        carried = torch.full((1, config.grid, config.grid), 0.5)
        if task.carried is not None:
            carried = sampled(
                torch.from_numpy(task.carried[None].astype(np.float32)), view, config.grid, "zeros"
            )
        return (
            seen[0],
            seen[1],
            neighbours,
            (masks >= 0.5).float(),
            carried,
            self._click(task, view),
            _extents(task),
        )

    def _neighbours(
        self, task: ClickTask, view: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[Tensor], list[bool]]:
        """Grey views of the slices around, (1, G, G) each, and whether there is one."""
        count, grid = self.config.neighbours, self.config.grid
        offsets = [*range(-count, 0), *range(1, count + 1)]
        depth = task.stack.depth(task.axis)
        hidden = depth == 1 or rng.random() < NO_NEIGHBOURS
        found, there = [], []
        for offset in offsets:
            at = task.index + offset
            known = not hidden and 0 <= at < depth
            there.append(known)
            found.append(
                sampled(_planes(task.stack.slice(task.axis, at), 1), view, grid)
                if known
                else torch.zeros(1, grid, grid)
            )
        return found, there

    def _click(self, task: ClickTask, view: np.ndarray) -> Tensor:
        offset = np.array(task.click[::-1], dtype=float) - view[:, 2]
        unit = np.linalg.solve(view[:, :2], offset)
        grid = self.config.grid
        return torch.from_numpy(np.clip((unit + 1) * grid / 2 - 0.5, 0, grid - 1)).float()


def _affine(task: ClickTask, rng: np.random.Generator) -> np.ndarray:
    """Grid -> slice pixels, (2, 3), (x, y): region, turn, mirror, a little stretch."""
    turned = rng.random() < 0.4
    angle = rng.uniform(0, 2 * math.pi) if turned else math.pi / 2 * rng.integers(4)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch = math.exp(rng.normal(0, 0.08)) if rng.random() < 0.3 else 1.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    row_step, col_step = task.stack.steps(task.axis)
    matrix = np.diag([1 / col_step, 1 / row_step]) @ turn @ np.diag([mirror * stretch, 1 / stretch])
    return np.hstack([matrix * (task.size / 2), np.array(task.centre[::-1])[:, None]])


def _planes(pixels: np.ndarray, channels: int) -> Tensor:
    """(H, W) or (H, W, 3) uint8 -> (channels, H, W) uint8."""
    if pixels.ndim == 3 and channels == 1:
        pixels = np.round(pixels @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    if pixels.ndim == 2:
        return torch.from_numpy(np.ascontiguousarray(pixels)).expand(channels, -1, -1)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))


def sampled(planes: Tensor, view: np.ndarray, grid: int, edge: str = "border") -> Tensor:
    """(C, H, W) at a view (2, 3) -> (C, G, G) float: bilinear, shrunk first where cells are wide.

    planes: uint8, which comes out in [0, 1], or float.
    """
    height, width = planes.shape[1:]
    reach = np.abs(view[:, :2]).sum(axis=1)
    box = []
    for centre, half, length in zip(view[::-1, 2], reach[::-1], (height, width), strict=True):
        first = int(np.clip(math.floor(centre - half) - 2, 0, length - 1))
        box.append(slice(first, int(np.clip(math.ceil(centre + half) + 3, first + 1, length))))
    part = planes[:, box[0], box[1]]
    part = part.float().div_(255) if part.dtype == torch.uint8 else part
    shape = np.array(part.shape[:0:-1], dtype=float)  # width, height
    theta = view.copy()
    theta[:, 2] += 0.5 - np.array([box[1].start, box[0].start])
    cell = 2 * np.sqrt(np.abs(np.linalg.det(view[:, :2]))) / grid
    if cell > 1.3 and min(part.shape[1:]) > 4:
        size = [max(2, round(n / cell)) for n in part.shape[1:]]
        part = F.interpolate(part[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    scale = 2 / shape
    theta = theta * scale[:, None]
    theta[:, 2] -= 1
    at = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, grid, grid], align_corners=False)
    return F.grid_sample(part[None], at, padding_mode=edge, align_corners=False)[0]


def _extents(task: ClickTask) -> Tensor:
    """(U,) log2 of the longer side of each user's bounding box over the region's; NaN for empty masks."""
    found = []
    for mask in task.users:
        hits = [np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))]
        if not len(hits[0]):
            found.append(math.nan)
            continue
        sides = [(h[-1] - h[0] + 1) * s for h, s in zip(hits, task.stack.steps(task.axis), strict=True)]
        found.append(math.log2(max(sides) / task.size))
    return torch.tensor(found, dtype=torch.float32)
