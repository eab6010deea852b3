"""`spasegment partial`, from files to files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.geometry import seed_voxel
from SPASegmentLib.imaging.sample import sample_seeds
from SPASegmentLib.network.registry import model_path

SEED = sample_seeds(0, rotated=True)[0].ras


def write(path, labels, like):
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(sitk.ReadImage(str(like)))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def a_part(a_ct, tmp_path_factory):
    """The part of the made-up CT around a nodule, tilted on the table as it is, as a file."""
    k, j, i = seed_voxel(read_volume(a_ct), seed_ras=SEED)
    path = tmp_path_factory.mktemp("part") / "part.nrrd"
    part = sitk.ReadImage(str(a_ct))[i - 30 : i + 40, j - 35 : j + 35, k - 6 : k + 8]
    sitk.WriteImage(part, str(path))
    return path


@pytest.fixture(scope="module")
def voxel(a_part):
    return seed_voxel(read_volume(a_part), seed_ras=SEED)


@pytest.fixture(scope="module")
def rough(a_part, voxel, tmp_path_factory):
    """A few voxels of the nodule and of the lung beside it, and a stroke on another slice."""
    k, j, i = voxel
    labels = np.zeros(sitk.GetArrayFromImage(sitk.ReadImage(str(a_part))).shape, np.uint8)
    labels[k, j - 1 : j + 2, i - 1 : i + 2] = 1
    labels[k, j - 20 : j - 18, i - 4 : i + 4] = 2
    labels[k + 3, j, i] = 1
    return write(tmp_path_factory.mktemp("rough") / "rough.nii.gz", labels, a_part)


@pytest.fixture
def partial(run, a_part, a_model, rough):
    """`partial` on the made-up CT with the hand-made model; no terminal."""
    return lambda *options: run("partial", a_part, "--labels", rough, "--model", a_model, *options)


@pytest.mark.parametrize("name", ["more.seg.nrrd", "more.nrrd", "more.nii.gz"])
def test_the_larger_labelling_lies_on_the_volumes_grid_and_keeps_every_label(
    partial, a_part, rough, voxel, tmp_path, name
):
    ran = partial("--picks", "1", "--out", tmp_path / name)
    assert ran.code == 0 and "Traceback" not in ran.err
    more, volume = sitk.ReadImage(str(tmp_path / name)), sitk.ReadImage(str(a_part))
    assert more.GetSize() == volume.GetSize()
    assert np.allclose(more.GetOrigin(), volume.GetOrigin(), atol=1e-4)
    assert np.allclose(more.GetDirection(), volume.GetDirection(), atol=1e-4)
    before, after = (sitk.GetArrayFromImage(i) for i in (sitk.ReadImage(str(rough)), more))
    assert np.array_equal(after[before > 0], before[before > 0])
    assert (after > 0).sum() > (before > 0).sum()
    assert set(np.unique(after)) <= {0, 1, 2}
    others = np.arange(len(after)) != voxel[0]
    assert np.array_equal(after[others], before[others]), "other slices are kept"
    assert "other slices" in ran.out


def test_picks_pictures_and_numbers_tell_one_story(partial, tmp_path):
    report, numbers = tmp_path / "pictures", tmp_path / "numbers.json"
    ran = partial("--picks", "1,g,n", "--report", report, "--json", numbers)
    assert ran.code == 0, ran.err
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert [row["answer"] for row in found["iterations"]] == [
        "picked 1",
        "went on",
        "none of these",
        "approved",
    ]
    assert found["experimental"] is True and found["result"]["how"] == "approved"
    assert found["result"]["unknown"] < found["given_pixels"]["unknown"]
    pictures = sorted(report.iterdir())
    assert [p.name for p in pictures] == [f"iteration-{n}.png" for n in (1, 2, 3, 4)]
    with Image.open(pictures[0]) as picture:
        assert picture.size == (1300, 720)
    assert "experimental" in ran.out and "Iteration 4" in ran.out


def test_the_same_command_gives_the_same_labels(partial, tmp_path):
    for name in ("a.nrrd", "b.nrrd"):
        assert partial("--picks", "2", "--out", tmp_path / name).code == 0
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


@pytest.mark.skipif(not model_path("compact").exists(), reason="the shipped model is not in this checkout")
def test_the_shipped_model_grows_into_the_nodule_and_not_into_the_lung(run, a_part, rough, voxel, tmp_path):
    ran = run("partial", a_part, "--labels", rough, "--picks", "g,g", "--out", tmp_path / "more.nrrd")
    assert ran.code == 0, ran.err
    before, after, volume = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[voxel[0]].astype(int)
        for path in (rough, tmp_path / "more.nrrd", a_part)
    )
    new = before == 0
    assert (new & (after == 1)).sum() > 10 and (new & (after == 2)).sum() > 10
    assert volume[new & (after == 1)].mean() > volume[new & (after == 2)].mean() + 200


@pytest.mark.parametrize("orientation", ["sagittal", "coronal"])
def test_other_orientations_grow_in_their_own_slice(partial, rough, tmp_path, orientation):
    out = tmp_path / "more.nrrd"
    ran = partial("--orientation", orientation, "--out", out)
    assert ran.code == 0, ran.err
    before, after = (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (rough, out))
    assert np.array_equal(after[before > 0], before[before > 0])
    changed = np.argwhere(before != after)
    assert any(len(np.unique(changed[:, axis])) == 1 for axis in (1, 2)) and len(changed)


def test_a_picture_with_painted_labels_works_too(run, a_model, tmp_path):
    rows, cols = np.mgrid[:60, :60]
    distance = np.hypot(rows - 30, cols - 28)
    grey = 60 + 140 / (1 + np.exp(distance - 9)) + np.random.default_rng(0).normal(0, 5, distance.shape)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(tmp_path / "picture.png")
    painted = np.where(distance < 4, 255, np.where(rows < 8, 128, 0)).astype(np.uint8)
    Image.fromarray(painted).save(tmp_path / "painted.png")
    ran = run(
        *("partial", tmp_path / "picture.png", "--labels", tmp_path / "painted.png", "--model", a_model),
        *("--foreground", 255, "--background", 128, "--out", tmp_path / "more.nrrd"),
    )
    assert ran.code == 0, ran.err
    after = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "more.nrrd")))[0]
    assert (after[painted == 255] == 1).all() and (after[painted == 128] == 2).all()


def test_bad_input_gets_one_sentence_and_leaves_no_file(
    run, partial, a_part, a_model, rough, voxel, tmp_path
):
    whole = sitk.GetArrayFromImage(sitk.ReadImage(str(rough)))
    only_background = write(tmp_path / "b.nrrd", np.where(whole == 2, 2, 0).astype(np.uint8), a_part)
    strange = write(tmp_path / "s.nrrd", np.where(whole == 2, 5, whole).astype(np.uint8), a_part)
    shutil.copy(rough, tmp_path / "cut.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "cut.nii.gz").read_bytes()[:200])
    out = tmp_path / "more.nrrd"
    for labels, options, words in (
        (only_background, (), "no foreground"),
        (strange, (), "has the value 5"),
        (tmp_path / "missing.nrrd", (), "no file"),
        (tmp_path / "cut.nii.gz", (), "cut.nii.gz"),
        (rough, ("--slice", voxel[0] + 1), "no foreground label"),
        (rough, ("--slice", 99999), "no slice 99999"),
        (rough, ("--picks", "7"), '"7"'),
        (rough, ("--certainty", "0.4"), "certainty"),
        (rough, ("--reach", "-3"), "reach"),
        (rough, ("--out", tmp_path / "more.png"), "cannot be written"),
        (rough, ("--out", rough), "one of the given files"),
    ):
        arguments = () if "--out" in options else ("--out", out)
        ran = run("partial", a_part, "--labels", labels, "--model", a_model, *options, *arguments)
        assert ran.code == 1 and words in ran.err, (words, ran)
        assert len(ran.err.strip().splitlines()) == 1 and "Traceback" not in ran.err
        assert not out.exists()


def test_the_help_says_that_it_is_experimental_and_whose_network_answers(run):
    text = " ".join(run("partial", "--help").out.split())
    assert "EXPERIMENTAL" in text and "SPA's network" in text and "not been tested with users" in text
