"""A system with one iteration as an engine: it looks at SPA's regions, recommends, and offers candidates."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt, Region
from SPASegmentLib.inference.candidates import clean_mask
from SPASegmentLib.inference.checks import network_pixels
from SPASegmentLib.inference.history import History
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import CancelToken, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.inference.region_search import Sight, first_region
from SPASegmentLib.research.systems.base import MapSystem

LOOK_MAPS = 8
"""Segmentations an uncertain system draws for a look, always the same."""
TAKEN = "This system has one iteration: what was picked is the result."


class MapEngine(LocalEngine):
    """The mean of the system's maps is recommended; K-means of them gives the candidates.

    A picked candidate is the result: it is recommended from then on, and nothing more is offered. Points
    after the first only hold for the candidates' and the recommendation's specks.
    """

    network: MapSystem

    def __init__(self, system: MapSystem, info: ModelInfo, device: str = "auto") -> None:
        super().__init__(system, info, device)  # type: ignore[arg-type]
        self.config, self.zoom = system.config.view, system.config.zoom

    @torch.inference_mode()
    def _propose(self, request: ProposalRequest, cancel: CancelToken | None) -> Proposal:
        started = time.perf_counter()
        if request.answered and request.answered[-1].picked is not None:
            return taken(request, started)
        region = self._region(request, cancel)
        encoded = time.perf_counter()
        if cancel is not None and cancel.is_set():
            raise Cancelled("Cancelled; nothing was changed.")
        samples = self.maps(request, region, request.n_samples or self.config.samples, request.seed)
        history = History(request, region, self.config, self.device)
        proposal = self._clustered(request, history, samples, np.zeros(len(samples), dtype=np.int64))
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "propose": done - encoded, "total": done - started}
        return replace(proposal, seconds=seconds)

    def maps(self, request: ProposalRequest, region: Region, count: int, seed: int) -> np.ndarray:
        """The system's maps of a region: (n, G, G) float32 probabilities."""
        image, clicked = request.image, _seed(request)
        pixels = network_pixels(zoom.sample(image.pixels, image.spacing, region), self.config.image_channels)
        at = zoom.to_grid(np.array([[clicked.row, clicked.col]]), region, image.spacing)[:, ::-1].copy()
        maps = self.network.maps(
            torch.from_numpy(pixels).to(self.device),
            torch.from_numpy(at).float().clamp(0, region.grid - 1).to(self.device),
            count,
            torch.Generator(device=self.device).manual_seed(seed),
        )
        return np.ascontiguousarray(maps[0].cpu().numpy(), dtype=np.float32)

    def _region(self, request: ProposalRequest, cancel: CancelToken | None) -> Region:
        return super()._region(request, cancel) if self.zoom else first_region(request, self.config)

    def _look(self, request: ProposalRequest, region: Region) -> Sight:
        """The mean map's object and the certainty."""
        mean = self.maps(request, region, LOOK_MAPS, 0).mean(axis=0)
        found = zoom.unsample(mean, region, request.image.shape, request.image.spacing) >= 0.5
        likely = mean[mean > 0.1]
        certainty = float(np.abs(2 * likely - 1).mean()) if likely.size else 0.0
        return Sight(clean_mask(found, request.points), certainty)


def _seed(request: ProposalRequest) -> PointPrompt:
    return next(p for p in request.points if p.positive)


def taken(request: ProposalRequest, started: float) -> Proposal:
    """The picked candidate as the recommendation."""
    last = request.answered[-1]
    assert last.picked is not None
    before, image = last.proposal.feedback, request.image
    mask, cells = last.proposal.candidates[last.picked].mask, before.clusters[last.picked]
    nothing = np.zeros((0, before.log_shares.shape[1]))
    feedback = replace(before, recommendation=cells, clusters=before.clusters[:0], log_shares=nothing)
    seconds = time.perf_counter() - started
    return Proposal(
        recommendation=mask,
        probability=zoom.unsample(cells / np.float32(255), before.region, image.shape, image.spacing),
        candidates=(),
        feedback=feedback,
        area_mm2=float(mask.sum() * image.spacing[0] * image.spacing[1]),
        fewer_reason=TAKEN,
        seconds={"encode": 0.0, "propose": seconds, "total": seconds},
    )
