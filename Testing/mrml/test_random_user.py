"""Random users: thousands of actions in no order, with nodes deleted and scenes closed under them."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter

import numpy as np
import pytest

logger = logging.getLogger(__name__)

ACTIONS = 5_000


class RandomActions:
    """Does random things, and knows what must be in the segments."""

    def __init__(self, bench, seed: int) -> None:
        self.bench, self.random = bench, random.Random(seed)
        self.did: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.approvals = self.checked = 0
        self.coarse = None
        self.reset()

    def reset(self) -> None:
        self.bench.controller.set_samples(8)

    def step(self) -> None:
        """One action; most of them sensible, many not."""
        name, weight = zip(*((name, weight) for name, weight in self.menu.items()), strict=True)
        (chosen,) = self.random.choices(name, weight)
        self.did[chosen] += 1
        getattr(self, chosen)()
        self.take_in()

    def take_in(self) -> None:
        """Sometimes the event loop comes round, sometimes it takes a while, sometimes it waits."""
        pause = self.random.random()
        if pause < 0.06:
            assert self.bench.controller.wait(60)
        elif pause < 0.8:
            while not self.bench.posted.empty():
                self.bench.posted.get()()
        screen = self.bench.controller.screen
        assert screen.status.strip() and "\n" not in screen.status and screen.status.endswith((".", ")"))
        assert "Something went wrong" not in screen.status and "failed (" not in screen.status
        self.approvals += screen.tone == "done" and screen.status.startswith(("Approved", "Taken"))
        self.said[screen.status.split(";")[0][:60]] += 1

    menu = {  # noqa: RUF012
        "click": 9,
        "click_nowhere": 4,
        "key": 25,
        "sensible": 40,
        "nonsense": 5,
        "scroll": 8,
        "turn": 1,
        "choose_segment": 3,
        "choose_profile": 2,
        "settings": 3,
        "save_and_restore": 1,
        "delete_volume": 0.15,
        "delete_segmentation": 0.2,
        "delete_segment": 0.4,
        "delete_view": 0.2,
        "edit_volume": 0.15,
        "close_scene": 0.1,
        "another_volume": 0.6,
        "switch_volume": 0.8,
        "reopen": 0.2,
    }

    def click(self) -> None:
        place = self.bench.nodules[0]
        ras = tuple(np.add(place, [self.random.gauss(0, 2) for _ in range(3)]))
        self.bench.controller.act("seed", ras)

    def click_nowhere(self) -> None:
        wrong = [(1e4, 0, 0), (float("nan"), 0, 0), (0, 0), "abc", None, (0.0, 0.0, -120.0), 7]
        ras = self.random.choice(wrong)
        self.bench.controller.seed(ras, positive=self.random.random() < 0.5)

    def key(self) -> None:
        keys = ["pick:0", "pick:1", "pick:3", "take:0", "take:2", "none_of_these", "approve", "approve"]
        keys += ["undo", "undo", "redo", "next_slice", "next_slice", "previous_slice", "cancel"]
        self.bench.controller.act(self.random.choice(keys))

    def sensible(self) -> None:
        """One of the actions that the screen offers."""
        offered = sorted(self.bench.controller.screen.enabled - {"seed", "cancel", "whole_object"})
        self.bench.controller.act(self.random.choice(offered or ["undo"]))

    def nonsense(self) -> None:
        controller = self.bench.controller
        self.random.choice(
            [
                lambda: controller.act("dance"),
                lambda: controller.act("pick:9"),
                lambda: controller.act("pick:x"),
                lambda: controller.act("pick"),
                lambda: controller.act("approve", 1, 2, 3),
                lambda: controller.act("next_slice", 0),
                lambda: controller.act("next_slice", 10**6),
                lambda: controller.act("next_slice", "far"),
                lambda: controller.pick(None),
                lambda: controller.take(-1),
                lambda: controller.set_volume("volume"),
                lambda: controller.set_volume(self.bench.large),
                lambda: controller.set_segmentation(self.bench.volume),
                lambda: controller.set_views(None, None),
                lambda: controller.set_views(self.bench.volume),
                lambda: controller.set_window((5, 1)),
                lambda: controller.set_window("wide"),
                lambda: controller.set_samples(-3),
                lambda: controller.set_profile("nobody"),
                lambda: controller.set_profile("../../etc"),
                lambda: controller.from_state("{}"),
                lambda: controller.from_state("nonsense"),
                lambda: controller.export_profile("/nowhere/at/all.json"),
                lambda: controller.compare_profiles("nobody"),
            ]
        )()
        controller.set_views(self.bench.large, self.bench.small)

    def scroll(self) -> None:
        node = self.bench.large
        if node.GetScene() is not None:
            node.SetSliceOffset(node.GetSliceOffset() + self.random.choice([-3, -1.5, 1.5, 3, 10]))

    def turn(self) -> None:
        if self.bench.large.GetScene() is not None:
            self.bench.look(self.random.choice(["axial", "axial", "sagittal", "coronal", "oblique"]))

    def choose_segment(self) -> None:
        self.bench.controller.set_segment(self.random.choice(["nodule", "other", None, "nodule"]))

    def choose_profile(self) -> None:
        controller = self.bench.controller
        self.random.choice(
            [
                lambda: controller.set_profile("Dr. A"),
                lambda: controller.set_profile(None),
                lambda: controller.new_profile("Dr. A"),
                lambda: controller.save_profile_as("Dr. B"),
                lambda: controller.summarise_profile(),
                lambda: controller.refresh_profiles(),
            ]
        )()

    def settings(self) -> None:
        controller = self.bench.controller
        self.random.choice(
            [
                lambda: controller.set_learn(self.random.random() < 0.5),
                lambda: controller.set_window(self.random.choice([None, (-1000.0, 400.0)])),
                lambda: controller.set_samples(self.random.choice([8, 12])),
            ]
        )()

    def save_and_restore(self) -> None:
        self.bench.controller.from_state(self.bench.controller.to_state())

    def reopen(self) -> None:
        state = self.bench.controller.to_state()
        self.bench.controller.close()
        self.bench.controller = self.bench.open()
        self.reset()
        self.bench.controller.from_state(state)

    def delete_volume(self) -> None:
        self.bench.scene.RemoveNode(self.bench.volume)
        if self.random.random() < 0.5:
            self.key()
        self.bench.add_volume()

    def another_volume(self) -> None:
        if self.random.random() < 0.3:
            self.bench.controller.set_volume(None)
            self.key()
        self.bench.controller.set_volume(self.bench.volume)

    def switch_volume(self) -> None:
        """To one of the same name on a coarser grid, and back."""
        from slicer_volumes import add_volume_node

        from SPASegmentLib.imaging.types import Volume

        if self.coarse is None or self.coarse.GetScene() is None:
            chest, matrix = self.bench.chest, self.bench.chest.ijk_to_ras.copy()
            matrix[:3, :3] = matrix[:3, :3] @ np.diag([1.0, 2.0, 1.0])
            volume = Volume(chest.array[:, ::2].copy(), matrix, modality="CT", name=chest.name)
            self.coarse = add_volume_node(self.bench.scene, volume)
        self.bench.controller.set_volume(self.random.choice([self.coarse, self.bench.volume]))

    def delete_segmentation(self) -> None:
        for node in self.segmentations():
            self.bench.scene.RemoveNode(node)

    def delete_segment(self) -> None:
        for node in self.segmentations():
            ids = node.GetSegmentation().GetSegmentIDs()
            if ids:
                node.GetSegmentation().RemoveSegment(self.random.choice(ids))

    def delete_view(self) -> None:
        self.bench.controller.set_views(None, [])
        self.key()
        self.bench.controller.set_views(self.bench.large, self.bench.small)

    def edit_volume(self) -> None:
        self.bench.volume.GetImageData().GetPointData().GetScalars().Modified()
        self.bench.volume.GetImageData().Modified()
        self.bench.volume.InvokeEvent(self.bench.volume.ImageDataModifiedEvent)

    def close_scene(self) -> None:
        self.bench.scene.Clear(False)
        self.key()
        self.bench.add_volume()

    def segmentations(self) -> list:
        found = self.bench.scene.GetNodesByClass("vtkMRMLSegmentationNode")
        found.UnRegister(None)
        nodes = [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]
        return [node for node in nodes if not node.GetHideFromEditors()]

    def check(self) -> None:
        """Every approved mask that was not undone is in its segment, save where a later slice crosses it."""
        from slicer_volumes import voxels_of

        from SPASegmentLib.imaging.geometry import paste_mask

        assert self.bench.controller.wait(60)
        works = [w for w in self.bench.controller._work.trail if w.finished and w.target and not w.stale]
        for number, work in enumerate(works):
            if any(
                one.goes_on and one.key == work.key
                for one in works[number + 1 :]
                if one.target == work.target
            ):
                continue  # another mask took its place
            node = self.bench.scene.GetNodeByID(work.target[0])
            if node is None or node.GetSegmentation().GetSegment(work.target[1]) is None:
                continue  # the user deleted it
            if any(other.key != work.key and crosses(other, work) for other in works):
                continue
            view = work.view
            held = voxels_of(node, work.target[1], view.volume)  # fails on any other grid
            mask = paste_mask(view.in_plane_order(work.approved()), view.voxel_plane, view.volume)
            missing = int((mask & ~held).sum())
            assert missing == 0, f"{missing} voxels lost: {work.key} of {[w.key for w in works]}"
            self.checked += 1


def crosses(one, other) -> bool:
    """Whether two slices share voxels: they meet, or are oblique and less than a step apart."""
    normals = [np.cross(w.view.pixel_to_world[:3, 0], w.view.pixel_to_world[:3, 1]) for w in (one, other)]
    normals = [normal / np.linalg.norm(normal) for normal in normals]
    if abs(normals[0] @ normals[1]) < 0.999:
        return True
    apart = abs(normals[0] @ (one.view.pixel_to_world[:3, 3] - other.view.pixel_to_world[:3, 3]))
    return one.view.plane.index is None and apart < 1.01 * one.view.step_mm


@pytest.mark.long
@pytest.mark.parametrize("seed", [0])
def test_five_thousand_random_actions_raise_nothing_and_lose_nothing(a_small_controller, caplog, seed):
    random_user = RandomActions(a_small_controller, seed)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for n in range(ACTIONS):
            random_user.step()
            if n % 20 == 0:
                random_user.check()
    random_user.check()
    assert a_small_controller.controller.wait(60)
    seconds = time.monotonic() - began
    logger.info("%.0f s: %s %s", seconds, random_user.did, random_user.said)
    # How many proposals are waited for, and how many slices stay apart from others, depends on timing.
    assert random_user.approvals > ACTIONS / 500 and random_user.checked > 0
    assert random_user.did.keys() == RandomActions.menu.keys()
    assert len(random_user.said) > 20
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
