"""DICOM series as hospitals send them: what their own tags give, or a sentence, or a choice."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from made_dicom import PARAMETRIC_MAP, RTSTRUCT, SEGMENTATION, header, numbers, write_frames, write_slice

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.imaging.files import read_volume

STORED = np.random.default_rng(0).integers(0, 3000, (9, 6, 7), dtype=np.uint16)


def write_series(folder: Path, count: int = 9, gap: float = 2.5, **more) -> Path:
    """Slices along z from -100, in file order."""
    for k in range(count):
        position = (-10, -20, -100 + gap * k)
        write_slice(folder / f"{k:03d}.dcm", STORED[k], position, **{"InstanceNumber": k + 1, **more})
    return folder


def by_tags(folder: Path) -> dict[tuple[float, ...], np.ndarray]:
    """HU by the position of each slice, from its own tags."""
    found = {}
    for path in folder.glob("*.dcm"):
        one = pydicom.dcmread(path)
        hu = one.pixel_array.astype(float) * float(one.RescaleSlope) + float(one.RescaleIntercept)
        found[tuple(map(float, one.ImagePositionPatient))] = hu
    return found


def assert_in_place(read, expected: dict[tuple[float, ...], np.ndarray], within: float = 1e-6) -> None:
    """Every slice has the values of its file, and its first voxel is where the file says."""
    assert read.shape[0] == len(expected)
    for k in range(read.shape[0]):
        r, a, s = (read.ijk_to_ras @ (0, 0, k, 1))[:3]
        position = min(expected, key=lambda one: np.linalg.norm(np.subtract(one, (-r, -a, s))))
        np.testing.assert_allclose((-r, -a, s), position, atol=within)
        np.testing.assert_array_equal(read.array[k], expected[position])


@pytest.mark.parametrize("jitter", [1e-4, 3e-7, 1e-3])
def test_a_direction_that_jitters_loses_no_slice(jitter, tmp_path):
    for k in range(9):
        angle = 0.0005 + (-1) ** k * jitter
        turned = (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)
        write_slice(tmp_path / f"{k}.dcm", STORED[k], (-10, -20, 2.5 * k), axes=turned)
    read = read_volume(tmp_path)
    assert_in_place(read, by_tags(tmp_path))
    np.testing.assert_allclose(np.linalg.norm(read.ijk_to_ras[:3, :3], axis=0), (0.7, 0.8, 2.5), rtol=1e-5)
    assert read.warnings == ()


def test_images_of_a_series_that_do_not_become_one_volume_are_named(tmp_path):
    write_series(tmp_path)
    write_slice(tmp_path / "scout.dcm", STORED[0], (0, 0, 0), axes=(0, 1, 0, 0, 0, -1))
    read = read_volume(tmp_path)
    assert read.shape == (9, 6, 7)
    [said] = read.warnings
    assert "1 image was left out, of the same series" in said and "scout.dcm" in said


@pytest.mark.parametrize("gap", [1.25, 0.625, 2.33])
def test_positions_rounded_to_one_decimal_are_no_gap(gap, tmp_path):
    for k in range(9):
        write_slice(tmp_path / f"{k}.dcm", STORED[k], (-10.1, -20, round(gap * k + 3.33, 1)))
    read = read_volume(tmp_path)
    assert_in_place(read, by_tags(tmp_path), within=0.1)
    assert np.linalg.norm(read.ijk_to_ras[:3, 2]) == pytest.approx(gap, abs=0.1 / 8)


@pytest.mark.parametrize("gap", [0.2, 0.5, 1.0, 2.5])
def test_a_missing_slice_is_noticed_among_rounded_positions(gap, tmp_path):
    write_series(tmp_path, gap=gap)
    (tmp_path / "004.dcm").unlink()
    with pytest.raises(InputError, match="missing"):
        read_volume(tmp_path)


def test_copies_of_an_instance_count_once(tmp_path):
    write_series(tmp_path)
    for k in (0, 3, 8):
        shutil.copy(tmp_path / f"{k:03d}.dcm", tmp_path / f"copy of {k}.dcm")
    read = read_volume(tmp_path)
    assert_in_place(read, by_tags(tmp_path))
    assert read.warnings == ()


def test_slices_that_an_anonymizer_gave_one_number_are_all_read(tmp_path):
    for k in range(5):
        write_slice(tmp_path / f"{k}.dcm", STORED[k], (0, 0, 2.5 * k), SOPInstanceUID="1.2.9")
    assert_in_place(read_volume(tmp_path), by_tags(tmp_path))


def test_a_pixel_size_that_changes_within_a_series_is_refused(tmp_path):
    write_series(tmp_path, 4)
    write_slice(tmp_path / "other.dcm", STORED[4], (-10, -20, -90), spacing=(0.8, 0.9))
    with pytest.raises(InputError, match=r"pixel size changes .* \(0\.8 x 0\.7 and 0\.8 x 0\.9 mm\)"):
        read_volume(tmp_path)


def test_monochrome1_does_not_turn_hounsfield_units_over_but_does_a_radiograph(tmp_path):
    write_series(tmp_path / "ct", PhotometricInterpretation="MONOCHROME1")
    assert_in_place(read_volume(tmp_path / "ct"), by_tags(tmp_path / "ct"))
    write_slice(
        *(tmp_path / "dx.dcm", STORED[0], (0, 0, 0)),
        **{
            "sop": "1.2.840.10008.5.1.4.1.1.1.1",
            "Modality": "DX",
            "PhotometricInterpretation": "MONOCHROME1",
        },
        **{"RescaleIntercept": "0"},
    )
    np.testing.assert_array_equal(read_volume(tmp_path / "dx.dcm").array[0], 65535 - STORED[0].astype(int))


def test_scaling_that_is_no_whole_number_and_differs_by_slice_is_each_slices_own(tmp_path):
    for k in range(4):
        more = {"RescaleSlope": f"{0.37 * (k + 1):.4g}", "RescaleIntercept": f"{-0.25 * k}", "Modality": "PT"}
        write_slice(tmp_path / f"{k}.dcm", STORED[k], (0, 0, 4 * k), **more)
    assert_in_place(read_volume(tmp_path), by_tags(tmp_path))


# -- tilt and gaps -------------------------------------------------------------------------------------------


def ramp(position: np.ndarray, shape: tuple[int, int], spacing=(0.8, 0.7)) -> np.ndarray:
    """Values that are linear in space: 2000 + 5 x + 3 y + 7 z in LPS mm, rounded."""
    j, i = np.indices(shape)
    x, y = position[0] + i * spacing[1], position[1] + j * spacing[0]
    return np.round(2000 + 5 * x + 3 * y + 7 * position[2]).astype(np.uint16)


def write_ramps(folder: Path, positions: np.ndarray) -> Path:
    for k, position in enumerate(positions):
        write_slice(folder / f"{k}.dcm", ramp(position, (20, 24)), position)
    return folder


TILTED = np.array([(-8, -9 + 0.6 * k, 2.0 * k) for k in range(8)])
UNEVEN = np.array([(-8, -9, z) for z in (0, 2, 4, 7, 9, 11, 13)], dtype=float)
JUMPING = np.array([(-8 + (1.4 if k == 3 else 0), -9, 2.0 * k) for k in range(8)])


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (TILTED, r"tilted gantry \(16\.7 degrees\).*--resample"),
        (UNEVEN, r"2\.00 to 3\.00 mm apart, so some are missing.*--resample"),
        (JUMPING, r"shifted sideways.*--resample"),
    ],
)
def test_tilt_and_gaps_are_refused_and_resampled_on_request(positions, said, tmp_path):
    folder = write_ramps(tmp_path, positions)
    with pytest.raises(InputError, match=said):
        read_volume(folder)
    read = read_volume(folder, wanted=Wanted(resample=True))
    [warning] = read.warnings
    assert "resampled linearly to a rectangular grid" in warning and "mask lies on that grid" in warning
    k, j, i = np.indices(read.shape)
    places = read.ijk_to_ras[:3, :3] @ np.stack([i, j, k]).reshape(3, -1) + read.ijk_to_ras[:3, 3:]
    x, y, z = -places[0], -places[1], places[2]
    inside = np.ones(x.shape, bool)  # where some slice reaches on both sides of the voxel
    low = np.interp(z, positions[:, 2], positions[:, 1])
    for position in positions:
        near = np.abs(z - position[2]) < 3.01
        inside &= ~near | ((x >= position[0]) & (x <= position[0] + 23 * 0.7))
        inside &= ~near | ((y >= position[1]) & (y <= position[1] + 19 * 0.8))
    inside &= (y >= low) & (y <= low + 19 * 0.8)
    assert inside.mean() > 0.5
    expected = 2000 + 5 * x + 3 * y + 7 * z - 1024
    np.testing.assert_allclose(read.array.reshape(-1)[inside], expected[inside], atol=1.01)
    axes = read.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag([0.49, 0.64, 4.0]), atol=1e-6)


def test_resampling_leaves_an_even_series_as_it_is(tmp_path):
    read = read_volume(write_series(tmp_path), wanted=Wanted(resample=True))
    assert_in_place(read, by_tags(tmp_path))
    assert read.warnings == ()


# -- foreign files -------------------------------------------------------------------------------------------

FOREIGN = {
    "report": "1.2.840.10008.5.1.4.1.1.88.33",
    "pdf": "1.2.840.10008.5.1.4.1.1.104.1",
    "registration": "1.2.840.10008.5.1.4.1.1.66.1",
    "raw": "1.2.840.10008.5.1.4.1.1.66",
    "contours": "1.2.840.10008.5.1.4.1.1.481.3",
    "private": "1.3.12.2.1107.5.9.1",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_has_no_pixels_is_left_out_and_named(name, tmp_path):
    write_series(tmp_path)
    header(FOREIGN[name]).save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    read = read_volume(tmp_path)
    assert read.shape == (9, 6, 7)
    [said] = read.warnings
    assert "1 file without an image was left out" in said and f"{name}.dcm (" in said
    with pytest.raises(InputError, match="holds no scan but"):
        read_volume(tmp_path / f"{name}.dcm")


@pytest.mark.parametrize("sop", [SEGMENTATION, f"{SEGMENTATION[:-1]}7", RTSTRUCT])
def test_who_gives_segments_for_a_scan_is_told_what_they_are_for(sop, tmp_path):
    header(sop).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(
        InputError, match=r"; give the images it belongs to, and this file with --continue\.$"
    ):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("sop", [SEGMENTATION, PARAMETRIC_MAP])
def test_a_segmentation_or_map_is_never_the_largest_series(sop, tmp_path):
    write_series(tmp_path)
    write_frames(tmp_path / "seg.dcm", np.zeros((99, 6, 7), np.uint16), sop=sop, series="1.2.9")
    read = read_volume(tmp_path)
    assert_in_place(read, by_tags_of_slices(tmp_path))
    assert "seg.dcm" in read.warnings[0]
    with pytest.raises(InputError, match="holds no scan"):
        read_volume(tmp_path / "seg.dcm")


def by_tags_of_slices(folder: Path) -> dict[tuple[float, ...], np.ndarray]:
    (folder / "aside").mkdir()
    for path in folder.glob("0*.dcm"):
        shutil.copy(path, folder / "aside" / path.name)
    return by_tags(folder / "aside")


def test_files_of_macos_beside_the_slices_are_left_out_and_named(tmp_path):
    write_series(tmp_path)
    for k in range(9):
        (tmp_path / f"._{k:03d}.dcm").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(200))
    read = read_volume(tmp_path)
    assert_in_place(read, by_tags_of_slices(tmp_path))
    assert read.warnings[0].startswith("9 files without images were left out: ._000.dcm")


def test_files_without_preamble_or_suffix_are_read(tmp_path):
    write_series(tmp_path / "whole")
    (tmp_path / "bare").mkdir()
    for path in (tmp_path / "whole").iterdir():
        made = pydicom.dcmread(path)
        body = path.read_bytes()[132:]
        (tmp_path / "bare" / f"IM{made.InstanceNumber}").write_bytes(body)
        stripped = body[12 + int.from_bytes(body[8:12], "little") :]
        (tmp_path / "bare" / f"NOMETA{made.InstanceNumber}").write_bytes(stripped)
    for pattern in ("NOMETA*", "IM*"):
        folder = tmp_path / pattern[:2]
        folder.mkdir()
        for path in (tmp_path / "bare").glob(pattern):
            shutil.copy(path, folder / path.name)
        assert_in_place(read_volume(folder), by_tags(tmp_path / "whole"))
    one = read_volume(tmp_path / "bare" / "IM3")
    np.testing.assert_array_equal(one.array[0], STORED[2].astype(int) - 1024)


def test_a_file_that_only_begins_like_dicom_does_not_matter(tmp_path):
    write_series(tmp_path)
    (tmp_path / "table").write_bytes(b"\x08\0\5\0CS\x0a\0" + bytes(range(256)))
    assert read_volume(tmp_path).shape == (9, 6, 7)


# -- choices -------------------------------------------------------------------------------------------------


def test_the_series_wanted_is_read(tmp_path):
    write_series(tmp_path, SeriesDescription="thin", SeriesNumber=4)
    for k in range(3):
        write_slice(
            *(tmp_path / f"b{k}.dcm", STORED[k], (0, 0, 5 * k)),
            **{"series": "1.2.77", "SeriesDescription": "thick", "SeriesNumber": 5},
        )
    read = read_volume(tmp_path)
    assert read.shape == (9, 6, 7)
    assert 'CT "thick" (series 5), 3 images of 7 x 6' in read.warnings[0]
    for name in ("1.2.77", "2"):
        read = read_volume(tmp_path, wanted=Wanted(series=name))
        assert (read.shape, read.warnings) == ((3, 6, 7), ())
    with pytest.raises(InputError, match=r'no series 7; there are: 1 = CT "thin"'):
        read_volume(tmp_path, wanted=Wanted(series="7"))
    asked = []

    def second(what, labels):
        asked.append((what, labels))
        return 1

    assert read_volume(tmp_path, wanted=Wanted(choose=second)).shape == (3, 6, 7)
    assert "2 series" in asked[0][0] and len(asked[0][1]) == 2


@pytest.mark.parametrize(
    ("keyword", "values", "label"),
    [
        ("TemporalPositionIdentifier", (1, 2, 3), "temporal position identifier 2"),
        ("TriggerTime", ("0", "120.5", "90"), "trigger time 90"),
        ("EchoTime", ("4.6", "2.3", "9.2"), "echo time 4.6"),
        ("AcquisitionNumber", (2, 9, 10), "acquisition number 9"),
        ("ContentTime", ("101010", "101020", "101030"), "image 2"),
    ],
)
def test_phases_of_one_place_are_a_choice(keyword, values, label, tmp_path):
    for t, value in enumerate(values):
        for k in range(3):
            write_slice(
                *(tmp_path / f"{t}{k}.dcm", STORED[3 * t + k], (0, 0, 3 * k)),
                **{keyword: value, "InstanceNumber": 3 * t + k + 1},
            )
    with pytest.raises(InputError, match=rf"3 phases or time points .* --time: 1 = .*2 = {label}"):
        read_volume(tmp_path)
    ranks = sorted(range(3), key=lambda t: float(values[t]))
    for number in (1, 2, 3):
        read = read_volume(tmp_path, wanted=Wanted(time=number))
        t = ranks[number - 1]
        np.testing.assert_array_equal(read.array, STORED[3 * t : 3 * t + 3].astype(int) - 1024)
        assert read.warnings == ()
    for number in (0, 4):
        with pytest.raises(InputError, match=rf"1 to 3, not {number}"):
            read_volume(tmp_path, wanted=Wanted(time=number))
    assert read_volume(tmp_path, wanted=Wanted(choose=lambda what, labels: 2)).shape == (3, 6, 7)


def test_a_time_of_a_series_without_times_is_refused(tmp_path):
    write_series(tmp_path)
    with pytest.raises(InputError, match="single time point"):
        read_volume(tmp_path, wanted=Wanted(time=2))


@pytest.mark.parametrize("which", [4, 8])
def test_a_slice_without_a_position_leaves_the_others_in_their_places(which, tmp_path):
    write_series(tmp_path)
    lost = tmp_path / f"{which:03d}.dcm"
    made = pydicom.dcmread(lost)
    del made.ImagePositionPatient
    made.save_as(lost)
    if which == 4:
        with pytest.raises(InputError, match="missing"):
            read_volume(tmp_path)
        return
    read = read_volume(tmp_path)
    [said] = read.warnings
    assert "1 image was left out, of the same series" in said and lost.name in said
    lost.unlink()
    assert_in_place(read, by_tags(tmp_path))


@pytest.mark.parametrize("axes", [(0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0), (5, 0, 0, 0, 5, 0)])
def test_an_orientation_that_is_none_is_no_position_and_no_time(axes, tmp_path):
    for k in range(9):
        more = {"axes": axes, "InstanceNumber": k + 1}
        write_slice(tmp_path / f"{k}.dcm", STORED[k], (-10, -20, 2.5 * k), **more)
    read = read_volume(tmp_path)
    assert read.array.shape == STORED.shape
    assert any("states no position" in said for said in read.warnings)


@pytest.mark.parametrize("high", [11, 13, 15])
def test_values_are_those_of_the_bits_that_the_file_says_hold_them(high, tmp_path):
    made = write_slice(tmp_path / "a.dcm", STORED[0], (0, 0, 0))
    made.BitsStored, made.HighBit = 12, high
    beside = 0xFFFF & ~(0xFFF << (high - 11))  # overlays, as old scanners put them there
    made.PixelData = (STORED[0] << (high - 11) | beside).astype("<u2").tobytes()
    made.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").array[0], STORED[0].astype(int) - 1024)


def test_positions_are_written_as_scanners_do(tmp_path):
    """The helper itself: what it writes is what pydicom reads."""
    made = write_slice(tmp_path / "a.dcm", STORED[0], (1.25, 2, 3))
    assert numbers(made.ImagePositionPatient) == ["1.25", "2", "3"]
