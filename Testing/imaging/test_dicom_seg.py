"""DICOM segmentations: written on the frames of a series, read back by us and by others, voxel for voxel."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from made_dicom import AXIAL, ENHANCED_MR, US_MULTI_FRAME, frame_group, write_frames, write_slice
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.imaging.dicom_seg import check_seg_source, write_dicom_seg
from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.segments import Algorithm, Segment
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.imaging.types import Volume

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")

STORED = np.random.default_rng(0).integers(0, 3000, (7, 20, 24), dtype=np.uint16)
PATIENT = {
    "PatientName": "Mustermann^Erika",
    "PatientID": "4711",
    "PatientBirthDate": "19640812",
    "StudyDate": "20260101",
    "SeriesNumber": "3",
    "FrameOfReferenceUID": "1.2.9",
}
SAGITTAL, OBLIQUE = (
    (0, 1, 0, 0, 0, -1),
    tuple(Rotation.from_euler("xyz", (20, -35, 130), degrees=True).as_matrix().T[:2].ravel()),
)
OURS = Algorithm("SPASegment", "0.2.0", (("model", "general"), ("model hash", "ab" * 32)))


def write_series(folder: Path, axes=AXIAL, gap: float = 2.5, **more) -> Path:
    """Slices along the normal, in the order of their instance numbers."""
    normal = np.cross(axes[:3], axes[3:])
    for k in range(len(STORED)):
        position = np.array((-31.7, 13.25, 42.125)) + k * gap * normal
        write_slice(
            folder / f"{k:02d}.dcm",
            STORED[k],
            position,
            axes=axes,
            **{"InstanceNumber": k + 1, **PATIENT, **more},
        )
    return folder


def write_multi_frame(path: Path, times: int = 1) -> Path:
    """One file of all slices; of several times, all slices of one time follow each other."""
    frames = [
        frame_group((1, 2, 3 - 2.0 * k), TemporalPositionIndex=t + 1)
        for t in range(times)
        for k in range(len(STORED))
    ]
    shared = frame_group(axes=AXIAL, spacing=(0.8, 0.7, 2.0))
    write_frames(path, np.tile(STORED, (times, 1, 1)), frames, shared, sop=ENHANCED_MR, **PATIENT)
    return path


SOURCES = {
    "axial": lambda folder: read_volume(write_series(folder / "axial")),
    "descending": lambda folder: read_volume(write_series(folder / "descending", gap=-2.5)),
    "sagittal": lambda folder: read_volume(write_series(folder / "sagittal", SAGITTAL)),
    "oblique": lambda folder: read_volume(write_series(folder / "oblique", OBLIQUE)),
    "multi-frame": lambda folder: read_volume(write_multi_frame(folder / "frames.dcm")),
    "the second time": lambda folder: read_volume(
        write_multi_frame(folder / "times.dcm", 2), wanted=Wanted(time=2)
    ),
}


@pytest.fixture(params=SOURCES)
def a_source(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    """A volume of DICOM files."""
    return SOURCES[request.param](tmp_path)


@pytest.fixture
def an_axial(tmp_path: Path) -> Volume:
    return SOURCES["axial"](tmp_path)


def two_segments(volume: Volume, overlap: bool = True) -> list[Segment]:
    """Two segments of voxels strewn on some of the slices, so that no flip or shift goes unnoticed."""
    random = np.random.default_rng(1)
    nodule, rim = np.zeros(volume.shape, bool), np.zeros(volume.shape, bool)
    nodule[1:4] = random.random((3, *volume.shape[1:])) > 0.7
    rim[3:6] = random.random((3, *volume.shape[1:])) > 0.8
    rim = rim if overlap else rim & ~nodule
    return [
        Segment("Knoten, größer", nodule, STRUCTURES["lung-nodule"], algorithm=OURS),
        Segment("Rim", rim, STRUCTURES["edema"], (0.0, 0.4, 0.8), OURS),
    ]


def places(array: np.ndarray, to_lps: np.ndarray) -> np.ndarray:
    """(n, 3) mm in LPS of the set voxels of a (K, J, I) array, in one order."""
    kji = np.argwhere(array)
    at = kji[:, ::-1] @ to_lps[:3, :3].T + to_lps[:3, 3]
    return at[np.lexsort(np.round(at, 1).T)]


def assert_same(ours: list[Segment], theirs: list[Segment]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(other.mask, one.mask)
        assert (other.name, other.structure, other.algorithm) == (one.name, one.structure, one.algorithm)
        np.testing.assert_allclose(other.colour, one.colour, atol=0.01)


@pytest.mark.parametrize("labelmap", [False, True])
def test_what_was_written_is_read_voxel_for_voxel(a_source, tmp_path, labelmap):
    segments = two_segments(a_source, overlap=not labelmap)
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_source, labelmap=labelmap)
    assert_same(segments, read_dicom_seg(tmp_path / "seg.dcm", a_source))


def read_by_dcmqi(path: Path) -> Path:
    """The folder of its images, 1.nrrd for the first segment and so on."""
    dcmqi = pytest.importorskip("dcmqi", reason="dcmqi is not installed (the extra `test` brings it)")
    program = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    out = path.parent / "itk"
    out.mkdir()
    command = [program, "--inputDICOM", path, "--outputDirectory", out, "--outputType", "nrrd"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return out


def test_dcmqi_reads_the_same_voxels_in_the_same_place(a_source, tmp_path):
    segments = two_segments(a_source)
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_source)
    out = read_by_dcmqi(tmp_path / "seg.dcm")
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ a_source.ijk_to_ras
    for number, segment in enumerate(segments, start=1):
        image = sitk.ReadImage(str(out / f"{number}.nrrd"))
        its = np.eye(4)
        its[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        its[:3, 3] = image.GetOrigin()
        found = places(sitk.GetArrayFromImage(image) != 0, its)
        np.testing.assert_allclose(found, places(segment.mask, to_lps), atol=1e-3)


def read_by_slicer(scene, kind: str, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """(K, J, I) values, and the (4, 4) matrix from (i, j, k) to mm in RAS, as Slicer's storage node reads."""
    import slicer
    import vtk

    node, storage = scene.AddNewNodeByClass(kind), slicer.vtkMRMLVolumeArchetypeStorageNode()
    scene.AddNode(storage)
    for file in files:
        storage.AddFileName(str(file))
    storage.SetFileName(str(files[0]))
    storage.SetSingleFile(len(files) == 1)
    assert storage.ReadData(node) == 1
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVolume(node), np.reshape(matrix.GetData(), (4, 4))


@pytest.mark.parametrize("by_dcmqi", [False, True])
@pytest.mark.parametrize("a_source", [name for name in SOURCES if "time" not in name], indirect=True)
def test_slicer_reads_it_in_place_on_the_series_it_read(a_source, tmp_path, by_dcmqi):
    """With its own DICOM reader, which takes all frames for one segment; or through dcmqi."""
    slicer = pytest.importorskip(
        "slicer", reason="slicer-core is not installed (the extra `viewer` brings it)"
    )
    scene = slicer.vtkMRMLScene()
    series = [one.path for one in a_source.frames or ()]
    grey, grid = read_by_slicer(scene, "vtkMRMLScalarVolumeNode", list(dict.fromkeys(series)))
    np.testing.assert_allclose(grid, a_source.ijk_to_ras, atol=1e-6)
    np.testing.assert_array_equal(grey, a_source.array)
    segments = two_segments(a_source)[: 2 if by_dcmqi else 1]
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_source)
    files = [tmp_path / "seg.dcm"]
    if by_dcmqi:
        out = read_by_dcmqi(tmp_path / "seg.dcm")
        files = [out / "1.nrrd", out / "2.nrrd"]
    for file, segment in zip(files, segments, strict=True):
        mask, matrix = read_by_slicer(scene, "vtkMRMLLabelMapVolumeNode", [file])
        found = places(mask != 0, np.linalg.inv(grid) @ matrix)
        voxels = np.round(found).astype(int)
        np.testing.assert_allclose(found, voxels, atol=1e-3)
        lies = np.zeros(grey.shape, bool)
        lies[tuple(voxels.T[::-1])] = True
        np.testing.assert_array_equal(lies, segment.mask)


def test_dciodvfy_finds_no_error(a_source, tmp_path):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools brings it)")
    write_dicom_seg(tmp_path / "seg.dcm", two_segments(a_source), a_source)
    ran = subprocess.run(
        [program, tmp_path / "seg.dcm"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        check=False,
    )
    said = (ran.stdout + ran.stderr).splitlines()
    assert "Segmentation" in said
    assert [line for line in said if line.startswith("Error")] == []


def test_every_source_image_is_named_and_every_frame_its_own(a_source, tmp_path):
    segments = two_segments(a_source)
    write_dicom_seg(tmp_path / "seg.dcm", segments, a_source)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert a_source.frames is not None
    sources = {one.path: pydicom.dcmread(one.path) for one in a_source.frames}
    [series] = made.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3" and made.SeriesInstanceUID != "1.2.3"
    uids = {one.SOPInstanceUID for one in sources.values()}
    for named in (series.ReferencedInstanceSequence, made.SourceImageSequence):
        assert {one.ReferencedSOPInstanceUID for one in named} == uids and len(named) == len(uids)
        assert {one.ReferencedSOPClassUID for one in named} == {one.SOPClassUID for one in sources.values()}
    for group in made.PerFrameFunctionalGroupsSequence:
        [source] = group.DerivationImageSequence[0].SourceImageSequence
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        [frame] = [
            one
            for one in a_source.frames
            if sources[one.path].SOPInstanceUID == source.ReferencedSOPInstanceUID
            and one.index + 1 == source.get("ReferencedFrameNumber", 1)
        ]
        np.testing.assert_allclose(frame.position, position, atol=1e-6)


def test_it_belongs_to_the_patient_and_says_what_drew_it(an_axial, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        write_dicom_seg(tmp_path / "seg.dcm", two_segments(an_axial), an_axial)
    assert "Mustermann" not in caplog.text and "4711" not in caplog.text
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (str(made.PatientName), made.PatientID) == ("Mustermann^Erika", "4711")
    assert (made.StudyInstanceUID, made.FrameOfReferenceUID, made.SeriesNumber) == ("1.2", "1.2.9", 1003)
    [nodule, _] = made.SegmentSequence
    assert nodule.SegmentAlgorithmType == "SEMIAUTOMATIC"
    about = nodule.SegmentationAlgorithmIdentificationSequence[0]
    assert (about.AlgorithmName, about.AlgorithmVersion) == ("SPASegment", "0.2.0")
    assert "ab" * 32 in about.AlgorithmParameters
    assert nodule.SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
    assert nodule.AnatomicRegionSequence[0].CodeMeaning == "Lung"
    assert made.SegmentationType == "BINARY" and made.SegmentsOverlap == "YES"


@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "山田^太郎")])
def test_names_in_any_alphabet_stay_as_they_are(tmp_path, charset, name):
    series = write_series(tmp_path / "named", SpecificCharacterSet=charset, PatientName=name)
    volume = read_volume(series)
    segments = two_segments(volume)
    write_dicom_seg(tmp_path / "seg.dcm", segments, volume)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (str(made.PatientName), made.SegmentSequence[0].SegmentLabel) == (name, "Knoten, größer")


def test_an_image_without_a_position_gets_one_of_its_own(tmp_path):
    cine = STORED[:1]
    write_frames(tmp_path / "us.dcm", cine, sop=US_MULTI_FRAME, Modality="US")
    volume = read_volume(tmp_path / "us.dcm")
    mask = np.random.default_rng(2).random(volume.shape) > 0.5
    write_dicom_seg(tmp_path / "seg.dcm", [Segment("Object", mask)], volume)
    [read] = read_dicom_seg(tmp_path / "seg.dcm", volume)
    np.testing.assert_array_equal(read.mask, mask)


def test_an_empty_segment_stays_empty(an_axial, tmp_path):
    nothing = np.zeros(an_axial.shape, bool)
    write_dicom_seg(tmp_path / "seg.dcm", [Segment("Nothing", nothing)], an_axial)
    [read] = read_dicom_seg(tmp_path / "seg.dcm", an_axial)
    assert not read.mask.any()


def test_what_a_segmentation_cannot_lie_on_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="refers to the DICOM series"):
        check_seg_source(Volume(STORED, np.eye(4)))
    for k in range(4):  # shifted sideways more and more: a tilted gantry
        write_slice(tmp_path / "tilted" / f"{k}.dcm", STORED[k], (0, 0.9 * k, 3.0 * k), **PATIENT)
    tilted = read_volume(tmp_path / "tilted", wanted=Wanted(resample=True))
    with pytest.raises(InputError, match="resampled to another grid"):
        check_seg_source(tilted)
    write_series(tmp_path / "unframed", FrameOfReferenceUID="")
    with pytest.raises(InputError, match="no frame of reference"):
        check_seg_source(read_volume(tmp_path / "unframed"))


def test_a_labelmap_cannot_hold_segments_that_overlap(an_axial, tmp_path):
    with pytest.raises(InputError, match="overlap"):
        write_dicom_seg(tmp_path / "seg.dcm", two_segments(an_axial), an_axial, labelmap=True)
    assert not (tmp_path / "seg.dcm").exists()


def test_what_cannot_be_written_leaves_what_was_there(an_axial, tmp_path):
    out = tmp_path / "seg.dcm"
    out.write_bytes(b"as before")
    wrong = Segment("Wrong", np.zeros((1, 2, 3), bool))
    with pytest.raises(InputError, match="does not fit"):
        write_dicom_seg(out, [wrong], an_axial)
    assert out.read_bytes() == b"as before"
    with pytest.raises(InputError, match="folder"):
        write_dicom_seg(tmp_path / "no" / "seg.dcm", two_segments(an_axial), an_axial)


def test_a_segmentation_of_other_voxels_is_refused(an_axial, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", two_segments(an_axial), an_axial)
    for name, options in {
        "finer": {"spacing": (0.4, 0.35)},
        "turned": {"axes": OBLIQUE},
        "thinner": {"gap": 1.25},
    }.items():
        other = read_volume(write_series(tmp_path / name, **options))
        with pytest.raises(InputError, match="other voxels"):
            read_dicom_seg(tmp_path / "seg.dcm", other)


def test_a_segmentation_of_another_frame_of_reference_is_refused(an_axial, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", two_segments(an_axial), an_axial)
    other = read_volume(write_series(tmp_path / "other", FrameOfReferenceUID="1.2.10"))
    with pytest.raises(InputError, match="drawn in another frame of reference than the volume's"):
        read_dicom_seg(tmp_path / "seg.dcm", other)
    unknown = replace(other, frames=None)  # as of a volume from NRRD
    assert read_dicom_seg(tmp_path / "seg.dcm", unknown)[0].mask.any()


def test_a_part_of_the_series_gets_its_part_or_a_sentence(an_axial, tmp_path):
    segments = two_segments(an_axial)
    write_dicom_seg(tmp_path / "seg.dcm", segments, an_axial)
    (tmp_path / "axial" / "06.dcm").unlink()
    shorter = read_volume(tmp_path / "axial")
    for one, read in zip(segments, read_dicom_seg(tmp_path / "seg.dcm", shorter), strict=True):
        np.testing.assert_array_equal(read.mask, one.mask[:6])
    (tmp_path / "axial" / "05.dcm").unlink()
    with pytest.raises(InputError, match="reaches beyond"):
        read_dicom_seg(tmp_path / "seg.dcm", read_volume(tmp_path / "axial"))


def test_a_file_that_is_none_or_damaged_is_refused_in_a_sentence(an_axial, tmp_path):
    with pytest.raises(InputError, match="no DICOM segmentation"):
        read_dicom_seg(tmp_path / "axial" / "00.dcm", an_axial)
    write_dicom_seg(tmp_path / "seg.dcm", two_segments(an_axial), an_axial)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes((tmp_path / "seg.dcm").read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged"):
        read_dicom_seg(cut, an_axial)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    del made.SegmentSequence
    made.save_as(tmp_path / "bare.dcm")
    with pytest.raises(InputError, match="damaged"):
        read_dicom_seg(tmp_path / "bare.dcm", an_axial)


def test_a_fractional_one_counts_what_is_half_in(an_axial, tmp_path):
    import highdicom as hd

    [segment, _] = two_segments(an_axial)
    write_dicom_seg(tmp_path / "seg.dcm", [segment], an_axial)
    binary = hd.seg.segread(tmp_path / "seg.dcm")
    assert an_axial.frames is not None
    fractions = np.where(segment.mask, 0.6, 0.4).astype(np.float32)
    made = hd.seg.Segmentation(
        source_images=[_filled(pydicom.dcmread(one.path)) for one in an_axial.frames],
        pixel_array=fractions,
        segmentation_type="FRACTIONAL",
        segment_descriptions=[binary.get_segment_description(1)],
        series_instance_uid="1.2.4",
        series_number=4,
        sop_instance_uid="1.2.5",
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(tmp_path / "fractional.dcm")
    [read] = read_dicom_seg(tmp_path / "fractional.dcm", an_axial)
    np.testing.assert_array_equal(read.mask, segment.mask)


def _filled(image: pydicom.Dataset) -> pydicom.Dataset:
    """With the elements that every image has to have."""
    for keyword in ("PatientSex", "AccessionNumber", "StudyID", "StudyTime"):
        setattr(image, keyword, None)
    image.SliceThickness = "2.5"
    return image
