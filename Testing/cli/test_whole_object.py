"""`spasegment segment --whole-object`: a nodule of the made-up, tilted CT with the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from SPASegmentLib.imaging.sample import SPACING, sample_seeds
from SPASegmentLib.network.registry import model_path

pytestmark = pytest.mark.skipif(
    not model_path("compact").exists(), reason="the shipped model is not in Resources/Models"
)
SEED = sample_seeds(0, rotated=True)[0].ras
RADIUS = 8.5
"""mm, of the nodule at the seed."""


def read(folder: Path) -> tuple[np.ndarray, dict]:
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask.seg.nrrd"))) > 0
    return mask, json.loads((folder / "n.json").read_text(encoding="utf-8"))


@pytest.fixture
def whole(run, a_ct, tmp_path):
    """One command, and what it wrote."""

    def whole_(*options: object):
        folder = tmp_path / f"run {len(list(tmp_path.iterdir()))}"
        out = ("--out", folder / "mask.seg.nrrd", "--json", folder / "n.json")
        ran = run("segment", a_ct, "--seed-ras", *SEED, "--whole-object", *out, *options)
        assert (ran.code, ran.err) == (0, "")
        return ran, *read(folder)

    return whole_


def test_the_nodule_is_found_on_all_its_slices_and_nothing_else(whole, a_ct, tmp_path):
    ran, mask, record = whole("--report", tmp_path / "pictures")
    about = record["object"]
    volume = 4 / 3 * np.pi * RADIUS**3 / 1000
    assert about["volume_ml"] == pytest.approx(mask.sum() * np.prod(SPACING) / 1000, rel=1e-6)
    assert 0.6 * volume < about["volume_ml"] < 1.9 * volume
    indices = [one["index"] for one in about["slices"]]
    assert indices == sorted(set(np.argwhere(mask)[:, 0]))
    assert indices == list(range(indices[0], indices[-1] + 1))
    centre = sitk.ReadImage(str(a_ct)).TransformPhysicalPointToIndex((-SEED[0], -SEED[1], SEED[2]))
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0)[::-1], centre, atol=1.5)
    half = RADIUS / SPACING[0]  # slices; a vessel may go on from its end
    assert centre[2] - half - 5 < indices[0] < centre[2] - half + 2
    assert centre[2] + half - 2 < indices[-1] < centre[2] + half + 5
    assert [one["index"] for one in about["slices"] if one["approved"]] == [centre[2]]
    assert all(0 <= one["expected_dice"] <= 1 for one in about["slices"])
    assert f"Whole object: {about['volume_ml']:.2f} ml on {len(indices)} slices" in ran.out
    picture = Image.open(tmp_path / "pictures" / "whole-object.png")
    assert picture.size[0] == 164 * min(10, len(indices))


def test_reviewed_slices_and_an_end_hold(whole):
    _, _, plain = whole("--model", "compact")
    middle = next(one["index"] for one in plain["object"]["slices"] if one["approved"])
    low, high = middle - 3, middle + 4
    anchors = ("--anchor", f"{low}:2", "--anchor", f"{middle + 2}:", "--anchor", f"{high}:end")
    _, mask, record = whole("--model", "compact", *anchors)
    about = {one["index"]: one for one in record["object"]["slices"]}
    assert {index for index, one in about.items() if one["approved"]} == {low, middle, middle + 2}
    assert max(about) == high
    assert mask[low].any()
    assert not mask[high + 1].any()
    before = {one["index"]: one["area_mm2"] for one in plain["object"]["slices"]}
    assert about[low]["area_mm2"] != before[low]
    assert about[middle + 2]["area_mm2"] == before[middle + 2]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--whole-object", "--anchor", "x:1"), 1, '--anchor has "x:1"; give a slice\'s number and picks'),
        (("--whole-object", "--anchor", "12"), 1, '--anchor has "12"; give'),
        (("--whole-object", "--anchor", "12:7"), 1, "give numbers from 1 to 4"),
        (
            ("--whole-object", "--anchor", "999:1"),
            1,
            "There is nothing to see on slice 999; choose another one.",
        ),
        (("--anchor", "12:1"), 2, "add --whole-object"),
    ],
)
def test_anchors_that_cannot_be_are_refused(run, a_ct, a_model, options, code, sentence):
    ran = run("segment", a_ct, "--seed-ras", *SEED, "--model", a_model, *options)
    assert ran.code == code
    assert sentence in " ".join(ran.err.replace("│", " ").split())
