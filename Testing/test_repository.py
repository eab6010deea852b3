"""The house rules, proven: style, types, and lists that equal the tree."""

from __future__ import annotations

import ast
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "SPASegment" / "Resources" / "requirements.txt"
MODULE_FILE = ROOT / "SPASegment" / "SPASegment.py"
LEFT_OUT = (
    "SPASegmentLib/research/",
    "SPASegmentLib/cli/",
    "SPASegmentLib/viewer/",
    "SPASegmentLib/service/server/",
)
"""What the extension's package does without."""


def repository_files() -> list[Path]:
    """Every file git keeps or would keep; without git, every file that is no cache."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if listed.returncode == 0:
        paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    else:
        caches = {
            ".venv",
            ".git",
            "__pycache__",
            ".pytest_cache",
            ".mypy_cache",
            ".ruff_cache",
            "demo-output",
        }
        paths = {path for path in ROOT.rglob("*") if not caches & set(path.relative_to(ROOT).parts)}
    return sorted(path for path in paths if path.is_file())


def run_tool(*command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 0, f"{' '.join(command)} says:\n{result.stdout}{result.stderr}"


def test_ruff_finds_nothing_to_say() -> None:
    run_tool("ruff", "check", ".")


def test_the_code_is_formatted() -> None:
    run_tool("ruff", "format", "--check", ".")


@pytest.mark.long
def test_the_types_fit() -> None:
    run_tool("mypy")


def file_scope(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the file is imported, classes' bodies included."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def test_the_slicer_module_loads_without_anything_installed() -> None:
    source = MODULE_FILE.read_text(encoding="utf-8")
    compile(source, str(MODULE_FILE), "exec")
    allowed = set(sys.stdlib_module_names) | {"slicer", "vtk", "numpy"}
    for node in file_scope(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        assert {name.split(".")[0] for name in names} <= allowed, f"line {node.lineno} imports {names}"
        assert not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant), (
            f"line {node.lineno} acts"
        )


def test_the_slicer_modules_classes_are_named_as_slicer_looks_for_them() -> None:
    tree = ast.parse(MODULE_FILE.read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {"SPASegment", "SPASegmentWidget", "SPASegmentLogic", "SPASegmentTest"} <= classes


def test_the_icon_is_a_128_pixel_png_named_as_the_module() -> None:
    start = (MODULE_FILE.parent / "Resources" / "Icons" / "SPASegment.png").read_bytes()[:24]
    assert start[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", start[16:24]) == (128, 128)


def cmake_list(path: Path, name: str) -> list[str]:
    found = re.findall(rf"^set\({name}\n([^)]*)\)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(found) == 1, f"{path.name} has {len(found)} lists {name}"
    entries: list[str] = found[0].split()
    assert len(entries) == len(set(entries))
    return entries


def below(folder: str, start: str = "") -> set[str]:
    paths = (path.relative_to(ROOT).as_posix() for path in repository_files())
    names = {name.removeprefix(start) for name in paths if name.startswith(f"{folder}/")}
    return {name for name in names if not name.endswith("CMakeLists.txt")}


def test_the_extensions_package_holds_every_file_that_a_clinician_needs() -> None:
    path = ROOT / "CMakeLists.txt"
    library = {name for name in below("SPASegmentLib") if not name.startswith(LEFT_OUT)}
    scripts = {name for name in library if name.endswith(".py")}
    assert set(cmake_list(path, "LIBRARY_SCRIPTS")) == scripts, "run `make lists`"
    others = (library - scripts) | below("Resources/Models")
    assert set(cmake_list(path, "LIBRARY_RESOURCES")) == others, "run `make lists`"


def test_the_extensions_package_holds_every_file_of_the_module() -> None:
    path = ROOT / "SPASegment" / "CMakeLists.txt"
    module = below("SPASegment", "SPASegment/")
    scripts = {name for name in module if name.endswith(".py")}
    assert set(cmake_list(path, "MODULE_PYTHON_SCRIPTS")) == scripts, "run `make lists`"
    assert set(cmake_list(path, "MODULE_PYTHON_RESOURCES")) == module - scripts, "run `make lists`"


def test_the_extension_says_what_the_index_asks() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(SPASegment)" in text
    for key in (
        "HOMEPAGE",
        "CATEGORY",
        "CONTRIBUTORS",
        "DESCRIPTION",
        "ICONURL",
        "SCREENSHOTURLS",
        "DEPENDS",
    ):
        assert re.search(rf'^set\(EXTENSION_{key} "[^"]+"\)$', text, flags=re.MULTILINE), key
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_no_file_is_too_large_for_a_checkout() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in repository_files()}
    assert {name: size for name, size in sizes.items() if size > 30_000_000} == {}
    assert sum(sizes.values()) < 100_000_000


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    # Written in pieces, so that this file does not find itself.
    hosts = ["py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "conda" + ".org"]
    options = ["--index" + "-url", "--extra-index" + "-url", "--find" + "-links"]
    folders = [
        r"/wo" + r"rk/(main|shared)",
        r"/ro" + r"ot/",
        r"/ho" + r"me/\w",
        r"/Us" + r"ers/\w",
        r"C:\\\\?Us" + "ers",
    ]
    pattern = re.compile("|".join([*map(re.escape, [*hosts, *options]), *folders]))
    found = []
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
                if pattern.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:100]}")
    assert found == []


def test_folders_of_tests_are_no_packages() -> None:
    assert not list((ROOT / "Testing").rglob("__init__.py"))


def test_every_requirement_states_its_oldest_version() -> None:
    lines = REQUIREMENTS.read_text(encoding="utf-8").split()
    assert lines and all(re.fullmatch(r"[A-Za-z0-9_-]+>=[0-9.]+", line) for line in lines)


@pytest.mark.parametrize(
    ("command", "environment", "all_run"),
    [
        ("make test", {}, False),
        ("make test", {"CI": "false"}, False),
        ("make test", {"CI": "true"}, True),
        ("make test LONG=1", {}, True),
        ("make test", {"LONG": "1"}, True),
        (".ci/run", {}, True),
        (".ci/run", {"CI": "false", "LONG": "0"}, True),
    ],
)
def test_the_longest_tests_run_in_continuous_integration(
    command: str, environment: dict[str, str], all_run: bool
) -> None:
    usual = {name: value for name, value in os.environ.items() if name not in ("CI", "LONG", "MAKELEVEL")}
    said = subprocess.run(
        command.split(),
        cwd=ROOT,
        env={**usual, **environment, "MAKEFLAGS": "n"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    asked = [line for line in said.splitlines() if "pytest" in line]
    assert len(asked) == 2 and "alone" in asked[0] and "alone" in asked[1]
    assert ["not long" in line for line in asked] == [not all_run] * 2


@pytest.mark.parametrize("script", [".ci/run", ".ci/setup"])
def test_the_scripts_are_ready_to_run(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)
