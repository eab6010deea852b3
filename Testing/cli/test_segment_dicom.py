"""`spasegment segment`: a DICOM segmentation of a DICOM series, and going on from masks that are there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_mask, write_segments
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.segments import Segment
from SPASegmentLib.imaging.terminology import STRUCTURES

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging" / "support"))  # made-up DICOM files
AT = ("--seed-ijk", 30, 28, 3)


@pytest.fixture(scope="module")
def a_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM series of CT slices with a bright ball in the middle, last slice first."""
    from made_dicom import write_slice

    folder = tmp_path_factory.mktemp("dicom") / "series"
    k, j, i = np.mgrid[:7, :56, :60]
    ball = np.hypot(np.hypot((k - 3) * 2.5, (j - 28) * 0.8), (i - 30) * 0.7) < 7
    noise = np.random.default_rng(0).normal(0, 20, ball.shape)
    stored = (np.where(ball, 1000, 300) + noise).astype(np.uint16)
    for index in range(7):
        position = (1.5, -20, 30 - 2.5 * index)
        write_slice(folder / f"{index}.dcm", stored[index], position, FrameOfReferenceUID="1.2.9")
    return folder


@pytest.fixture
def segment(run, a_series, a_model):
    """`segment` on the series with the hand-made model; no terminal."""
    return lambda *options: run("segment", a_series, "--model", a_model, *options)


@pytest.fixture
def two(a_series, tmp_path) -> Path:
    """A .seg.nrrd of two segments that touch, on slices 2 to 4."""
    volume = read_volume(a_series)
    masks = np.zeros((2, *volume.shape), bool)
    masks[0, 2:5, 20:36, 20:38] = masks[1, 2:5, 20:36, 38:46] = True
    masks[0, 3, 20:24, 20:26] = False
    write_segments(
        tmp_path / "two.seg.nrrd",
        [Segment("tumour", masks[0], STRUCTURES["mass"]), Segment("vessel", masks[1], colour=(1, 0, 0))],
        volume,
    )
    return tmp_path / "two.seg.nrrd"


def voxels(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_dicom_segmentation_holds_the_same_mask_as_the_others(segment, a_series, tmp_path, kind, whole):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    how = (*AT, "--picks", "1", *(("--whole-object",) if whole else ()))
    assert segment(*how, "--out", tmp_path / "a.nrrd").code == 0
    ran = segment(
        *(*how, "--out", tmp_path / "a.dcm", "--seg-type", kind),
        *("--structure", "lung-nodule", "--segment-name", "Left upper"),
    )
    assert (ran.code, ran.err) == (0, "")
    assert f"Mask: {tmp_path / 'a.dcm'}" in ran.out
    [read] = read_dicom_seg(tmp_path / "a.dcm", read_volume(a_series))
    np.testing.assert_array_equal(read.mask, voxels(tmp_path / "a.nrrd") > 0)
    assert read.mask.any(axis=(1, 2)).sum() > 1 or not whole
    assert (read.name, read.structure) == ("Left upper", STRUCTURES["lung-nodule"])
    assert dict(read.algorithm.parameters)["model"] == "tiny" and len(read.algorithm.parameters[1][1]) == 64
    assert pydicom.dcmread(tmp_path / "a.dcm").SegmentationType == kind.upper()


def test_the_structure_and_name_are_in_the_seg_nrrd_too(segment, a_series, tmp_path):
    segment(*AT, "--out", tmp_path / "a.seg.nrrd", "--structure", "cyst", "--segment-name", "Zyste")
    [read] = read_segments(tmp_path / "a.seg.nrrd", read_volume(a_series))
    assert (read.name, read.structure) == ("Zyste", STRUCTURES["cyst"])


def test_a_volume_that_is_no_series_is_refused_before_anything_is_computed(run, a_ct, a_model, tmp_path):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    ran = run("segment", a_ct, *AT, "--model", a_model, "--out", tmp_path / "a.dcm")
    assert (ran.code, ran.out) == (1, "")
    assert "give the series, or write .seg.nrrd" in ran.err


def test_without_highdicom_one_sentence_says_what_to_install(segment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    ran = segment(*AT, "--out", tmp_path / "a.dcm")
    assert (ran.code, ran.out) == (1, "")
    assert 'needs the package highdicom; run: pip install "spasegment[dicom]"' in ran.err


def test_the_mask_that_is_there_is_recommended_first(segment, two, tmp_path):
    ran = segment(
        "--continue", f"{two}:tumour", "--out", tmp_path / "b.seg.nrrd", "--json", tmp_path / "n.json"
    )
    assert (ran.code, ran.err) == (0, "")
    assert f'Goes on from "tumour" in {two}' in ran.out and "Slice 2" in ran.out, "the first with most of it"
    np.testing.assert_array_equal(voxels(tmp_path / "b.seg.nrrd"), voxels(two))
    record = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert record["continued"] == {"file": str(two), "segment": "tumour"}


def test_a_seed_says_which_slice_is_gone_on_with_and_the_others_stay(segment, two, a_series, tmp_path):
    segment("--continue", f"{two}:1", *AT, "--picks", "1", "--out", tmp_path / "b.seg.nrrd")
    before, after = (
        read_segments(path, read_volume(a_series))[0].mask for path in (two, tmp_path / "b.seg.nrrd")
    )
    changed = (before != after).any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(changed), [3])


@pytest.mark.parametrize("overwrite", ["none", "visible", "all"])
@pytest.mark.parametrize("name", ["b.seg.nrrd", "b.dcm"])
def test_other_segments_lose_voxels_only_where_allowed(segment, two, a_series, tmp_path, overwrite, name):
    if name.endswith(".dcm"):
        pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    volume = read_volume(a_series)
    ran = segment(
        *("--continue", f"{two}:tumour", "--add-ijk", 42, 28, 2, "--overwrite", overwrite),
        *("--out", tmp_path / name),
    )
    assert (ran.code, ran.err) == (0, "")
    tumour, vessel = read_segments(tmp_path / name, volume)
    _, before = read_segments(two, volume)
    assert tumour.mask[2, 28, 42] and before.mask[2, 28, 42]
    expected = before.mask if overwrite == "none" else before.mask & ~tumour.mask
    np.testing.assert_array_equal(vessel.mask, expected)
    assert (vessel.name, vessel.colour, tumour.structure) == ("vessel", (1.0, 0.0, 0.0), STRUCTURES["mass"])


def test_a_dicom_segmentation_is_gone_on_with(segment, a_series, tmp_path):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    segment(*AT, "--out", tmp_path / "a.dcm")
    ran = segment("--continue", tmp_path / "a.dcm", "--out", tmp_path / "b.dcm")
    assert (ran.code, ran.err) == (0, "")
    volume = read_volume(a_series)
    [one], [two] = (read_dicom_seg(tmp_path / name, volume) for name in ("a.dcm", "b.dcm"))
    np.testing.assert_array_equal(one.mask, two.mask)


def test_contours_of_a_plan_are_gone_on_with(segment, a_series, tmp_path):
    from made_dicom import write_structures

    def box(k: int, left: int, right: int) -> np.ndarray:
        """(4, 3) mm of a box: rows 20 to 35, columns left to right - 1, on the slice written as number k."""
        corners = ((19.5, left), (19.5, right), (35.5, right), (35.5, left))
        return np.array([(1.5 + 0.7 * (col - 0.5), -20 + 0.8 * row, 30 - 2.5 * k) for row, col in corners])

    plan = tmp_path / "plan.dcm"
    write_structures(plan, {"GTV": [box(k, 20, 38) for k in (2, 3, 4)], "Vessel": [box(3, 38, 46)]})
    assert "choose one by name or number: 1 = GTV, 2 = Vessel" in segment("--continue", plan).err
    how = ("--continue", f"{plan}:GTV", *AT)
    ran = segment(*how, "--out", tmp_path / "kept.seg.nrrd")
    assert (ran.code, ran.err) == (0, "") and f'Goes on from "GTV" in {plan}' in ran.out
    ran = segment(*how, "--picks", "1", "--out", tmp_path / "x.seg.nrrd")
    assert (ran.code, ran.err) == (0, "")
    volume = read_volume(a_series)
    expected = np.zeros((2, *volume.shape), bool)
    for k in (2, 3, 4):  # the volume begins with the last slice, at the lowest place
        expected[0, 6 - k, 20:36, 20:38] = True
    expected[1, 3, 20:36, 38:46] = True
    kept, vessel = read_segments(tmp_path / "kept.seg.nrrd", volume)
    np.testing.assert_array_equal([kept.mask, vessel.mask], expected)
    assert (kept.name, vessel.name, vessel.colour) == ("GTV", "Vessel", (0.4, 1.0, 0.0))
    picked, _ = read_segments(tmp_path / "x.seg.nrrd", volume)
    changed = (picked.mask != kept.mask).any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(changed), [3])


def test_a_label_file_keeps_the_segment_alone(segment, two, tmp_path):
    segment("--continue", f"{two}:tumour", "--out", tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(voxels(tmp_path / "b.nii.gz"), voxels(two) == 1)


def test_the_object_is_followed_from_the_mask_that_is_there(segment, two, tmp_path):
    ran = segment("--continue", f"{two}:tumour", *AT, "--whole-object", "--out", tmp_path / "b.nrrd")
    assert ran.code == 0 and "Whole object" in ran.out
    np.testing.assert_array_equal(voxels(tmp_path / "b.nrrd")[3], (voxels(two) == 1)[3])


def test_what_cannot_be_gone_on_with_is_refused_in_a_sentence(segment, two, a_series, tmp_path):
    volume = read_volume(a_series)
    assert "choose one by name or number: 1 = tumour, 2 = vessel" in segment("--continue", two).err
    assert 'no segment "bone"' in segment("--continue", f"{two}:bone").err
    assert "There is no file" in segment("--continue", tmp_path / "none.nrrd").err
    ran = segment("--continue", f"{two}:tumour", "--seed-ijk", 30, 28, 6)
    assert "nothing on slice 6 to go on from; it lies on slices 2 to 4" in ran.err and ran.code == 1
    write_mask(tmp_path / "empty.nrrd", np.zeros(volume.shape, bool), volume)
    assert "is empty" in segment("--continue", tmp_path / "empty.nrrd").err
    write_segments(tmp_path / "empty.seg.nrrd", [Segment("x", np.zeros(volume.shape, bool))], volume)
    assert "is empty" in segment("--continue", tmp_path / "empty.seg.nrrd").err
    assert segment("--overwrite", "all", *AT).code == 2
    assert segment().code == 2
