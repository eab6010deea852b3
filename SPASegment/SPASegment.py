"""The SPASegment module of 3D Slicer. Loads with nothing of its own installed; says what it needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# Distribution names whose import name is another word.
IMPORT_NAMES = {"scikit-learn": "sklearn", "segment-anything": "segment_anything"}


class SPASegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        self.parent.title = "SPASegment"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SPASegment contributors"]
        self.parent.helpText = _(
            "Click once on a slice and get one recommended mask and four alternatives, each drawn as a"
            " difference from the recommendation. Picking one teaches the system what you include and leave"
            " out. Not a medical device: for research only."
        )
        self.parent.acknowledgementText = _(
            "The method is SPA: Jiayuan Zhu, Junde Wu, Cheng Ouyang, Konstantinos Kamnitsas and J. Alison"
            " Noble, ICCV 2025. The shipped model was trained on LIDC-IDRI (CC BY 3.0)."
        )


class SPASegmentWidget(ScriptedLoadableModuleWidget):
    """The panel: what the module does, what it needs, and what of that is installed."""

    def setup(self) -> None:
        """Build the panel. Nothing is installed or imported here."""
        import qt

        super().setup()
        self.logic = SPASegmentLogic()
        self.statusLabel = qt.QLabel()
        self.statusLabel.wordWrap = True
        self.checkButton = qt.QPushButton(_("Check again"))
        self.checkButton.toolTip = _("Look again at which Python packages are installed")
        self.checkButton.connect("clicked(bool)", self.onCheck)
        self.layout.addWidget(self.statusLabel)
        self.layout.addWidget(self.checkButton)
        self.layout.addStretch(1)
        self.onCheck()

    def enter(self) -> None:
        """Show the state as it is now."""
        self.onCheck()

    def onCheck(self, checked: bool = False) -> None:
        """Look at what is installed and say it."""
        self.statusLabel.text = self.logic.summary()


class SPASegmentLogic(ScriptedLoadableModuleLogic):
    """What the module knows without importing anything heavy."""

    def requirements(self) -> list[str]:
        """Names of the Python packages the library needs, from the requirements.txt beside it."""
        here = Path(__file__).resolve().parent
        for folder in (here, here.parent):  # installed: beside the module; in the source tree: above it
            path = folder / "requirements.txt"
            if path.is_file() and (folder / "SPASegmentLib").is_dir():
                lines = path.read_text(encoding="utf-8").splitlines()
                found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
                return [match.group() for match in found if match]
        return []

    def installed(self) -> dict[str, str]:
        """Version of each package the library needs; an empty text where it is not installed."""
        return {name: self.version(name) for name in self.requirements()}

    def version(self, name: str) -> str:
        """Version of an installed package, found without importing it; empty where it is not installed."""
        try:
            if importlib.util.find_spec(IMPORT_NAMES.get(name, name)) is None:
                return ""
            return importlib.metadata.version(name)
        except (ImportError, ValueError):
            return ""

    def summary(self) -> str:
        """The panel's text."""
        versions = self.installed()
        missing = [name for name, version in versions.items() if not version]
        purpose = _(
            "SPASegment segments a slice from one click and learns from your picks. This panel does not"
            " segment yet; until it does, the command line (spasegment segment) writes segmentations that"
            " Slicer opens."
        )
        if not versions:
            state = _(
                "The library SPASegmentLib was not found beside this module: install the extension again."
            )
        elif missing:
            state = _("Not installed yet: {names}.").format(names=", ".join(missing))
        else:
            state = _("Everything the library needs is installed.")
        return f"{purpose}\n\n{state}"


class SPASegmentTest(ScriptedLoadableModuleTest):
    """The self-test, run by Slicer's Reload and Test."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test of this class."""
        self.setUp()
        self.test_says_what_is_installed()

    def test_says_what_is_installed(self) -> None:
        """The requirements are found, Slicer's own numpy among them, and the text names what is missing."""
        logic = SPASegmentLogic()
        versions = logic.installed()
        self.assertIn("torch", versions)
        self.assertTrue(versions["numpy"])
        for name, version in versions.items():
            if not version:
                self.assertIn(name, logic.summary())
        self.assertEqual(logic.version("there-is-no-such-package"), "")
        self.delayDisplay(_("SPASegment: test passed"))
