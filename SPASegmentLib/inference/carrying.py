"""One step of following an object through the slices: its outline carried to the next slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.candidates import clean_mask
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.messages import CancelToken, Carried, Engine, Proposal, ProposalRequest


@dataclass(frozen=True)
class CarryConfig:
    """The constants of carrying; measured on validation stacks of slices with the model `general`.

    samples: N of a carried slice's proposal.
    trusted, most_outline, outline_slope: where less than `trusted` Dice is expected, the carried outline
        counts by the difference, at most `most_outline`, in logits of `outline_slope` times the distance to
        it in square roots of its area; so outlines do not flicker where the network sees little.
    bins, most_odds: of the intensities inside the object and around it; their log-odds at most.
    odds_weight, odds_blur: how much they add to the logits, blurred by so many pixels.
    presence: (constant, of the expected Dice's logit, of the likeness, of 1 / sqrt(pixels)), see
        `presence_of`.
    unjudged: Dice expected where all samples agree, of networks that do not judge themselves.
    absent_slices: in a row, after which the object has ended.
    thin_pixels: an outline of fewer pixels is thin.
    alike: Dice of neighbouring slices below which they differ.
    doubtful: expected Dice below which a slice is doubtful.
    unsure: presence below which the object may end there.
    fewest_crossed: an object on fewer slices is not looked at across them.
    coarsest_crossed: nor one whose slices lie more pixels apart than this, across which little is to be seen.
    crossings: slices across it, in both orientations, that are computed for each slice followed: in passes
        of which each begins with what the one before found.
    own_slices, most_own: of an object on n slices the slices' own logits count (own_slices / n)^2 beside
        those of the slices across, at most `most_own`.
    shift_slices: the logits of slices across are shifted as suits the approved slices, the less the more
        than so many slices the object has.
    """

    samples: int = 16
    trusted: float = 0.9
    most_outline: float = 0.6
    outline_slope: float = 20.0
    bins: int = 24
    most_odds: float = 2.0
    odds_weight: float = 2.0
    odds_blur: float = 1.5
    presence: tuple[float, float, float, float] = (2.14, 1.26, 2.04, -7.94)
    unjudged: float = 0.7
    absent_slices: int = 2
    thin_pixels: int = 30
    alike: float = 0.75
    doubtful: float = 0.6
    unsure: float = 0.75
    fewest_crossed: int = 3
    coarsest_crossed: float = 2.0
    crossings: tuple[float, ...] = (0.5, 1.0)
    own_slices: float = 4.0
    most_own: float = 0.67
    thin_cells: tuple[float, float] = (6.0, 4.0)
    shift_slices: float = 8.0


CARRY = CarryConfig()
EDGE = 9.0
"""Logits are kept within this."""
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class CarriedSlice:
    """What became of an outline on the next slice.

    mask: (H, W) bool. logits: (H, W) float16 it was cut from. expected_dice: with what the user wants, if the
    object is there. presence: probability that it is.
    """

    mask: np.ndarray
    logits: np.ndarray
    expected_dice: float
    presence: float


class Appearance:
    """The intensities of an object against those of what surrounds it on one slice."""

    def __init__(self, image: SliceImage, mask: np.ndarray) -> None:
        """mask: (H, W) bool, not empty. Around it: a ring half as wide as its radius."""
        width = max(2, round(0.5 * float(np.sqrt(mask.sum() / np.pi))))
        box = _box(mask, width + 1)
        near = ndimage.binary_dilation(mask[box])
        ring = ndimage.binary_dilation(near, iterations=width - 1) & ~near
        grey = _grey(image, box)
        inside, around = grey[mask[box]], grey[ring]
        low, high = np.quantile(np.concatenate([inside, around]), [0.01, 0.99])
        self._low, self._step = float(low), max(float(high - low), 0.02) / CARRY.bins
        odds = np.log(self._shares(inside) / self._shares(around))
        self._odds = odds.clip(-CARRY.most_odds, CARRY.most_odds)

    def odds(self, image: SliceImage, box: tuple[slice, slice]) -> np.ndarray:
        """(h, w) log-odds of each pixel of a box to belong to the object, by its intensity alone."""
        return np.asarray(self._odds[self._bins(_grey(image, box))])

    def _bins(self, grey: np.ndarray) -> np.ndarray:
        return np.clip(((grey - self._low) / self._step).astype(int), 0, CARRY.bins - 1)

    def _shares(self, grey: np.ndarray) -> np.ndarray:
        """(bins,) smooth and nowhere zero."""
        counts = np.bincount(self._bins(grey), minlength=CARRY.bins) / max(len(grey), 1)
        return np.asarray(ndimage.gaussian_filter1d(counts, 1.5, mode="nearest") + 0.01)


def carry(
    engine: Engine,
    image: SliceImage,
    outline: np.ndarray,
    looks: Sequence[Appearance],
    *,
    log_prior: np.ndarray | None = None,
    random_seed: int = 0,
    cancel: CancelToken | None = None,
) -> CarriedSlice:
    """Find the object on a slice from its outline on a neighbouring one.

    outline: (H, W) bool on the slice's pixels, not empty. looks: of the object on slices before, which count
    alike. log_prior: a profile's evidence. Parts and holes that the outline does not have are left out.
    Raises what the engine raises.
    """
    proposal = engine.propose(
        ProposalRequest(
            image,
            (carried_seed(outline, image.spacing),),
            log_prior=log_prior,
            seed=random_seed,
            n_samples=CARRY.samples,
            carried=Carried(outline.astype(np.float32)),
            alternatives=False,
        ),
        cancel,
    )
    samples = proposal.feedback.samples >= 128
    expected = proposal.expected_dice
    expected = CARRY.unjudged * agreement(proposal) if expected is None else expected
    logits, odds = _combined(proposal.probability, expected, image, outline, looks)
    mask = following(clean_mask(logits > 0), outline)
    seen = float(samples.any(axis=(1, 2)).mean())
    presence = 0.0
    if not seen:
        mask = np.zeros_like(mask)
    if mask.any():
        like = float(odds[mask].mean())
        presence = min(seen, presence_of(expected, like, int(outline.sum())))
    return CarriedSlice(mask, logits.astype(np.float16), expected, presence)


def presence_of(expected: float, likeness: float, pixels: int) -> float:
    """Probability that an object is on the next slice.

    expected: Dice that the network expects of its mask there. likeness: mean log-odds of the mask's
    intensities. pixels: of the outline that was carried.
    """
    constant, of_expected, of_likeness, of_size = CARRY.presence
    inside = min(max(expected, 0.02), 0.98)
    logit = constant + of_expected * float(np.log(inside / (1 - inside)))
    logit += of_likeness * likeness + of_size / float(np.sqrt(pixels))
    return 1 / (1 + float(np.exp(-logit)))


def following(mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The mask without parts that do not touch the outline and without holes that lie wholly in it.

    mask, outline: (H, W) bool. What the user left out on one slice stays out on the next, and what they had
    filled stays filled.
    """
    if not mask.any():
        return mask
    result = np.zeros_like(mask)
    box = _box(mask | outline, 2)
    result[box] = _following(mask[box], outline[box])
    return result


def touching(mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """The mask without parts that do not touch the outline. mask, outline: (H, W) bool."""
    labels, count = ndimage.label(mask, structure=_EIGHT)
    if not count:
        return mask
    kept = np.unique(labels[ndimage.binary_dilation(outline, structure=_EIGHT)])
    return np.isin(labels, kept[kept > 0])


def _following(mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    mask = touching(mask, outline)
    holes = ndimage.binary_fill_holes(mask) & ~mask
    labels, count = ndimage.label(holes)
    if not count:
        return mask
    open_ = np.unique(labels[holes & ~outline])
    return np.asarray(mask | (holes & ~np.isin(labels, open_)))


def agreement(proposal: Proposal) -> float:
    """Mean Dice of the samples with the recommendation: what stands for an expected Dice where none is."""
    samples = (proposal.feedback.samples >= 128).reshape(len(proposal.feedback.samples), -1)
    mean = (proposal.feedback.recommendation >= 128).ravel()
    total = samples.sum(axis=1) + mean.sum()
    return float((2 * (samples & mean).sum(axis=1) / np.maximum(total, 1)).mean())


def outline_logits(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """(H, W) logits that rise towards the inside of an outline, in mm over the root of its area."""
    logits = np.full(mask.shape, -EDGE, np.float32)
    if not mask.any():
        return logits
    box = _box(mask, 2 + round(0.5 * float(np.sqrt(mask.sum()))))
    inside = ndimage.distance_transform_edt(mask[box], sampling=spacing)
    outside = ndimage.distance_transform_edt(~mask[box], sampling=spacing)
    scale = CARRY.outline_slope / np.sqrt(float(mask.sum()) * spacing[0] * spacing[1])
    logits[box] = (scale * (inside - outside)).clip(-EDGE, EDGE)
    return logits


def _combined(
    probability: np.ndarray,
    expected: float,
    image: SliceImage,
    outline: np.ndarray,
    looks: Sequence[Appearance],
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) logits of the object, and the log-odds by intensity alone (0 far from it).

    The carried outline counts for what the network is not sure of, intensities always.
    """
    logits = logits_of(probability)
    box = _box((probability > 0.01) | outline, 4)
    odds = np.zeros(probability.shape, np.float32)
    odds[box] = np.mean([look.odds(image, box) for look in looks], axis=0)
    share = min(max(CARRY.trusted - expected, 0.0), CARRY.most_outline)
    if share:
        logits = (1 - share) * logits + share * outline_logits(outline, image.spacing)
    logits[box] += CARRY.odds_weight * ndimage.gaussian_filter(odds[box], CARRY.odds_blur)
    return logits, odds


def _box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The mask's bounding box with a margin."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(cols[0]) - margin), int(cols[-1]) + margin + 1),
    )


def _grey(image: SliceImage, box: tuple[slice, slice]) -> np.ndarray:
    """(h, w) pixels of a box, colours averaged."""
    pixels = image.pixels[box]
    return pixels.mean(axis=-1) if pixels.ndim == 3 else pixels


def logits_of(probability: np.ndarray) -> np.ndarray:
    """(H, W) logits of probabilities, within `EDGE`."""
    limit = 1 / (1 + np.exp(-EDGE))
    inside = np.clip(probability, 1 - limit, limit)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float32)
