"""The pages for those who carry on say what the code says."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

import SPASegmentLib

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SVG = "{http://www.w3.org/2000/svg}"


def script(name: str) -> ModuleType:
    """A script of docs/, loaded but not run."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph() -> ModuleType:
    return script("make_import_graph")


def test_what_is_read_and_refused_is_what_the_page_lists() -> None:
    compatibility = script("make_compatibility")
    written = compatibility.PAGE.read_text(encoding="utf-8")
    assert written == compatibility.page(), "run python docs/make_compatibility.py"
    assert written.count("| read |") > 40
    assert written.count("| choice |") > 7
    assert written.count("| refused |") > 15


def test_the_arrows_of_the_picture_are_the_imports_of_the_code(graph: ModuleType) -> None:
    picture = ElementTree.parse(graph.PICTURE)
    drawn = {tuple((title.text or "").split(" imports ")) for title in picture.iter(f"{SVG}title")}
    assert drawn == graph.imports(), "run python docs/make_import_graph.py"
    assert graph.PICTURE.read_text(encoding="utf-8") == graph.draw(graph.imports())
    assert {text.text for text in picture.iter(f"{SVG}text")} == set(graph.PARTS)


def test_no_arrow_of_the_picture_runs_back(graph: ModuleType) -> None:
    arrows = graph.imports()
    assert len(arrows) > 40
    assert [a for a in arrows if graph.PARTS.index(a[0]) >= graph.PARTS.index(a[1])] == []
    paths = [p for p in ElementTree.parse(graph.PICTURE).iter(f"{SVG}path") if p.get("class")]
    starts_and_ends = [re.findall(r"[-0-9.]+", path.get("d") or "") for path in paths]
    assert len(paths) == len(arrows)
    assert all(float(at[1]) < float(at[-1]) for at in starts_and_ends), "every arrow leads down"


def test_an_import_that_runs_back_would_be_drawn_upwards(graph: ModuleType) -> None:
    picture = ElementTree.fromstring(graph.draw({("imaging", "cli"), ("cli", "errors")}))
    up, down = (
        re.findall(r"[-0-9.]+", path.get("d") or "")
        for title in ("imaging imports cli", "cli imports errors")
        for path in picture.iter(f"{SVG}path")
        if path.findtext(f"{SVG}title") == title
    )
    assert float(up[1]) > float(up[-1]) and float(down[1]) < float(down[-1])


def test_the_page_of_the_interface_is_up_to_date() -> None:
    api = script("make_api")
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run python docs/make_api.py"


def test_the_front_door_says_what_it_takes_gives_and_refuses() -> None:
    from SPASegmentLib import SPAPredictor

    names = [name for name in dir(SPAPredictor) if not name.startswith("_")]
    public = {name: inspect.getattr_static(SPAPredictor, name) for name in names}
    assert len(public) > 20
    for name, member in public.items():
        is_property = isinstance(member, property)
        function = member.fget if is_property else getattr(member, "__func__", member)
        text, takes = function.__doc__ or "", set(function.__annotations__) - {"return"}
        assert ("Args:" in text) == bool(takes), name
        assert takes <= set(re.findall(r"^            (\w+): ", text, re.MULTILINE)), name
        assert is_property or ("Returns:" in text) == (function.__annotations__["return"] != "None"), name
        assert "Raises:" in text or name == "model", name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_links_to_or_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:SPASegmentLib|SPASegment|Testing|Resources|docs|\.ci)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_architecture_names_every_folder_of_the_library() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "SPASegmentLib").rglob("__init__.py")}
    assert {name for name in folders if not re.search(rf"\b{name}/", text)} == set()
    assert "images/imports.svg" in text


def test_the_version_is_the_same_wherever_it_stands() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changes, re.MULTILINE)
    assert stated == [SPASegmentLib.__version__] == versions[:1]


def test_the_targets_a_contributor_is_told_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z]+)", text, re.MULTILINE)
    assert targets
    for target in targets:
        subprocess.run(["make", target, "--dry-run"], cwd=ROOT, capture_output=True, check=True)


def test_the_benchmark_names_its_backbone_and_what_its_intervals_leave_out() -> None:
    page = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    assert "The interval leaves out" in page
    rows = re.findall(r"^\| ((?:SAM|MedSAM|MSA|SAM-U)[^|]*) \|", page, re.M)
    assert rows and all("(compact)" in row or "vit" in row.casefold() for row in rows), rows


def test_no_page_claims_an_exact_posterior_no_leaks_or_masks_exactly_as_in_use() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8").casefold()
        for claim in ("exact posterior", "no leak", "exactly as in use"):
            assert claim not in text, f"{page.name} says {claim!r}"
