"""A real, tiny, untrained model in a file, and the command run in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from SPASegmentLib.cli import main as cli
from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.sample import make_sample_volume
from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
from SPASegmentLib.network.config import compact_config
from SPASegmentLib.network.spa import SPANetwork


@dataclass(frozen=True)
class Ran:
    """What a command left. code: its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run `spasegment` with arguments; all of them are turned into text."""

    def run_(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run_


@pytest.fixture(scope="session")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the compact layout whose weights are set by hand: discs around the points.

    How large a disc is depends on the first number of z alone, so that samples and candidates differ.
    """
    torch.manual_seed(4)
    config = compact_config(
        channels=32, widths=(8, 8, 16, 32), head_channels=8, decoder_mlp=32, decoder_heads=2, samples=16
    )
    network = SPANetwork(config)
    with torch.no_grad():
        fusion = network.fusion
        for layer in (fusion.outline[0], fusion.outline[2], fusion.first, fusion.second, fusion.third):
            layer.weight.zero_()
            layer.bias.zero_()
        spot = fusion.outline[0].in_channels - len(config.planes) + config.planes.index("positive")
        fusion.outline[0].weight[0, spot, 1, 1] = 1.0
        fusion.outline[2].weight[0, 0] = 200.0
        fusion.outline[2].bias[:] = -1.0
        for layer in (fusion.second, fusion.third):
            layer.weight[0, 0] = 1.0
        for number, latent in enumerate(fusion.latents):
            latent.weight.zero_()
            latent.weight[0, 0] = float(number == 0)
        fusion.last.weight.zero_()
        fusion.last.weight[0, 0] = -15.0
        fusion.last.bias[:] = 0.8
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    about = {"trained_on": "nothing at all", "modalities": ["CT"], "window": [-1350.0, 150.0]}
    save_checkpoint(path, network.state_dict(), CheckpointHeader(config.to_dict(), about))
    return path


@pytest.fixture(scope="session")
def a_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up chest CT, tilted on the table, as a file."""
    path = tmp_path_factory.mktemp("volume") / "chest.nrrd"
    write_sample_volume(path, make_sample_volume(0, rotated=True))
    return path
