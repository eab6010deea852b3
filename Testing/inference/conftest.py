"""A small deterministic engine, so that sessions are tested without a network."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.inference.candidates import assemble, clean_mask, cluster
from SPASegmentLib.inference.messages import CancelToken, Feedback, ModelInfo, Proposal, ProposalRequest

N, M, G = 24, 3, 64


class ToyEngine:
    """Blurs the slice by amounts it draws, and thresholds it at levels that follow the user's picks."""

    def __init__(self, name: str = "toy") -> None:
        self.model = ModelInfo(name, f"hash of {name}", M, "nothing at all")
        self.requests: list[ProposalRequest] = []

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Sample N maps, cluster them and describe the clusters."""
        start = time.perf_counter()
        self.requests.append(request)
        random = np.random.default_rng(request.seed)
        components = random.integers(M, size=N)
        level = 0.5 + 0.02 * sum(a.picked - 1.5 for a in request.answered if a.picked is not None)
        samples = np.empty((N, G, G), np.float32)
        for n, m in enumerate(components):
            if cancel is not None and cancel.is_set():
                raise Cancelled("The computation was cancelled.")
            blurred = ndimage.gaussian_filter(request.image.pixels, 1 + m) + random.normal(0, 0.05)
            for point in request.points:
                blurred[round(point.row), round(point.col)] = 1.0 if point.positive else 0.0
            samples[n] = 1 / (1 + np.exp(-40 * (blurred - level + 0.1 * (m - 1))))
        rejected = [c.mask for a in request.answered if a.picked is None for c in a.proposal.candidates]
        labels, centroids = cluster(samples, k=8 if rejected else 4, seed=request.seed)
        mean = samples.mean(axis=0)
        recommendation = clean_mask(mean >= 0.5, request.points)
        candidates, reason = assemble(
            recommendation,
            list(centroids >= 0.5),
            np.bincount(labels) / N,
            spacing=request.image.spacing,
            points=request.points,
            rejected=rejected,
        )
        byte = lambda maps: np.round(maps * 255).astype(np.uint8)  # noqa: E731
        feedback = Feedback(
            Region((32.0, 32.0), 64.0, G),
            byte(samples),
            components,
            byte(centroids),
            byte(mean),
            np.log(np.full((len(centroids), M), 1 / len(centroids))),
        )
        return Proposal(
            recommendation=recommendation,
            probability=mean,
            candidates=candidates,
            feedback=feedback,
            area_mm2=float(recommendation.sum() * np.prod(request.image.spacing)),
            fewer_reason=reason,
            seconds={"encode": 0.0, "propose": 0.0, "total": time.perf_counter() - start},
        )


@pytest.fixture
def an_engine() -> ToyEngine:
    return ToyEngine()


@pytest.fixture
def another_engine() -> ToyEngine:
    return ToyEngine("another toy")


@pytest.fixture
def an_image() -> SliceImage:
    rows, cols = np.mgrid[:G, :G]
    blob = np.exp(-((rows - 30) ** 2 + (cols - 34) ** 2) / 300)
    noise = np.random.default_rng(0).normal(0, 0.02, (G, G))
    return SliceImage(np.clip(blob + noise, 0, 1).astype(np.float32), (0.7, 0.8), "CT")
