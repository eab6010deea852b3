"""What requirements.txt names is all the panel needs, and the command says what it lacks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "SPASegment" / "Resources" / "requirements.txt"
OF_SLICER = {"vtk", "slicer-core", "slicer-layer-dm"}
"""What the application itself brings: VTK and MRML."""

REFUSE = """
import sys
from importlib.metadata import packages_distributions

class Refusing:
    allowed = {allowed!r}
    owners = packages_distributions()

    def find_spec(self, name, path=None, target=None):
        owners = {{owner.lower().replace("_", "-") for owner in self.owners.get(name.split(".")[0], ())}}
        if owners and not owners & self.allowed:
            raise ModuleNotFoundError(f"refused: {{name}}", name=name)

sys.meta_path.insert(0, Refusing())
"""

PROPOSE = """
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.session import Session

engine = load_engine("compact", "cpu")
opened = cut_slice(
    make_sample_volume(0), seed_ras=sample_seeds(0)[0].ras, seed_ijk=None, orientation="axial", window=None,
    model_window=engine.model.window,
)
session = Session.start(opened.image, engine.model).add_point(opened.seed.row, opened.seed.col)
proposal = session.advance(engine).proposal
print("proposed", proposal.recommendation.sum() > 0, len(proposal.candidates) > 1)
"""


def with_all_they_need(requirements: list[str]) -> set[str]:
    """Names of distributions and of all that these require here, extras that nobody asked for left out."""
    found: set[str] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": extra})):
            continue
        found.add(name)
        waiting += [(Requirement(line), "") for line in metadata.requires(name) or ()]
    return found


def run(code: str, allowed: set[str]) -> subprocess.CompletedProcess[str]:
    """Run code in a process that finds these distributions, Python's own modules and nothing else."""
    code = REFUSE.format(allowed=allowed | {"spasegment"}) + code
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False)


def required() -> set[str]:
    return with_all_they_need(REQUIREMENTS.read_text(encoding="utf-8").split())


OF_A_SERVER = "SPASegmentLib.service.opening"
"""Imported once a server is set, for which the panel asks to install the packages of `CLIENT`."""


OF_AN_EXPORT = "SPASegmentLib.imaging.dicom_sources"
"""Imported once DICOM SEG is exported, for which the panel asks to install what export.py names."""


OF_OPENING = "SPASegmentLib.imaging.segment_files"
"""Imported once segments of a file are opened, for which the panel asks for the same without highdicom."""


def modules_of_the_panel() -> list[str]:
    """Every module of the library that the Slicer module imports anywhere, without a server and exports."""
    nodes = (
        node
        for path in (ROOT / "SPASegment").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    left_out = (OF_A_SERVER, OF_AN_EXPORT, OF_OPENING)
    return sorted(name for name in named if name.startswith("SPASegmentLib") and name not in left_out)


def test_with_a_server_the_panel_needs_its_clients_packages_and_no_torch() -> None:
    extras = metadata.requires("spasegment") or []
    of_a_client = [
        line.split(";")[0] for line in extras if line.replace("'", '"').endswith('extra == "client"')
    ]
    assert len(of_a_client) == 2
    allowed = with_all_they_need(of_a_client)
    without_torch = [line for line in REQUIREMENTS.read_text(encoding="utf-8").split() if "torch" not in line]
    allowed |= with_all_they_need([line for line in without_torch if "segment-anything" not in line])
    assert "torch" not in allowed
    result = run(f"import {OF_A_SERVER}\nprint('imported')", allowed)
    assert result.stdout.split()[-1:] == ["imported"], result.stderr[-2000:]
    assert run(f"import {OF_A_SERVER}", required()).returncode != 0, "else it belongs to the others"


@pytest.mark.long
def test_an_export_needs_what_the_panel_asks_for() -> None:
    source = (ROOT / "SPASegment/SPASegmentWidgets/export.py").read_text(encoding="utf-8")
    asked = [">=".join(pair) for pair in re.findall(r'Requirement\("([\w-]+)", "([\d.]+)"\)', source)]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(asked) == 4 and all(f'"{line}"' in text for line in asked), "the extras ask for the same"
    modules = (
        f"{OF_AN_EXPORT}, SPASegmentLib.imaging.segment_files, highdicom, SPASegmentLib.imaging.dicom_seg"
    )
    allowed = required() | with_all_they_need(asked)
    result = run(f"import {modules}\nprint('imported')", allowed)
    assert result.stdout.split()[-1:] == ["imported"], result.stderr[-2000:]


@pytest.mark.long
def test_opening_segments_needs_what_the_panel_asks_for() -> None:
    source = (ROOT / "SPASegment/SPASegmentWidgets/export.py").read_text(encoding="utf-8")
    asked = [">=".join(pair) for pair in re.findall(r'Requirement\("([\w-]+)", "([\d.]+)"\)', source)]
    allowed = required() | with_all_they_need([line for line in asked if "highdicom" not in line])
    modules = f"{OF_OPENING}, SPASegmentLib.imaging.rtstruct, SPASegmentLib.imaging.dicom_seg_reading"
    result = run(f"import {modules}\nprint('imported')", allowed)
    assert result.stdout.split()[-1:] == ["imported"], result.stderr[-2000:]


def test_the_panels_whole_path_is_imported_with_its_requirements_alone() -> None:
    modules = modules_of_the_panel()
    assert len(modules) > 10
    result = run(f"import {', '.join(modules)}\nprint('imported')", required() | OF_SLICER)
    assert result.stdout.split()[-1:] == ["imported"], result.stderr[-2000:]


@pytest.mark.long
def test_a_proposal_is_computed_with_the_panels_requirements_alone() -> None:
    allowed = required()
    assert not allowed & {"torchvision", "simpleitk", "matplotlib", "scikit-learn", "typer", "rich"}
    result = run(PROPOSE, allowed)
    assert result.stdout.split()[-3:] == ["proposed", "True", "True"], result.stderr[-2000:]


@pytest.mark.long
def test_nothing_is_required_that_the_panel_never_imports() -> None:
    """Each line of requirements.txt is missed by the import or by the proposal."""
    modules = modules_of_the_panel()
    code = f"import {', '.join(modules)}\n{PROPOSE}import sys\nprint(*sys.modules)"
    loaded = set(run(code, required() | OF_SLICER).stdout.splitlines()[-1].split())
    loaded |= {"segment_anything"} if "SPASegmentLib.network.sam_modules" in loaded else set()
    lines = REQUIREMENTS.read_text(encoding="utf-8").split()
    names = {re.split("[<>=]", line)[0].replace("-", "_") for line in lines}
    assert names - loaded == set()


def test_the_command_says_what_to_install_where_its_packages_are_missing() -> None:
    result = run("from SPASegmentLib.cli import command\ncommand()", required())
    assert result.returncode == 1
    assert result.stderr.strip() == (
        'The command needs the package typer; run: pip install "spasegment[cli]"'
    )


def test_a_command_says_which_extra_it_lacks(tmp_path: Path) -> None:
    allowed = with_all_they_need(["typer", "rich"]) | required()
    code = "import sys\nfrom SPASegmentLib.cli import command\n"
    code += f"sys.argv = ['spasegment', 'segment', {str(tmp_path)!r}, '--seed-ijk', '1', '1', '1', "
    code += f"'--out', {str(tmp_path / 'a.nrrd')!r}]\ncommand()"
    result = run(code, allowed)
    assert (result.returncode, result.stdout) == (1, "")
    assert 'This needs the package SimpleITK; run: pip install "spasegment[cli]"' in result.stderr
