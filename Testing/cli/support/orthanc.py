"""A real DICOMweb server for tests: Orthanc with its plugin, on loopback, one user, its files in a folder."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

DROPPED = "4712"
"""A patient whose segmentations it takes and does not keep."""
_FILTER = """
function ReceivedInstanceFilter(dicom, origin)
  return dicom["Modality"] ~= "SEG" or dicom["PatientID"] ~= "%s"
end
"""
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
AUTH = "Basic " + base64.b64encode(b"alice:correct horse").decode()


@dataclass(frozen=True)
class Orthanc:
    """A running server. address: of its own interface. log: what it has printed."""

    address: str
    log: Path

    @property
    def dicomweb(self) -> str:
        """Address of its DICOMweb service."""
        return f"{self.address}/dicom-web"

    def add(self, folder: Path) -> None:
        """Store every file of a folder, through its own interface."""
        for path in sorted(folder.iterdir()):
            self.ask("/instances", path.read_bytes())

    def ask(self, path: str, sent: bytes | None = None) -> bytes:
        """What its own interface answers."""
        answer = httpx.request(
            "GET" if sent is None else "POST",
            self.address + path,
            content=sent,
            headers={"Authorization": AUTH},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.content

    def series(self, modality: str) -> list[list[bytes]]:
        """The files of every series of a modality."""
        found = []
        for series in json.loads(self.ask("/series?expand")):
            if series["MainDicomTags"]["Modality"] == modality:
                found.append([self.ask(f"/instances/{one}/file") for one in series["Instances"]])
        return found


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Orthanc on a free port until the block ends. Skips the test where it is not installed."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc orthanc-dicomweb)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "files"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"alice": "correct horse"},
        "Plugins": [str(PLUGIN)],
        "LuaScripts": [str(folder / "filter.lua")],
    }
    (folder / "filter.lua").write_text(_FILTER % DROPPED, encoding="utf-8")
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    server = Orthanc(f"http://127.0.0.1:{port}", folder / "orthanc.log")
    with server.log.open("w") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < until, server.log.read_text(encoding="utf-8")
            try:
                httpx.get(server.address, timeout=5, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(30)
