"""Installation: what is said, what is asked, what is installed, and going on after a restart."""

from __future__ import annotations

import ast
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(application: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Slicer that lacks some packages; what is handed to pip becomes installed."""
    import importlib.util

    hidden = {"torch", "segment_anything", "pydantic"}
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name.split(".")[0] in hidden else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    fresh = types.SimpleNamespace(pip=[], hidden=hidden, fail=False)

    def pip_install(lines: Any) -> None:
        if fresh.fail:
            raise RuntimeError("no network")
        fresh.pip.append(list(lines))
        hidden.difference_update(line.split(">=")[0].replace("-", "_") for line in lines)

    import slicer

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    return fresh


def open_panel(application: Any, *answers: object) -> Any:
    widget = application.open_panel()
    from SPASegmentWidgets.clinician import Clinician

    user = Clinician(widget)
    user.answers.answers = list(answers)
    return user


def test_nothing_is_installed_without_asking(application: Any, fresh: Any) -> None:
    user = open_panel(application, False)
    user.click("installButton")
    assert fresh.pip == []
    assert "Nothing was installed" in user.ui.installStep.text


def test_everything_missing_is_installed_as_wheels_and_the_panel_goes_on(
    application: Any, fresh: Any
) -> None:
    user = open_panel(application, True, True)
    user.click("installButton")
    wanted = [line.split(">=")[0] for lines in fresh.pip for line in lines if ">=" in line]
    assert set(wanted) == {"torch", "segment-anything", "pydantic"}
    assert all(lines[:2] == ["--only-binary", ":all:"] for lines in fresh.pip)
    assert user.ui.workArea.visible
    assert user.panel.controller is not None
    assert user.panel.settings.installing is False


def test_pytorch_comes_through_its_extension_where_there_is_one(
    application: Any, fresh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class Logic:
        def installTorch(self, **options: Any) -> object:  # noqa: N802
            asked.update(options)
            fresh.hidden.discard("torch")
            return object()

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = Logic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    user = open_panel(application, True)
    user.click("installButton")
    assert asked["torchVersionRequirement"].startswith(">=")
    assert not any("torch" in line.split(">=")[0] for lines in fresh.pip for line in lines)
    assert user.panel.controller is not None


def test_newer_slicers_own_installer_is_used(
    application: Any, fresh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    ensured: list[tuple[str, ...]] = []
    read: list[Path] = []

    def load_requirements(path: Path) -> list[Requirement]:
        read.append(path)
        return [Requirement(line) for line in Path(path).read_text(encoding="utf-8").split()]

    def pip_ensure(lines: list[str], **options: Any) -> None:
        assert options == {"requester": "SPASegment", "prompt_install": False, "prompt_restart": False}
        ensured.append(tuple(lines))
        fresh.hidden.clear()

    packaging = types.SimpleNamespace(pip_ensure=pip_ensure, load_requirements=load_requirements)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
    user = open_panel(application, True, True)
    user.click("installButton")
    assert ("torch>=2.3",) in ensured
    assert fresh.pip == []
    assert set(read) == {ROOT / "SPASegment" / "Resources" / "requirements.txt"}
    assert user.panel.controller is not None


def test_slicers_reader_and_ours_read_the_same(
    application: Any, fresh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    application.open_panel()
    from SPASegmentWidgets import install

    ours = install.requirements()

    def load_requirements(path: Path) -> list[Requirement]:
        return [Requirement(line) for line in Path(path).read_text(encoding="utf-8").split()]

    reader = types.SimpleNamespace(load_requirements=load_requirements)
    monkeypatch.setattr(slicer, "packaging", reader, raising=False)
    assert install.requirements() == ours
    assert [one.name for one in ours][:3] == ["numpy", "scipy", "torch"]


def test_a_package_that_was_loaded_before_asks_for_a_restart(
    application: Any, fresh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    found, old = metadata.version, {"numpy": "1.20"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or found(name))
    user = open_panel(application, True, True, True)
    assert "numpy" in user.ui.installText.text
    monkeypatch.setattr("slicer.util.pip_install", lambda lines: (fresh.hidden.clear(), old.clear()))
    user.click("installButton")
    assert application.restarts == 1
    assert user.panel.settings.installing is True
    assert user.panel.controller is None


def test_an_interrupted_installation_goes_on_after_a_restart(application: Any, fresh: Any) -> None:
    fresh.fail = True
    user = open_panel(application, True, True)
    user_log = application.log
    with user_log.expected(containing="the installation stopped"):
        user.click("installButton")
    assert "no network" in user.ui.installStep.text
    fresh.fail = False
    application.close_panel()
    again = open_panel(application, True, True)
    assert again.ui.installButton.text == "Go on installing"
    again.click("installButton")
    assert again.panel.controller is not None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is enough to find that nothing listens at an address."""
    from SPASegmentLib.service import opening

    connect = opening.connect
    monkeypatch.setattr(opening, "connect", lambda *args, **more: connect(*args, **more | {"patience": 0.5}))


@pytest.mark.usefixtures("impatient")
def test_with_a_server_its_client_is_installed_and_torch_is_not(application: Any, fresh: Any) -> None:
    fresh.hidden.add("httpx")
    user = open_panel(application, "127.0.0.1:9", None, True)
    user.click("installServerButton")
    assert "httpx" in user.ui.installText.text and "torch" not in user.ui.installText.text
    user.click("installButton")
    wanted = [line.split(">=")[0] for lines in fresh.pip for line in lines if ">=" in line]
    assert set(wanted) == {"httpx", "pydantic"}
    assert user.panel.controller is not None
    assert user.panel.settings.server == "127.0.0.1:9"


@pytest.mark.usefixtures("impatient")
def test_a_server_set_later_asks_for_its_client(application: Any, fresh: Any) -> None:
    fresh.hidden.clear()
    fresh.hidden.add("zstandard")
    user = open_panel(application, False)
    user.ui.serverEdit.text = "127.0.0.1:9"
    user.panel.server.on_edited()
    assert fresh.pip == [] and user.panel.settings.server == ""
    assert "zstandard must be installed first" in str(user.ui.serverSaid.text)
    user.answers.answers = [True]
    user.panel.server.on_edited()
    assert [line for lines in fresh.pip for line in lines if ">=" in line] == ["zstandard>=0.22"]
    assert user.panel.settings.server == "127.0.0.1:9"


def test_what_the_client_needs_is_what_the_package_says() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.search(r"^client = (\[.*\])$", text, re.MULTILINE)
    source = (ROOT / "SPASegment/SPASegmentWidgets/install.py").read_text(encoding="utf-8")
    ours = re.findall(r'Requirement\("([\w-]+)", "([\d.]+)"\)', source)
    assert named and ast.literal_eval(named.group(1)) == [f"{name}>={least}" for name, least in ours]


@pytest.mark.long
def test_the_modules_file_loads_where_nothing_heavy_is_installed(tmp_path: Path) -> None:
    """In a process of its own in which these packages cannot be imported at all."""
    import subprocess

    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys\n"
        "for name in ('torch', 'segment_anything', 'pydantic', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        f"sys.path[:0] = [{str(root / 'Testing/panel/support')!r}, {str(root / 'Testing/slicer_app')!r}]\n"
        "from pathlib import Path\n"
        "from slicer_log import ErrorLog\n"
        "from application import PanelApplication\n"
        f"app = PanelApplication(ErrorLog(), Path({str(tmp_path)!r}))\n"
        "widget = app.open_panel()\n"
        "assert 'torch' in widget.ui.installText.text\n"
        "app.check()\n"
        "print('opened')\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert "opened" in done.stdout, done.stderr[-2000:]
