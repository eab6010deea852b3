"""Fixtures every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "Testing" / "support"))
sys.path.insert(0, str(REPOSITORY / "Testing" / "research" / "datasets" / "support"))  # made-up sets


LONG_FIRST = (
    *("viewer", "panel", "mrml"),
    *("test_readme.py", "test_repository.py", "test_requirements.py", "test_package.py"),
    *("service", "cli", "research"),
)
"""Folders and files that take longest: begun first, so that two processes end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, not the tests in them."""

    def rank(item: pytest.Item) -> int:
        folder = item.nodeid.split("::")[0].split("/")[1]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the multi-rater data sets: SPASEGMENT_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("SPASEGMENT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the data sets are not at {folder}; set SPASEGMENT_DATA to their folder")
    return folder


@pytest.fixture
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is computed, as in the application (see Testing/support/answers.py)."""
    import answers

    monkeypatch.setattr(answers, "remembered", lambda propose, engine, *asked: propose(*asked))


@pytest.fixture(scope="session")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the compact layout, its weights set by hand: discs around the points.

    How large a disc is depends on the first number of z alone, so that samples and candidates differ.
    """
    import torch

    from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
    from SPASegmentLib.network.config import compact_config
    from SPASegmentLib.network.spa import SPANetwork

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
