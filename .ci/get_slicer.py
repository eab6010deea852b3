"""Fetches and unpacks the newest stable 3D Slicer, and prints where it is, for GITHUB_ENV.

python .ci/get_slicer.py linux-amd64|macosx-amd64|win-amd64 FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

URL = "https://download.slicer.org/download?os={os}&stability=release"
SYSTEMS = {"linux-amd64": "linux", "macosx-amd64": "macosx", "win-amd64": "win"}


def main(system: str, folder: Path) -> None:
    """Unpack into the folder and print SLICER_EXECUTABLE and SLICER_PYTHON."""
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / {"linux-amd64": "slicer.tar.gz", "macosx-amd64": "slicer.dmg"}.get(
        system, "slicer.exe"
    )
    urllib.request.urlretrieve(URL.format(os=SYSTEMS[system]), package)
    if system == "linux-amd64":
        with tarfile.open(package) as archive:
            archive.extractall(folder, filter="data")
        root = next(path for path in folder.iterdir() if path.is_dir())
        executable, python = root / "Slicer", root / "bin" / "PythonSlicer"
    elif system == "macosx-amd64":
        mount = folder / "mount"
        attach = ["hdiutil", "attach", str(package), "-nobrowse", "-mountpoint", str(mount)]
        # The image asks for agreement to its licence before it opens.
        subprocess.run(attach, input=b"Y\n", stdout=subprocess.DEVNULL, check=True)
        root = folder / "Slicer.app"
        subprocess.run(["cp", "-R", str(next(mount.glob("*.app"))), str(root)], check=True)
        executable, python = (
            root / "Contents" / "MacOS" / "Slicer",
            root / "Contents" / "bin" / "PythonSlicer",
        )
    else:
        root = folder / "Slicer"
        subprocess.run([str(package), "/S", f"/D={root}"], check=True)
        executable, python = root / "Slicer.exe", root / "bin" / "PythonSlicer.exe"
    for path in (executable, python):
        if not path.exists():
            raise SystemExit(f"{path} is not there; the package has another layout than expected")
    sys.stdout.write(f"SLICER_EXECUTABLE={executable}\nSLICER_PYTHON={python}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
