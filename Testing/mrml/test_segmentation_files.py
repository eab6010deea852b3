"""A segmentation node as a DICOM segmentation of the series its volume came from, on real MRML."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_segments
from SPASegmentLib.imaging.segments import UNKNOWN, Segment, own_algorithm
from SPASegmentLib.imaging.terminology import STRUCTURES, TISSUE
from SPASegmentLib.mrml.segmentation_files import (
    dicom_writer,
    read_slicer_segmentation,
    set_structure,
    structure_of,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging" / "support"))  # made-up DICOM files

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")


@pytest.fixture
def series(tmp_path):
    """The volume of a descending DICOM series."""
    from made_dicom import write_slice

    values = np.random.default_rng(0).integers(0, 3000, (6, 20, 24), dtype=np.uint16)
    for k in range(6):
        place = (-31.7, 13.25, 40 - 2.5 * k)
        write_slice(tmp_path / "series" / f"{k}.dcm", values[k], place, FrameOfReferenceUID="1.2.9")
    return read_volume(tmp_path / "series")


@pytest.fixture
def nodes(slicer_app, series, tmp_path):
    """Its volume node, and a segmentation with two segments that overlap and an empty one."""
    from SPASegmentLib.viewer.volumes import add_segmentation_node, add_volume_node

    volume = add_volume_node(slicer_app.scene, series)
    segmentation = add_segmentation_node(slicer_app.scene, volume)
    write_segments(
        tmp_path / "two.seg.nrrd", [*drawn(series), Segment("none", np.zeros(series.shape, bool))], series
    )
    read_slicer_segmentation(segmentation, tmp_path / "two.seg.nrrd")
    return volume, segmentation


def drawn(series) -> list[Segment]:
    random = np.random.default_rng(1)
    masks = random.random((2, *series.shape)) > 0.7
    masks[0, 4:] = masks[1, :2] = False
    return [
        Segment("Knoten", masks[0], STRUCTURES["lung-nodule"]),
        Segment("Rim", masks[1], colour=(0, 0.4, 0.8)),
    ]


def test_the_segments_lie_on_the_frames_voxel_for_voxel(nodes, series, tmp_path):
    volume, segmentation = nodes
    from SPASegmentLib.imaging.segments import ALGORITHM_TAG, algorithm_entry

    first = segmentation.GetSegmentation().GetNthSegment(0)
    first.SetTag(ALGORITHM_TAG, algorithm_entry("general", "ab" * 32))
    (tmp_path / "own").mkdir()
    write = dicom_writer(segmentation, volume, lambda _: series.frames, tmp_path / "own")
    write(tmp_path / "a.dcm")
    found = read_dicom_seg(tmp_path / "a.dcm", series)
    assert [one.name for one in found] == ["Knoten", "Rim"], "the empty one is left out"
    for one, other in zip(drawn(series), found, strict=True):
        np.testing.assert_array_equal(other.mask, one.mask)
        np.testing.assert_allclose(other.colour, one.colour, atol=0.01)
        assert other.structure == one.structure
    assert found[0].algorithm == own_algorithm("general", "ab" * 32)
    assert found[1].algorithm == UNKNOWN, "nobody knows what drew it"


def test_what_a_segment_is_is_chosen_by_its_name(nodes):
    _, segmentation = nodes
    assert structure_of(segmentation, "Knoten") == STRUCTURES["lung-nodule"]
    assert structure_of(segmentation, "Rim") == TISSUE
    set_structure(segmentation, "Rim", STRUCTURES["edema"])
    assert structure_of(segmentation, "Rim") == STRUCTURES["edema"]
    assert structure_of(segmentation, "Knoten") == STRUCTURES["lung-nodule"]
    assert structure_of(segmentation, "of no name") is None and structure_of(None, "Rim") is None
    with pytest.raises(InputError, match="no segment bone yet"):
        set_structure(segmentation, "bone", STRUCTURES["edema"])


def test_what_cannot_be_written_is_refused_in_a_sentence(slicer_app, nodes, series, tmp_path):
    from SPASegmentLib.viewer.volumes import add_segmentation_node, add_volume_node

    volume, segmentation = nodes
    with pytest.raises(InputError, match="lies on the images of its series"):
        dicom_writer(segmentation, volume, lambda _: (), tmp_path)(tmp_path / "a.dcm")
    empty = add_segmentation_node(slicer_app.scene, volume)
    with pytest.raises(InputError, match="Nothing is approved yet"):
        dicom_writer(empty, volume, lambda _: series.frames, tmp_path)
    shifted = series.ijk_to_ras.copy()
    shifted[:3, 3] += 0.4
    other = add_volume_node(slicer_app.scene, replace(series, ijk_to_ras=shifted))
    with pytest.raises(InputError, match="The segmentation lies on another voxel grid than the volume"):
        dicom_writer(segmentation, other, lambda _: series.frames, tmp_path)(tmp_path / "a.dcm")
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InputError, match="kept as contours or surfaces; make binary labelmaps its source"):
        dicom_writer(segmentation, volume, lambda _: series.frames, tmp_path)
    assert not (tmp_path / "a.dcm").exists()
