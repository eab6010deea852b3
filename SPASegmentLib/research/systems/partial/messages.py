"""What growing a partial labelling is asked and answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SPASegmentLib.imaging.types import Region, SliceImage


@dataclass(frozen=True)
class Growth:
    """What one labelling adds to the one before it.

    name: short words for the user. foreground_mm2, background_mm2: areas labelled anew. support: share in
    [0, 1] of the network's samples behind it.
    """

    name: str
    foreground_mm2: float
    background_mm2: float
    support: float


@dataclass(frozen=True, eq=False)
class PartialCandidate:
    """One larger partial labelling. labels: (H, W) uint8 of UNKNOWN, FOREGROUND and BACKGROUND."""

    labels: np.ndarray
    growth: Growth


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of the network on a region's grid: (N, G, G) float32 probabilities."""

    region: Region
    maps: np.ndarray


@dataclass(frozen=True, eq=False)
class PartialProposal:
    """One iteration's answer: what the model would label next, and the alternatives.

    given: (H, W) uint8, what was grown. recommendation: the larger labelling all samples together support.
    candidates: at most K. fewer_reason: why fewer than K, else "". complete: nothing more can be added with
    certainty. samples: all so far, for the next iteration. warnings: sentences. seconds: of computing.
    """

    given: np.ndarray
    recommendation: PartialCandidate
    candidates: tuple[PartialCandidate, ...]
    samples: Samples
    fewer_reason: str = ""
    complete: bool = False
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class PartialRequest:
    """Everything a proposal depends on; equal requests give equal proposals, bit for bit on one machine.

    labels: (H, W) uint8 of the slice `image`. earlier: the last proposal's samples, or None. rejected:
    labellings turned down before. seed: of everything random. reach: mm a proposal may go beyond what is
    labelled, or None for a quarter of the object's width. certainty: share of samples that must agree.
    """

    image: SliceImage
    labels: np.ndarray
    earlier: Samples | None = None
    rejected: tuple[np.ndarray, ...] = ()
    seed: int = 0
    reach: float | None = None
    certainty: float = 0.9
