"""Rough labellings from real files, on the volume's grid or a part of it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_labels
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND, read_labels

SEGMENTS = {1: ("Object", (0.9, 0.6, 0.0)), 2: ("Background", (0.2, 0.4, 0.7))}


@pytest.fixture
def a_volume(tmp_path):
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (6, 12, 10)).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 33.25, 7.0))
    angle = 0.3
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "volume.nrrd"))
    return read_volume(tmp_path / "volume.nrrd")


@pytest.fixture
def labels(a_volume):
    drawn = np.zeros(a_volume.shape, np.uint8)
    drawn[2, 4:7, 3:6], drawn[2, 1, 1:8] = FOREGROUND, BACKGROUND
    return drawn


@pytest.mark.parametrize("name", ["rough.nrrd", "rough.nii.gz", "rough.nii", "rough.seg.nrrd"])
def test_labels_are_read_as_they_were_written(a_volume, labels, tmp_path, name):
    write_labels(tmp_path / name, labels, a_volume, SEGMENTS)
    assert np.array_equal(read_labels(tmp_path / name, a_volume), labels)
    image = sitk.ReadImage(str(tmp_path / name))
    assert np.array_equal(sitk.GetArrayFromImage(image), labels)
    assert np.allclose(image.GetSpacing(), (0.7, 0.8, 2.5)) and np.allclose(image.GetOrigin()[2], 7.0)


def test_a_slicer_segmentation_names_both_segments_and_their_values(a_volume, labels, tmp_path):
    write_labels(tmp_path / "two.seg.nrrd", labels, a_volume, SEGMENTS)
    image = sitk.ReadImage(str(tmp_path / "two.seg.nrrd"))
    found = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    names = {found[f"Segment{n}_Name"]: found[f"Segment{n}_LabelValue"] for n in (0, 1)}
    assert names == {"Object": "1", "Background": "2"}
    assert found["Segment0_Extent"] == "3 5 4 6 2 2" and found["Segment0_ID"] != found["Segment1_ID"]


def test_other_values_can_mean_object_and_background(a_volume, labels, tmp_path):
    given = np.where(labels == FOREGROUND, 255, np.where(labels == BACKGROUND, 7, 0)).astype(np.uint8)
    write_labels(tmp_path / "rough.nrrd", given, a_volume, {})
    assert np.array_equal(read_labels(tmp_path / "rough.nrrd", a_volume, 255, 7), labels)
    with pytest.raises(InputError, match="--foreground and --background"):
        read_labels(tmp_path / "rough.nrrd", a_volume)
    with pytest.raises(InputError, match="two different"):
        read_labels(tmp_path / "rough.nrrd", a_volume, 7, 7)


def test_a_file_that_covers_a_part_of_the_volume_lands_where_it_belongs(a_volume, labels, tmp_path):
    write_labels(tmp_path / "whole.nrrd", labels, a_volume, {})
    part = sitk.ReadImage(str(tmp_path / "whole.nrrd"))[1:8, 1:9, 2:4]
    sitk.WriteImage(part, str(tmp_path / "part.nrrd"))
    assert np.array_equal(read_labels(tmp_path / "part.nrrd", a_volume), labels)


def test_a_file_on_another_grid_is_refused(a_volume, labels, tmp_path):
    write_labels(tmp_path / "whole.nrrd", labels, a_volume, {})
    image = sitk.ReadImage(str(tmp_path / "whole.nrrd"))
    for name, change in (
        ("shifted", lambda i: i.SetOrigin((-12.2, 33.25, 7.0))),
        ("stretched", lambda i: i.SetSpacing((0.7, 0.9, 2.5))),
        ("turned", lambda i: i.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))),
    ):
        moved = sitk.Image(image)
        change(moved)
        sitk.WriteImage(moved, str(tmp_path / f"{name}.nrrd"))
        with pytest.raises(InputError, match="another voxel grid"):
            read_labels(tmp_path / f"{name}.nrrd", a_volume)
    sitk.WriteImage(sitk.ConstantPad(image, (0, 0, 0), (0, 0, 2)), str(tmp_path / "longer.nrrd"))
    with pytest.raises(InputError, match="beyond the volume"):
        read_labels(tmp_path / "longer.nrrd", a_volume)


def test_labels_of_another_shape_are_not_written(a_volume, labels, tmp_path):
    with pytest.raises(InputError, match="do not fit"):
        write_labels(tmp_path / "wrong.nrrd", labels[1:], a_volume, {})
    with pytest.raises(InputError, match="cannot be written"):
        write_labels(tmp_path / "wrong.png", labels, a_volume, {})
