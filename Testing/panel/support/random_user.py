"""A user who presses anything in any order, valid or not, while nodes are deleted and scenes closed.

Everything goes through the panel's widgets, on the stand-in and, unchanged, in the application. A `Oracle`
watches over every voxel after every action.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import scenarios
import slicer
from oracle import Oracle

UNEXPLAINED = {"whole_object", "continue_segment"}
"""Write slices that were never shown, or put a mask in the place of an approved one: no oracle knows."""
FEW_SAMPLES = 8
"""N of most proposals: enough for four candidates, and quick."""
SETTLED = {"approve": 0.5, "undo": 0.6, "redo": 0.6}
"""How often the user waits for what is computed before such an action."""
PATIENCE = 0.15
"""How often the user waits after any other action."""
MENU = {
    **{
        "seed": 14,
        "exclude": 2,
        "offered": 34,
        "approve": 8,
        "take": 4,
        "undo": 7,
        "redo": 5,
        "any_button": 8,
    },
    **{"any_key": 6, "nonsense": 3, "scroll": 6, "turn": 3, "choose_segment": 2, "new_segment": 0.6},
    **{"paint": 2, "profile": 1.5, "exchange": 1, "learn": 1, "samples": 1, "window": 1, "layout": 0.6},
    **{"leave_and_come_back": 0.4, "new_volume": 2, "some_volume": 3, "delete_volume": 0.3},
    **{"delete_segment": 0.6, "delete_segmentation": 0.3, "close_scene": 0.12},
}
"""Action -> how often it is done."""
WRITING = {"approveButton": "approve", "cardPicture0": "approve", "undoButton": "undo", "redoButton": "redo"}


class RandomUser:
    """Does what comes to mind."""

    def __init__(self, user, folder: Path, seed: int) -> None:
        self.user, self.folder = user, folder
        self.random = random.Random(seed)
        self.oracle = Oracle(user)
        self.did: Counter[str] = Counter()
        self._places: list[tuple[object, tuple]] = []
        self._waiting = ""
        user.ui.samplesSpin.value = FEW_SAMPLES
        user.panel.advanced.on_samples()
        user.panel.advanced.on_model(user.ui.modelSelector.findText("compact"))  # four times as quick a click
        self.new_volume()

    def run(self, actions: int) -> None:
        """Raises AssertionError with the name of the action after which something was wrong."""
        for n in range(actions):
            (name,) = self.random.choices(list(MENU), list(MENU.values()))
            self.did[name] += 1
            try:
                getattr(self, name)()
                self._look_after()
            except AssertionError as error:
                raise AssertionError(f"action {n}, {name}: {error}") from error
        self._settle()

    # What is checked

    def _press(self, button: str) -> None:
        """A button, by its name; what it does to the segments is checked before anything else happens."""
        kind = WRITING.get(button, "approve" if button.startswith("takeButton") else "")
        self._do(lambda: getattr(self.user.ui, button).click(), kind, button)

    def _key(self, action: str) -> None:
        """What a key does."""
        kind = "approve" if action.startswith(("take", "approve")) else action
        self._do(lambda: self.user.panel.act(action), kind if kind in SETTLED else "", action)

    def _do(self, act, kind: str, name: str) -> None:
        waits = kind == "approve" and self.user.screen.busy  # else of a proposal that is not drawn yet
        if kind and (self._waiting or waits or self.random.random() < SETTLED[kind]):
            self._settle()
        digits = (
            name[-1] if name.startswith("takeButton") else str(int(name[-1]) + 1) if "take:" in name else ""
        )
        drawn = self.oracle.drawn(int(digits) - 1 if digits else None) if kind == "approve" else None
        act()
        self.oracle.check(kind, drawn, just=True, went_on=name == "approve_next")
        self._waiting = kind if kind in ("undo", "redo") else self._waiting

    def _edit(self, act, kind: str) -> None:
        """Something that changes segments by itself."""
        self._settle()
        act()
        self.oracle.check(kind)

    def _look_after(self) -> None:
        """The event loop comes round, once or until nothing is computed any more."""
        slicer.app.processEvents()
        self.oracle.check(self._waiting)
        if self.random.random() < PATIENCE:
            self._settle()
        status = self.user.status
        assert status, "the status line is empty"
        assert "Something went wrong" not in status and "failed (" not in status, status

    def _settle(self) -> None:
        self.user.wait()
        self.oracle.check(self._waiting)
        self._waiting = ""
        self.oracle.check()

    # What is done

    def seed(self) -> None:
        self.user.click("seedButton")
        if self.user.panel.views.placing is None:
            return
        spread = self.random.choice([1.5, 1.5, 4.0, 4.0, 10.0, 500.0])
        at = next((ras for node, ras in self._places if node is self._volume), (0.0, 0.0, 0.0))
        self.user.click_in_view(tuple(value + self.random.uniform(-spread, spread) for value in at))

    def exclude(self) -> None:
        self.user.click("excludeButton")
        if self.user.panel.views.placing is False:
            self.user.click_in_view(tuple(self.random.uniform(-60, 60) for _axis in range(3)))

    def offered(self) -> None:
        """One of the actions that make sense now."""
        offered = sorted(self.user.screen.enabled - {"seed", "cancel", *UNEXPLAINED})
        self._key(self.random.choice(offered or ["undo"]))

    def approve(self) -> None:
        self._press(self.random.choice(["approveButton", "approveButton", "cardPicture0"]))

    def take(self) -> None:
        self._press(f"takeButton{self.random.randint(1, 4)}")

    def undo(self) -> None:
        self._press("undoButton")

    def redo(self) -> None:
        self._press("redoButton")

    def any_button(self) -> None:
        picks = [f"cardPicture{k}" for k in range(1, 5)]
        others = [
            "noneButton",
            "keepButton",
            "cancelButton",
            "nextSliceButton",
            "nextSliceButton",
            "previousSliceButton",
        ]
        self._press(self.random.choice([*picks, *others]))

    def any_key(self) -> None:
        from SPASegmentLib.mrml.keys import KEYS

        keys = [key for key in KEYS if key not in UNEXPLAINED]
        self._key(self.random.choice([*keys, "place_seed", "exclude_point", "draw_box", "draw_scribble"]))

    def nonsense(self) -> None:
        self._key(self.random.choice(["pick:9", "take:7", "pick:x", "nonsense", "", "approve:2", "seed"]))

    def scroll(self) -> None:
        large, _small = self.user.panel.views.chosen()
        if large is not None:
            large.SetSliceOffset(large.GetSliceOffset() + self.random.choice([-6, -2, 0.5, 2, 6, 300]))
        self.user.panel.choose_views()

    def turn(self) -> None:
        at = [ras for node, ras in self._places if node is self._volume]
        if at:
            scenarios.look(self.user, self.random.choice(scenarios.PLANES), at[0])

    def choose_segment(self) -> None:
        node = self.user.ui.segmentationSelector.currentNode()
        if node is not None:
            self.user.ui.segmentSelector.setCurrentSegmentID(
                self.random.choice([*node.GetSegmentation().GetSegmentIDs(), "", "no such segment"])
            )

    def new_segment(self) -> None:
        self.user.click("newSegmentButton")

    def paint(self) -> None:
        """Another tool adds voxels to a segment, or takes some away."""
        if self.oracle.voxels and self._volume is not None:
            self._edit(self._paint, "edit")

    def _paint(self) -> None:
        key = self.random.choice(sorted(self.oracle.voxels))
        held = self.oracle.voxels[key].astype(np.uint8)
        start = [self.random.randrange(size // 4, 3 * size // 4) for size in held.shape]
        box = tuple(slice(first, first + self.random.randint(1, 5)) for first in start)
        held[box] = self.random.random() < 0.6
        node = slicer.mrmlScene.GetNodeByID(key[0])
        volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        if volume is not None:
            slicer.util.updateSegmentBinaryLabelmapFromArray(held, node, key[1], volume)

    def profile(self) -> None:
        names = ["Dr. A", "Dr. B", None, "x" * 300, self.folder / "nowhere" / "a.json"]
        row = self.user.panel.profiles
        self._answering(names, [row.on_new, row.on_save_as, row.on_summary])

    def exchange(self) -> None:
        paths = [self.folder / "out.json", self.folder / "nowhere" / "a.json", None]
        self._answering(paths, [self.user.panel.profiles.on_export, self.user.panel.profiles.on_import])

    def _answering(self, answers: list, asked: list) -> None:
        self.user.answers.answers = [self.random.choice(answers)]
        self.random.choice(asked)()
        self.user.answers.answers = []

    def learn(self) -> None:
        self.user.ui.learnCheck.checked = self.random.random() < 0.5

    def samples(self) -> None:
        self.user.ui.samplesSpin.value = self.random.choice([1, FEW_SAMPLES, FEW_SAMPLES, 12, 10**6])
        if self.user.ui.samplesSpin.value > 100:
            self.user.ui.samplesSpin.value = FEW_SAMPLES
        self.user.panel.advanced.on_samples()

    def window(self) -> None:
        self.user.ui.windowCheck.checked = self.random.random() < 0.6
        self.user.ui.windowLowSpin.value = self.random.choice([-1000, 400, 500])
        self.user.panel.advanced.on_window()

    def layout(self) -> None:
        self.user.click("layoutButton")

    def leave_and_come_back(self) -> None:
        self.user.widget.exit()
        if self.random.random() < 0.5:
            slicer.app.processEvents()
        self.user.widget.enter()

    def new_volume(self) -> None:
        self._places = [pair for pair in self._places if pair[0].GetScene() is not None]
        if len(self._places) < 2:
            node, ras = scenarios.rotated_volume(coarse=bool(self._places))
            self._places.append((node, ras))
            self.user.choose_volume(node)

    def some_volume(self) -> None:
        alive = [node for node, _ras in self._places if node.GetScene() is not None]
        self.user.choose_volume(self.random.choice([*alive, *alive, *alive, None]))

    def delete_volume(self) -> None:
        if self._volume is not None:
            slicer.mrmlScene.RemoveNode(self._volume)

    def delete_segment(self) -> None:
        node = self.user.ui.segmentationSelector.currentNode()
        segment = str(self.user.ui.segmentSelector.currentSegmentID() or "")
        if node is not None and node.GetSegmentation().GetSegment(segment) is not None:
            self._edit(lambda: node.GetSegmentation().RemoveSegment(segment), "delete")

    def delete_segmentation(self) -> None:
        node = self.user.ui.segmentationSelector.currentNode()
        if node is not None:
            self._edit(lambda: slicer.mrmlScene.RemoveNode(node), "delete")

    def close_scene(self) -> None:
        self._places.clear()
        self._edit(slicer.mrmlScene.Clear, "delete")

    @property
    def _volume(self):
        return self.user.ui.volumeSelector.currentNode()
