"""A folder of DICOM slices becomes one volume with the geometry its tags state."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import IntensityWindow, Volume

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def write_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a volume of int16 as a CT series, slices in shuffled file names."""

    def write(
        volume: Volume, folder: str = "series", uid: str = "1.2.3", drop=(), **tags: str | None
    ) -> Path:
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_ras
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        axes = lps[:3, :3] / spacing
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        names = np.random.default_rng(3).permutation(len(volume.array))
        for k, plane in enumerate(volume.array):
            if k in drop:
                continue
            image = sitk.GetImageFromArray(plane)
            image.SetSpacing(spacing[:2].tolist())
            position = lps[:3, 3] + k * lps[:3, 2]
            stated = {
                "0008|0060": "CT",
                "0008|0016": CT,
                "0008|0018": f"{uid}.{k}",
                "0020|000d": "1.2",
                "0020|000e": uid,
                "0020|0032": "\\".join(f"{value:.10g}" for value in position),
                "0020|0037": "\\".join(f"{value:.10g}" for value in [*axes[:, 0], *axes[:, 1]]),
                "0020|0013": str(k + 1),
                "0018|0050": f"{spacing[2]:g}",
                "0028|1050": "40\\600",
                "0028|1051": "400\\1500",
            }
            stated.update({"0028|1052": "-1024", "0028|1053": "1"})
            for key, value in {**stated, **{key.replace("x", "|"): v for key, v in tags.items()}}.items():
                if value is not None:
                    image.SetMetaData(key, value)
            writer.SetFileName(str(target / f"{names[k]:03d}-{uid}.dcm"))
            writer.Execute(image)
        return target

    return write


@pytest.fixture
def upright(make_volume) -> Volume:
    """A volume whose third axis is the normal of its slices, as a scanner makes it."""
    return make_volume(np.array([[-0.7, 0, 0, 90], [0, -0.8, 0, 120], [0, 0, 2.5, -400], [0, 0, 0, 1.0]]))


def test_a_series_comes_back_in_place_in_hounsfield_units_and_with_its_window(upright, write_series, silent):
    read = read_volume(write_series(upright))
    np.testing.assert_array_equal(read.array, upright.array)
    np.testing.assert_allclose(read.ijk_to_ras, upright.ijk_to_ras, atol=1e-6)
    assert read.modality == "CT"
    assert read.window == IntensityWindow(-160, 240)
    assert read.name == "series"
    assert read.warnings == ()


def test_the_rescale_slope_of_every_slice_is_applied(upright, write_series):
    folder = write_series(upright)
    stored = sitk.ReadImage(str(next(folder.iterdir())))
    assert stored.GetMetaData("0028|1052").strip() == "-1024"
    assert read_volume(folder).array.max() == upright.array.max()


@pytest.mark.parametrize("orientation", ["sagittal", "coronal", "tilted"])
def test_series_of_any_orientation_come_back_in_place(orientation, make_volume, write_series):
    from scipy.spatial.transform import Rotation

    axes = {
        "sagittal": np.array([[0, 0, -1.0], [-1, 0, 0], [0, -1, 0]]),
        "coronal": np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
        "tilted": Rotation.from_euler("xyz", (12, 20, -7), degrees=True).as_matrix(),
    }[orientation]
    matrix = np.eye(4)
    matrix[:3, :3] = axes * (0.9, 0.6, 3.0)
    matrix[:3, 3] = (10, -20, 30)
    volume = make_volume(matrix)
    read = read_volume(write_series(volume))
    flipped = np.linalg.det(axes) < 0  # slices are stacked along the cross product of rows and columns
    np.testing.assert_array_equal(read.array, volume.array[::-1] if flipped else volume.array)
    if not flipped:
        np.testing.assert_allclose(read.ijk_to_ras, matrix, atol=1e-6)
    corner = read.ijk_to_ras @ (0, 0, len(volume.array) - 1 if flipped else 0, 1)
    np.testing.assert_allclose(corner[:3], (10, -20, 30), atol=1e-6)


def test_simpleitk_places_the_series_at_the_same_spot(upright, write_series):
    folder = write_series(upright)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    read = read_volume(folder)
    for ijk in [(0, 0, 0), (5, 3, 2), (12, 10, 6)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(ijk))
        np.testing.assert_allclose(read.ijk_to_ras @ (*ijk, 1), (*(lps * (-1, -1, 1)), 1), atol=1e-6)
        assert read.array[ijk[::-1]] == image[ijk]


def test_the_largest_of_several_series_is_read_and_the_others_are_mentioned(
    upright, make_volume, write_series
):
    write_series(make_volume(upright.ijk_to_ras, (3, 11, 13)), uid="1.2.9")
    read = read_volume(write_series(upright))
    assert read.shape == upright.shape
    assert read.warnings == (
        "The folder holds 2 series: the largest, of 7 files, was read; --series chooses another: "
        "1 = CT, 7 images of 13 x 11, 2 = CT, 3 images of 13 x 11.",
    )


def test_a_series_below_the_folder_is_found(upright, write_series, tmp_path):
    write_series(upright)
    assert read_volume(tmp_path).shape == upright.shape


def test_other_files_in_the_folder_do_not_matter(upright, write_series):
    folder = write_series(upright)
    (folder / "notes.txt").write_text("hello")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
    assert read_volume(folder).shape == upright.shape


def test_one_slice_alone_is_read_with_its_window_and_modality(upright, write_series):
    path = sorted(write_series(upright).iterdir())[0]
    read = read_volume(path)
    assert read.shape == (1, 11, 13)
    assert read.modality == "CT"
    assert read.window == IntensityWindow(-160, 240)


def test_reports_and_drawings_beside_the_images_are_passed_over(upright, write_series, tmp_path):
    folder = write_series(upright)
    report = b"\x02\x00\x02\x00UI\x1e\x001.2.840.10008.5.1.4.1.1.88.33\0"
    (folder / "report.dcm").write_bytes(bytes(128) + b"DICM" + report + bytes(100))
    assert read_volume(folder).shape == upright.shape
    (tmp_path / "only").mkdir()
    (folder / "report.dcm").rename(tmp_path / "only" / "report.dcm")
    with pytest.raises(InputError, match="holds no DICOM images"):
        read_volume(tmp_path / "only")


def test_slices_with_slopes_of_their_own_keep_their_values(upright, write_series):
    """As in PET: every slice is scaled by itself."""
    folder = write_series(upright)
    for k, path in enumerate(sorted(folder.iterdir())):
        content = path.read_bytes()
        found = re.search(rb"\x28\x00\x53\x10(DS\x02\x00|\x02\x00\x00\x00)1 ", content)
        assert found is not None
        slope = found.end() - 2
        path.write_bytes(content[:slope] + b"%d " % (k + 2) + content[slope + 2 :])
    names = np.random.default_rng(3).permutation(len(upright.array))
    stored = upright.array.astype(int) + 1024
    expected = stored * (names + 2)[:, None, None] - 1024
    np.testing.assert_array_equal(read_volume(folder).array, expected)


def test_a_single_file_takes_its_thickness_from_its_tags(upright, write_series):
    path = sorted(write_series(upright).iterdir())[0]
    matrix = read_volume(path).ijk_to_ras
    np.testing.assert_allclose(np.linalg.norm(matrix[:3, :3], axis=0), (0.7, 0.8, 2.5), atol=1e-6)


def test_a_series_without_size_and_position_says_so_and_keeps_its_numbers_order(upright, write_series):
    folder = write_series(upright)
    for path in folder.iterdir():
        content = path.read_bytes()
        for tag, other in [(b"\x20\x00\x32\x00", b"\x20\x00\x33\x00"), (b"(\x00\x30\x00", b"(\x00\x31\x00")]:
            assert content.count(tag) == 1
            content = content.replace(tag, other)
        path.write_bytes(content)
    read = read_volume(folder)
    np.testing.assert_array_equal(read.array, upright.array)
    assert any("no position" in warning for warning in read.warnings)
    assert any("no pixel size" in warning for warning in read.warnings)


def test_a_colour_picture_in_dicom_is_rgb(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetMetaData("0008|0060", "US")
    sitk.WriteImage(image, str(tmp_path / "us.dcm"))
    read = read_volume(tmp_path / "us.dcm")
    np.testing.assert_array_equal(read.array, array[np.newaxis])
    assert read.modality == "US"
    assert any("no pixel size" in warning for warning in read.warnings)


def test_a_multi_frame_file_is_a_volume(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (5, 20, 30), dtype=np.uint8)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.6, 2.0))
    image.SetMetaData("0008|0060", "MR")
    sitk.WriteImage(image, str(tmp_path / "frames.dcm"))
    read = read_volume(tmp_path / "frames.dcm")
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(np.linalg.norm(read.ijk_to_ras[:3, :3], axis=0), (0.5, 0.6, 2))
    np.testing.assert_array_equal(read_volume(tmp_path).array, array)


@pytest.mark.parametrize("codec", ["JPEG", "JPEG2000"])
def test_losslessly_compressed_slices_are_read(codec, upright, write_series, tmp_path):
    folder = write_series(upright)
    for path in folder.iterdir():
        image = sitk.ReadImage(str(path))
        flat = sitk.Cast(image[:, :, 0], sitk.sitkInt16)
        for key in image.GetMetaDataKeys():
            flat.SetMetaData(key, image.GetMetaData(key))
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(codec)
        writer.SetFileName(str(path))
        writer.Execute(flat)
    syntax = next(folder.iterdir()).read_bytes()
    assert b"1.2.840.10008.1.2.4." in syntax
    np.testing.assert_array_equal(read_volume(folder).array, upright.array)


def test_a_length_far_beyond_the_file_is_refused_before_it_is_allocated(upright, write_series, silent):
    resource = pytest.importorskip("resource", reason="this system does not count a process's memory")
    folder = write_series(upright)
    path = sorted(folder.iterdir())[0]
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\xe0\x7f\x10\x00")
    for length in (4, 8):  # without or with a type before it
        content[place + length : place + length + 4] = b"\xf0\xff\xff\xf0"
        path.write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(InputError, match="not a readable DICOM file"):
            read_volume(folder)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_rows_and_columns_that_claim_gigabytes_are_refused(upright, write_series, silent):
    path = sorted(write_series(upright).iterdir())[0]
    content = path.read_bytes()
    for tag in (b"(\x00\x10\x00", b"(\x00\x11\x00"):
        place = content.index(tag) + 8
        content = content[:place] + b"\xff\xff" + content[place + 2 :]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"claims 8\.6 GB of image data"):
        read_volume(path)


def test_a_missing_slice_is_refused(upright, write_series, silent):
    with pytest.raises(InputError, match=r"2\.50 to 5\.00 mm apart, so some are missing"):
        read_volume(write_series(upright, drop=(3,)))


def test_two_images_at_one_position_are_refused(upright, write_series):
    folder = write_series(upright)
    first = sitk.ReadImage(str(sorted(folder.iterdir())[0]))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(folder / "again.dcm"))
    image = first[:, :, 0] if first.GetDimension() == 3 else first
    for key in first.GetMetaDataKeys():
        image.SetMetaData(key, first.GetMetaData(key))
    image.SetMetaData("0008|0018", "1.2.3.99")
    writer.Execute(image)
    with pytest.raises(InputError, match="several images at one position"):
        read_volume(folder)


def test_a_tilted_gantry_is_refused(make_volume, write_series):
    matrix = np.array([[-0.7, 0, 0, 90], [0, -0.8, 0.6, 120], [0, 0, 2.5, -400], [0, 0, 0, 1.0]])
    with pytest.raises(InputError, match="tilted gantry"):
        read_volume(write_series(make_volume(matrix)))


def test_a_truncated_slice_is_refused(upright, write_series, silent):
    folder = write_series(upright)
    victim = sorted(folder.iterdir())[2]
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(InputError, match=f"{victim.name} is not a readable DICOM file"):
        read_volume(folder)


def test_a_window_without_width_is_ignored(upright, write_series):
    assert read_volume(write_series(upright, **{"0028x1051": "0"})).window is None
