"""The prompted systems on official files of SAM: the same network, with the weights a user has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import Sam as OfficialSam

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import ModelInfo
from SPASegmentLib.research.evaluation.interaction import interact
from SPASegmentLib.research.evaluation.protocol import Draw
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.loading import find_start, load_official, start_from
from SPASegmentLib.research.systems.msa import Msa
from SPASegmentLib.research.systems.prompted import BoxedEngine, ClickedEngine
from SPASegmentLib.research.systems.registry import checkpoint_path, find_checkpoint, training_options
from SPASegmentLib.research.systems.sam import Encoded, Prompts
from SPASegmentLib.research.systems.specs import SYSTEMS, TABLE, build_system
from SPASegmentLib.research.training.options import TrainOptions

SHALLOW = {"vit_embed": 48, "vit_depth": 4, "vit_heads": 4}
INFO = ModelInfo("sam", "0" * 64, 1, "nothing")


@pytest.fixture(scope="module")
def a_sam() -> OfficialSam:
    torch.manual_seed(0)
    return _build_sam(48, 4, 4, (0, 1, 2, 3)).eval()


@pytest.fixture(scope="module")
def an_official_file(a_sam: OfficialSam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "sam.pth"
    torch.save(a_sam.state_dict(), path)
    return path


def config_of(name: str, **changes: int) -> SystemConfig:
    return SYSTEMS[name].config.with_entries({**SHALLOW, **changes})


def test_our_decoder_says_what_sams_own_says(a_sam, an_official_file):
    ours = load_official(config_of("sam-vit-b"), an_official_file).eval()
    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    click = torch.tensor([[[100.0, 60.0]]])  # cells of a grid of 256, pixels of 4 x 4 in SAM's 1024
    with torch.inference_mode():
        masks, quality = ours.decode(Encoded(embedding), Prompts(click, torch.ones(1, 1)))
        sparse, dense = a_sam.prompt_encoder((click * 4 + 1.5, torch.ones(1, 1)), None, None)
        position = a_sam.prompt_encoder.get_dense_pe()
        expected, promised = a_sam.mask_decoder.predict_masks(embedding, position, sparse, dense)
    assert torch.allclose(masks, expected, atol=1e-4)
    assert torch.allclose(quality, promised, atol=1e-4)


@pytest.mark.parametrize("kind", [ClickedEngine, BoxedEngine])
def test_official_weights_answer_clicks_and_boxes(an_official_file, case, kind):
    system = load_official(config_of("sam-vit-b", vit_side=128, grid=32), an_official_file)
    trace = interact(
        kind(system, INFO, "cpu"), case, Draw(case.masks[2], (2,), PointPrompt(23, 23)), iterations=2
    )
    assert len(trace.proposals) == 2
    assert all(proposal.recommendation.any() for proposal in trace.proposals)


def test_msa_starts_from_official_weights(an_official_file):
    config = config_of("msa-vit-b", vit_side=128, grid=32)
    msa, sam = (
        build_system(config).eval(),
        load_official(config_of("sam-vit-b", vit_side=128, grid=32), an_official_file),
    )
    assert isinstance(msa, Msa)
    assert start_from(msa, an_official_file) == {"file": "sam.pth"}
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(msa.encode(image).e_x, sam.eval().encode(image).e_x, atol=1e-5)
    learnt = sum(p.numel() for p in msa.parameters() if p.requires_grad)
    assert 0 < learnt < 0.4 * sum(p.numel() for p in msa.parameters())


def test_a_missing_official_file_is_answered_with_the_download(tmp_path, monkeypatch):
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path))
    for ask in (lambda: find_checkpoint("sam-u-v2-vit-b"), lambda: find_checkpoint("medsam-vit-b")):
        with pytest.raises(CheckpointError, match="spasegment models download medsam_vit_b"):
            ask()
    with pytest.raises(CheckpointError, match="spasegment models download sam_vit_b"):
        find_start(SYSTEMS["msa-vit-b"])
    assert checkpoint_path("msa-vit-b") == tmp_path / "msa-vit-b.safetensors"
    assert checkpoint_path("sam-u-v1-vit-b") == tmp_path / "sam_vit_b_01ec64.pth"


def test_official_weights_are_not_trained_but_their_adapters_are():
    with pytest.raises(InputError, match="answers with its official weights"):
        training_options("sam-vit-b", TrainOptions())
    assert training_options("msa-vit-b", TrainOptions(steps=3)).steps == 3
    assert not any(SYSTEMS[name].official for name in TABLE) and len(TABLE) == 13
