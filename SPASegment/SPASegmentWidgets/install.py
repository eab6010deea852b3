"""What the library needs, what of it is there, and how the rest is installed. No widget in it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import slicer
from slicer.i18n import tr as _

HERE = Path(__file__).resolve().parent
IMPORT_NAMES = {"segment-anything": "segment_anything"}
DISK_MB = {"torch": 700, "scipy": 110, "numpy": 60}
"""On the disk, where it is more than 20 MB."""
COMPUTING = ("torch", "segment-anything")
"""What only computing here needs; with a server its client takes their place."""
TORCH_CUDA_MB = 5400
"""What torch takes with the libraries for NVIDIA graphics cards."""


@dataclass(frozen=True)
class Requirement:
    """A line of Resources/requirements.txt. name: of the distribution. least: its oldest version, as text."""

    name: str
    least: str

    @property
    def line(self) -> str:
        """As pip reads it."""
        return f"{self.name}>={self.least}"

    @property
    def version(self) -> str:
        """The installed version, found without importing it; "" where there is none."""
        try:
            if importlib.util.find_spec(IMPORT_NAMES.get(self.name, self.name)) is None:
                return ""
            return importlib.metadata.version(self.name)
        except (ImportError, ValueError):
            return ""

    @property
    def satisfied(self) -> bool:
        """Whether a version that is new enough is installed."""
        found = self.version
        return bool(found) and _numbers(found) >= _numbers(self.least)


def library_root() -> Path | None:
    """The folder that holds SPASegmentLib: beside the module when installed, above it in the source tree."""
    for folder in (HERE.parent, HERE.parent.parent):
        if (folder / "SPASegmentLib" / "__init__.py").is_file():
            return folder
    return None


def put_library_on_path() -> bool:
    """Let `import SPASegmentLib` find the library; False where it is missing from the installation."""
    root = library_root()
    if root is not None and str(root) not in sys.path:
        sys.path.append(str(root))
    return root is not None


CLIENT = (Requirement("httpx", "0.27"), Requirement("zstandard", "0.22"))
"""The extra `client` of the library."""


def requirements(server: bool = False) -> list[Requirement]:
    """What Resources/requirements.txt names. server: what is needed where a server computes."""
    found = (re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", line) for line in _lines(HERE.parent / "Resources"))
    named = [Requirement(*match.groups()) for match in found if match]
    return [*(one for one in named if one.name not in COMPUTING), *CLIENT] if server else named


def _lines(resources: Path) -> list[str]:
    """The lines of the module's requirements.txt, read by Slicer's own reader where it has one."""
    path, packaging = resources / "requirements.txt", _packaging()
    if not path.is_file():
        return []
    if packaging is not None and hasattr(packaging, "load_requirements"):
        return [str(one) for one in packaging.load_requirements(path)]
    return path.read_text("utf-8").splitlines()


def _packaging() -> ModuleType | None:
    """slicer.packaging of Slicer 5.12 and newer, or None."""
    found: ModuleType | None = getattr(slicer, "packaging", None)
    if found is None and importlib.util.find_spec("slicer.packaging") is not None:
        found = importlib.import_module("slicer.packaging")
    return found


def missing(server: bool = False, also: Sequence[Requirement] = ()) -> list[Requirement]:
    """What must be installed before the panel can segment. server: on one. also: what else is wanted."""
    return [one for one in (*requirements(server), *also) if not one.satisfied]


def disk_mb(wanted: list[Requirement]) -> int:
    """Roughly what they take on the disk, without graphics card libraries."""
    return sum(DISK_MB.get(one.name, 10) for one in wanted)


@dataclass(frozen=True)
class InstallOutcome:
    """How an installation ended. restart: Slicer must restart to use it. problem: a sentence or ""."""

    restart: bool = False
    problem: str = ""


class Installer:
    """Installs what is missing, group by group, so that what was interrupted goes on where it was."""

    def __init__(
        self, confirm: Callable[[str, str], bool], server: bool = False, also: Sequence[Requirement] = ()
    ) -> None:
        """confirm: asks the user (title, question). server: install what is needed where one computes.

        also: what else is wanted.
        """
        self._confirm, self._server, self._also = confirm, server, tuple(also)

    def install(self, progress: Callable[[float, str], None]) -> InstallOutcome:
        """Install everything missing. progress: share done in [0, 1] and what is being done now.

        Must run on Qt's thread: pip's window of Slicer belongs to it.
        """
        before = _imported_versions(self._also)
        try:
            for share, text, step in self._steps(missing(self._server, self._also)):
                progress(share, text)
                if not step():
                    return InstallOutcome(problem=_("Nothing more was installed; press Install to go on."))
        except Exception as error:
            logging.exception("SPASegment: the installation stopped")
            return InstallOutcome(problem=_failure(error))
        importlib.invalidate_caches()
        after = _imported_versions(self._also)
        changed = {name for name, version in before.items() if version and after.get(name) != version}
        left = missing(self._server, self._also)
        if left and not changed:
            names = ", ".join(one.name for one in left)
            return InstallOutcome(
                problem=_("{names} could not be installed; the Python console says why.").format(names=names)
            )
        progress(1.0, _("Done"))
        return InstallOutcome(restart=bool(changed))

    def _steps(self, wanted: list[Requirement]) -> list[tuple[float, str, Callable[[], bool]]]:
        torch = [one for one in wanted if one.name == "torch"]
        others = [one for one in wanted if one.name != "torch"]
        steps = []
        if torch:
            steps.append((0.05, _("Installing PyTorch; this takes some minutes"), lambda: self._torch(torch)))
        if others:
            names = ", ".join(one.name for one in others)
            text = _("Installing {names}").format(names=names)
            steps.append((0.65 if torch else 0.1, text, lambda: self._pip(others)))
        return steps

    def _torch(self, wanted: list[Requirement]) -> bool:
        """Through the PyTorch extension, which chooses the build for this computer; else with pip."""
        least = {one.name: f">={one.least}" for one in requirements()}
        try:
            import PyTorchUtils
        except ImportError:
            question = _(
                "The extension PyTorch is not installed. It chooses the build of PyTorch that fits your"
                " graphics card. Without it the general build is installed, which runs everywhere but may"
                " take {size} GB.\n\nGo on without it? Press Cancel to install the extension PyTorch in the"
                " Extensions Manager first."
            ).format(size=TORCH_CUDA_MB / 1000)
            return self._confirm(_("Install PyTorch"), question) and self._pip(wanted)
        logic = PyTorchUtils.PyTorchUtilsLogic()
        return logic.installTorch(askConfirmation=False, torchVersionRequirement=least["torch"]) is not None

    def _pip(self, wanted: list[Requirement]) -> bool:
        lines = [one.line for one in wanted]
        packaging = _packaging()
        if packaging is not None and hasattr(packaging, "pip_ensure"):
            # The panel has asked already, and says itself when a restart is needed.
            packaging.pip_ensure(lines, requester="SPASegment", prompt_install=False, prompt_restart=False)
        else:
            slicer.util.pip_install(["--only-binary", ":all:", *lines])
        importlib.invalidate_caches()
        return all(one.satisfied for one in wanted)


def _imported_versions(also: Sequence[Requirement]) -> dict[str, str]:
    """Versions on the disk of what this Slicer has loaded already: a change needs a restart."""
    every = (*requirements(), *CLIENT, *also)
    loaded = (one for one in every if IMPORT_NAMES.get(one.name, one.name) in sys.modules)
    return {one.name: one.version for one in loaded}


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, for comparison: "2.10.0+cu121" -> (2, 10, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _failure(error: Exception) -> str:
    text = str(error).strip().splitlines()
    reason = text[-1] if text else type(error).__name__
    return _(
        "The installation stopped ({reason}); check the network connection and press Install to go on"
        " where it stopped."
    ).format(reason=reason[:160])
