"""The network's modules come without the rest of Segment Anything's package."""

from __future__ import annotations

import subprocess
import sys

import pytest

DRAW_THEN_LOAD = """
import os, sys
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
from SPASegmentLib.network import sam_modules
print("triton" in sys.modules)
"""

LOAD_WITHOUT_TORCHVISION = """
import sys
sys.modules["torchvision"] = None
from SPASegmentLib.network import sam_modules
del sys.modules["torchvision"]
assert not [name for name in sys.modules if name.startswith("segment_anything")]
import segment_anything
print(segment_anything.modeling.MaskDecoder.__name__, callable(segment_anything.SamPredictor))
"""


def output_of(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


@pytest.mark.long
def test_the_network_needs_no_torchvision_and_leaves_the_package_whole_to_others() -> None:
    assert output_of(LOAD_WITHOUT_TORCHVISION) == "MaskDecoder True"


@pytest.mark.skipif(sys.platform != "linux", reason="the conflict is known on Linux only")
def test_the_network_loads_after_something_was_drawn_in_software() -> None:
    pytest.importorskip("vtk", reason="VTK is not installed")
    assert output_of(DRAW_THEN_LOAD) == "False"
