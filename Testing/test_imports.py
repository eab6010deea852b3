"""Who may import whom, proven for every file of the library and of the Slicer module."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "SPASegmentLib"
ORDER = (
    "errors",
    "words",
    "imaging",
    "network",
    "inference",
    "reporting",
    "profiles",
    "study",
    "service",
    "predictor",
    "mrml",
    "viewer",
    "research.datasets",
    "research.training",
    "research.evaluation",
    "research.systems",
    "research.study",
    "cli",
)
"""The parts of the library: each imports those before it, and no other."""
WITHOUT_SLICER = (
    "errors",
    "words",
    "imaging",
    "network",
    "inference",
    "reporting",
    "profiles",
    "study",
    "service",
    "predictor",
    "research",
)
SLICER = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt", "trame", "trame_slicer"}
QT = {"qt", "ctk", "PythonQt", "PySide6", "PyQt5", "PyQt6", "qtpy"}


def imported_modules(path: Path) -> Iterator[tuple[str, int]]:
    """Full name and line of every import in a file, wherever it stands, by statement or by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            for alias in node.names:
                yield ".".join([*package, *([node.module] if node.module else []), alias.name]), node.lineno
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def files_of(*parts: str) -> list[Path]:
    """Python files of the library's packages, or single files, of these names."""
    names = [part.replace(".", "/") for part in parts]
    return sorted(
        path for name in names for path in [*LIBRARY.glob(f"{name}.py"), *LIBRARY.glob(f"{name}/**/*.py")]
    )


def breaches(paths: list[Path], *forbidden: str) -> list[str]:
    """Imports of these modules, or of what lies in them."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        for name, line in imported_modules(path)
        if any(name == module or name.startswith(f"{module}.") for module in forbidden)
    ]


def test_every_file_of_the_library_belongs_to_a_part() -> None:
    faces = {LIBRARY / "__init__.py", LIBRARY / "research" / "__init__.py"}
    assert set(LIBRARY.rglob("*.py")) - faces == set(files_of(*ORDER))
    assert all(files_of(part) for part in ORDER)


@pytest.mark.parametrize("part", ORDER)
def test_a_part_imports_only_the_parts_before_it(part: str) -> None:
    after = [f"SPASegmentLib.{other}" for other in ORDER[ORDER.index(part) + 1 :]]
    assert breaches(files_of(part), *after, "SPASegment") == []


def test_the_front_door_draws_nothing() -> None:
    assert breaches(files_of("predictor"), "SPASegmentLib.reporting") == []


def test_nothing_imports_the_command_line() -> None:
    paths = [*files_of(*ORDER[: ORDER.index("cli")]), *(ROOT / "SPASegment").rglob("*.py")]
    assert breaches(paths, "SPASegmentLib.cli") == []


def test_nothing_but_the_command_line_imports_the_server() -> None:
    inside = set((LIBRARY / "service" / "server").rglob("*.py"))
    paths = {*LIBRARY.rglob("*.py"), *(ROOT / "SPASegment").rglob("*.py")} - inside - set(files_of("cli"))
    assert breaches(sorted(paths), "SPASegmentLib.service.server") == []


def test_the_servers_client_never_imports_torch_ray_or_fastapi() -> None:
    inside = set((LIBRARY / "service" / "server").rglob("*.py"))
    paths = sorted(set(files_of("service")) - inside)
    assert len(paths) > 3
    assert breaches(paths, "torch", "ray", "fastapi", "uvicorn", "prometheus_client") == []


def test_nothing_but_the_command_line_imports_research() -> None:
    outside = [part for part in ORDER if not part.startswith("research.") and part != "cli"]
    paths = [*files_of(*outside), *(ROOT / "SPASegment").rglob("*.py")]
    assert breaches(paths, "SPASegmentLib.research") == []


def test_the_parts_that_compute_never_import_slicer_qt_vtk_or_trame() -> None:
    paths = files_of(*WITHOUT_SLICER)
    assert len(paths) > 100
    assert breaches(paths, *SLICER, *QT, "SPASegmentLib.mrml", "SPASegmentLib.viewer") == []


def test_only_the_slicer_module_imports_qt() -> None:
    assert breaches(sorted(LIBRARY.rglob("*.py")), *QT) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    paths = [*LIBRARY.rglob("*.py"), *(ROOT / "SPASegment").rglob("*.py")]
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        named = {name if name in files else name.rpartition(".")[0] for name, _ in imported_modules(path)}
        graph[module] = (named & files.keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_two_classes_have_one_name() -> None:
    found = defaultdict(list)
    for path in [*LIBRARY.rglob("*.py"), *(ROOT / "SPASegment").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_the_import_reader_sees_every_way_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "SPASegmentLib" / "imaging" / "files.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import vtk, os.path as p\nfrom slicer import util\nfrom . import types\nfrom ..mrml import"
        " volumes\ndef later():\n    import qt\n    importlib.import_module('ctk')\n    __import__('trame')\n"
    )
    assert {name for name, _ in imported_modules(path)} == {
        "vtk",
        "os.path",
        "slicer.util",
        "SPASegmentLib.imaging.types",
        "SPASegmentLib.mrml.volumes",
        "qt",
        "ctk",
        "trame",
    }
    assert len(breaches([path], *SLICER)) == 5
