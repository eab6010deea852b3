"""Slicer's own reader opens a written segmentation: one named segment, voxel for voxel, in place."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.masks import write_mask

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")


@pytest.fixture
def load(capfd):
    """Load a .seg.nrrd into a fresh scene; Slicer prints its errors, so none may be printed."""
    scenes = []

    def read(path):
        scene = slicer.vtkMRMLScene()
        scenes.append(scene)
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        scene.AddNode(storage)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        assert storage.ReadData(node) == 1
        printed = capfd.readouterr()
        assert "ERR" not in printed.out + printed.err
        return node

    return read


def voxels_of(node, segment_id, shape):
    """(K, J, I) bool of a segment and the matrix of its grid."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    assert node.GetBinaryLabelmapRepresentation(segment_id, image)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    full = np.zeros(shape, dtype=bool)
    if i1 >= i0 and j1 >= j0 and k1 >= k0:
        values = vtk_to_numpy(image.GetPointData().GetScalars())
        full[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = (
            values.reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1) > 0
        )
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return full, np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def test_slicer_opens_one_named_segment_with_every_voxel_in_place(a_volume, load, tmp_path):
    mask = np.random.default_rng(5).random(a_volume.shape) > 0.6
    mask[:2] = mask[-1:] = False
    write_mask(
        tmp_path / "a.seg.nrrd", mask, a_volume, segment_name="Knoten, größer \\ 2", colour=(1, 0.5, 0)
    )
    node = load(tmp_path / "a.seg.nrrd")
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 1
    segment_id = segmentation.GetNthSegmentID(0)
    segment = segmentation.GetSegment(segment_id)
    assert segment.GetName() == "Knoten, größer \\ 2"
    assert segment.GetColor() == pytest.approx((1, 0.5, 0))
    voxels, matrix = voxels_of(node, segment_id, a_volume.shape)
    np.testing.assert_array_equal(voxels, mask)
    np.testing.assert_allclose(matrix, a_volume.ijk_to_ras, atol=1e-9)


def test_slicer_goes_on_editing_on_the_whole_grid(a_volume, load, tmp_path):
    mask = np.zeros(a_volume.shape, dtype=bool)
    mask[3, 4, 5] = True
    write_mask(tmp_path / "a.seg.nrrd", mask, a_volume)
    stated = (
        load(tmp_path / "a.seg.nrrd").GetSegmentation().GetConversionParameter("Reference image geometry")
    )
    numbers = [float(word) for word in stated.strip(";").split(";")]
    np.testing.assert_allclose(np.reshape(numbers[:16], (4, 4)), a_volume.ijk_to_ras, atol=1e-12)
    k, j, i = a_volume.shape
    assert numbers[16:] == [0, i - 1, 0, j - 1, 0, k - 1]


def test_slicer_opens_an_empty_segment(make_volume, load, tmp_path):
    volume = make_volume()
    write_mask(tmp_path / "a.seg.nrrd", np.zeros(volume.shape, bool), volume, segment_name="nothing")
    segmentation = load(tmp_path / "a.seg.nrrd").GetSegmentation()
    assert segmentation.GetNthSegment(0).GetName() == "nothing"
