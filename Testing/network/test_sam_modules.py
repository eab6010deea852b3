"""The network loads in a process that already draws in software."""

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
print("software" if sam_modules.draws_in_software() else "hardware", "triton" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the conflict is known on Linux only")
def test_the_network_loads_after_something_was_drawn_in_software() -> None:
    pytest.importorskip("vtk", reason="VTK is not installed")
    result = subprocess.run(
        [sys.executable, "-c", DRAW_THEN_LOAD],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    kind, has_triton = result.stdout.split()
    assert kind == "hardware" or has_triton == "False"
