"""The experiment's figures: what the predictions add, and how well it fits a possible truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from SPASegmentLib.research.systems.wong.discs import DiscImages, Pairs, WongOptions, make_pairs, subsets
from SPASegmentLib.research.systems.wong.network import Inputs, Partial, WongNetwork, latent_shape

_BATCH = 100


@dataclass(frozen=True)
class Figures:
    """Means over images, one z ~ N(0, I) each.

    dice: of the added partial segmentation, with the best of the possible truths that agree with the input.
    dice_any: with the best of all subsets of discs, whether or not they agree with it.
    foreground, background: pixels added. target_foreground, target_background: those the simulated next step
    added. empty: share of images where neither what was added nor its truth has foreground; their Dice counts
    as 1. dice_filled: as `dice`, over the other images alone. broken: images where the input was not
    preserved or a label lies outside the partialness mask. images: how many.
    """

    dice: float
    dice_any: float
    foreground: float
    background: float
    target_foreground: float
    target_background: float
    empty: float
    dice_filled: float
    broken: int
    images: int


def inputs_of(pairs: Pairs, part: slice = slice(None)) -> Inputs:
    """x of some pairs as tensors."""
    return Inputs(*(_plane(plane[part]) for plane in (pairs.image, pairs.mask, pairs.labels)))


def target_of(pairs: Pairs, part: slice = slice(None)) -> Partial:
    """y of some pairs as tensors."""
    return Partial(_plane(pairs.larger_mask[part]), _plane(pairs.larger_labels[part]))


def fixed_pairs(data: DiscImages, part: int, options: WongOptions) -> Pairs:
    """One pair for each image of the validation or held-out set, the same in every run."""
    return make_pairs(data, np.arange(len(data)), np.random.default_rng((20_231, part)), options)


def grown(network: WongNetwork, pairs: Pairs, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One prediction for each pair, z ~ N(0, I): mask and labels, (n, H, W) bool each."""
    generator = torch.Generator().manual_seed(seed)
    count, height, width = pairs.image.shape
    z = torch.randn(count, *latent_shape(height, width), generator=generator)
    network.eval()
    parts = [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
    found = [network.grow(inputs_of(pairs, part), z[part]) for part in parts]
    mask, labels = (torch.cat(each)[:, 0].numpy() for each in zip(*found, strict=True))
    return mask, labels


def measure(network: WongNetwork, data: DiscImages, pairs: Pairs, seed: int) -> Figures:
    """The figures of a network on pairs of a set of images."""
    mask, labels = grown(network, pairs, seed)
    added = mask & ~pairs.mask
    truths = data.truth(
        np.repeat(pairs.index, len(subsets(data.discs.shape[1]))),
        np.tile(subsets(data.discs.shape[1]), (len(pairs.index), 1)),
    ).reshape(len(pairs.index), -1, *mask.shape[1:])
    agree = ((truths == pairs.labels[:, None]) | ~pairs.mask[:, None]).all(axis=(2, 3))
    dice = added_dice(labels, truths, added)
    best = np.where(agree, dice, -1).max(axis=1)
    target = pairs.larger_mask & ~pairs.mask
    kept = ((mask | ~pairs.mask) & ((labels == pairs.labels) | ~pairs.mask)).all(axis=(1, 2))
    foreground = (labels & added).sum(axis=(1, 2))
    empty = (foreground == 0) & (best == 1)
    return Figures(
        dice=float(best.mean()),
        dice_any=float(dice.max(axis=1).mean()),
        foreground=float(foreground.mean()),
        background=float((~labels & added).sum(axis=(1, 2)).mean()),
        target_foreground=float((pairs.larger_labels & target).sum(axis=(1, 2)).mean()),
        target_background=float((~pairs.larger_labels & target).sum(axis=(1, 2)).mean()),
        empty=float(empty.mean()),
        dice_filled=float(best[~empty].mean()) if not empty.all() else 1.0,
        broken=int((~kept | (labels & ~mask).any(axis=(1, 2))).sum()),
        images=len(mask),
    )


def added_dice(labels: np.ndarray, truths: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Dice of labels (n, H, W) with each truth (n, T, H, W) where something was added (n, H, W): (n, T).

    1 where neither has foreground there.
    """
    here = (labels & added)[:, None]
    there = truths & added[:, None]
    shared = (here & there).sum(axis=(2, 3))
    total = here.sum(axis=(2, 3)) + there.sum(axis=(2, 3))
    return np.where(total == 0, 1.0, 2 * shared / np.maximum(total, 1))


def _plane(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[:, None]
