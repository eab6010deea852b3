"""Figures computed from masks and from lists of Dice values; nothing here knows of engines or data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

NOT_REACHED = 10
"""NoI of a case that does not reach the Dice within the iterations (paper Fig. 4)."""
CALIBRATION_BINS = 15


def dice(mask: np.ndarray, target: np.ndarray) -> float:
    """Dice of two masks of one shape; two empty masks agree (1), an empty and a drawn one do not (0)."""
    return float(dice_of_each(mask[None], target)[0])


def dice_of_each(masks: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Dice of each mask with one target. masks: (n, H, W) bool, target: (H, W) bool. Returns (n,) float64."""
    return dice_matrix(masks, target[None])[:, 0]


def dice_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dice of every pair. first: (n, H, W) bool, second: (m, H, W) bool. Returns (n, m) float64."""
    overlap, areas_first, areas_second = _overlaps(first, second)
    total = areas_first[:, None] + areas_second[None, :]
    return np.where(total == 0, 1.0, 2 * overlap / np.maximum(total, 1))


def iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair, 1 where both are empty. Shapes as in `dice_matrix`."""
    overlap, areas_first, areas_second = _overlaps(first, second)
    union = areas_first[:, None] + areas_second[None, :] - overlap
    return np.where(union == 0, 1.0, overlap / np.maximum(union, 1))


def _overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shared pixels of every pair (n, m) and the areas (n,), (m,), all as exact float64 integers."""
    a: np.ndarray = np.asarray(first, dtype=bool).reshape(len(first), -1)
    b: np.ndarray = np.asarray(second, dtype=bool).reshape(len(second), -1)
    drawn = np.flatnonzero(a.any(axis=0) | b.any(axis=0))
    a, b = a[:, drawn].astype(np.float32), b[:, drawn].astype(np.float32)  # exact below 2^24 pixels
    return (a @ b.T).astype(np.float64), a.sum(1, dtype=np.float64), b.sum(1, dtype=np.float64)


def pairwise_dice(masks: np.ndarray) -> np.ndarray:
    """Dice of every two of k masks, (k (k - 1) / 2,) float64 in the order (0,1), (0,2), ..., (k-2,k-1)."""
    if len(masks) < 2:
        return np.zeros(0)
    return dice_matrix(masks, masks)[np.triu_indices(len(masks), 1)]


def iterations_to_reach(dice_by_iteration: np.ndarray, threshold: float) -> np.ndarray:
    """NoI@x of each case: the first iteration with Dice >= threshold, NOT_REACHED where there is none.

    dice_by_iteration: (cases, iterations). Returns (cases,) int. Paper Section 4.3.2.
    """
    reached = np.asarray(dice_by_iteration) >= threshold
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, NOT_REACHED)


def area_under_dice(dice_by_iteration: np.ndarray) -> np.ndarray:
    """Area under the curve of Dice over iterations by the trapezoidal rule, over its width, so in [0, 1].

    The interactive 3-D segmentation challenge of CVPR 2025 prints the area itself, that is this figure times
    the number of iterations less one. dice_by_iteration: (cases, iterations). Returns (cases,).
    """
    rows = np.asarray(dice_by_iteration, dtype=np.float64)
    return np.asarray(((rows[:, :-1] + rows[:, 1:]) / 2 if rows.shape[1] > 1 else rows).mean(axis=1))


def generalised_energy_distance(samples: np.ndarray, raters: np.ndarray) -> float:
    """Squared generalised energy distance, 2 E[d(s, y)] - E[d(s, s')] - E[d(y, y')] with d = 1 - IoU.

    samples: (N, H, W) bool, raters: (R, H, W) bool. As in the Probabilistic U-Net (Kohl et al., 2018): the
    expectations run over all pairs, each with itself too, and d of two empty masks is 0.
    """
    cross = np.mean(1 - iou_matrix(samples, raters))
    within = np.mean(1 - iou_matrix(samples, samples)) + np.mean(1 - iou_matrix(raters, raters))
    return float(2 * cross - within)


def maximum_dice_match(samples: np.ndarray, raters: np.ndarray) -> float:
    """D_max: for every rater the Dice of the sample closest to it, averaged over the raters.

    samples: (N, H, W) bool, raters: (R, H, W) bool. As in Rahman et al., CVPR 2023.
    """
    return float(dice_matrix(samples, raters).max(axis=0).mean())


def matched_iou(samples: np.ndarray, raters: np.ndarray) -> float:
    """HM-IoU: samples and raters, each repeated until they are equally many, matched one to one so that the
    mean IoU of the pairs is as large as it can be; that mean.

    samples: (N, H, W) bool, raters: (R, H, W) bool. As in the Hierarchical Probabilistic U-Net (Kohl et al.,
    2019). The IoU of two empty masks is 1.
    """
    count = math.lcm(len(samples), len(raters))
    ious = iou_matrix(samples, raters)
    every = np.repeat(np.repeat(ious, count // len(samples), axis=0), count // len(raters), axis=1)
    return float(every[linear_sum_assignment(every, maximize=True)].mean())


def calibration_counts(
    probability: np.ndarray, target: np.ndarray, bins: int = CALIBRATION_BINS
) -> np.ndarray:
    """What the calibration error needs of some pixels; counts of several cases may be added.

    probability: any shape in [0, 1], target: the same shape, bool. Returns (bins, 3) float64: pixels, sum of
    the probabilities and foreground pixels in each of `bins` equal intervals (an edge is the upper one's).
    """
    p = np.asarray(probability, dtype=np.float64).ravel()
    y = np.asarray(target, dtype=np.float64).ravel()
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    return np.stack([np.bincount(index, weights, minlength=bins) for weights in (np.ones_like(p), p, y)], 1)


def expected_calibration_error(counts: np.ndarray) -> float:
    """Mean over pixels of |share of foreground - mean probability| per bin. counts: (bins, 3), summed.

    NaN where there is no pixel.
    """
    pixels, probabilities, foreground = np.asarray(counts, dtype=np.float64).T
    if pixels.sum() == 0:
        return float("nan")
    return float(np.abs(foreground - probabilities).sum() / pixels.sum())


@dataclass(frozen=True)
class Estimate:
    """A mean over cases and its 95% interval, both in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_means(
    values: np.ndarray,
    patients: Sequence[str],
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Means over cases with percentile bootstrap intervals, patients drawn with replacement.

    values: (cases, columns); every column gets the same resamples. A resample's mean is over all cases of the
    patients drawn, so a patient weighs as many cases as they have. Paired differences of two models are
    columns of differences. Raises ValueError where there is no case.
    """
    table = np.asarray(values, dtype=np.float64)
    means = _bootstrap(table, patients, resamples, np.random.default_rng(seed))
    return _estimates(table.mean(0), means, level)


def bootstrap_macro_means(
    groups: Sequence[tuple[np.ndarray, Sequence[str]]],
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Means over groups of their means over cases; patients are drawn anew within each group.

    groups: of each its values (cases, columns) and patients, as in `bootstrap_means`; the interval is for
    these groups and says nothing of others. Raises ValueError where there is no group or one has no case.
    """
    if not groups:
        raise ValueError("Bootstrapping needs at least one group of cases.")
    tables = [np.asarray(values, dtype=np.float64) for values, _ in groups]
    rng = np.random.default_rng(seed)
    means: np.ndarray = np.zeros((resamples, tables[0].shape[1]))
    for table, (_, patients) in zip(tables, groups, strict=True):
        means += _bootstrap(table, patients, resamples, rng) / len(groups)
    return _estimates(np.mean([table.mean(0) for table in tables], axis=0), means, level)


def _bootstrap(
    table: np.ndarray, patients: Sequence[str], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(resamples, columns) means over cases of patients drawn with replacement."""
    if len(table) == 0 or len(table) != len(patients):
        raise ValueError("Bootstrapping needs at least one case and one patient name per case.")
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    count = int(owner.max()) + 1
    cases = np.bincount(owner).astype(np.float64)
    sums = np.stack([np.bincount(owner, column, minlength=count) for column in table.T], 1)
    chunks = _chunks(resamples, max(1, 2**22 // count))
    return np.concatenate([_resampled_means(rng, sums, cases, chunk) for chunk in chunks])


def _estimates(means: np.ndarray, resampled: np.ndarray, level: float) -> list[Estimate]:
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return [Estimate(*map(float, row)) for row in zip(means, low, high, strict=True)]


def bootstrap_ratio(
    first: np.ndarray,
    second: np.ndarray,
    patients: Sequence[str],
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate | None:
    """The ratio of two means over the same cases with its interval, resampled as in `bootstrap_means`.

    first, second: (cases,), not negative. None where the second mean is 0. Where it is 0 in a resample the
    ratio is infinite, or 1 if the first one is 0 as well.
    """
    values = np.stack([first, second], axis=1).astype(np.float64)
    if not values[:, 1].any():
        return None
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    count = int(owner.max()) + 1
    sums = np.stack([np.bincount(owner, column, minlength=count) for column in values.T], 1)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.multinomial(count, np.full(count, 1 / count), size=chunk) @ sums
        for chunk in _chunks(resamples, max(1, 2**22 // count))
    ]
    above, below = np.concatenate(drawn).T
    ratios = np.where(below > 0, above / np.maximum(below, 1e-12), np.where(above > 0, np.inf, 1.0))
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Estimate(float(values[:, 0].sum() / values[:, 1].sum()), float(low), float(high))


def _resampled_means(
    rng: np.random.Generator, sums: np.ndarray, cases: np.ndarray, resamples: int
) -> np.ndarray:
    """(resamples, columns) means over the cases of patients drawn with replacement."""
    drawn = rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=resamples).astype(
        np.float64
    )
    return (drawn @ sums) / (drawn @ cases)[:, None]


def _chunks(total: int, size: int) -> list[int]:
    return [size] * (total // size) + ([total % size] if total % size else [])
