"""DICOM files of many frames: every frame where, and of the values, its own groups say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from made_dicom import AXIAL, ENHANCED_MR, NM, US_MULTI_FRAME, frame_group, item, write_frames
from pydicom.encaps import encapsulate, generate_frames

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.imaging.files import read_volume

STORED = np.random.default_rng(1).integers(0, 3000, (6, 5, 7), dtype=np.uint16)
SHARED = {"axes": AXIAL, "spacing": (0.8, 0.7, 2)}
SHUFFLED = (3, 0, 5, 1, 4, 2)
"""Place of each frame of the file."""


def by_groups(path: Path) -> dict[tuple[float, ...], np.ndarray]:
    """Values by position of each frame, from its own groups."""
    made, found = pydicom.dcmread(path), {}
    for stored, group in zip(made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True):
        shared = made.SharedFunctionalGroupsSequence[0]
        scaling = group.get("PixelValueTransformationSequence") or shared.get(
            "PixelValueTransformationSequence"
        )
        slope, intercept = float(scaling[0].RescaleSlope), float(scaling[0].RescaleIntercept)
        position = tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        found[position] = stored * slope + intercept
    return found


def assert_in_place(read, expected: dict[tuple[float, ...], np.ndarray]) -> None:
    assert read.shape[0] == len(expected)
    for k in range(read.shape[0]):
        r, a, s = (read.ijk_to_ras @ (0, 0, k, 1))[:3]
        position = min(expected, key=lambda one: np.linalg.norm(np.subtract(one, (-r, -a, s))))
        np.testing.assert_allclose((-r, -a, s), position, atol=1e-6)
        np.testing.assert_allclose(read.array[k], expected[position], rtol=1e-12)


@pytest.mark.parametrize("sop", [None, ENHANCED_MR])
def test_frames_in_any_order_lie_where_their_groups_say_in_their_own_units(sop, tmp_path):
    scalings = [(1 + 0.5 * n, -1000 + 29 * n) for n in range(6)]
    groups = [
        frame_group((-10, -20, -60 + 2.5 * place), scaling=scaling)
        for place, scaling in zip(SHUFFLED, scalings, strict=True)
    ]
    more = {} if sop is None else {"sop": sop, "Modality": "MR"}
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED), **more)
    for path in (tmp_path / "a.dcm", tmp_path):
        read = read_volume(path)
        assert_in_place(read, by_groups(tmp_path / "a.dcm"))
        np.testing.assert_allclose(np.linalg.norm(read.ijk_to_ras[:3, :3], axis=0), (0.7, 0.8, 2.5))
        assert read.warnings == ()


def test_shared_scaling_and_frames_from_last_to_first_and_oblique(tmp_path):
    axes = np.array([[0, 1, 0], [0.6, 0, -0.8]])
    normal = np.cross(*axes)
    groups = [frame_group(np.array((5, 6, 7)) - 1.5 * k * normal, axes.ravel()) for k in range(6)]
    shared = frame_group(spacing=(0.8, 0.7, 9), scaling=(2, -1024))
    write_frames(tmp_path / "a.dcm", STORED, groups, shared)
    read = read_volume(tmp_path / "a.dcm")
    assert_in_place(read, by_groups(tmp_path / "a.dcm"))
    assert read.array.dtype == np.int16


def test_compressed_frames_have_their_own_scaling_too(tmp_path):
    large = np.random.default_rng(1).integers(0, 3000, (6, 80, 90)).astype(np.int16)
    frames = []
    for n, plane in enumerate(large):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / f"{n}.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.Execute(sitk.GetImageFromArray(plane))
        one = pydicom.dcmread(tmp_path / f"{n}.dcm")
        frames += list(generate_frames(one.PixelData, number_of_frames=1))
    made = write_frames(tmp_path / "a.dcm", large, sop=ENHANCED_MR, Modality="MR")
    made.PixelData = encapsulate(frames)
    made.file_meta.TransferSyntaxUID = one.file_meta.TransferSyntaxUID
    assert made.file_meta.TransferSyntaxUID.is_compressed
    made.SharedFunctionalGroupsSequence = [frame_group(**SHARED)]
    made.PerFrameFunctionalGroupsSequence = [
        frame_group((0, 0, 3 * place), scaling=(n + 1, 10 * n)) for n, place in enumerate(SHUFFLED)
    ]
    made.save_as(tmp_path / "a.dcm")
    read = read_volume(tmp_path / "a.dcm")
    for n, place in enumerate(SHUFFLED):
        np.testing.assert_array_equal(read.array[place], large[n].astype(int) * (n + 1) + 10 * n)


def test_times_of_one_place_are_a_choice(tmp_path):
    groups = [
        frame_group((0, 0, 2 * (n % 3)), TemporalPositionIndex=2 - n // 3, scaling=(1, 0)) for n in range(6)
    ]
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED))
    with pytest.raises(InputError, match=r"2 phases or time points .* 1 = temporal position index 1"):
        read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm", wanted=Wanted(time=1)).array, STORED[3:])
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm", wanted=Wanted(time=2)).array, STORED[:3])


def test_b_values_of_one_place_are_a_choice(tmp_path):
    groups = [
        frame_group((0, 0, 2 * (n // 2)), MRDiffusionSequence=item(DiffusionBValue=(1000.0, 0.0)[n % 2]))
        for n in range(6)
    ]
    shared = frame_group(**SHARED, scaling=(1, 0))
    write_frames(tmp_path / "a.dcm", STORED, groups, shared, sop=ENHANCED_MR, Modality="MR")
    with pytest.raises(InputError, match="1 = diffusion b value 0, 2 = diffusion b value 1000"):
        read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm", wanted=Wanted(time=2)).array, STORED[::2])


def test_localizers_of_three_planes_are_a_choice(tmp_path):
    planes = [AXIAL, (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]
    groups = [frame_group((0, 0, 5.0 * (n % 2)), planes[n // 2], scaling=(1, 0)) for n in range(6)]
    for n in (2, 3):
        groups[n] = frame_group((5.0 * n, 0, 0), planes[1], scaling=(1, 0))
    for n in (4, 5):
        groups[n] = frame_group((0, 5.0 * n, 0), planes[2], scaling=(1, 0))
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(spacing=(0.8, 0.7, 5)))
    for path in (tmp_path / "a.dcm", tmp_path):
        with pytest.raises(
            InputError, match="several stacks of images in one series; choose one with --series"
        ):
            read_volume(path)
    for number in (1, 2, 3):
        read = read_volume(tmp_path / "a.dcm", wanted=Wanted(series=str(number)))
        assert read.shape == (2, 5, 7)
        made = by_groups_of(tmp_path / "a.dcm", read)
        assert_in_place(read, made)


def by_groups_of(path: Path, read) -> dict[tuple[float, ...], np.ndarray]:
    """Of the frames in the direction of a volume."""
    made, found = pydicom.dcmread(path), {}
    column = (read.ijk_to_ras[:3, 0] * (-1, -1, 1)) / 0.7
    row = (read.ijk_to_ras[:3, 1] * (-1, -1, 1)) / 0.8
    for stored, group in zip(made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True):
        axes = np.array(group.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        if np.allclose(axes, [*column, *row]):
            found[tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))] = stored
    return found


def test_stacks_at_one_place_are_a_choice(tmp_path):
    groups = [frame_group((0, 0, 2 * (n % 3)), StackID="AB"[n // 3], scaling=(1, 0)) for n in range(6)]
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED))
    with pytest.raises(InputError, match=r"1 = .*stack A, 2 = .*stack B"):
        read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(
        read_volume(tmp_path / "a.dcm", wanted=Wanted(series="2")).array, STORED[3:]
    )


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(0, 0, z) for z in (0, 2, 4, 8, 10, 12)], "missing"),
        ([(0, 0.5 * n, 2 * n) for n in range(6)], "tilted gantry"),
    ],
)
def test_gaps_and_tilt_get_the_folders_sentences(places, said, tmp_path):
    groups = [frame_group(place, scaling=(1, 0)) for place in places]
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED))
    with pytest.raises(InputError, match=rf"{said}.*--resample"):
        read_volume(tmp_path / "a.dcm")
    assert "resampled" in read_volume(tmp_path / "a.dcm", wanted=Wanted(resample=True)).warnings[0]


@pytest.mark.parametrize("between", ["4.5", "-4.5"])
def test_a_reconstruction_of_nuclear_medicine_lies_where_its_detector_says(between, tmp_path):
    detector = item(ImagePositionPatient=["-10", "-20", "30"], ImageOrientationPatient=list(map(str, AXIAL)))
    more = {"sop": NM, "Modality": "NM", "SpacingBetweenSlices": between, "PixelSpacing": ["4.8", "4.7"]}
    vectors = {"SliceVector": [n + 1 for n in SHUFFLED], "FrameIncrementPointer": 0x00540080}
    write_frames(tmp_path / "a.dcm", STORED, DetectorInformationSequence=detector, **more, **vectors)
    read = read_volume(tmp_path / "a.dcm")
    expected = {(-10, -20, 30 + float(between) * place): STORED[n] for n, place in enumerate(SHUFFLED)}
    assert_in_place(read, expected)
    np.testing.assert_allclose(np.linalg.norm(read.ijk_to_ras[:3, :3], axis=0), (4.7, 4.8, 4.5))


def test_phases_and_windows_of_nuclear_medicine_are_a_choice(tmp_path):
    detector = item(ImagePositionPatient=["0", "0", "0"], ImageOrientationPatient=list(map(str, AXIAL)))
    more = {"sop": NM, "Modality": "NM", "SpacingBetweenSlices": "4.5", "PixelSpacing": ["4.8", "4.7"]}
    vectors = {"SliceVector": [1, 2, 3, 1, 2, 3], "TimeSlotVector": [1, 1, 1, 2, 2, 2]}
    write_frames(tmp_path / "a.dcm", STORED, DetectorInformationSequence=detector, **more, **vectors)
    with pytest.raises(InputError, match="1 = time slot 1, 2 = time slot 2"):
        read_volume(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm", wanted=Wanted(time=2)).array, STORED[3:])


def test_a_film_of_ultrasound_is_a_choice_of_frames(tmp_path):
    more = {"sop": US_MULTI_FRAME, "Modality": "US", "FrameTime": "33", "FrameIncrementPointer": 0x00181063}
    stored = np.random.default_rng(0).integers(0, 255, (12, 5, 7), dtype=np.uint8)
    write_frames(tmp_path / "a.dcm", stored, **more)
    with pytest.raises(InputError, match=r"12 phases or time points .* 12 = frame 12"):
        read_volume(tmp_path / "a.dcm")
    read = read_volume(tmp_path / "a.dcm", wanted=Wanted(time=11))
    np.testing.assert_array_equal(read.array, stored[10:11])


def test_files_of_many_frames_at_one_place_are_a_choice_of_files(tmp_path):
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        groups = [frame_group((0, 0, 2 * place), scaling=(1, 0)) for place in order]
        write_frames(tmp_path / f"{name}.dcm", STORED[:3] + 5 * (name == "b"), groups, frame_group(**SHARED))
    for time, order, add in ((1, (0, 1, 2), 0), (2, (1, 2, 0), 5)):
        read = read_volume(tmp_path, wanted=Wanted(time=time))
        np.testing.assert_array_equal(read.array, STORED[list(order)].astype(int) + add)


def test_files_of_one_series_with_parts_of_it_are_one_volume(tmp_path):
    for name, places in (("a", (4, 1, 2)), ("b", (5, 0, 3))):
        groups = [frame_group((0, 0, 2 * place), scaling=(1, 0)) for place in places]
        write_frames(tmp_path / f"{name}.dcm", STORED[list(places)], groups, frame_group(**SHARED))
    np.testing.assert_array_equal(read_volume(tmp_path).array, STORED)


def test_a_frame_without_a_position_takes_no_position_from_the_others(tmp_path):
    groups = [frame_group((0, 0, 2 * n), scaling=(1, 0)) for n in range(6)]
    del groups[5].PlanePositionSequence
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED))
    with pytest.raises(InputError, match="several stacks of images") as told:
        read_volume(tmp_path / "a.dcm")
    assert "1 image of 7 x 5 without a position" in str(told.value)
    read = read_volume(tmp_path / "a.dcm", wanted=Wanted(series="1"))
    np.testing.assert_array_equal(read.array, STORED[:5])
    np.testing.assert_allclose(read.ijk_to_ras[2], (0, 0, 2, 0), atol=1e-9)


def test_a_number_of_frames_that_is_not_there_is_damage(tmp_path):
    groups = [frame_group((0, 0, n), scaling=(1, 0)) for n in range(5)]
    write_frames(tmp_path / "a.dcm", STORED, groups, frame_group(**SHARED))
    with pytest.raises(InputError, match="damaged"):
        read_volume(tmp_path / "a.dcm")
