"""The sdist and the wheel: built, installed into a clean environment, and used outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "Resources", "SPASegment", "SPASegmentLib")
NODULE = ("--seed-ras", "-60.62", "-45.62", "-86.25")


def quietly(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Standard output of a command without this checkout on its path; path: a folder to import from."""
    named = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = named | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves folders behind."""
    copy = tmp_path_factory.mktemp("build") / "source"
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    code = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    quietly(sys.executable, "-c", code, cwd=copy)
    (built,) = (copy / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, so that nothing is missing from that either."""
    out = tmp_path_factory.mktemp("wheel")
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", out)
    quietly(sys.executable, "-m", "pip", "wheel", *options, sdist, cwd=out)
    (built,) = out.iterdir()
    return built


def below(folder: str) -> set[str]:
    """Files of the checkout that belong into a package."""
    paths = (path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file())
    return {name for name in paths if "__pycache__" not in name}


def test_the_sdist_and_the_wheel_hold_the_library_the_models_and_the_licence(
    sdist: Path, wheel: Path
) -> None:
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    models = below("Resources/Models")
    assert {"Resources/Models/general.safetensors", "Resources/Models/compact.safetensors"} <= models
    assert below("SPASegmentLib") | models | {"LICENSE", "README.md"} <= packed
    names = set(ZipFile(wheel).namelist())
    assert below("SPASegmentLib") <= names
    shared = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/spasegment/Models/"
    assert {name.replace("Resources/Models/", shared) for name in models} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any(name.startswith(("Testing", "docs", "SPASegment/")) for name in names)


@pytest.mark.long
def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Only what it needs comes from here: those packages are 5 GB."""
    place = tmp_path / "env"
    venv.create(place, symlinks=True)
    bin_ = place / ("Scripts" if sys.platform == "win32" else "bin")
    python = next(bin_.glob("python*"))
    options = ("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    quietly(sys.executable, "-m", "pip", *options, cwd=tmp_path)
    site = quietly(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    others = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (Path(site.strip()) / "needed.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    found = quietly(python, "-c", "import SPASegmentLib; print(SPASegmentLib.__file__)", cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(site.strip())

    command = next(bin_.glob("spasegment*"))
    assert quietly(command, "--version", cwd=tmp_path).split() == ["spasegment", wheel.name.split("-")[1]]
    quietly(command, "sample", "chest.nrrd", cwd=tmp_path)
    quietly(command, "segment", "chest.nrrd", *NODULE, "--out", "nodule.seg.nrrd", cwd=tmp_path)
    assert (tmp_path / "nodule.seg.nrrd").stat().st_size > 500


@pytest.mark.long
def test_the_models_are_found_where_pip_was_given_a_folder(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "lib"
    options = ("--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    quietly(sys.executable, "-m", "pip", "install", *options, cwd=tmp_path)
    code = "from SPASegmentLib.network.registry import find_model; print(find_model('general'))"
    found = Path(quietly(sys.executable, "-c", code, cwd=tmp_path, path=target).strip())
    assert found.is_relative_to(target) and found.is_file()
