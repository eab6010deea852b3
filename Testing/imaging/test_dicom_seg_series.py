"""DICOM segmentations on series as hospitals have them: copies, several series, phases, rounded positions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from made_dicom import AXIAL, ENHANCED_MR, frame_group, write_frames, write_slice

from SPASegmentLib.imaging.choice import ANY, Wanted
from SPASegmentLib.imaging.dicom_seg import write_dicom_seg
from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.dicom_sources import frames_of_slices
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.segments import Segment
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.imaging.types import Volume

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
SHAPE = (5, 19, 23)
"""19 x 23 pixels: no frame ends at a whole byte."""


def write_series(folder: Path, shape=SHAPE, first: int = 0, gap: float = 2.5, **more) -> Path:
    """Slices with random values. first: number in the names of the files."""
    random = np.random.default_rng(first)
    for k in range(shape[0]):
        values = random.integers(0, 3000, shape[1:], dtype=np.uint16)
        about = {"FrameOfReferenceUID": "1.2.9", "InstanceNumber": k + 1, "SeriesNumber": "3", **more}
        write_slice(folder / f"{first + k}.dcm", values, (-31.7, 13.25, 42.125 + k * gap), **about)
    return folder


def with_copies(folder: Path) -> Path:
    for path in sorted(write_series(folder).iterdir()):
        shutil.copy(path, folder / f"copy-{path.name}")
    return folder


def with_a_larger_series(folder: Path) -> Path:
    return write_series(write_series(folder), (9, *SHAPE[1:]), first=50, series="1.2.4")


def of_three_phases(folder: Path) -> Path:
    for phase in range(3):
        write_series(folder, first=10 * phase, TemporalPositionIdentifier=str(phase + 1))
    return folder


def shuffled_frames(folder: Path) -> Path:
    """One file whose frames are in no order."""
    groups = [frame_group((1, 2, 3 - 2.0 * k)) for k in (3, 0, 4, 1, 2)]
    values = np.random.default_rng(0).integers(0, 3000, SHAPE, dtype=np.uint16)
    shared = frame_group(axes=AXIAL, spacing=(0.8, 0.7, 2.0))
    write_frames(folder / "frames.dcm", values, groups, shared, sop=ENHANCED_MR, FrameOfReferenceUID="1.2.9")
    return folder


SERIES: dict[str, tuple[Callable[[Path], Path], Wanted]] = {
    "frames that end within a byte": (write_series, ANY),
    "a single slice": (lambda folder: write_series(folder, (1, *SHAPE[1:])), ANY),
    "copies of every instance": (with_copies, ANY),
    "the smaller of two series": (with_a_larger_series, Wanted(series="1.2.3")),
    "the second of three phases": (of_three_phases, Wanted(time=2)),
    "frames in no order": (shuffled_frames, ANY),
    "rounded positions": (lambda folder: write_series(folder, gap=0.625, digits=3), ANY),
    "the largest series number": (lambda folder: write_series(folder, SeriesNumber="2147483647"), ANY),
}
LONG = "Rundherd mit Überstand, " * 8 + "I"
NAMES = ("Knoten, größer als 5 mm^", LONG, LONG + "I", "a\\b c", " ")


@pytest.fixture(params=SERIES)
def a_volume_of_a_series(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    make, wanted = SERIES[request.param]
    (tmp_path / "series").mkdir()
    return read_volume(make(tmp_path / "series"), wanted=wanted)


def strewn(volume: Volume) -> list[Segment]:
    """Segments that overlap, of names that are long, alike or hard to write."""
    masks = np.random.default_rng(1).random((len(NAMES), *volume.shape)) > 0.6
    return [Segment(name, mask, STRUCTURES["nodule"]) for name, mask in zip(NAMES, masks, strict=True)]


def test_what_was_written_is_read_voxel_for_voxel_with_its_names(a_volume_of_a_series, tmp_path):
    segments = strewn(a_volume_of_a_series)
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_volume_of_a_series)
    read = read_dicom_seg(tmp_path / "seg.dcm", a_volume_of_a_series)
    for one, other in zip(segments, read, strict=True):
        np.testing.assert_array_equal(other.mask, one.mask)
    assert [one.name for one in read] == [*NAMES[:-1], f"Segment_{len(NAMES)}"]


def test_the_images_it_lies_on_are_named_each_once(a_volume_of_a_series, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", strewn(a_volume_of_a_series), a_volume_of_a_series)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    images = [pydicom.dcmread(path) for path in {one.path for one in a_volume_of_a_series.frames or ()}]
    [series] = made.ReferencedSeriesSequence
    assert {one.SeriesInstanceUID for one in images} == {series.SeriesInstanceUID} == {"1.2.3"}
    named = [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence]
    assert sorted(named) == sorted({one.SOPInstanceUID for one in images})
    phases = {one.get("TemporalPositionIdentifier") for one in images}
    assert phases in ({None}, {2}), "of a series of phases the one that was segmented"


def test_its_files_are_found_by_where_they_lie(a_volume_of_a_series):
    """As for a volume that another program read."""
    frames = a_volume_of_a_series.frames or ()
    found = frames_of_slices(a_volume_of_a_series, sorted({one.path for one in frames}))
    assert [(one.path, one.index) for one in found] == [(one.path, one.index) for one in frames]


def test_dciodvfy_and_dcmqi_agree(a_volume_of_a_series, tmp_path):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools brings it)")
    dcmqi = pytest.importorskip("dcmqi", reason="dcmqi is not installed (the extra `test` brings it)")
    segments = strewn(a_volume_of_a_series)
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_volume_of_a_series)
    checked = subprocess.run(
        [program, tmp_path / "seg.dcm"], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    said = (checked.stdout + checked.stderr).splitlines()
    assert "Segmentation" in said and [line for line in said if line.startswith("Error")] == []
    reader = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    command = [reader, "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path]
    ran = subprocess.run(
        [*command, "--outputType", "nrrd"], capture_output=True, encoding="utf-8", check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for number, segment in enumerate(segments, start=1):
        image = sitk.ReadImage(str(tmp_path / f"{number}.nrrd"))
        assert np.count_nonzero(sitk.GetArrayViewFromImage(image)) == segment.mask.sum()
