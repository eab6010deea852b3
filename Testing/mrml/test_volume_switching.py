"""Several volumes in one scene: each has a segmentation of its own, and gets what was shown on it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import Volume


def _chests(chest: Volume) -> dict[str, Volume]:
    """The same chest on four grids, all of one name."""
    coarse = chest.ijk_to_ras.copy()
    coarse[:3, :3] = coarse[:3, :3] @ np.diag([1.0, 2.0, 2.0])
    flipped = chest.ijk_to_ras.copy()
    flipped[:3, 3] += flipped[:3, 0] * (chest.shape[2] - 1)
    flipped[:3, 0] *= -1
    moved = chest.ijk_to_ras.copy()
    moved[:3, 3] += moved[:3, :3] @ (8.0, 11.0, 3.0)
    turned = moved.copy()
    turned[:3, 3] += (0.4, -0.3, 0.2)  # between the voxels of all others
    pixels = chest.array
    return {
        "whole": chest,
        "coarse": Volume(pixels[::2, ::2].copy(), coarse, modality="CT", name="chest"),
        "flipped": Volume(pixels[:, :, ::-1].copy(), flipped, modality="CT", name="chest"),
        "shifted": Volume(pixels[3:, 11:, 8:].copy(), turned, modality="CT", name="chest"),
    }


@pytest.mark.parametrize(
    ("first", "second"), list(permutations(["whole", "coarse", "flipped", "shifted"], 2))
)
def test_each_of_two_volumes_gets_voxel_for_voxel_what_was_shown_on_it(a_controller, first, second):
    """Approve on one, choose the other, approve; go back, approve the next slice; undo."""
    from slicer_volumes import add_volume_node

    bench, controller = a_controller, a_controller.controller
    controller.set_samples(8)
    volumes = {name: _chests(bench.chest)[name] for name in (first, second)}
    nodes = {name: add_volume_node(bench.scene, volume) for name, volume in volumes.items()}
    wanted = {name: np.zeros(volume.shape, bool) for name, volume in volumes.items()}

    def choose(name):
        bench.app.show_volume(nodes[name])
        controller.set_volume(nodes[name])

    def approve(name):
        work = bench.work
        assert work.proposal is not None, bench.controller.screen.status
        bench.chest = volumes[name]
        shown = bench.on_grid(work.proposal.recommendation, work.view)
        controller.approve()
        assert bench.settle().tone == "done"
        wanted[name] |= shown

    choose(first)
    bench.click()
    approve(first)
    choose(second)
    bench.click()
    approve(second)
    _hold(bench, nodes, volumes, wanted)
    choose(first)
    bench.large.JumpSliceByOffsetting(*bench.nodules[0])
    bench.settle()
    before = wanted[first].copy()
    controller.next_slice()
    bench.settle()
    approve(first)
    _hold(bench, nodes, volumes, wanted)
    controller.undo()
    bench.settle()
    wanted[first] = before
    _hold(bench, nodes, volumes, wanted)


def _hold(bench, nodes, volumes, wanted) -> None:
    from slicer_volumes import voxels_of

    from SPASegmentLib.mrml.segments import segmentation_of

    own = {name: segmentation_of(node) for name, node in nodes.items()}
    assert len({node.GetID() for node in own.values()}) == len(own)
    for name, node in own.items():
        segments = node.GetSegmentation()
        assert segments.GetNumberOfSegments() == 1
        found = voxels_of(node, segments.GetNthSegmentID(0), volumes[name])
        np.testing.assert_array_equal(found, wanted[name], err_msg=name)


@pytest.fixture
def two_chests(a_controller):
    """The bench's own volume and one of the same name on a coarser grid, with something approved on each."""
    from slicer_volumes import add_volume_node

    other = add_volume_node(a_controller.scene, _chests(a_controller.chest)["coarse"])
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    first, segmentation = a_controller.volume, a_controller.controller.segmentation
    a_controller.controller.set_volume(other)
    a_controller.app.show_volume(other)
    return a_controller, first, segmentation, other


def test_a_step_on_one_volume_is_not_undone_while_another_is_on_the_screen(two_chests):
    bench, first, segmentation, _other = two_chests
    controller = bench.controller
    assert "undo" not in controller.screen.enabled
    controller.undo()
    bench.settle()
    held = segmentation.GetSegmentation()
    assert controller.screen.status == "There is nothing to undo."
    from slicer_volumes import voxels_of

    assert voxels_of(segmentation, held.GetNthSegmentID(0), bench.chest).any()
    controller.set_volume(first)
    assert "undo" in controller.screen.enabled
    controller.undo()
    bench.settle()
    assert not voxels_of(segmentation, held.GetNthSegmentID(0), bench.chest).any()


def test_a_deleted_volumes_segmentation_is_not_the_next_volumes(two_chests):
    bench, first, segmentation, other = two_chests
    bench.controller.set_volume(first)
    bench.scene.RemoveNode(first)
    bench.controller.set_volume(other)
    assert bench.controller.segmentation is None
    bench.click()
    bench.controller.approve()
    bench.settle()
    assert bench.controller.segmentation not in (None, segmentation)


def test_a_segmentation_of_another_grid_is_taken_when_the_user_chooses_it_and_the_screen_says_so(two_chests):
    bench, first, segmentation, other = two_chests
    bench.controller.set_segmentation(segmentation)
    assert any("rounded" in sentence for sentence in bench.controller.screen.warnings)
    bench.controller.set_volume(first)
    assert bench.controller.screen.warnings == ()
    bench.controller.set_volume(other)
    assert bench.controller.segmentation is segmentation, "what was chosen for a volume stays chosen"


def test_a_saved_scene_knows_each_volumes_segmentation(two_chests):
    from SPASegmentLib.mrml.segments import segmentation_of

    bench, first, segmentation, other = two_chests
    bench.click()
    bench.controller.approve()
    bench.settle()
    chosen = bench.controller.segmentation
    names = [segmentation.GetName(), chosen.GetName()]
    assert names[0] != names[1], "two volumes of one name have segmentations of two names"
    ids = [first.GetID(), other.GetID()]
    scene = bench.scene
    scene.SetSaveToXMLString(1)
    scene.Commit()
    scene.SetSaveToXMLString(0)
    scene.Clear(False)
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(scene.GetSceneXMLString())
    scene.Import()
    scene.SetLoadFromXMLString(0)
    assert [segmentation_of(scene.GetNodeByID(node_id)).GetName() for node_id in ids] == names
