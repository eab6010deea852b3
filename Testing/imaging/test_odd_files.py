"""Files that are whole but odd, names that are odd, and values that are padding."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from made_tiff import write_tiff

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.imaging.window import CT_SOFT_TISSUE, choose_window, looks_like_ct

VOXELS = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(np.int16)


def picture(kind: str, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, (40, 70, *channels)).astype(kind)


HEADERS = {
    ".nrrd": "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nencoding: raw\nendian: little\n"
    "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n{0}\n",
    ".mha": "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementSpacing = 1 1 1\n{0}"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n",
}


@pytest.mark.parametrize(("unit", "said"), [("mm", False), ("um", True), ("microns", True)])
def test_a_unit_of_length_of_nrrd_that_is_not_mm_is_said(unit, said, tmp_path, silent):
    words = f'space units: "{unit}" "{unit}" "{unit}"\n'
    (tmp_path / "a.nrrd").write_bytes(HEADERS[".nrrd"].format(words).encode() + VOXELS.tobytes())
    read = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(read.array, VOXELS)
    assert any(f"sizes in {unit}" in one for one in read.warnings) == said


def test_values_of_a_metaimage_are_scaled_as_its_header_says(tmp_path, silent):
    words = "ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = -1024\n"
    for scaling, right in (
        (words, VOXELS * 2 - 1024),
        ("", VOXELS),
        (words.replace("= 2", "= 0.5"), VOXELS / 2 - 1024),
    ):
        text = HEADERS[".mha"].format(scaling)
        (tmp_path / "a.mha").write_bytes(text.encode() + VOXELS.tobytes())
        np.testing.assert_allclose(read_volume(tmp_path / "a.mha").array, right)


@pytest.mark.parametrize("tile", [None, 16])
def test_pixels_of_a_tiff_keep_their_values_in_strips_and_8_bits_in_tiles_too(tile, tmp_path, silent):
    for array in (picture("u1"), picture("u1", 3), *([] if tile else [picture("u2"), picture("u2", 3)])):
        read = read_volume(write_tiff(tmp_path / "a.tif", [array], tile))
        np.testing.assert_array_equal(read.array[0], array)


@pytest.mark.parametrize("array", [picture("u2"), picture("u2", 3), picture("u4"), picture("i2")])
def test_a_tiff_in_tiles_of_16_bits_is_refused_rather_than_read_wrongly(array, tmp_path, silent):
    with pytest.raises(InputError, match=r"TIFF of (16|32) bits in tiles.*save it without tiles"):
        read_volume(write_tiff(tmp_path / "a.tif", [array], 16))


def test_pages_of_two_sizes_are_said(tmp_path, silent):
    with pytest.raises(InputError, match=r"pages of 2 sizes \(70 x 40 and 35 x 20\)"):
        read_volume(write_tiff(tmp_path / "a.tif", [picture("u1"), picture("u1")[::2, ::2]]))


@pytest.mark.parametrize("kind", ["INT16", "Short", "signed SHORT", "int16_t"])
def test_types_of_nrrd_are_read_in_capitals_too(kind, tmp_path, silent):
    header = f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + VOXELS.tobytes())
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").array, VOXELS)


@pytest.mark.parametrize("name", ["50%", "50% d", "100%d", "a%03d b"])
@pytest.mark.parametrize("suffix", ["mhd", "mha", "nhdr", "nrrd"])
def test_a_percent_sign_in_a_name_is_part_of_it(name, suffix, tmp_path, silent):
    path = tmp_path / f"{name}.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / f"a.{suffix}"))
    content = (tmp_path / f"a.{suffix}").read_bytes().replace(b" a.raw", f" {name}.raw".encode())
    path.write_bytes(content)
    if (tmp_path / "a.raw").exists():
        (tmp_path / "a.raw").rename(tmp_path / f"{name}.raw")
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


@pytest.mark.skipif(os.name != "posix", reason="names of this system are always text")
@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd", "nii", "nii.gz", "png", "tif", "dcm"])
def test_a_name_that_is_not_utf_8_is_read(suffix, tmp_path, silent):
    folder = tmp_path / os.fsdecode(b"f\xfcr")
    folder.mkdir()
    array = picture("u1") if suffix in ("png", "tif", "dcm") else VOXELS
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"a.{suffix}"))
    path = folder / (os.fsdecode(b"caf\xe9.") + suffix)
    (tmp_path / f"a.{suffix}").rename(path)
    for data in tmp_path.glob("a.raw*"):
        data.rename(folder / data.name)
    np.testing.assert_array_equal(np.squeeze(read_volume(path).array), array)


@pytest.mark.skipif(os.name != "posix", reason="names of this system are always text")
def test_a_colour_picture_in_dicom_of_such_a_name_is_read(tmp_path, silent):
    image = sitk.GetImageFromArray(picture("u1", 3), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.dcm"))
    path = tmp_path / os.fsdecode(b"caf\xe9.dcm")
    (tmp_path / "a.dcm").rename(path)
    np.testing.assert_array_equal(read_volume(path).array[0], picture("u1", 3))


@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_a_time_point_of_nrrd_and_metaimage_is_a_choice(suffix, tmp_path, silent):
    images = [sitk.GetImageFromArray(VOXELS + time) for time in range(3)]
    sitk.WriteImage(sitk.JoinSeries(images), str(tmp_path / f"a.{suffix}"))
    with pytest.raises(InputError, match=r"4 dimensions \(6 x 5 x 4 x 3\); choose --time 1 to 3"):
        read_volume(tmp_path / f"a.{suffix}")
    read = read_volume(tmp_path / f"a.{suffix}", wanted=Wanted(time=2))
    np.testing.assert_array_equal(read.array, VOXELS + 1)
    image = sitk.GetImageFromArray(np.stack([VOXELS, VOXELS + 7], axis=-1), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"v.{suffix}"))
    with pytest.raises(InputError, match="choose --time 1 to 2 for one of them"):
        read_volume(tmp_path / f"v.{suffix}")
    read = read_volume(tmp_path / f"v.{suffix}", wanted=Wanted(time=2))
    np.testing.assert_array_equal(read.array, VOXELS + 7)


# -- values --------------------------------------------------------------------------------------------------


def a_ct(padding: float | None = None, dtype=np.float32) -> Volume:
    """Air, tissue and bone with noise; a quarter of the voxels are padding."""
    rng = np.random.default_rng(0)
    levels = rng.choice([-1000, -80, 40, 600], (8, 40, 40), p=[0.4, 0.2, 0.35, 0.05])
    array = np.maximum(levels + rng.normal(0, 25, levels.shape), -1024).round().astype(dtype)
    if padding is not None:
        array[:, :, :10] = padding
    return Volume(array, np.eye(4))


@pytest.mark.parametrize("padding", [None, -32768, -10000, -3024, -2048, -2000, np.nan])
def test_padding_decides_neither_modality_nor_window(padding, tmp_path):
    volume = a_ct(padding)
    sitk.WriteImage(sitk.GetImageFromArray(volume.array), str(tmp_path / "a.nrrd"))
    read = read_volume(tmp_path / "a.nrrd")
    assert looks_like_ct(read)
    assert looks_like_ct(volume)
    assert choose_window(read) == CT_SOFT_TISSUE
    window, plain = (choose_window(replace(one, modality="PT")) for one in (read, a_ct()))
    assert -1100 < window.low < -950
    assert window.high == pytest.approx(plain.high, abs=25)


@pytest.mark.parametrize("reach", [4096, 3142, 2048])
def test_phase_images_of_mr_are_no_ct(reach):
    array = np.random.default_rng(0).integers(-reach, reach, (8, 40, 40)).astype(np.int16)
    assert not looks_like_ct(Volume(array, np.eye(4)))


def test_images_of_few_shades_keep_their_lowest():
    array = np.repeat([0, 100, 110], 400).reshape(1, 30, 40)
    window = choose_window(Volume(array, np.eye(4)))
    assert window.low == 0


def test_a_dark_background_next_to_dim_pixels_stays_black():
    array = np.random.default_rng(0).integers(0, 400, (1, 60, 60))
    array[:, :40] = 0
    assert choose_window(Volume(array, np.eye(4))).low == 0
