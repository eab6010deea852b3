"""What a thousand clicks cost on 512 x 512 x 200: memory, and the time from a click to its overlays."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_proposals import made_up_proposal  # noqa: E402
from slicer_volumes import add_volume_node, matrix_of, voxels_of  # noqa: E402

from SPASegmentLib.imaging.types import Volume  # noqa: E402
from SPASegmentLib.mrml.layout import SMALL  # noqa: E402
from SPASegmentLib.mrml.overlays import ProposalOverlays  # noqa: E402
from SPASegmentLib.mrml.segments import SegmentWriter, ensure_segment, ensure_segmentation  # noqa: E402
from SPASegmentLib.mrml.slicing import cut_view  # noqa: E402
from SPASegmentLib.mrml.thumbnails import thumbnails  # noqa: E402

pytestmark = pytest.mark.alone

SHAPE = (200, 512, 512)
ORIENTATIONS = ("Axial", "Sagittal", "Coronal")


def resident_mb() -> float:
    """Memory of this process that lies in the machine's."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20


@pytest.fixture
def large_volume(slicer_app):
    """A CT's size and kind, tilted by 12 degrees."""
    ramp = np.add.outer(np.arange(512, dtype=np.int16), np.arange(512, dtype=np.int16))
    array = np.repeat(ramp[None] - 1000, 200, axis=0)
    array[:, ::7] += 90
    return add_volume_node(slicer_app.scene, Volume(array, matrix_of((0.7, 0.7, 2.0)), modality="CT"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.long
def test_a_thousand_clicks_take_no_memory_and_little_time(slicer_app, large_volume):
    views = {}
    for name in ORIENTATIONS:
        views[name] = slicer_app.add_slice_view(name, name)
    small = [slicer_app.add_slice_view(tag).GetID() for tag in SMALL]
    slicer_app.show_volume(large_volume)
    logic = slicer_app.applicationLogic().GetSliceLogic
    for node in views.values():
        logic(node).RotateSliceToLowestVolumeAxes(True)
    segmentation = ensure_segmentation(slicer_app.scene, large_volume, "findings")
    other = ensure_segment(segmentation, "other")
    block = np.zeros(SHAPE, np.uint8)
    block[90:110, 200:300, 200:300] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(block, segmentation, other, large_volume)
    before = voxels_of(segmentation, other, Volume(block, matrix_of((0.7, 0.7, 2.0))))
    segment = ensure_segment(segmentation, "nodule")
    overlays = ProposalOverlays(slicer_app.scene)
    random = np.random.default_rng(0)
    matrix = matrix_of((0.7, 0.7, 2.0))
    answers = {}
    for click in range(12):
        node = views[ORIENTATIONS[click % 3]]
        ras = matrix[:3] @ (*random.uniform(150, 250, 2), random.uniform(80, 120), 1.0)
        cut = cut_view(large_volume, node, at_ras=ras)
        at, spacing = cut.to_pixel(ras), cut.image.spacing
        answers[click] = node, ras, made_up_proposal(cut.shape, at, random.uniform(5, 25), spacing)
    seconds, start = [], 0.0
    for click in range(1050):
        if click == 50:  # by then every pool and cache has its size
            start = resident_mb()
        node, ras, proposal = answers[int(random.integers(12))]
        began = time.process_time()  # a busy machine must not count
        cut = cut_view(large_volume, node, at_ras=ras, model_window=(-1350.0, 150.0))
        overlays.show(cut, proposal, large=[node.GetID()], small=small)
        seconds.append(time.process_time() - began)
        change = SegmentWriter(segmentation, segment, large_volume).write(proposal.recommendation, cut)
        if click % 4:
            change.undo()
        if click % 50 == 0:
            thumbnails(cut.image, proposal)
    grown = resident_mb() - start
    median = float(np.median(seconds))
    print(f"median {1000 * median:.1f} ms, worst {1000 * max(seconds):.0f} ms, grew by {grown:.1f} MB")
    assert grown < 50
    assert median < 0.060
    np.testing.assert_array_equal(voxels_of(segmentation, other, Volume(block, matrix)), before)


@pytest.mark.slow
def test_a_write_and_its_undo_are_quick(slicer_app, large_volume):
    node = slicer_app.add_slice_view("Red", "Axial")
    slicer_app.show_volume(large_volume)
    slicer_app.applicationLogic().GetSliceLogic(node).RotateSliceToLowestVolumeAxes(True)
    segmentation = ensure_segmentation(slicer_app.scene, large_volume, "findings")
    segment = ensure_segment(segmentation, "liver")
    writer = SegmentWriter(segmentation, segment, large_volume)
    cut = cut_view(large_volume, node).moved(-40)
    rows, cols = np.indices(cut.shape)
    seconds = []
    for n in range(80):  # an organ grows slice by slice
        mask = np.hypot(rows - 256 - n, cols - 250) < 90
        began = time.process_time()
        change = writer.write(mask, cut)
        seconds.append(time.process_time() - began)
        assert change.nbytes < 20_000
        cut = cut.moved(1)
    began = time.process_time()
    change.undo()
    undone = time.process_time() - began
    print(f"write: median {1000 * np.median(seconds):.1f} ms; undo {1000 * undone:.1f} ms")
    assert np.median(seconds) < 0.060 and undone < 0.100
