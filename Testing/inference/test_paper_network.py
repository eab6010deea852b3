"""The paper's own configuration, SAM's encoder and z at the embedding, answers clicks and picks too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import Answered, ModelInfo, ProposalRequest
from SPASegmentLib.network.config import sam_config
from SPASegmentLib.network.spa import SPANetwork


@pytest.mark.slow
def test_the_papers_network_proposes_and_takes_a_pick():
    torch.manual_seed(0)
    network = SPANetwork(sam_config("medsam_vit_b", image_size=64))
    with torch.no_grad():
        network.fusion.latent.weight.mul_(30)  # untrained, z would hardly move a mask
    engine = LocalEngine(network, ModelInfo("untrained", "0", 16, "nothing"), "cpu")
    image = SliceImage(np.random.default_rng(0).random((80, 90)).astype(np.float32))
    point = (PointPrompt(40, 40),)
    first = engine.propose(ProposalRequest(image, point, n_samples=12))
    cells = 4 * 64 // 16  # what SAM's decoder gives, whatever the side of its input
    assert first.feedback.samples.shape == (12, cells, cells)
    assert first.feedback.clusters.shape[1:] == (cells, cells)
    assert first.feedback.region.grid == cells
    assert first.probability.shape == (80, 90)
    assert first.candidates
    second = engine.propose(ProposalRequest(image, point, (Answered(first, 0),), n_samples=12))
    assert not np.array_equal(first.probability, second.probability)
    assert second.feedback.samples.shape == (12, cells, cells)
    away = (*point, PointPrompt(44, 36, positive=False))
    third = engine.propose(ProposalRequest(image, away, (Answered(first, 0),), n_samples=12))
    lowered = second.probability - third.probability
    assert np.unravel_index(lowered.argmax(), lowered.shape) == pytest.approx((44, 36), abs=3)
