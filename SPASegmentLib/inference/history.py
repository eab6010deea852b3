"""What earlier rounds of a slice mean for the next proposal, in the network's terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Answered, Feedback, ProposalRequest
from SPASegmentLib.network.belief import Belief, log_none
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.interaction import InteractionPrompts, point_spots


class History:
    """The answered proposals of a request, brought onto one region's grid.

    region: the one given, in the G' x G' cells of the network's masks; all maps here are on it.
    interaction: what the interaction encoder gets, in the G x G cells of its input. rejected: (H, W) masks
    turned down so far on this slice. rejections: how often "none of these" was said since the last pick.
    first_samples (n, G', G'), first_components (n,): of the first proposal, or None.
    """

    def __init__(
        self, request: ProposalRequest, region: Region, config: SPAConfig, device: torch.device
    ) -> None:
        self.region = replace(region, grid=config.mask_grid)
        self.spacing, self.config, self.device = request.image.spacing, config, device
        self.has_pick = any(a.picked is not None for a in request.answered)
        self.rejected = [c.mask for a in request.answered if a.picked is None for c in a.proposal.candidates]
        self._recent = _since_last_pick(request.answered)
        self.rejections = len(self._recent)
        self.first_samples: np.ndarray | None = None
        self.first_components: np.ndarray | None = None
        points, labels = self._points(request, replace(region, grid=config.grid))
        carried = self._carried(request, replace(region, grid=config.grid))
        self.interaction = self._interaction(request.answered, points, labels, carried)
        self.point_logits = self._point_logits(*self._points(request, self.region))

    def sample_weights(self, samples: np.ndarray) -> np.ndarray:
        """(N,) weights of new samples: equal, but for what "none of these" says against some of them."""
        weights = np.full(len(samples), 1 / len(samples))
        if not self._recent:
            return weights
        turned_down = [self._maps(a.proposal.feedback, "clusters") >= 0.5 for a in self._recent]
        masks = torch.from_numpy(np.concatenate(turned_down)).float()[None]
        if masks.shape[1] == 0:
            return weights
        softness = self.config.pick_temperature
        log = log_none(torch.from_numpy(samples)[None], masks, softness, DEFAULT.close_enough)
        return torch.softmax(log[0].double(), dim=0).numpy()

    def _points(self, request: ProposalRequest, region: Region) -> tuple[Tensor, Tensor]:
        """(1, n, 2) (x, y) in the region's cells, (1, n) labels."""
        at = zoom.to_grid(np.array([[p.row, p.col] for p in request.points]), region, self.spacing)
        points = torch.from_numpy(at[:, ::-1].copy()).float().clamp(0, region.grid - 1)
        labels = torch.tensor([float(p.positive) for p in request.points])
        return points[None].to(self.device), labels[None].to(self.device)

    def _point_logits(self, points: Tensor, labels: Tensor) -> Tensor | float:
        """(G', G') logits that make the points after the seed hold."""
        if points.shape[1] == 1:
            return 0.0
        further, signs = points[:, 1:], labels[:, 1:]
        grid = self.region.grid
        spots = point_spots(further, signs, 1, grid) - point_spots(further, signs, 0, grid)
        return DEFAULT.further_point_logit * spots[0, 0]

    def _carried(self, request: ProposalRequest, region: Region) -> Tensor | None:
        """(1, 1, G, G) of a carried mask, nothing of it beyond the slice's edge; None where there is none."""
        if request.carried is None:
            return None
        mask = np.pad(request.carried.mask, 1)
        moved = replace(region, centre=(region.centre[0] + 1, region.centre[1] + 1))
        return self._tensor(zoom.sample(mask, self.spacing, moved)[None])

    def _interaction(
        self, answered: tuple[Answered, ...], points: Tensor, labels: Tensor, carried: Tensor | None
    ) -> InteractionPrompts:
        belief = Belief(self.config.pick_temperature)
        picked: Tensor | None = None
        recommendation: Tensor | None = None
        for index, answer in enumerate(answered):
            feedback = answer.proposal.feedback
            samples = self._maps(feedback, "samples")
            if index == 0:
                self.first_samples, self.first_components = samples, feedback.components
            clusters = self._tensor(self._maps(feedback, "clusters"))
            equal = torch.full((1, len(samples)), -float(np.log(len(samples))), device=self.device)
            belief.add(self._tensor(samples), equal)
            if clusters.shape[1] == 0:
                continue
            shown = (clusters >= 0.5).float()
            if answer.kept:
                kept = self._tensor(self._maps(feedback, "recommendation"))
                choices = torch.cat([shown, (kept >= 0.5).float()], dim=1)
                belief.update(choices, torch.tensor([choices.shape[1] - 1], device=self.device))
                continue
            if answer.picked is None:
                belief.reject(shown, DEFAULT.close_enough)
                continue
            belief.update(shown, torch.tensor([answer.picked], device=self.device))
            picked = clusters[:, answer.picked][:, None]
            recommendation = self._tensor(self._maps(feedback, "recommendation"))
        if picked is None:
            return InteractionPrompts(points, labels, carried=carried)
        last, over, mean = (self._input_plane(plane) for plane in (picked, recommendation, belief.mean()))
        return InteractionPrompts(points, labels, last, over, mean, carried)

    def _input_plane(self, plane: Tensor | None) -> Tensor | None:
        """(1, 1, G', G') -> (1, 1, G, G), as the network's own masks are brought to its input's cells."""
        if plane is None or plane.shape[-1] == self.config.grid:
            return plane
        return F.interpolate(plane, size=self.config.grid, mode="bilinear", align_corners=False)

    def _maps(self, feedback: Feedback, name: str) -> np.ndarray:
        """(n, G', G') float32 probabilities on this history's region."""
        maps = getattr(feedback, name).astype(np.float32) / 255
        maps = maps.reshape(-1, *maps.shape[-2:])
        regions = [feedback.on_region(k) if name == "clusters" else feedback.region for k in range(len(maps))]
        moved = [
            m if region == self.region else zoom.resample_between(m, region, self.region, self.spacing)
            for m, region in zip(maps, regions, strict=True)
        ]
        return np.stack(moved) if moved else maps.reshape(0, self.region.grid, self.region.grid)

    def _tensor(self, maps: np.ndarray) -> Tensor:
        return torch.from_numpy(maps).to(self.device)[None]


def _since_last_pick(answered: tuple[Answered, ...]) -> list[Answered]:
    """The trailing answers that were "none of these"."""
    recent: list[Answered] = []
    for answer in reversed(answered):
        if answer.picked is not None or answer.kept:
            break
        recent.append(answer)
    return recent
