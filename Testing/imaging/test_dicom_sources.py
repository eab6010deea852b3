"""The frames of a volume's slices are found again by where they lie, whoever read the volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_dicom import ENHANCED_MR, frame_group, write_frames, write_slice
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_sources import frames_of_slices
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import Volume

STORED = np.random.default_rng(0).integers(0, 3000, (5, 12, 16), dtype=np.uint16)
OBLIQUE = tuple(Rotation.from_euler("xyz", (20, -35, 130), degrees=True).as_matrix().T[:2].ravel())


def write_series(folder: Path, gap: float = 2.5) -> Path:
    """Oblique slices along their normal."""
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    for k in range(5):
        position = np.array((-31.7, 13.25, 42.125)) + k * gap * normal
        write_slice(folder / f"{k}.dcm", STORED[k], position, axes=OBLIQUE)
    return folder


def same(found, expected) -> bool:
    return [(one.path, one.index) for one in found] == [(one.path, one.index) for one in expected]


@pytest.fixture
def a_series(tmp_path: Path) -> tuple[Volume, list[Path]]:
    """A volume of oblique slices, and its files in no order."""
    folder = write_series(tmp_path / "series", gap=-2.5)
    return read_volume(folder), [folder / f"{k}.dcm" for k in (3, 0, 4, 2, 1)]


def test_each_slice_is_the_frame_that_lies_there(a_series):
    volume, paths = a_series
    found = frames_of_slices(replace(volume, frames=None), paths)
    assert same(found, volume.frames)
    for one, other in zip(found, volume.frames, strict=True):
        np.testing.assert_allclose(one.position, other.position)


def test_a_turned_and_a_shortened_volume_find_theirs(a_series):
    volume, paths = a_series
    turned = volume.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 4], [0, 0, 0, 1]])
    assert same(frames_of_slices(replace(volume, ijk_to_ras=turned), paths), volume.frames[::-1])
    later = volume.ijk_to_ras.copy()
    later[:, 3] = volume.ijk_to_ras @ (0, 0, 2, 1)
    short = replace(volume, array=volume.array[2:4], ijk_to_ras=later)
    assert same(frames_of_slices(short, paths), volume.frames[2:4])


def test_frames_of_one_file_are_told_apart(tmp_path):
    groups = [frame_group((1, 2, 3 - 2.0 * k)) for k in range(5)]
    shared = frame_group(axes=(1, 0, 0, 0, 1, 0), spacing=(0.8, 0.7, 2.0))
    write_frames(tmp_path / "a.dcm", STORED, groups, shared, sop=ENHANCED_MR)
    volume = read_volume(tmp_path / "a.dcm")
    found = frames_of_slices(volume, [tmp_path / "a.dcm"])
    assert same(found, volume.frames) and sorted(one.index for one in found) == [0, 1, 2, 3, 4]


def test_a_volume_that_lies_elsewhere_is_refused(a_series, tmp_path):
    volume, paths = a_series
    for change in (
        np.diag((1.0, 1.0, 1.1, 1.0)),
        np.diag((1.02, 1.0, 1.0, 1.0)),
        np.diag((-1.0, -1.0, 1.0, 1.0)),
    ):
        with pytest.raises(InputError, match="lies on none of the DICOM images"):
            frames_of_slices(replace(volume, ijk_to_ras=volume.ijk_to_ras @ change), paths)
    with pytest.raises(InputError, match="Slice 0 of the volume lies on none"):
        frames_of_slices(replace(volume, array=volume.array[:, :-1]), paths)
    with pytest.raises(InputError, match="lies on none"):
        frames_of_slices(volume, paths[:-1])
    with pytest.raises(InputError, match="lies on several"):
        frames_of_slices(volume, [*paths, write_series(tmp_path / "again", gap=-2.5) / "0.dcm"])


def test_a_picture_without_a_place_is_its_one_frame(tmp_path):
    from made_dicom import header, set_pixels

    made = header()
    set_pixels(made, STORED[0])
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "a.dcm")
    assert same(frames_of_slices(volume, [tmp_path / "a.dcm"]), volume.frames)
