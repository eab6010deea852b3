"""`oracle-label`: SPA with the leak of the authors' code, to read the paper's own numbers and nothing else.

After each pick there is one more point, where pick and recommendation differ most, and whether it belongs to
the object is read off the target. No user of SPA gives such a label, so this is never a fair rival.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import Answered, CancelToken, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.research.training.answers import oracle_point


class OracleLabelEngine:
    """SPA's engine with a leaked label per pick; an evaluation's `OracleEngine`, which every table marks."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._target: np.ndarray | None = None
        self.device = engine.device

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""
        return self._engine.model

    def see_target(self, target: np.ndarray) -> None:
        """The mask, (H, W) bool, that labels are read off until another is shown."""
        self._target = target

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request with the leaked points beside the user's own.

        Raises InputError where no target was shown, for then there is no label to leak.
        """
        if self._target is None or self._target.shape != request.image.shape:
            raise InputError("oracle-label reads labels off the target; it only runs in an evaluation.")
        told = [self._leak(answer, request, self._target) for answer in request.answered]
        points = (*request.points, *(point for point in told if point is not None))
        return self._engine.propose(replace(request, points=points), cancel)

    @staticmethod
    def _leak(answer: Answered, request: ProposalRequest, target: np.ndarray) -> PointPrompt | None:
        """The labelled point of a pick, as in training; None without a pick or where nothing differs."""
        if answer.picked is None:
            return None
        feedback, image = answer.proposal.feedback, request.image
        on_grid = zoom.sample_mask(target, image.spacing, feedback.region)
        picked, recommendation = (
            torch.from_numpy(part.astype(np.float32) / 255)[None, None]
            for part in (feedback.clusters[answer.picked], feedback.recommendation)
        )
        points, labels = oracle_point(
            picked, recommendation, torch.from_numpy(on_grid.astype(np.float32))[None]
        )
        if labels[0, 0] < 0:
            return None
        cell = points[0].numpy()[:, ::-1]
        row, col = zoom.to_pixels(cell, feedback.region, image.spacing)[0]
        height, width = image.shape
        inside = float(np.clip(row, 0, height - 1)), float(np.clip(col, 0, width - 1))
        return PointPrompt(*inside, positive=bool(labels[0, 0] > 0.5))
