"""The package can be named where Slicer is not."""

from __future__ import annotations

import subprocess
import sys


def test_naming_the_package_brings_in_neither_slicer_nor_vtk():
    code = (
        "import sys, SPASegmentLib.mrml; sys.exit(bool({'slicer', 'vtk', 'vtkmodules'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
