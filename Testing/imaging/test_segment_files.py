"""Segments written and read: names, colours, structures, layers where they overlap, labels of other files."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.masks import write_mask, write_segments
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.segments import Segment, own_algorithm, segment_index
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.imaging.types import Volume

GRID = np.array([[0, -0.7, 0, 3], [0.8, 0, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def volume() -> Volume:
    return Volume(np.zeros((4, 6, 8), np.int16), GRID)


def three_segments(volume: Volume) -> list[Segment]:
    """The first two overlap; the third lies apart."""
    masks = [np.zeros(volume.shape, dtype=bool) for _ in range(3)]
    masks[0][1:3, 2:4, 2:6] = masks[1][2, 3:5, 2:6] = masks[2][0, 0, 0] = True
    return [
        Segment("Knoten, größer", masks[0], STRUCTURES["lung-nodule"], (1.0, 0.5, 0.0)),
        Segment(
            "b", masks[1], STRUCTURES["edema"], (0.0, 0.5, 1.0), own_algorithm("general", "ab" * 32, "0.1")
        ),
        Segment("c", masks[2]),
    ]


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(other.mask, one.mask)
        assert (other.name, other.structure, other.colour) == (one.name, one.structure, one.colour)
        assert other.algorithm == one.algorithm


@pytest.mark.parametrize("which", [slice(None), slice(1, None)], ids=["in two layers", "in one"])
def test_segments_come_back_as_they_were(volume, tmp_path, which):
    segments = three_segments(volume)[which]
    write_segments(tmp_path / "a.seg.nrrd", segments, volume, {"SPASegment_Model": "tiny"})
    assert_same(segments, read_segments(tmp_path / "a.seg.nrrd", volume))
    layers = sitk.ReadImage(str(tmp_path / "a.seg.nrrd")).GetNumberOfComponentsPerPixel()
    assert layers == (2 if which == slice(None) else 1)


def test_slicer_reads_overlapping_segments_as_they_were(volume, tmp_path):
    slicer = pytest.importorskip(
        "slicer", reason="slicer-core is not installed (the extra `viewer` brings it)"
    )
    from vtk.util.numpy_support import vtk_to_numpy

    segments = three_segments(volume)
    write_segments(tmp_path / "a.seg.nrrd", segments, volume)
    scene = slicer.vtkMRMLScene()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "a.seg.nrrd"))
    scene.AddNode(storage)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(node) == 1
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    for number, one in enumerate(segments):
        segment_id = segmentation.GetNthSegmentID(number)
        assert segmentation.GetSegment(segment_id).GetName() == one.name
        image = slicer.vtkOrientedImageData()
        assert node.GetBinaryLabelmapRepresentation(segment_id, image)
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        found = np.zeros(volume.shape, bool)
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, -1)
        found[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = values > 0
        np.testing.assert_array_equal(found, one.mask)


def test_the_values_of_a_label_file_are_its_segments(volume, tmp_path):
    labels = np.zeros(volume.shape, np.int16)
    labels[1], labels[2, 0] = 7, 3
    image = sitk.GetImageFromArray(labels)
    write_mask(tmp_path / "like.nrrd", labels > 0, volume)
    image.CopyInformation(sitk.ReadImage(str(tmp_path / "like.nrrd")))
    for name in ("labels.nii.gz", "labels.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        three, seven = read_segments(tmp_path / name, volume)
        assert (three.name, seven.name) == ("3", "7")
        np.testing.assert_array_equal(seven.mask, labels == 7)


def test_a_cropped_file_lies_where_it_was_cropped(volume, tmp_path):
    mask = np.random.default_rng(0).random(volume.shape) > 0.5
    write_mask(tmp_path / "whole.nrrd", mask, volume)
    image = sitk.ReadImage(str(tmp_path / "whole.nrrd"))
    sitk.WriteImage(image[2:6, 1:4, 1:3], str(tmp_path / "part.nrrd"))
    [read] = read_segments(tmp_path / "part.nrrd", volume)
    expected = np.zeros_like(mask)
    expected[1:3, 1:4, 2:6] = mask[1:3, 1:4, 2:6]
    np.testing.assert_array_equal(read.mask, expected)


def test_what_is_no_segmentation_of_the_volume_is_refused_in_a_sentence(volume, tmp_path):
    mask = np.ones(volume.shape, bool)
    moved = Volume(volume.array, GRID + np.diag([0, 0, 0.3, 0]))
    write_mask(tmp_path / "moved.seg.nrrd", mask, moved)
    with pytest.raises(InputError, match="another voxel grid"):
        read_segments(tmp_path / "moved.seg.nrrd", volume)
    with pytest.raises(InputError, match="no file"):
        read_segments(tmp_path / "none.nrrd", volume)
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "image.nrrd"))
    with pytest.raises(InputError, match="no labelling"):
        read_segments(tmp_path / "image.nrrd", Volume(noise, np.diag([-1.0, -1.0, 1.0, 1.0])))
    with pytest.raises(InputError, match=r"choose \.seg\.nrrd"):
        write_segments(tmp_path / "many.nii.gz", three_segments(volume), volume)


def test_a_damaged_file_of_layers_is_refused_in_a_sentence(volume, tmp_path):
    write_segments(tmp_path / "a.seg.nrrd", three_segments(volume), volume)
    whole = (tmp_path / "a.seg.nrrd").read_bytes()
    (tmp_path / "a.seg.nrrd").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="damaged"):
        read_segments(tmp_path / "a.seg.nrrd", volume)
    (tmp_path / "b.seg.nrrd").write_bytes(whole.replace(b"Segment1_Layer:=1", b"Segment1_Layer:=5"))
    with pytest.raises(InputError, match="damaged"):
        read_segments(tmp_path / "b.seg.nrrd", volume)
    (tmp_path / "c.seg.nrrd").write_bytes(whole.replace(b"Segment1_LabelValue:=1", b"Segment1_LabelValue:=x"))
    with pytest.raises(InputError, match="damaged"):
        read_segments(tmp_path / "c.seg.nrrd", volume)


def test_a_segment_is_chosen_by_name_or_number(volume):
    segments = three_segments(volume)
    assert segment_index(segments, "b", "a file") == 1
    assert segment_index(segments, "3", "a file") == 2
    assert segment_index(segments[:1], None, "a file") == 0
    with pytest.raises(InputError, match="choose one by name or number: 1 = Knoten, größer, 2 = b, 3 = c"):
        segment_index(segments, None, "a file")
    for wrong in ("d", "0", "4"):
        with pytest.raises(InputError, match="no segment"):
            segment_index(segments, wrong, "a file")
