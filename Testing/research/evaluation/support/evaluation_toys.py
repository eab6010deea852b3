"""A small, real engine and data set, in a module of their own so that worker processes find them."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.messages import (
    CancelToken,
    Candidate,
    Description,
    Feedback,
    ModelInfo,
    Proposal,
    ProposalRequest,
)
from SPASegmentLib.research.datasets.case import Case

LEVELS = np.array([0.7, 0.56, 0.44, 0.3])
"""The levels the toy's four components stand for, from smallest to largest mask."""
SIZE = 32


class ToyEngine:
    """Cuts the blurred image at levels around one that picks and the prior move; a component is a level."""

    device = "cpu"

    def __init__(self, name: str = "toy", candidates: int = 4, step: float = 1.0, pause: float = 0.0) -> None:
        self.model = ModelInfo(
            name, hashlib.sha256(f"{name} {candidates} {step}".encode()).hexdigest(), 4, "made-up blobs"
        )
        self._candidates = candidates
        self._step = step
        self._pause = pause

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request."""
        time.sleep(self._pause)
        pixels = request.image.pixels
        if float(pixels.max()) == float(pixels.min()):
            raise InputError("The image is constant; choose another slice.")
        weights, centre, width = self._belief(request)
        levels = [centre + (level - 0.5) * width * self._step for level in LEVELS]
        at = centre if request.answered else float(weights @ np.array(levels))
        smooth = ndimage.gaussian_filter(pixels, 0.7)
        point = request.points[0]

        def masks_at(level: float) -> np.ndarray:
            labels, _ = ndimage.label(smooth >= level)
            label = labels[round(point.row), round(point.col)]
            return (labels == label) if label else np.zeros(pixels.shape, bool)

        recommendation = masks_at(at)
        shown = range(4)[: self._candidates]
        clusters = np.stack([1 / (1 + np.exp((level - smooth) / 0.05)) for level in levels])
        count = request.n_samples or 8
        components = np.searchsorted(np.cumsum(weights), (np.arange(count) + 0.5) / count).clip(0, 3)
        jitter = np.random.default_rng(request.seed).normal(0, 0.01, (count, 1, 1))
        samples = np.clip(clusters[components] + jitter, 0, 1)
        says = np.eye(4) if not request.answered else np.full((4, 4), 0.25)
        height = pixels.shape[0]
        feedback = Feedback(
            region=Region(((height - 1) / 2, (height - 1) / 2), height * request.image.spacing[0], height),
            samples=np.rint(samples * 255).astype(np.uint8),
            components=components,
            clusters=np.rint(clusters * 255).astype(np.uint8),
            recommendation=np.rint(255 / (1 + np.exp((at - smooth) / 0.05))).astype(np.uint8),
            log_shares=np.log(0.8 * says + 0.05),
        )
        area = float(recommendation.sum())
        described = Description("level", "reshaped", area, 0, 0, 0, 0, 0.25)
        return Proposal(
            recommendation=recommendation,
            probability=samples.mean(0).astype(np.float32),
            candidates=tuple(Candidate(masks_at(levels[index]), described, index) for index in shown),
            feedback=feedback,
            area_mm2=area,
        )

    def _belief(self, request: ProposalRequest) -> tuple[np.ndarray, float, float]:
        """Weights of the components, and the level to look around and how far, after the picks."""
        log_prior = np.zeros(4) if request.log_prior is None else request.log_prior
        weights = np.exp(log_prior - log_prior.max())
        centre, width = 0.5, 1.0
        for answer in request.answered:
            if answer.picked is not None:
                cluster = answer.proposal.candidates[answer.picked].cluster
                centre += float((LEVELS[cluster] - 0.5) * width * self._step)
            width *= 0.6
        return weights / weights.sum(), centre, width


class PaintingEngine(ToyEngine):
    """A toy that heeds points: a disc around each is in the mask, or out of it for a negative one."""

    def __init__(self, name: str = "painting", radius: float = 4.0) -> None:
        super().__init__(name)
        self._radius = radius

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request."""
        proposal = super().propose(request, cancel)
        mask = proposal.recommendation.copy()
        rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
        for point in request.points[1:]:
            mask[np.hypot(rows - point.row, cols - point.col) < self._radius] = point.positive
        return replace(proposal, recommendation=mask)


class RecordingEngine(ToyEngine):
    """A toy that keeps every request it was sent."""

    def __init__(self) -> None:
        super().__init__("recording")
        self.requests: list[ProposalRequest] = []

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request and keep it."""
        self.requests.append(request)
        return super().propose(request, cancel)


class OracleToy(ToyEngine):
    """A toy that recommends the target it was shown."""

    def __init__(self) -> None:
        super().__init__("oracle")
        self._target: np.ndarray | None = None

    def see_target(self, target: np.ndarray) -> None:
        """Keep the target for the case."""
        self._target = target

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request with the truth."""
        proposal = super().propose(request, cancel)
        return proposal if self._target is None else replace(proposal, recommendation=self._target)


def _blob(index: int, size: int = SIZE) -> np.ndarray:
    """A soft-rimmed ellipse whose brightness falls from 1 to 0."""
    rng = np.random.default_rng(1000 + index)
    row, col = rng.uniform(size * 0.4, size * 0.6, 2)
    radius = rng.uniform(size * 0.2, size * 0.35)
    stretch = rng.uniform(0.8, 1.2)
    rows, cols = np.mgrid[:size, :size]
    distance = np.hypot((rows - row) * stretch, (cols - col) / stretch) / radius
    noise = rng.normal(0, 0.02, (size, size))
    return np.clip(1.2 - distance * 0.7 + noise, 0, 1).astype(np.float32)


class ToyDataset:
    """Blobs that raters cut at levels of their own; two cases per patient. `empty` cases nobody drew in."""

    def __init__(
        self,
        count: int = 8,
        *,
        names: tuple[str, ...] = (),
        empty: tuple[int, ...] = (),
        constant: tuple[int, ...] = (),
        reverse: bool = False,
        trace: Path | None = None,
    ) -> None:
        self.name = "toys"
        self._names = names
        self._empty = empty
        self._constant = constant
        self._trace = trace
        self._order = list(range(count))[:: -1 if reverse else 1]

    def __len__(self) -> int:
        return len(self._order)

    def case_ids(self) -> list[str]:
        """All ids in order."""
        return [f"case-{index:03d}" for index in self._order]

    def __getitem__(self, at: int) -> Case:
        index = self._order[at]
        if self._trace is not None:
            with self._trace.open("a") as stream:
                stream.write(f"case-{index:03d}\n")
        image = _blob(index)
        levels = LEVELS + np.random.default_rng(index).normal(0, 0.03, 4)
        masks = np.stack([ndimage.gaussian_filter(image, 0.7) >= level for level in levels])
        if index % 5 == 3:
            masks[0] = False
        if index in self._empty:
            masks[:] = False
        if index in self._constant:
            image = np.full_like(image, 0.5)
        return Case(
            self.name,
            f"case-{index:03d}",
            f"patient-{index // 2}",
            image,
            masks,
            self._names,
            (0.7, 0.7),
            "CT",
        )

    def __iter__(self) -> Iterator[Case]:
        for at in range(len(self)):
            yield self[at]


def toy(name: str = "toy", **settings: float) -> functools.partial[ToyEngine]:
    """A factory other processes can be given."""
    return functools.partial(ToyEngine, name, **settings)
