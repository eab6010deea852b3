"""Approved objects that a user chose to keep: what a file holds, and what it never holds."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.profiles.approvals import ApprovalFolder, crop_object, object_of, read_object

ROW, COL = 150, 40


@pytest.fixture
def a_slice() -> SliceImage:
    """A large slice with a bright disc, and slices around it of which the first two are missing."""
    rows, cols = np.mgrid[:300, :320]
    pixels = (0.2 + 0.6 * (np.hypot(rows - ROW, cols - COL) < 14)).astype(np.float32)
    around = (None, None, pixels * 0.5, pixels * 0.25)
    return SliceImage(pixels, (0.5, 0.5), "MR", neighbours=around)


@pytest.fixture
def a_mask() -> np.ndarray:
    rows, cols = np.mgrid[:300, :320]
    return np.hypot(rows - ROW, cols - COL) < 14


def test_an_object_is_read_as_it_was_kept(tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray) -> None:
    store = ApprovalFolder(tmp_path / "kept" / "here")
    path = store.keep(crop_object(a_slice, a_mask, (ROW + 3.2, COL - 5.4), "a"))
    (read,) = store.read()
    assert path.parent == store.folder and [p.name for p in store.folder.iterdir()] == [path.name]
    assert read.mask.sum() == a_mask.sum()
    assert read.image.pixels[read.mask].min() > 0.79 and read.image.pixels[~read.mask].max() < 0.21
    assert (read.image.spacing, read.image.modality, read.group) == ((0.5, 0.5), "MR", "a")
    assert [pixels is None for pixels in read.image.neighbours] == [True, True, False, False]
    np.testing.assert_allclose(read.image.neighbours[2], read.image.pixels * 0.5, atol=1 / 255)
    middle = np.argwhere(read.mask).mean(axis=0)
    assert np.allclose(np.array(read.click) - middle, (3, -5), atol=0.6)


def test_only_the_surroundings_of_the_object_are_kept(a_slice: SliceImage, a_mask: np.ndarray) -> None:
    kept = crop_object(a_slice, a_mask, None, "a")
    assert kept.image.shape == (2 * 54 + 1, 54 + COL + 1), "two extents to each side, and the slice's edge"
    assert all(n is None or n.shape == kept.image.shape for n in kept.image.neighbours)
    small = np.zeros_like(a_mask)
    small[ROW, 200] = True
    assert crop_object(a_slice, small, None, "a").image.shape == (97, 97)


def test_a_click_outside_the_mask_is_replaced_by_the_deepest_pixel(
    a_slice: SliceImage, a_mask: np.ndarray
) -> None:
    for click in (None, (0.0, 0.0), (ROW, 999.0), (-1.0, COL)):
        kept = crop_object(a_slice, a_mask, click, "a")
        middle = np.argwhere(kept.mask).mean(axis=0)
        assert kept.mask[kept.click] and np.abs(kept.click - middle).max() <= 1


def test_an_interaction_is_kept_as_it_ended(engine, disc, a_user) -> None:
    session = a_user(engine, disc(9.0), 1.2)
    kept = object_of(session, "g")
    assert kept is not None
    assert kept.mask.sum() == session.result().mask.sum()
    assert kept.mask[kept.click]


def test_a_file_says_nothing_of_whom_it_is(tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray) -> None:
    store = ApprovalFolder(tmp_path / "LOUDMOUTH")
    path = store.keep(crop_object(a_slice, a_mask, None, "0f"))
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header["__metadata__"]["about"])
    assert set(about) == {"click", "group", "modality", "neighbours", "spacing"}
    assert set(header) == {"__metadata__", "pixels", "mask", "neighbours"}
    assert b"LOUDMOUTH" not in data and a_slice.key.encode() not in data
    assert len(path.stem) == 16 and int(path.stem, 16) >= 0, "its name is a random number"


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_the_folder_is_its_owners_alone(tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray) -> None:
    store = ApprovalFolder(tmp_path / "kept")
    store.keep(crop_object(a_slice, a_mask, None, "a"))
    assert stat.S_IMODE(store.folder.stat().st_mode) & 0o077 == 0


def test_what_was_taken_back_is_gone(tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray) -> None:
    store = ApprovalFolder(tmp_path)
    path = store.keep(crop_object(a_slice, a_mask, None, "a"))
    store.discard(path)
    store.discard(path)
    assert list(tmp_path.iterdir()) == [] and store.read() == ()


def test_a_folder_that_is_not_there_or_cannot_be_made_is_said(
    tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray
) -> None:
    with pytest.raises(InputError, match=r"There is no folder .*--keep-approved"):
        ApprovalFolder(tmp_path / "none").read()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name another folder"):
        ApprovalFolder(tmp_path / "file").keep(crop_object(a_slice, a_mask, None, "a"))


def changed(data: bytes, **about: object) -> bytes:
    """A kept object's file with other things said of it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    said = json.loads(metadata["about"]) | about
    return safetensors.numpy.save(safetensors.numpy.load(data), {**metadata, "about": json.dumps(said)})


@pytest.mark.parametrize(
    "about",
    [
        {"click": [0, 0]},
        {"click": [-1, -1]},
        {"click": [9999, 0]},
        {"click": "a"},
        {"spacing": [0, 1]},
        {"spacing": [1]},
        {"neighbours": [True]},
        {"neighbours": None},
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused_by_name(
    tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray, about: dict
) -> None:
    path = ApprovalFolder(tmp_path).keep(crop_object(a_slice, a_mask, None, "a"))
    path.write_bytes(changed(path.read_bytes(), **about))
    with pytest.raises(InputError, match=f"{path.name} is damaged"):
        read_object(path)


@pytest.mark.parametrize("cut", [0, 5, 40, 400, -1])
def test_a_file_cut_short_is_refused(
    tmp_path: Path, a_slice: SliceImage, a_mask: np.ndarray, cut: int
) -> None:
    path = ApprovalFolder(tmp_path).keep(crop_object(a_slice, a_mask, None, "a"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="is damaged or no approved object"):
        ApprovalFolder(tmp_path).read()
