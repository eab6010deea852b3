"""Bad files, killed servers and strangers: one sentence, and it goes on."""

from __future__ import annotations

import gzip
import shutil
import signal
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813


def nrrd(path: Path, sizes: str, dimension: int, content: bytes) -> Path:
    header = f"NRRD0004\ntype: short\ndimension: {dimension}\nsizes: {sizes}\nencoding: raw\nendian: little\n"
    if dimension == 3:
        header += (
            "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
            "space origin: (0,0,0)\n"
        )
    path.write_bytes(header.encode() + b"\n" + content)
    return path


def nifti_header(shape: tuple[int, ...]) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header)


def bad_files(folder: Path) -> dict[str, Path]:
    files = {"no image": folder / "holiday.txt"}
    files["no image"].write_text("Dear all, greetings from the sea.")
    files["cut off"] = nrrd(folder / "cut.nrrd", "64 64 32", 3, b"\0" * 1000)
    files["three gigabytes in a kilobyte"] = nrrd(folder / "large.nrrd", "1200 1200 1200", 3, b"\0" * 1000)
    files["bomb"] = folder / "bomb.nii.gz"
    with gzip.open(files["bomb"], "wb", compresslevel=9) as file:
        file.write(nifti_header((2000, 2000, 1000)))
        for _ in range(64):
            file.write(b"\0" * 2**20)
    files["bomb without header"] = folder / "zeros.nii.gz"
    with gzip.open(files["bomb without header"], "wb", compresslevel=9) as file:
        for _ in range(256):
            file.write(b"\0" * 2**20)
    files["larger than allowed"] = folder / "much.nrrd"
    files["larger than allowed"].write_bytes(b"NRRD0004\n" + b"\1" * (9 * 2**20))
    files["empty"] = folder / "nothing.mha"
    files["empty"].write_bytes(b"")
    return files


def test_bad_uploads_get_one_sentence(a_server: Any, new_page: Callable[..., Any], tmp_path: Path) -> None:
    page = new_page(a_server.address)
    others = uploads_kept(a_server)
    for what, path in bad_files(tmp_path).items():
        before = a_server.resident_mb()
        page.page.set_input_files("#upload", str(path))
        page.wait("() => trame.state.get('problem') !== ''")
        sentence = page.state("problem")
        assert sentence.count(". ") == 0 and sentence.endswith("."), (what, sentence)
        assert "Traceback" not in sentence and str(a_server.home) not in sentence, (what, sentence)
        assert a_server.resident_mb() - before < 300, what
        page.page.click("#dismiss")
        page.wait("() => trame.state.get('problem') === ''")
        assert page.state("volume") == "sample"
    page.begin().click_at()
    page.proposed(1)
    assert "Traceback" not in a_server.errors
    assert uploads_kept(a_server) == others


def uploads_kept(server: Any) -> list[Path]:
    """Files of uploads that lie in the server's private folder."""
    files = (path for path in (server.home / "tmp").rglob("*") if path.is_file())
    return sorted(path for path in files if path.name.endswith((".nrrd", ".gz", ".mha", ".txt")))


def dicom_series(folder: Path, slices: int) -> Path:
    """A CT in two subfolders whose files have the same names, as some scanners export it."""
    random = np.random.default_rng(0)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(slices):
        image = sitk.GetImageFromArray(random.integers(-900, 100, (64, 64)).astype(np.int16))
        tags = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.3.{k}",
            "0020|000d": "1.2",
            "0020|000e": "1.2.3",
            "0020|0032": f"0\\0\\{2.5 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k + 1),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        part = folder / "thorax" / ("first" if k < slices // 2 else "second")
        part.mkdir(parents=True, exist_ok=True)
        writer.SetFileName(str(part / f"IM{k % (slices // 2):04d}.dcm"))
        writer.Execute(image)
    return folder / "thorax"


@pytest.mark.long
def test_a_folder_of_dicom_slices_can_be_sent(
    a_server: Any, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(a_server.address)
    series = dicom_series(tmp_path, 12)
    opened = "() => trame.state.get('volume').startsWith('upload:') && !trame.state.get('job')"
    page.page.set_input_files("#upload-folder", str(series))
    page.wait(opened)
    page.shows_volume("thorax")
    assert page.state("is_ct") and page.state("slice_text").split("·")[0].strip().endswith("of 12")
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample'")
    page.page.set_input_files("#upload", sorted((series / "first").iterdir()))
    page.wait(opened)
    page.shows_volume("6 files")
    assert page.state("slice_text").split("·")[0].strip().endswith("of 6")
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample'")


def test_a_file_can_be_dropped_on_the_page(
    a_server: Any, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(a_server.address)
    voxels = np.random.default_rng(0).normal(100, 20, (6, 32, 32)).astype("<i2")
    sent = nrrd(tmp_path / "dropped.nrrd", "32 32 6", 3, voxels.tobytes()).read_bytes()
    page.page.evaluate(
        """(bytes) => { const all = new DataTransfer();
        all.items.add(new File([new Uint8Array(bytes)], 'dropped.nrrd'));
        document.querySelector('.views').dispatchEvent(
          new DragEvent('drop', {dataTransfer: all, bubbles: true, cancelable: true})); }""",
        list(sent),
    )
    page.wait("() => trame.state.get('volume').startsWith('upload:') && !trame.state.get('job')")
    assert page.state("slice_text").split("·")[0].strip().endswith("of 6")
    page.page.select_option("#volume", "sample")
    page.wait("() => trame.state.get('volume') === 'sample'")


@pytest.mark.long
def test_a_killed_server_offers_to_go_on_or_to_start_anew(
    new_server: Callable[..., Any], new_page: Callable[..., Any]
) -> None:
    server = new_server("--model", "compact")
    page = new_page(server.address)
    page.click_at()
    page.proposed(1)
    page.page.click("#approve")
    page.said("Approved")
    page.page.keyboard.press("f")
    page.said("Whole object")
    followed = page.screen["object"]
    page.page.keyboard.press("ArrowUp")
    page.proposed(1)
    page.page.keyboard.press("3")
    page.proposed(2)
    names = [card["name"] for card in page.screen["cards"]]
    server.kept("pick")
    about, (mask,) = server.truth()
    server.stop(signal.SIGKILL)
    page.page.wait_for_selector(".spa-stopped")
    server.start()
    page.page.wait_for_selector("#resume", timeout=60_000)
    page.page.click("#resume")
    page.proposed(2)
    assert [card["name"] for card in page.screen["cards"]] == names
    after, (mask_after,) = server.truth()
    assert np.array_equal(mask, mask_after)
    assert page.screen["object"] == followed
    assert after["offsets"][0] == pytest.approx(about["offsets"][0])
    page.page.keyboard.press("u")
    page.proposed(1)

    assert server.stop() == 0
    server.start()
    page = new_page(server.address)
    page.page.click("#start-anew")
    page.page.wait_for_selector("#start-anew", state="detached")
    assert page.screen["iteration"] == 0
    assert not list((server.home / "state").rglob("state.json"))


def status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def a_server_for_others(new_server: Callable[..., Any]) -> Any:
    return new_server("--host", "0.0.0.0")


NOBODY = ("unshare", "--user", "--map-user=54321")
"""Runs a command as an account that has no name and no home folder, as containers do."""
FOLDERS = (
    *("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("SPASEGMENT_PROFILES", "SPASEGMENT_STATE"),
)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["no home folder", "folders that cannot be written"])
def test_without_folders_of_its_own_the_viewer_serves_and_says_that_nothing_is_kept(
    new_server: Callable[..., Any], new_page: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    within: tuple[str, ...] = ()
    environment: dict[str, str | None] = dict.fromkeys(FOLDERS)
    if kind == "no home folder":
        within = NOBODY
        if shutil.which("unshare") is None or subprocess.run([*NOBODY, "true"], check=False).returncode:
            pytest.skip("this system lets nobody run as an account without a name")
    else:
        environment |= dict.fromkeys(FOLDERS[:6], "/etc/passwd")
    server = new_server(home=tmp_path, environment=environment, within=within)
    page = new_page(server.address)
    page.click_at()
    page.proposed(1)
    page.page.keyboard.press("Enter")
    page.said("Approved")
    page.wait("() => (document.querySelector('.warnings')?.innerText || '').includes('cannot be kept')")
    page.page.select_option("#profile", "+")
    page.page.fill("#new-profile", "Dr A")
    page.page.press("#new-profile", "Enter")
    page.said("no home folder" if within else "could not be saved")
    assert "Traceback" not in server.errors
    assert server.stop() == 0
    assert not list(tmp_path.glob("~*"))


def test_an_address_others_can_reach_needs_the_token(
    a_server_for_others: Any, new_page: Callable[..., Any]
) -> None:
    server = a_server_for_others
    assert "?token=" in server.address
    local = server.address.replace("0.0.0.0", "127.0.0.1")
    bare = local.split("?")[0]
    assert status(bare) == 403
    assert status(f"{bare}?token=guess") == 403
    assert status(bare.replace("index.html", "ws"), Upgrade="websocket", Connection="Upgrade") == 403
    page = new_page(local)
    assert "token" not in page.page.url
    page.click_at()
    page.proposed(1)
    assert sum("token=" in line for line in server.said) == 1


def test_a_port_that_is_taken_gets_one_sentence(a_server: Any, new_server: Callable[..., Any]) -> None:
    port = a_server.address.split(":")[2].split("/")[0]
    with pytest.raises(AssertionError, match="choose another --port"):
        new_server("--port", port)


@pytest.mark.long
def test_an_upload_is_private_and_deleted_at_exit(
    a_server_for_others: Any, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    server = a_server_for_others
    page = new_page(server.address.replace("0.0.0.0", "127.0.0.1"))
    random = np.random.default_rng(0)
    voxels = (random.normal(0, 20, (12, 48, 48)) + 100).astype("<i2")
    voxels[4:8, 16:32, 16:32] += 200
    path = nrrd(tmp_path / "mine.nrrd", "48 48 12", 3, voxels.tobytes())
    page.page.set_input_files("#upload", str(path))
    page.wait("() => trame.state.get('volume').startsWith('upload:')")
    page.click_at()
    page.wait("() => !trame.state.get('screen').busy && trame.state.get('screen').iteration === 1")
    (sent,) = (server.home / "tmp").rglob("mine.nrrd")
    for folder in (sent.parent, sent.parent.parent):
        assert folder.stat().st_mode & 0o077 == 0
    page.page.click("#approve")
    page.said("Approved")
    assert server.stop() == 0
    assert not list((server.home / "state").rglob("*.nrrd"))
    assert not list((server.home / "tmp").glob("spasegment-*"))
