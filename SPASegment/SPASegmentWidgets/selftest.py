"""The self-test: a user's session on the sample, through the widgets. Runs in Slicer and on the stand-in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import slicer

from . import install
from .clinician import Clinician
from .sample_data import add_sample, sample_seeds

NODULE = "part-solid nodule with a halo"


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """What the user has set is as before afterwards."""
    import qt

    from .settings import KEY

    before = qt.QSettings().value(KEY, "")
    try:
        yield
    finally:
        qt.QSettings().setValue(KEY, before or "")


def open_panel(folder: Path) -> Clinician:
    """The module, opened, with an empty store of profiles in `folder`."""
    slicer.util.selectModule("SPASegment")
    widget = slicer.modules.spasegment.widgetRepresentation().self()
    if widget.panel.controller is None:
        return Clinician(widget)
    from SPASegmentLib.profiles.store import ProfileStore

    widget.logic.store = ProfileStore(folder / "profiles")
    widget.panel.settings.profile = ""
    widget.panel.restart()
    return Clinician(widget)


def check_what_is_installed(test) -> None:
    """The requirements are found; the panel either works or says what is missing."""
    names = [one.name for one in install.requirements()]
    test.assertIn("torch", names)
    test.assertEqual(install.Requirement("there-is-no-such-package", "1").version, "")
    with tempfile.TemporaryDirectory() as folder:
        user = open_panel(Path(folder))
        missing = install.missing()
        test.assertEqual(bool(missing), user.panel.controller is None)
        for one in missing:
            test.assertIn(one.name, str(user.ui.installText.text))


def check_one_slice(test) -> None:
    """Seed, two picks, approval, undo, redo: the voxels come and go as they should."""
    if install.missing():
        return
    with tempfile.TemporaryDirectory() as folder:
        user = open_panel(Path(folder))
        user.choose_volume(add_sample())
        ras = sample_seeds()[NODULE]
        user.look_at(ras)
        user.seed(ras)
        test.assertIsNotNone(user.screen.recommendation, user.status)
        test.assertEqual(user.screen.iteration, 1)
        for k in (2, 1):
            user.press(f"cardPicture{k}")
        test.assertEqual(user.screen.iteration, 3)
        test.assertFalse(user.voxels().any())
        user.press("approveButton")
        approved = user.voxels()
        test.assertGreater(approved.sum(), 20)
        test.assertEqual(len(np.unique(np.nonzero(approved)[0])), 1)
        user.press("undoButton")
        test.assertFalse(user.voxels().any())
        user.press("redoButton")
        test.assertTrue((user.voxels() == approved).all())
        user.press("nextSliceButton")
        user.press("approveButton")
        test.assertEqual(len(np.unique(np.nonzero(user.voxels())[0])), 2)


def check_profile(test) -> None:
    """A profile learns two slices, is exported, and comes back the same."""
    if install.missing():
        return
    with tempfile.TemporaryDirectory() as folder:
        user = open_panel(Path(folder))
        user.choose_volume(add_sample())
        user.answers.answers = ["Dr. A"]
        user.press("newProfileButton")
        test.assertEqual(user.screen.profile, "Dr. A", user.status)
        ras = sample_seeds()[NODULE]
        user.look_at(ras)
        user.seed(ras)
        user.press("cardPicture1")
        user.press("approveButton")
        user.press("nextSliceButton")
        user.press("approveButton")
        user.until(lambda: user.screen.profile_images == 2)
        path = Path(folder) / "given.json"
        user.answers.answers = [path]
        user.panel.profiles.on_export()
        user.wait()
        test.assertTrue(path.is_file(), user.status)
        user.answers.answers = ["Dr. B"]
        user.press("newProfileButton")
        test.assertEqual(user.screen.profile_images, 0)
        user.ui.profileSelector.currentIndex = 1
        user.panel.profiles.on_chosen(1)
        user.wait()
        test.assertEqual((user.screen.profile, user.screen.profile_images), ("Dr. A", 2))


def check_saved_scene(test) -> None:
    """A scene saved amid a session goes on where it was."""
    if install.missing():
        return
    with tempfile.TemporaryDirectory() as folder:
        user = open_panel(Path(folder))
        user.choose_volume(add_sample())
        ras = sample_seeds()[NODULE]
        user.look_at(ras)
        user.seed(ras)
        user.press("approveButton")
        user.press("nextSliceButton")
        user.press("cardPicture1")
        voxels, area = user.voxels(), user.screen.recommendation.area_mm2
        test.assertGreater(voxels.sum(), 20)
        path = Path(folder) / "session.mrb"
        test.assertTrue(slicer.util.saveScene(str(path)))
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        test.assertIsNone(user.screen.recommendation)
        slicer.util.loadScene(str(path))
        user.wait()
        test.assertIsNotNone(user.screen.recommendation, user.status)
        test.assertAlmostEqual(user.screen.recommendation.area_mm2, area, places=3)
        test.assertTrue((user.voxels() == voxels).all())
        user.press("approveButton")
        test.assertGreater(user.voxels().sum(), voxels.sum())


CHECKS: dict[str, Callable] = {
    "what is installed": check_what_is_installed,
    "one slice": check_one_slice,
    "profile": check_profile,
    "saved scene": check_saved_scene,
}
"""What is checked -> the check; called with the unittest.TestCase."""
