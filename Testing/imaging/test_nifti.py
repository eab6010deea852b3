"""NIfTI as other programs write it: what nibabel gives of its own fields, or a sentence, or a choice."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_mask

VOXELS = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(np.int16)  # (i, j, k)
Q = np.eye(4)
Q[:3, :3] = Rotation.from_euler("zx", (10, 5), degrees=True).as_matrix() * (0.7, 0.9, 2.5)
Q[:3, 3] = (-81, 33, 412)
S = np.eye(4)
S[:3, :3] = Rotation.from_euler("y", 3, degrees=True).as_matrix() * (0.7, 0.9, 2.5)
S[:3, 3] = (-18, 33, 412)
"""63 mm beside the qform."""


def save(path: Path, array=VOXELS, q=Q, s=S, codes=(1, 1), kind=nibabel.Nifti1Image, **fields) -> Path:
    header = kind.header_class()
    header.set_data_shape(array.shape)
    header["pixdim"][1:4] = 0.7, 0.9, 2.5
    header.set_qform(q, codes[0])
    header.set_sform(s, codes[1])
    for name, value in fields.items():
        header[name] = value
    nibabel.save(kind(array, None, header, dtype=array.dtype), path)
    return path


def test_the_mask_lies_on_the_volume_whichever_form_a_program_reads(tmp_path):
    for codes, kind in itertools.product(
        [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2), (2, 4), (3, 0)], [nibabel.Nifti1Image, nibabel.Nifti2Image]
    ):
        path = save(tmp_path / "a.nii.gz", codes=codes, kind=kind)
        volume = read_volume(path)
        write_mask(tmp_path / "m.nii.gz", volume.array > 0, volume)
        mine, its = nibabel.load(tmp_path / "m.nii.gz"), nibabel.load(path)
        for name in ("qform_code", "sform_code"):
            assert int(mine.header[name]) == int(its.header[name]), (codes, name)
        np.testing.assert_allclose(mine.get_qform(), its.get_qform(), atol=1e-4)
        np.testing.assert_allclose(mine.affine, its.affine, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(mine.dataobj), VOXELS > 0)
        in_use = {(0, 0): None, (0, 1): S, (1, 1): S}.get(codes, Q)
        if in_use is not None:
            np.testing.assert_allclose(volume.ijk_to_ras, in_use, atol=1e-4)
        assert any("two positions" in said for said in volume.warnings) == (min(codes) > 0)


def test_a_mask_of_a_volume_that_was_moved_lies_where_the_volume_is_now(tmp_path):
    from dataclasses import replace

    volume = read_volume(save(tmp_path / "a.nii"))
    moved = replace(volume, ijk_to_ras=Q)
    write_mask(tmp_path / "m.nii", volume.array > 0, moved)
    np.testing.assert_allclose(nibabel.load(tmp_path / "m.nii").affine, Q, atol=1e-4)


def test_small_skew_is_read_and_large_skew_of_the_matrix_in_use_is_refused(tmp_path):
    skewed = S.copy()
    skewed[:3, 1] += 0.9 * 0.99e-3 * S[:3, 0] / 0.7
    read = read_volume(save(tmp_path / "a.nii", s=skewed, codes=(0, 2)))
    np.testing.assert_allclose(read.ijk_to_ras, skewed, atol=1e-5)
    skewed[:3, 1] += 0.01 * S[:3, 0]
    with pytest.raises(InputError, match="sheared"):
        read_volume(save(tmp_path / "a.nii", s=skewed, codes=(0, 2)))
    read = read_volume(save(tmp_path / "a.nii", s=skewed, codes=(1, 2)))
    np.testing.assert_allclose(read.ijk_to_ras, Q, atol=1e-4)


def test_a_sheared_grid_is_resampled_on_request(tmp_path):
    sheared = S.copy()
    sheared[:3, 2] += 0.4 * S[:3, 0] / 0.7 + 0.5 * S[:3, 1]
    i, j, k = np.indices((12, 13, 14))
    x, y, z = np.tensordot(sheared[:3, :3], np.stack([i, j, k]), 1) + sheared[:3, 3].reshape(3, 1, 1, 1)
    ramp = (3 * x - 2 * y + 5 * z).astype(np.float32)
    path = save(tmp_path / "a.nii", ramp, s=sheared, codes=(0, 1))
    with pytest.raises(InputError, match=r"sheared.*--resample"):
        read_volume(path)
    read = read_volume(path, wanted=Wanted(resample=True))
    assert "resampled linearly to a rectangular grid" in read.warnings[-1]
    axes = read.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag(np.diag(axes.T @ axes)), atol=1e-6)
    ijk = np.indices(read.shape[::-1]).reshape(3, -1)
    places = axes @ ijk + read.ijk_to_ras[:3, 3:]
    within = np.linalg.inv(sheared) @ np.vstack([places, np.ones(places.shape[1])])
    inside = ((within[:3] >= 0.001) & (within[:3] <= np.array([[11], [12], [13]]) - 0.001)).all(axis=0)
    assert inside.sum() > 1000
    expected = np.array([3, -2, 5]) @ places
    values = read.array.T.reshape(-1)
    np.testing.assert_allclose(values[inside], expected[inside], atol=0.01)
    write_mask(tmp_path / "m.nii", read.array > 0, read)
    np.testing.assert_allclose(nibabel.load(tmp_path / "m.nii").affine, read.ijk_to_ras, atol=1e-4)


def test_voxel_sizes_that_disagree_with_the_matrix_are_said(tmp_path):
    read = read_volume(save(tmp_path / "a.nii", codes=(0, 1), pixdim=[1, 1, 1, 1, 0, 0, 0, 0]))
    np.testing.assert_allclose(read.ijk_to_ras, S, atol=1e-5)
    assert "voxels of 1 x 1 x 1 mm, but its matrix makes them 0.7 x 0.9 x 2.5 mm" in read.warnings[0]
    assert read_volume(save(tmp_path / "a.nii", codes=(0, 1))).warnings == ()


@pytest.mark.parametrize("kind", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_of_voxels_keeps_its_values(kind, tmp_path):
    array = np.abs(VOXELS).astype(kind) if kind in ("i1", "u1") else VOXELS.astype(kind)
    image = nibabel.Nifti1Image(array, Q, dtype=array.dtype)
    nibabel.save(image, tmp_path / "a.nii")
    read = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(read.array.T, array)
    assert read.array.dtype == np.dtype(kind).newbyteorder("=")


def test_slope_and_intercept_are_applied(tmp_path):
    path = save(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -100], "<f4").tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_volume(path).array.T, VOXELS * 0.5 - 100)


@pytest.mark.parametrize("name", ["zipped.nii", "a.Nii", "a.NII.GZ"])
def test_odd_names_of_whole_files_are_read(name, tmp_path):
    content = save(tmp_path / "whole.nii").read_bytes()
    zipped = name != "a.Nii"
    (tmp_path / name).write_bytes(gzip.compress(content) if zipped else content)
    np.testing.assert_array_equal(read_volume(tmp_path / name).array.T, VOXELS)


def test_an_intercept_that_is_no_number_is_damage(tmp_path):
    path = save(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<2f", raw, 112, 2, np.nan)
    path.write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        read_volume(path)


def test_dimensions_of_length_zero_count_as_one(tmp_path):
    path = save(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[40:56] = np.array([4, 4, 5, 6, 0, 0, 0, 0], "<i2").tobytes()
    path.write_bytes(content)
    read = read_volume(path)
    np.testing.assert_array_equal(read.array.T, VOXELS)


def test_a_time_point_is_a_choice(tmp_path):
    series = np.stack([VOXELS, VOXELS + 1, VOXELS + 2], axis=-1)
    path = save(tmp_path / "a.nii.gz", series, pixdim=[1, 0.7, 0.9, 2.5, 2, 0, 0, 0], xyzt_units=10)
    with pytest.raises(InputError, match=r"4 dimensions \(4 x 5 x 6 x 3\); choose --time 1 to 3"):
        read_volume(path)
    for time in (1, 2, 3):
        np.testing.assert_array_equal(read_volume(path, wanted=Wanted(time=time)).array.T, VOXELS + time - 1)
    with pytest.raises(InputError, match="1 to 3, not 4"):
        read_volume(path, wanted=Wanted(time=4))
    asked = []

    def last(what, labels):
        asked.append(labels)
        return 2

    np.testing.assert_array_equal(read_volume(path, wanted=Wanted(choose=last)).array.T, VOXELS + 2)
    assert asked == [["0 s", "2 s", "4 s"]]


def test_a_component_is_a_choice_and_three_bytes_are_a_colour(tmp_path):
    vectors = np.stack([VOXELS, VOXELS + 1], axis=-1)[:, :, :, None]
    path = save(tmp_path / "a.nii", vectors)
    with pytest.raises(InputError, match="2 components per voxel; choose --time 1 to 2"):
        read_volume(path)
    np.testing.assert_array_equal(read_volume(path, wanted=Wanted(time=2)).array.T, VOXELS + 1)
    colours = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 1, 3)).astype(np.uint8)
    read = read_volume(save(tmp_path / "c.nii", colours))
    np.testing.assert_array_equal(read.array, colours[:, :, :, 0].transpose(2, 1, 0, 3))


def test_colours_are_read(tmp_path):
    array = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    array["R"], array["B"] = 200, 30
    nibabel.save(nibabel.Nifti1Image(array, Q), tmp_path / "a.nii")
    read = read_volume(tmp_path / "a.nii")
    assert read.array.shape == (6, 5, 4, 3)
    np.testing.assert_array_equal(read.array[2, 3, 1], (200, 0, 30))
