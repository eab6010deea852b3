"""Where a mask is doubted: photographs, and nothing that colours of medicine resemble."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from SPASegmentLib import SPAPredictor
from SPASegmentLib.imaging.types import PointPrompt, SliceImage, Volume
from SPASegmentLib.inference.checks import LOOKS_LIKE_A_PHOTOGRAPH, is_doubtful, looks_like_a_photograph
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import ProposalRequest

SIDE = 256
ROWS, COLS = np.mgrid[:SIDE, :SIDE] / SIDE


def painted(ground: tuple[float, ...], *parts: tuple[np.ndarray, tuple[float, ...]]) -> np.ndarray:
    """(256, 256, 3) of noisy colours in [0, 1]: a ground, and parts painted over it."""
    pixels = np.zeros((SIDE, SIDE, 3)) + ground
    for where, colour in parts:
        pixels[where] = colour
    light = 0.7 + 0.3 * ROWS[..., None]
    return np.clip(pixels * light + np.random.default_rng(0).normal(0, 0.02, pixels.shape), 0, 1).astype("f4")


def round_about(row: float, col: float, radius: float) -> np.ndarray:
    return np.hypot(ROWS - row, COLS - col) < radius


MEADOW = painted(
    (0.45, 0.65, 0.95),
    (ROWS > 0.5, (0.3, 0.6, 0.2)),
    (round_about(0.7, 0.5, 0.1), (0.9, 0.2, 0.2)),
)
FUNDUS = painted(
    (0.02, 0.02, 0.02),
    (round_about(0.5, 0.5, 0.48), (0.75, 0.35, 0.15)),
    (round_about(0.5, 0.7, 0.08), (0.95, 0.8, 0.45)),
)
HISTOLOGY = painted(
    (0.9, 0.7, 0.82), *((round_about(0.1 * n, (0.37 * n) % 1, 0.05), (0.4, 0.25, 0.6)) for n in range(10))
)
IMMUNOSTAIN = painted(
    (0.85, 0.8, 0.8),
    (round_about(0.3, 0.3, 0.2), (0.6, 0.4, 0.2)),
    (round_about(0.7, 0.7, 0.05), (0.5, 0.5, 0.7)),
)
ENDOSCOPY = painted((0.75, 0.4, 0.3), (round_about(0.5, 0.5, 0.2), (0.8, 0.55, 0.4)))
SKIN = painted((0.85, 0.65, 0.55), (round_about(0.5, 0.5, 0.2), (0.4, 0.25, 0.2)))
DOPPLER = painted(
    (0.3, 0.3, 0.3),
    (round_about(0.4, 0.5, 0.1), (0.9, 0.1, 0.1)),
    (round_about(0.65, 0.5, 0.1), (0.1, 0.2, 0.9)),
)
MEDICAL = {
    "fundus": FUNDUS,
    "histology": HISTOLOGY,
    "immunostain": IMMUNOSTAIN,
    "endoscopy": ENDOSCOPY,
    "skin": SKIN,
    "doppler": DOPPLER,
}


@pytest.mark.parametrize("name", ["flower.jpg", "china.jpg", "meadow"])
def test_a_photograph_is_told_by_colours_of_many_kinds(name: str) -> None:
    pixels = MEADOW if name == "meadow" else load_sample_image(name).astype(np.float32) / 255
    assert looks_like_a_photograph(pixels)
    assert not looks_like_a_photograph(pixels.mean(axis=-1)), "grey says nothing"


@pytest.mark.parametrize("kind", MEDICAL)
def test_colours_of_medicine_are_no_photograph(kind: str) -> None:
    assert not looks_like_a_photograph(MEDICAL[kind])


@pytest.mark.parametrize(
    "archive",
    ["glomeruli", "nuclei-tnbc", "nuclei-dsb2018", "polyps-cvc", "retina-exudates", "retina-vessels-stare"],
)
def test_pictures_of_the_data_sets_are_no_photographs(data_dir: Path, archive: str) -> None:
    path = data_dir / "any" / f"{archive}.zip"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    with zipfile.ZipFile(path) as packed:
        names = [name for name in packed.namelist() if name.endswith("/image.jpg")][:30]
        assert names
        for name in names:
            pixels = np.asarray(Image.open(io.BytesIO(packed.read(name))).convert("RGB"), np.float32) / 255
            assert not looks_like_a_photograph(pixels), name


def test_a_click_in_a_photograph_is_doubted_and_one_in_a_fundus_is_not() -> None:
    predictor = SPAPredictor.from_pretrained("general", device="cpu")
    predictor.set_image(load_sample_image("flower.jpg"))
    proposal = predictor.click(210, 320)
    assert proposal.warnings.count(LOOKS_LIKE_A_PHOTOGRAPH) == 1
    assert is_doubtful(proposal)
    predictor.set_image((FUNDUS * 255).astype(np.uint8))
    proposal = predictor.click(128, 179)
    assert LOOKS_LIKE_A_PHOTOGRAPH not in proposal.warnings
    assert not is_doubtful(proposal)


def test_clicks_in_a_grey_photograph_are_doubted_by_the_model_itself() -> None:
    predictor = SPAPredictor.from_pretrained("general", device="cpu")
    pixels = load_sample_image("china.jpg").mean(axis=-1).astype(np.uint8)[::2, ::2]
    predictor.set_image(pixels)
    for row, col in ((0.5, 0.5), (0.7, 0.8)):
        proposal = predictor.click(int(row * pixels.shape[0]), int(col * pixels.shape[1]))
        assert is_doubtful(proposal)
        assert any("model doubts this mask" in sentence for sentence in proposal.warnings)


def test_what_states_its_modality_is_no_photograph() -> None:
    engine = load_engine("compact", "cpu")
    for modality, said in ((None, True), ("US", False)):
        image = SliceImage(MEADOW, (1.0, 1.0), modality)
        proposal = engine.propose(ProposalRequest(image, (PointPrompt(179, 128),)))
        assert (LOOKS_LIKE_A_PHOTOGRAPH in proposal.warnings) == said


def test_a_brain_that_states_no_modality_is_said_to_be_no_ct_and_a_ct_is_not() -> None:
    predictor = SPAPredictor.from_pretrained("compact", device="cpu")
    noise = np.random.default_rng(0).normal(0, 8, (3, 96, 96))
    head = np.hypot(*(np.mgrid[:96, :96] - 48)) < 36
    for values, said in ((20 + 300 * head, True), (1040 * head - 1000, False)):
        predictor.set_volume(Volume((values + noise).astype(np.int16), np.eye(4)))
        predictor.set_slice("axial", 1)
        warnings = predictor.click(48, 48).warnings
        assert any("nor its values say" in sentence for sentence in warnings) == said
