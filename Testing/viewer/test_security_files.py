"""What a file sent to the viewer may read and take: its own folder, and so much disk and memory."""

from __future__ import annotations

import asyncio
import gzip
import logging
import struct
import zlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.headers import OWN, Limits
from SPASegmentLib.viewer.uploads import Uploads
from SPASegmentLib.viewer.volumes import file_choice

META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 4 3 2\n"
    "ElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
)
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 1\nencoding: raw\nendian: little\n"
VOXELS = np.arange(24, dtype="<i2")
SECRET = np.full(24, 77, "<i2")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A folder with one data file and its slices; beside it lies a file that is nobody's business."""
    folder = tmp_path / "upload"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(SECRET.tobytes())
    for name in ("ok.raw", "below/ok.raw", "a name.raw"):
        (folder / name).write_bytes(VOXELS.tobytes())
    for k, part in enumerate((VOXELS[:12], VOXELS[12:])):
        (folder / f"slice{k:02d}.raw").write_bytes(part.tobytes())
    (tmp_path / "slice00.raw").write_bytes(SECRET[:12].tobytes())
    (tmp_path / "slice01.raw").write_bytes(SECRET[12:].tobytes())
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    (folder / "linked").symlink_to(tmp_path)
    return folder


OUTSIDE = ["../secret.raw", "{tmp}/secret.raw", "linked/secret.raw", "link.raw", "below/../../secret.raw"]
INSIDE = ["ok.raw", "./ok.raw", "below/ok.raw", "below/../ok.raw", "a name.raw", "{tmp}/upload/ok.raw"]
META_WAYS = {
    "plain": "ElementDataFile = {0}\n",
    "with a colon": "ElementDataFile: {0}\nElementDataFile = LOCAL\n",
    "without spaces": "ElementDataFile={0}\n",
}
NRRD_WAYS = {
    "plain": "data file: {0}\n\n",
    "one word": "datafile: {0}\n\n",
    "capitals": "Data File: {0}\n\n",
    "shouted": "DATAFILE: {0}\n\n",
}


def written(folder: Path, text: str, suffix: str) -> Path:
    path = folder / f"header{suffix}"
    path.write_bytes(text.encode() + (b"" if suffix in (".mhd", ".nhdr") else VOXELS.tobytes()))
    return path


@pytest.mark.parametrize("stated", OUTSIDE)
@pytest.mark.parametrize("way", [*(f"meta {w}" for w in META_WAYS), *(f"nrrd {w}" for w in NRRD_WAYS)])
def test_a_header_reads_nothing_outside_its_folder(upload: Path, way: str, stated: str) -> None:
    kind, name = way.split(" ", 1)
    text = META + META_WAYS[name] if kind == "meta" else NRRD + NRRD_WAYS[name]
    stated = stated.format(tmp=upload.parent)
    for suffix in (".mhd", ".mha") if kind == "meta" else (".nhdr", ".nrrd"):
        with pytest.raises(InputError, match="outside its own folder") as told:
            read_volume(written(upload, text.format(stated), suffix))
        assert str(told.value).count(". ") == 0


@pytest.mark.parametrize("stated", INSIDE)
def test_a_header_reads_its_data_beside_and_below_it(upload: Path, stated: str) -> None:
    stated = stated.format(tmp=upload.parent)
    for text, suffix in ((META + META_WAYS["plain"], ".mhd"), (NRRD + NRRD_WAYS["plain"], ".nhdr")):
        read = read_volume(written(upload, text.format(stated), suffix))
        assert np.array_equal(read.array.ravel(), VOXELS)


@pytest.mark.parametrize("up", ["../", "{tmp}/", "linked/"])
@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        (META + "ElementDataFile = LIST\n{0}slice00.raw\n{0}slice01.raw\n", ".mhd"),
        (META + "ElementDataFile = LIST 2\n{0}slice00.raw\n{0}slice01.raw\n", ".mhd"),
        (META + "ElementDataFile = {0}slice%02d.raw 0 1 1\n", ".mhd"),
        (NRRD + "data file: LIST\n{0}slice00.raw\n{0}slice01.raw\n", ".nhdr"),
        (NRRD + "data file: {0}slice%02d.raw 0 1 1\n", ".nhdr"),
    ],
)
def test_lists_and_patterns_stay_in_the_folder(upload: Path, text: str, suffix: str, up: str) -> None:
    with pytest.raises(InputError, match="outside its own folder"):
        read_volume(written(upload, text.format(up.format(tmp=upload.parent)), suffix))
    read = read_volume(written(upload, text.format(""), suffix))
    assert np.array_equal(read.array.ravel(), VOXELS)


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        (NRRD + "# a\rdata file: ../secret.raw\n\n", ".nrrd"),
        (NRRD + "data file: ok.raw\ndatafile: ../secret.raw\n\n", ".nrrd"),
        (NRRD + "#" * 70000 + "\ndata file: ../secret.raw\n\n", ".nrrd"),
        (NRRD + "# a\n" * 300000 + "data file: ../secret.raw\n\n", ".nrrd"),
        (META + "Comment = a\0\nElementDataFile = ../secret.raw\n", ".mha"),
        (META + "ElementDataFile = slice%s.raw 0 1 1\n", ".mhd"),
        (META + "ElementDataFile = slice%n%n%n.raw 0 1 1\n", ".mhd"),
        (META + "ElementDataFile = slice%02d.raw 0 9999999999 1\n", ".mhd"),
        (META + "ElementDataFile = ~/../secret.raw\n", ".mhd"),
        (META + "ElementDataFile = \n", ".mhd"),
        (META + "ElementDataFile = below\n", ".mhd"),
    ],
)
def test_a_header_that_could_be_read_in_two_ways_is_not_read(upload: Path, text: str, suffix: str) -> None:
    with pytest.raises(InputError):
        read_volume(written(upload, text, suffix))


def test_a_header_with_comments_and_windows_lines_is_read(upload: Path) -> None:
    text = NRRD.replace("\n", "\r\n") + "# ElementDataFile = ../secret.raw\r\nwho:=data file: me\r\n\r\n"
    assert np.array_equal(read_volume(written(upload, text, ".nrrd")).array.ravel(), VOXELS)
    text = META.replace("\n", "\r\n") + "Comment = Ålesund: data = 3\r\nElementDataFile = LOCAL\r\n"
    path = upload / "windows.mha"
    path.write_bytes(text.encode("latin-1") + VOXELS.tobytes())
    assert np.array_equal(read_volume(path).array.ravel(), VOXELS)


def test_the_command_line_says_so_before_it_reads_elsewhere(
    upload: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(upload, META + "ElementDataFile = ../secret.raw\n", ".mhd")
    with caplog.at_level(logging.WARNING):
        read = read_volume(path, OWN)
    assert np.array_equal(read.array.ravel(), SECRET)
    (record,) = caplog.records
    assert str((upload.parent / "secret.raw").resolve()) in record.getMessage()
    caplog.clear()
    read_volume(written(upload, META + "ElementDataFile = ok.raw\n", ".mhd"), OWN)
    assert not caplog.records


# Bombs


def nifti(path: Path, shape: tuple[int, int, int], content: bytes | None = None) -> Path:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<h", header, 252, 1)
    header[344:348] = b"n+1\0"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(bytes(header))
        if content is not None:
            file.write(content)
        else:
            for _ in range(int(np.prod(shape)) * 2 // 2**20):
                file.write(b"\0" * 2**20)
    return path


def nrrd_bomb(path: Path) -> Path:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(512)) + packer.flush()
    header = NRRD.replace("4 3 2", "1024 1024 256").replace("raw", "gzip")
    path.write_bytes(header.encode() + b"\n" + packed)
    return path


def deflated_dicom(path: Path, megabytes: int) -> Path:
    """A small picture whose deflated data set holds so many MB more."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "OT"
    data.Rows = data.Columns = 4
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.add_new(0x00091001, "OB", b"\0" * (megabytes * 2**20))
    data.PixelData = np.arange(16, dtype="<u2").tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


FROM_THE_PAGE = Limits(ratio=100, decoded=2**30)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "dcm"])
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path, kind: str) -> None:
    path = {
        "nii.gz": lambda: nifti(tmp_path / "bomb.nii.gz", (1024, 1024, 256)),
        "nrrd": lambda: nrrd_bomb(tmp_path / "bomb.nrrd"),
        "dcm": lambda: deflated_dicom(tmp_path / "bomb.dcm", 300),
    }[kind]()
    assert path.stat().st_size < 2**20
    before = resident_mb()
    with pytest.raises(InputError, match="start the viewer with the file's path"):
        read_volume(path, FROM_THE_PAGE)
    assert resident_mb() - before < 60


def test_files_packed_as_usual_are_read(tmp_path: Path) -> None:
    mask = np.zeros((24, 64, 64), "<i2")
    mask[10:14, 20:40, 20:40] = 1  # a labelmap is packed some hundred times
    path = nifti(tmp_path / "mask.nii.gz", (64, 64, 24), mask.tobytes())
    assert mask.nbytes > 200 * path.stat().st_size
    assert np.array_equal(read_volume(path, FROM_THE_PAGE).array, mask)
    read = read_volume(deflated_dicom(tmp_path / "small.dcm", 1), FROM_THE_PAGE)
    assert read.array.ravel().tolist() == list(range(16))


def test_what_uploads_may_take_of_the_memory_is_limited(tmp_path: Path) -> None:
    voxels = np.arange(24 * 64 * 64, dtype="<i2")
    path = nifti(tmp_path / "scan.nii.gz", (64, 64, 24), voxels.tobytes())
    with pytest.raises(InputError, match="uploads have 100,000 bytes left"):
        read_volume(path, Limits(decoded=100_000))
    assert read_volume(path, Limits(decoded=200_000)).array.size == voxels.size


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


# Names and quotas


class Sender:
    """Sends files to `Uploads` over HTTP and remembers what was opened."""

    def __init__(self, client: Any, uploads: Uploads, opened: list[Path]) -> None:
        self.client, self.uploads, self.opened = client, uploads, opened

    async def put(self, upload: str, name: str, data: bytes, folder: int | str = 0) -> tuple[int, str]:
        from urllib.parse import quote

        from yarl import URL

        url = URL(f"/{upload}/{folder}/{quote(name, safe='')}", encoded=True)
        async with self.client.put(url, data=data) as answer:
            told = await answer.json() if answer.content_type == "application/json" else {}
            return answer.status, told.get("problem", "")

    async def finish(self, upload: str) -> tuple[int, dict[str, str]]:
        async with self.client.post(f"/{upload}?title=folder") as answer:
            return answer.status, await answer.json()


def sending(
    act: Callable[[Sender], Coroutine[Any, Any, None]],
    most: int = 10_000,
    spare: Callable[[], str | None] = lambda: None,
) -> None:
    """Run `act` against uploads of at most so many bytes each."""

    async def main() -> None:
        opened: list[Path] = []

        async def take(path: Path, _title: str) -> None:
            opened.append(path)

        uploads = Uploads(most, take, spare)
        app = web.Application()
        app.router.add_put("/{id}/{folder}/{name:[^/]+}", uploads.receive)
        app.router.add_post("/{id}", uploads.finish)
        try:
            async with TestClient(TestServer(app)) as client:
                await act(Sender(client, uploads, opened))
        finally:
            uploads.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result(60)


def test_names_that_are_alike_stay_apart() -> None:
    names = [f"{'CHEST ROUTINE ' * 7}{k:02d}.dcm" for k in range(24)] + ["a\x01.dcm", "a\x02.dcm", "a_.dcm"]

    async def act(sender: Sender) -> None:
        for k, name in enumerate(names):
            assert await sender.put("0123abcd", name, bytes([k])) == (200, "")
        assert (await sender.finish("0123abcd"))[0] == 200
        (folder,) = sender.opened
        found = sorted(path.read_bytes()[0] for path in folder.rglob("*") if path.is_file())
        assert found == list(range(len(names)))

    sending(act)


def test_a_file_sent_twice_is_refused_and_the_first_one_kept() -> None:
    async def act(sender: Sender) -> None:
        assert await sender.put("0123abcd", "a.dcm", b"1") == (200, "")
        code, problem = await sender.put("0123abcd", "a.dcm", b"2")
        assert code == 413 and "Two files called a.dcm" in problem
        assert (await sender.put("0123abcd", "a.dcm", b"3", folder=1))[0] == 200
        assert (await sender.put("0123abcd", "a.dcm", b"3", folder="x"))[0] == 413
        await sender.finish("0123abcd")
        assert sorted(p.read_bytes() for p in sender.opened[0].rglob("*.dcm")) == [b"1", b"3"]
        assert (await sender.put("0123abcd", "late.dcm", b"4"))[0] == 413
        assert (await sender.finish("0123abcd"))[0] == 422

    sending(act)


@pytest.mark.parametrize(
    "name", ["scan #3, [left] {50} & more", "Müller, Übersicht", "s" * 240, ".hidden", "CT.1.2.3"]
)
def test_a_header_finds_its_data_whatever_they_are_called(name: str) -> None:
    async def act(sender: Sender) -> None:
        header = META + f"ElementDataFile = {name}.raw\n"
        assert (await sender.put("0123abcd", f"{name}.mhd", header.encode()))[0] == 200
        assert (await sender.put("0123abcd", f"{name}.raw", VOXELS.tobytes()))[0] == 200
        assert await sender.finish("0123abcd") == (200, {})
        assert np.array_equal(read_volume(sender.opened[0]).array.ravel(), VOXELS)

    sending(act)


def test_pairs_of_two_folders_stay_together_and_nothing_is_dropped_silently() -> None:
    async def act(sender: Sender) -> None:
        header = (META + "ElementDataFile = scan.raw\n").encode()
        await sender.put("0123abcd", "scan.mhd", header, 1)
        await sender.put("0123abcd", "scan.raw", SECRET.tobytes(), 0)
        await sender.put("0123abcd", "scan.raw", VOXELS.tobytes(), 1)
        await sender.put("0123abcd", "notes.txt", b"words", 1)
        code, answer = await sender.finish("0123abcd")
        assert code == 200 and "2 of the files" in answer["note"] and "notes.txt" in answer["note"]
        assert np.array_equal(read_volume(sender.opened[0]).array.ravel(), VOXELS)

    sending(act)


@pytest.mark.parametrize("name", ["..", ".", "../../evil", "/etc/evil", "..\\..\\evil", "x" * 900, "\0", " "])
def test_no_name_leaves_the_upload(name: str) -> None:
    async def act(sender: Sender) -> None:
        code, _ = await sender.put("0123abcd", name, b"1")
        if code == 200:
            await sender.finish("0123abcd")
            assert sender.opened[0].resolve().is_relative_to(sender.uploads.folder.resolve() / "0123abcd")
        assert not list(sender.uploads.folder.parent.glob("evil*"))
        assert (await sender.put("0123abce", "good.nrrd", b"1"))[0] == 200

    sending(act)


def test_one_upload_and_all_together_are_limited() -> None:
    async def act(sender: Sender) -> None:
        code, problem = await sender.put("00000000", "a.nrrd", b"1" * 10_001)
        assert code == 413 and "--max-upload-mb" in problem
        await sender.put("00000001", "a.nrrd", b"1" * 6_000)
        assert (await sender.put("00000001", "b.nrrd", b"1" * 6_000))[0] == 413
        assert not list(sender.uploads.folder.iterdir())
        for k in range(4):
            assert (await sender.put(f"0000010{k}", "a.nrrd", b"1" * 10_000))[0] == 200
        code, problem = await sender.put("00000200", "a.nrrd", b"1")
        assert code == 413 and "of this session" in problem and problem.count(". ") == 0
        sender.uploads.forget("00000100")
        assert (await sender.put("00000201", "a.nrrd", b"1"))[0] == 200

    sending(act)


def test_an_upload_nobody_needs_makes_room() -> None:
    closed = ["00000100"]

    async def act(sender: Sender) -> None:
        for k in range(4):
            assert (await sender.put(f"0000010{k}", "a.nrrd", b"1" * 10_000))[0] == 200
        assert (await sender.put("00000200", "a.nrrd", b"1" * 10_000))[0] == 200
        assert not (sender.uploads.folder / "00000100").exists()
        assert (sender.uploads.folder / "00000101").exists()
        assert (await sender.put("00000201", "a.nrrd", b"1"))[0] == 413

    sending(act, spare=lambda: closed.pop() if closed else None)


# What floods the terminal


@pytest.mark.parametrize("spacing", ["1e30 1e30 1e30", "1 1 1e30", "1e-30 1 1", "1e9 1 1"])
def test_a_voxel_size_of_nothing_on_earth_is_refused(tmp_path: Path, spacing: str) -> None:
    path = tmp_path / "made.mha"
    text = META.replace("ElementSpacing = 1 1 1", "ElementSpacing = {0}") + "ElementDataFile = LOCAL\n"
    path.write_bytes(text.format(spacing).encode() + VOXELS.tobytes())
    with pytest.raises(InputError, match="correct the spacing"):
        read_volume(path)
    for good in ("1e-4 1e-4 1e-3", "0.7 0.7 5", "100 100 100"):
        path.write_bytes(text.format(good).encode() + VOXELS.tobytes())
        assert read_volume(path).array.size == 24


def test_a_position_out_of_this_world_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.mha"
    for offset, fits in (("1e30 0 0", False), ("-900 120.5 40000", True)):
        text = META + f"Offset = {offset}\nElementDataFile = LOCAL\n"
        path.write_bytes(text.encode() + VOXELS.tobytes())
        if fits:
            assert read_volume(path).array.size == 24
        else:
            with pytest.raises(InputError, match="correct the origin"):
                read_volume(path)


def test_a_constant_volume_gets_a_sentence_in_the_viewer(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 8, 8), 5, np.int16)), str(tmp_path / "same.nrrd"))
    with pytest.raises(InputError, match=r"same\.nrrd has the same value"):
        file_choice(tmp_path / "same.nrrd").load()
    sitk.WriteImage(sitk.GetImageFromArray(np.eye(8, dtype=np.int16)[None]), str(tmp_path / "eye.nrrd"))
    assert file_choice(tmp_path / "eye.nrrd").load().array.max() == 1
