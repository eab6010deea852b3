"""Files become volumes with every voxel in its place, or one sentence says why not."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import Volume

CLAIM = "dimension: 3\nsizes: 1500 1500 700\nspacings: 1 1 1\n\n"
RAW = "type: short\nendian: little\nencoding: raw\n"
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 4 3 2\n"
    "ElementType = MET_SHORT\n"
)
VOXELS = np.arange(24, dtype="<i2")


@pytest.fixture
def nrrd(tmp_path: Path) -> Callable[..., Path]:
    """Write an NRRD file from header lines."""

    def write(header: str, data: bytes = VOXELS.tobytes()) -> Path:
        path = tmp_path / "made.nrrd"
        path.write_bytes(f"NRRD0004\n{header.strip()}\n\n".encode() + data)
        return path

    return write


@pytest.fixture
def meta(tmp_path: Path) -> Callable[..., Path]:
    """Write an MHA file from header lines."""

    def write(more: str, header: str = META) -> Path:
        path = tmp_path / "made.mha"
        path.write_bytes(
            f"{header}{(more + chr(10)).lstrip()}ElementDataFile = LOCAL\n".encode() + VOXELS.tobytes()
        )
        return path

    return write


@pytest.fixture
def nifti(tmp_path: Path, make_volume, to_itk) -> Callable[..., Path]:
    """Write a NIfTI file and change header fields of it."""

    def write(name: str = "made.nii", **fields: tuple[float, ...] | int) -> Path:
        places = {
            "dim": (40, "<8h"),
            "pixdim": (76, "<8f"),
            "qform_code": (252, "<h"),
            "sform_code": (254, "<h"),
            "sform": (280, "<12f"),
        }
        path = tmp_path / name
        sitk.WriteImage(to_itk(make_volume()), str(path))
        content = bytearray(path.read_bytes())
        for field, value in fields.items():
            offset, layout = places[field]
            struct.pack_into(layout, content, offset, *(value if isinstance(value, tuple) else (value,)))
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd", "nii", "nii.gz"])
def test_a_volume_comes_back_with_its_voxels_and_its_geometry(suffix, a_volume, to_itk, tmp_path, silent):
    path = tmp_path / f"scan.{suffix}"
    sitk.WriteImage(to_itk(a_volume), str(path))
    read = read_volume(path)
    np.testing.assert_array_equal(read.array, a_volume.array)
    exact = 1e-5 if suffix.startswith("nii") else 1e-9  # NIfTI holds positions in single precision
    np.testing.assert_allclose(read.ijk_to_ras, a_volume.ijk_to_ras, atol=exact)
    assert read.name == "scan"
    assert read.warnings == ()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_voxels_keep_their_type(kind, tmp_path):
    array = np.arange(24, dtype=kind).reshape(2, 3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.nrrd"))
    read = read_volume(tmp_path / "a.nrrd").array
    assert read.dtype == kind
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)], ids=["grey", "RGB"])
def test_a_picture_becomes_a_volume_of_one_slice_and_says_that_it_has_no_size(suffix, shape, tmp_path):
    array = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=len(shape) == 3), str(tmp_path / f"a.{suffix}"))
    read = read_volume(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read.array, array[np.newaxis])
    np.testing.assert_array_equal(read.ijk_to_ras, np.diag([-1, -1, 1, 1]))
    assert read.is_rgb == (len(shape) == 3)
    assert "taken as 1 mm" in read.warnings[0]


def test_a_jpeg_is_read(tmp_path, silent):
    array = np.full((16, 24, 3), (200, 100, 50), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.jpg"))
    read = read_volume(tmp_path / "a.jpg")
    assert read.shape == (1, 16, 24)
    assert np.abs(read.array.astype(int) - array).max() < 4


def test_a_picture_with_the_wrong_name_is_recognised_by_its_content(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(8, dtype=np.uint8)), str(tmp_path / "a.png"))
    read = read_volume((tmp_path / "a.png").rename(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(read.array[0], np.eye(8))


def test_a_resolution_in_a_tiff_is_not_taken_for_millimetres_in_the_patient(tmp_path):
    image = sitk.GetImageFromArray(np.eye(8, dtype=np.uint8))
    image.SetSpacing((0.35, 0.35))
    sitk.WriteImage(image, str(tmp_path / "a.tif"))
    assert read_volume(tmp_path / "a.tif").ijk_to_ras[0, 0] == -1


def test_transparency_is_dropped_and_said(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (9, 12, 4), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.png"))
    read = read_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(read.array[0], array[..., :3])
    assert any("transparency" in warning for warning in read.warnings)


def test_the_modality_a_metaimage_states_is_kept(meta):
    assert read_volume(meta("ElementSpacing = 1 1 1\nModality = MET_MOD_CT")).modality == "CT"
    assert read_volume(meta("ElementSpacing = 1 1 1")).modality is None


def test_nan_and_infinite_voxels_become_the_smallest_value_and_are_counted(tmp_path, silent):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5
    array[0, 0, 1], array[1, 2, 3], array[1, 0, 0] = np.nan, np.inf, -np.inf
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.nrrd"))
    read = read_volume(tmp_path / "a.nrrd")
    assert read.array[0, 0, 1] == read.array[1, 2, 3] == read.array[1, 0, 0] == -5
    assert np.isfinite(read.array).all()
    assert read.warnings == (
        "3 voxels were not a number or infinite: replaced by the smallest value of the image.",
    )


def test_a_missing_voxel_size_is_taken_as_one_and_said(nrrd, meta):
    for path in (nrrd(RAW + "dimension: 3\nsizes: 4 3 2"), meta("")):
        read = read_volume(path)
        np.testing.assert_array_equal(read.ijk_to_ras, np.diag([-1, -1, 1, 1]))
        assert "taken as 1 mm" in read.warnings[0]


def test_a_two_dimensional_nrrd_becomes_one_slice(nrrd):
    read = read_volume(nrrd(RAW + "dimension: 2\nsizes: 4 6\nspacings: 0.5 2"))
    assert read.shape == (1, 6, 4)
    np.testing.assert_array_equal(np.abs(read.ijk_to_ras), np.diag([0.5, 2, 1, 1]))


def test_a_nifti_without_a_position_says_so(nifti):
    assert "no position" in read_volume(nifti(qform_code=0, sform_code=0)).warnings[0]


def test_two_different_positions_in_a_nifti_are_said(nifti):
    shifted = (1.0, 0, 0, 7, 0, 1, 0, 8, 0, 0, 1, 9)
    read = read_volume(nifti(sform=shifted, sform_code=2))
    stated = np.vstack([np.reshape(shifted, (3, 4)), (0, 0, 0, 1)])
    assert np.allclose(read.ijk_to_ras, stated) or "two positions" in read.warnings[0]


SHEARED = (0.7, 0.2, 0, 0, 0, 0.9, 0, 0, 0, 0, 2.5, 0)


def test_a_nifti_whose_matrix_in_use_is_sheared_is_refused(nifti, silent):
    with pytest.raises(InputError, match="sheared"):
        read_volume(nifti(sform=SHEARED, qform_code=0))
    read = read_volume(nifti(sform=SHEARED, qform_code=1))
    assert "two positions" in read.warnings[0] and "its qform is used" in read.warnings[0]


@pytest.mark.parametrize("size", [0.0, -0.7, float("nan")])
def test_a_nifti_whose_voxels_have_no_proper_size_is_refused(nifti, size, silent):
    with pytest.raises(InputError, match="voxel size"):
        read_volume(nifti(pixdim=(1, size, 0.9, 2.5, 0, 0, 0, 0)))


def test_a_nifti_whose_position_is_not_finite_is_refused(nifti, silent):
    nan = float("nan")
    with pytest.raises(InputError, match="no usable position"):
        read_volume(nifti(sform=(nan, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), qform_code=0))


def test_a_flat_nifti_in_space_is_refused_rather_than_misplaced(nifti, silent):
    with pytest.raises(InputError, match="2-D NIfTI"):
        read_volume(nifti(dim=(2, 13, 11, 1, 1, 1, 1, 1)))


def test_four_dimensions_are_refused_but_a_fourth_of_length_one_is_not(nifti, silent):
    with pytest.raises(InputError, match=r"4 dimensions \(13 x 11 x 3 x 2\); choose --time 1 to 2"):
        read_volume(nifti(dim=(4, 13, 11, 3, 2, 1, 1, 1)))
    assert read_volume(nifti(dim=(4, 13, 11, 7, 1, 1, 1, 1))).shape == (7, 11, 13)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("dimension: 3\nsizes: 4 3 2\nspacings: 0 2 3", "no size"),
        ("dimension: 3\nsizes: 4 3 2\nspacings: -1 2 3", "voxel size of -1 x 2 x 3 mm"),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (0,0,0) (0,1,0) (0,0,1)",
            "voxel size of 0",
        ),
        ("dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (.3,1,0) (0,0,1)", "sheared"),
        ("dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (1,0,0) (0,0,1)", "."),
        ("dimension: 4\nsizes: 2 2 3 2", "4 dimensions"),
        ("dimension: 4\nsizes: 2 2 3 2\nkinds: list domain domain domain", "2 components"),
        ("dimension: 1\nsizes: 24", "one-dimensional"),
        ("dimension: 3\nsizes: 1 1 1", "single pixel"),
        ("dimension: 3\nsizes: 4 3 0", "damaged"),
        ("dimension: 3\nsizes: four 3 2", "damaged"),
        ("dimension: 3", "damaged"),
        ("", "damaged"),
    ],
)
def test_an_nrrd_that_cannot_be_placed_or_is_no_volume_is_refused(nrrd, header, said, silent):
    with pytest.raises(InputError, match=said) as refusal:
        read_volume(nrrd(RAW + header))
    assert "\n" not in str(refusal.value)
    assert "itk" not in str(refusal.value).lower()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("ElementSpacing = 0 1 1", "voxel size of 0 x 1 x 1"),
        ("ElementSpacing = -1 1 1", "voxel size of -1 x 1 x 1"),
        ("ElementSpacing = 1 1 1\nTransformMatrix = 1 0 0 .3 1 0 0 0 1", "sheared"),
        ("ElementSpacing = 1 1 1\nTransformMatrix = 0 0 0 0 1 0 0 0 1", "no size"),
    ],
)
def test_a_metaimage_that_cannot_be_placed_is_refused(meta, more, said, silent):
    with pytest.raises(InputError, match=said):
        read_volume(meta(more))


@pytest.mark.parametrize(
    ("components", "kind", "said"),
    [(2, np.int16, "2 components"), (6, np.float32, "6 components"), (3, np.float32, "no colours")],
)
@pytest.mark.parametrize("suffix", ["nrrd", "mha", "nii.gz"])
def test_voxels_of_several_values_that_are_no_colours_are_refused(
    components, kind, said, suffix, tmp_path, silent
):
    image = sitk.GetImageFromArray(np.ones((2, 3, 4, components), dtype=kind), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"a.{suffix}"))
    with pytest.raises(InputError, match=said):
        read_volume(tmp_path / f"a.{suffix}")


def test_complex_voxels_are_refused(tmp_path, silent):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 3, 4), np.complex64)), str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match="complex"):
        read_volume(tmp_path / "a.nrrd")


def test_a_volume_without_a_finite_voxel_is_refused(tmp_path, silent):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), np.nan)), str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match="no finite voxel"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "nii", "nii.gz", "png", "jpg", "tif"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_file_is_refused_in_one_sentence_and_in_silence(
    suffix, zipped, make_volume, to_itk, tmp_path, rewrite, silent
):
    whole = tmp_path / f"whole.{suffix}"
    if suffix in ("png", "jpg", "tif"):
        picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(whole), zipped)
    else:
        sitk.WriteImage(to_itk(make_volume(shape=(9, 40, 50))), str(whole), zipped)
    read_volume(whole)
    for share in (0.05, 0.6, 0.9):
        size = int(whole.stat().st_size * share)
        cut = rewrite(whole, tmp_path / f"cut-{share}.{suffix}", lambda data, size=size: data[:size])
        with pytest.raises(InputError) as refusal:
            read_volume(cut)
        text = str(refusal.value)
        assert str(cut) in text
        assert "\n" not in text
        assert "itk" not in text.lower().replace(str(tmp_path).lower(), "")


def test_a_zipped_nifti_with_one_flipped_bit_is_refused(make_volume, to_itk, tmp_path, rewrite, silent):
    sitk.WriteImage(to_itk(make_volume(shape=(9, 40, 50))), str(tmp_path / "a.nii.gz"))

    def flip(data: bytes) -> bytes:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    with pytest.raises(InputError):
        read_volume(rewrite(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", flip))


@pytest.mark.parametrize(
    ("field", "instead"),
    [
        (b"CompressedDataSize", b"CompressedDxtaSize"),
        (b"CompressedDataSize = ", b"CompressedDataSize = 1"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_CHAR"),
        (b"NDims = 3", b"NDxms = 3"),
        (b"NDims = 3\n", b""),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = LOCAl"),
    ],
)
def test_a_zipped_metaimage_whose_header_does_not_fit_its_stream_is_refused(
    field, instead, make_volume, to_itk, tmp_path, rewrite, silent
):
    sitk.WriteImage(to_itk(make_volume(shape=(9, 40, 50))), str(tmp_path / "a.mha"), True)
    read_volume(tmp_path / "a.mha")
    with pytest.raises(InputError):
        read_volume(
            rewrite(tmp_path / "a.mha", tmp_path / "b.mha", lambda data: data.replace(field, instead, 1))
        )


@pytest.mark.parametrize("size", ["", "CompressedDataSize = {}\n"])
def test_a_zipped_data_file_beside_its_header_is_read_whether_its_size_is_stated_or_not(
    size, tmp_path, silent
):
    packed = zlib.compress(VOXELS.tobytes())
    (tmp_path / "a.zraw").write_bytes(packed)
    header = META + "ElementSpacing = 1 1 1\nCompressedData = True\n" + size.format(len(packed))
    (tmp_path / "a.mhd").write_text(header + "ElementDataFile = a.zraw\n")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mhd").array.ravel(), VOXELS)


HUGE = {
    "raw.nrrd": f"NRRD0004\n{RAW}{CLAIM}".encode(),
    "zipped.nrrd": (f"NRRD0004\n{RAW.replace('raw', 'gzip')}{CLAIM}".encode() + gzip.compress(bytes(1000))),
    "beyond 64 bits.nrrd": f"NRRD0004\n{RAW}dimension: 3\nsizes: {' '.join(['9' * 12] * 3)}\n\n".encode(),
    "raw.mha": META.replace("4 3 2", "1500 1500 700").encode() + b"ElementDataFile = LOCAL\n" + bytes(1000),
    "zipped.mha": (
        META.replace("4 3 2", "1500 1500 700").encode()
        + b"CompressedData = True\nElementDataFile = LOCAL\n"
        + zlib.compress(bytes(1000))
    ),
}


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


HUGE["raw.png"] = _png(60000, 50000)


@pytest.mark.parametrize("name", HUGE)
def test_a_header_that_claims_gigabytes_is_refused_before_they_are_allocated(name, tmp_path, silent):
    path = tmp_path / name
    path.write_bytes(HUGE[name])
    resource = pytest.importorskip("resource", reason="this system does not count a process's memory")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"claims .* GB of image data but holds only"):
        read_volume(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize("name", ["huge.nii", "huge.nii.gz"])
def test_a_nifti_header_that_claims_gigabytes_is_refused(name, nifti, tmp_path, silent):
    path = nifti(dim=(3, 1500, 1500, 700, 1, 1, 1, 1))
    if name.endswith("gz"):
        content = gzip.compress(path.read_bytes())
        path = tmp_path / name
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"claims .* GB of image data but holds only"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.nrrd", b"hello", "not an image"),
        ("a.png", b"hello" * 100, "not an image"),
        ("a.txt", b"hello" * 100, "not an image"),
        ("noname", b"\0" * 200, "not an image"),
        ("a.nii", b"hello" * 100, "damaged"),
        ("a.nii.gz", b"hello" * 100, "damaged"),
        ("a.mha", b"hello" * 100, "damaged"),
        ("a.dcm", b"hello" * 100, "damaged"),
        ("a.dcm", b"\0" * 128 + b"DICM" + b"hello" * 100, "damaged"),
        ("a.nii.gz", b"", "empty"),
        ("a.mhd", META.encode() + b"ElementDataFile = gone.raw\n", "gone.raw, which is not there"),
    ],
)
def test_what_is_not_an_image_is_refused(name, content, said, tmp_path, silent):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as refusal:
        read_volume(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_an_empty_folder_and_a_device_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        read_volume(tmp_path / "gone.nrrd")
    with pytest.raises(InputError, match="holds no DICOM images"):
        read_volume(tmp_path)
    with pytest.raises(InputError, match="not a regular file"):
        read_volume("/dev/null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_one_may_not_read_is_refused(nrrd):
    path = nrrd(RAW + "dimension: 3\nsizes: 4 3 2")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read_volume(path)


def test_grey_with_transparency_is_refused_with_what_to_do(tmp_path, silent):
    rows = b"".join(b"\0" + bytes(range(16)) for _ in range(8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 8, 4, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(InputError, match="without an alpha channel"):
        read_volume(tmp_path / "a.png")


def test_reading_works_in_a_process_without_standard_error(nrrd):
    path = nrrd(RAW + "dimension: 3\nsizes: 4 3 2\nspacings: 1 1 1")
    code = (
        "import os; os.close(2); from SPASegmentLib.imaging.files import read_volume; "
        f"print(read_volume({str(path)!r}).shape)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    assert run.stdout.strip() == "(2, 3, 4)"


def test_what_python_prints_afterwards_is_seen_again(nrrd, capfd):
    read_volume(nrrd(RAW + "dimension: 3\nsizes: 4 3 2\nspacings: 1 1 1"))
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


@pytest.fixture
def damaged_files(make_volume, to_itk, tmp_path) -> list[Path]:
    """One damaged file of each kind, damaged so that its decoder has something to say."""
    volumes = ["a.nii", "type.nii", "a.nii.gz", "a.nrrd", "a.mha", "cut.mha"]
    names = [*volumes, "a.png", "a.jpg", "a.tif", "a.dcm"]
    paths = [tmp_path / name for name in names]
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for path in paths:
        if path.suffix in (".png", ".jpg", ".tif"):
            sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(path), path.suffix == ".tif")
        elif path.suffix == ".dcm":
            sitk.WriteImage(sitk.GetImageFromArray(picture[..., 0]), str(path), useCompression=False)
        else:
            sitk.WriteImage(to_itk(make_volume()), str(path), path.suffix != ".nii")
        data = path.read_bytes()
        middle = len(data) // 2
        if path.name == "cut.mha":
            path.write_bytes(data[:middle])
        elif path.suffix == ".nii":
            place, value = (
                (70, b"\xff\xff") if path.name == "type.nii" else (296, struct.pack("<f", math.nan))
            )
            path.write_bytes(data[:place] + value + data[place + len(value) :])
        else:
            path.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    return paths


def test_other_threads_lines_are_kept_while_damaged_files_are_read_and_nothing_is_added(damaged_files, capfd):
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        log = logging.getLogger("of another thread")
        log.propagate = False
        log.addHandler(logging.StreamHandler(sys.stderr))
        while not stop.is_set():
            log.warning("logged %d", written)
            print(f"printed {written}")
            os.write(2, b"written %d\n" % written)
            written += 1
            time.sleep(1e-4)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for path in damaged_files:
            with contextlib.suppress(InputError):
                read_volume(path)
    finally:
        stop.set()
        thread.join()
    out, err = capfd.readouterr()
    assert written > 50
    assert out.splitlines() == [f"printed {n}" for n in range(written)]
    assert err.splitlines() == [line for n in range(written) for line in (f"logged {n}", f"written {n}")]


def test_the_volume_of_a_colour_file_is_rgb(tmp_path):
    array = np.random.default_rng(0).integers(0, 60000, (2, 3, 4, 3)).astype(np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.nrrd"))
    read = read_volume(tmp_path / "a.nrrd")
    assert isinstance(read, Volume)
    assert read.is_rgb
    np.testing.assert_array_equal(read.array, array)


def test_a_jpeg_with_damaged_places_is_read_with_a_warning_and_in_silence(tmp_path, rewrite, silent):
    array = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.jpg"))

    def insert(data: bytes) -> bytes:
        end = data.rindex(b"\xff\xd9")
        return data[:end] + b"\x11\x22\x33" + data[end:]

    read = read_volume(rewrite(tmp_path / "a.jpg", tmp_path / "b.jpg", insert))
    assert any("damaged in places" in warning for warning in read.warnings)


def test_a_tiff_whose_pages_form_a_loop_is_refused(tmp_path, rewrite, silent):
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(20, dtype=np.uint8)), str(tmp_path / "a.tif"))

    def loop(data: bytes) -> bytes:
        first = struct.unpack_from("<I", data, 4)[0]
        fields = struct.unpack_from("<H", data, first)[0]
        following = first + 2 + 12 * fields
        return data[:following] + struct.pack("<I", first) + data[following + 4 :]

    with pytest.raises(InputError, match="damaged"):
        read_volume(rewrite(tmp_path / "a.tif", tmp_path / "b.tif", loop))


def test_a_tiff_that_claims_gigabytes_is_refused(tmp_path, rewrite, silent):
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(20, dtype=np.uint8)), str(tmp_path / "a.tif"))

    def widen(data: bytes) -> bytes:
        changed = bytearray(data)
        first = struct.unpack_from("<I", data, 4)[0]
        for n in range(struct.unpack_from("<H", data, first)[0]):
            place = first + 2 + 12 * n
            if struct.unpack_from("<H", data, place)[0] in (256, 257):
                struct.pack_into("<HII", changed, place + 2, 4, 1, 60000)
        return bytes(changed)

    with pytest.raises(InputError, match=r"claims 3\.6 GB"):
        read_volume(rewrite(tmp_path / "a.tif", tmp_path / "b.tif", widen))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_several_pages_and_16_bits_are_read(suffix, tmp_path):
    pages = np.random.default_rng(0).integers(0, 60000, (3, 8, 9)).astype(np.uint16)
    shown = pages if suffix == "tif" else pages[0]
    sitk.WriteImage(sitk.GetImageFromArray(shown), str(tmp_path / f"a.{suffix}"))
    read = read_volume(tmp_path / f"a.{suffix}").array
    np.testing.assert_array_equal(read, shown if suffix == "tif" else shown[np.newaxis])


SAMPLES = ["a.dcm", "a.nrrd", "zipped.nrrd", "a.nii", "a.mha", "zipped.mha", "a.png", "a.jpg", "a.tif"]


@pytest.mark.parametrize("name", SAMPLES)
def test_random_damage_gives_a_volume_or_one_sentence(name, make_volume, to_itk, tmp_path, silent):
    source = tmp_path / name
    if source.suffix == ".dcm":
        sitk.WriteImage(sitk.GetImageFromArray(make_volume().array[0]), str(source))
    elif source.suffix in (".png", ".jpg", ".tif"):
        picture = np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(source))
    else:
        sitk.WriteImage(to_itk(make_volume(shape=(3, 8, 10))), str(source), name.startswith("zipped"))
    content = source.read_bytes()
    rng = np.random.default_rng(SAMPLES.index(name))
    for _ in range(6 if source.suffix in (".png", ".jpg", ".tif") else 60):  # those take a process each
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 700), rng.integers(1, 6)):
            damaged[place] = rng.integers(0, 256)
        source.write_bytes(damaged)
        try:
            volume = read_volume(source)
            assert np.isfinite(volume.ijk_to_ras).all()
            assert volume.array.ndim in (3, 4)
        except InputError as refusal:
            assert "\n" not in str(refusal)
