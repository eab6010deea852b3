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


class Masher:
    """Does random things, and knows what must be in the segments."""

    def __init__(self, bench, seed: int) -> None:
        self.bench, self.random = bench, random.Random(seed)
        self.did: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.approvals = self.checked = 0
        self.reset()

    def reset(self) -> None:
        self.bench.workbench.set_samples(8)

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
            assert self.bench.workbench.wait(60)
        elif pause < 0.8:
            while not self.bench.posted.empty():
                self.bench.posted.get()()
        screen = self.bench.workbench.screen
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
        "reopen": 0.2,
    }

    def click(self) -> None:
        place = self.bench.nodules[0]
        ras = tuple(np.add(place, [self.random.gauss(0, 2) for _ in range(3)]))
        self.bench.workbench.act("seed", ras)

    def click_nowhere(self) -> None:
        wrong = [(1e4, 0, 0), (float("nan"), 0, 0), (0, 0), "abc", None, (0.0, 0.0, -120.0), 7]
        ras = self.random.choice(wrong)
        self.bench.workbench.seed(ras, positive=self.random.random() < 0.5)

    def key(self) -> None:
        keys = ["pick:0", "pick:1", "pick:3", "take:0", "take:2", "none_of_these", "approve", "approve"]
        keys += ["undo", "undo", "redo", "next_slice", "next_slice", "previous_slice", "cancel"]
        self.bench.workbench.act(self.random.choice(keys))

    def sensible(self) -> None:
        """One of the actions that the screen offers."""
        offered = sorted(self.bench.workbench.screen.enabled - {"seed", "cancel"})
        self.bench.workbench.act(self.random.choice(offered or ["undo"]))

    def nonsense(self) -> None:
        workbench = self.bench.workbench
        self.random.choice(
            [
                lambda: workbench.act("dance"),
                lambda: workbench.act("pick:9"),
                lambda: workbench.act("pick:x"),
                lambda: workbench.act("pick"),
                lambda: workbench.act("approve", 1, 2, 3),
                lambda: workbench.act("next_slice", 0),
                lambda: workbench.act("next_slice", 10**6),
                lambda: workbench.act("next_slice", "far"),
                lambda: workbench.pick(None),
                lambda: workbench.take(-1),
                lambda: workbench.set_volume("volume"),
                lambda: workbench.set_volume(self.bench.large),
                lambda: workbench.set_segmentation(self.bench.volume),
                lambda: workbench.set_views(None, None),
                lambda: workbench.set_views(self.bench.volume),
                lambda: workbench.set_window((5, 1)),
                lambda: workbench.set_window("wide"),
                lambda: workbench.set_samples(-3),
                lambda: workbench.set_profile("nobody"),
                lambda: workbench.set_profile("../../etc"),
                lambda: workbench.from_state("{}"),
                lambda: workbench.from_state("nonsense"),
                lambda: workbench.export_profile("/nowhere/at/all.json"),
                lambda: workbench.compare_profiles("nobody"),
            ]
        )()
        workbench.set_views(self.bench.large, self.bench.small)

    def scroll(self) -> None:
        node = self.bench.large
        if node.GetScene() is not None:
            node.SetSliceOffset(node.GetSliceOffset() + self.random.choice([-3, -1.5, 1.5, 3, 10]))

    def turn(self) -> None:
        if self.bench.large.GetScene() is not None:
            self.bench.look(self.random.choice(["axial", "axial", "sagittal", "coronal", "oblique"]))

    def choose_segment(self) -> None:
        self.bench.workbench.set_segment(self.random.choice(["nodule", "other", None, "nodule"]))

    def choose_profile(self) -> None:
        workbench = self.bench.workbench
        self.random.choice(
            [
                lambda: workbench.set_profile("Dr. A"),
                lambda: workbench.set_profile(None),
                lambda: workbench.new_profile("Dr. A"),
                lambda: workbench.save_profile_as("Dr. B"),
                lambda: workbench.summarise_profile(),
                lambda: workbench.refresh_profiles(),
            ]
        )()

    def settings(self) -> None:
        workbench = self.bench.workbench
        self.random.choice(
            [
                lambda: workbench.set_learn(self.random.random() < 0.5),
                lambda: workbench.set_window(self.random.choice([None, (-1000.0, 400.0)])),
                lambda: workbench.set_samples(self.random.choice([8, 12])),
            ]
        )()

    def save_and_restore(self) -> None:
        self.bench.workbench.from_state(self.bench.workbench.to_state())

    def reopen(self) -> None:
        state = self.bench.workbench.to_state()
        self.bench.workbench.close()
        self.bench.workbench = self.bench.open()
        self.reset()
        self.bench.workbench.from_state(state)

    def delete_volume(self) -> None:
        self.bench.scene.RemoveNode(self.bench.volume)
        if self.random.random() < 0.5:
            self.key()
        self.bench.add_volume()

    def another_volume(self) -> None:
        if self.random.random() < 0.3:
            self.bench.workbench.set_volume(None)
            self.key()
        self.bench.workbench.set_volume(self.bench.volume)

    def delete_segmentation(self) -> None:
        for node in self.segmentations():
            self.bench.scene.RemoveNode(node)

    def delete_segment(self) -> None:
        for node in self.segmentations():
            ids = node.GetSegmentation().GetSegmentIDs()
            if ids:
                node.GetSegmentation().RemoveSegment(self.random.choice(ids))

    def delete_view(self) -> None:
        self.bench.workbench.set_views(None, [])
        self.key()
        self.bench.workbench.set_views(self.bench.large, self.bench.small)

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

        assert self.bench.workbench.wait(60)
        works = [w for w in self.bench.workbench._work.trail if w.finished and w.target and not w.stale]
        for work in works:
            node = self.bench.scene.GetNodeByID(work.target[0])
            if node is None or node.GetSegmentation().GetSegment(work.target[1]) is None:
                continue  # the user deleted it
            if any(other.key != work.key and crosses(other, work) for other in works):
                continue
            held = voxels_of(node, work.target[1], self.bench.chest)
            missing = int((self.bench.on_grid(work.approved(), work.view) & ~held).sum())
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_five_thousand_random_actions_raise_nothing_and_lose_nothing(a_small_bench, caplog, seed):
    masher = Masher(a_small_bench, seed)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for n in range(ACTIONS):
            masher.step()
            if n % 20 == 0:
                masher.check()
    masher.check()
    assert a_small_bench.workbench.wait(60)
    seconds = time.monotonic() - began
    logger.info("%.0f s: %s %s", seconds, masher.did, masher.said)
    # How many proposals are waited for, and how many slices stay apart from others, depends on timing.
    assert masher.approvals > ACTIONS / 500 and masher.checked > 0
    assert masher.did.keys() == Masher.menu.keys()
    assert len(masher.said) > 20
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
