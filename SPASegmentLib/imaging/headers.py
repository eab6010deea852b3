"""What an image file's header states, read before anything of the stated size is allocated."""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.detached import data_files, meta_fields, nrrd_fields
from SPASegmentLib.imaging.structure import dicom_bytes, tiff_pages

SUPPORTED = "NRRD, NIfTI, MHA/MHD, DICOM, PNG, JPEG or TIFF"
MOST_DEFLATED = 1100
"""No deflate stream holds more than 1,032 bytes per byte; a header that claims more is wrong."""
SMALL = 256 * 2**20
"""Claims up to this many bytes are left to the decoder; only larger ones could do harm."""

_SUFFIXES = {
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".dcm": "DICOM",
    ".ima": "DICOM",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_MAGIC = {
    b"NRRD": "NRRD",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
_NRRD_BYTES = {
    **dict.fromkeys(("char", "int8"), 1),
    **dict.fromkeys(("short", "shortint", "int16"), 2),
    **dict.fromkeys(("int", "int32", "float"), 4),
    **dict.fromkeys(("longlong", "longlongint", "int64", "double"), 8),
}
_MILLIMETRES = ("", "mm", "millimeter", "millimetre", "millimeters", "millimetres", "none", "???")
_NIFTI_TYPES = frozenset((2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304))
_META_PER_AXIS = (
    *("DimSize", "ElementSpacing", "ElementSize", "TransformMatrix", "Rotation", "Orientation"),
    *("Offset", "Position", "Origin", "CenterOfRotation", "AnatomicalOrientation"),
)
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True)
class Limits:
    """How far a file is trusted.

    ratio: bytes of voxels that one byte on disk may become, where there are more than SMALL. decoded: most
    bytes of voxels, or None for what the computer's memory holds. elsewhere: whether the data files a header
    names may lie outside its own folder; each is named in the log before it is read.
    """

    ratio: int = MOST_DEFLATED
    decoded: int | None = None
    elsewhere: bool = False


BESIDE = Limits()
"""For any file, unless more is known about it: its data files lie in its own folder."""
OWN = Limits(elsewhere=True)
"""For a file the user names on the command line."""


@dataclass(frozen=True)
class Stated:
    """What a header states beside the geometry ITK reads.

    held: bytes of voxels on disk. data: the files that hold them beside the header. has_spacing: whether it
    states a voxel size. spacing: the stated sizes in mm where known, raw.
    oriented: whether it states a position in the patient. is_grey: whether a picture has grey pixels only.
    unit: of its lengths where that is none of mm. scaling: slope and offset of its values.
    """

    held: int
    has_spacing: bool = True
    spacing: tuple[float, ...] = ()
    oriented: bool = True
    data: tuple[Path, ...] = ()
    is_grey: bool = False
    unit: str = ""
    scaling: tuple[float, float] = (1.0, 0.0)


def damaged(path: Path, kind: str) -> InputError:
    """The sentence for a file that cannot be decoded."""
    return InputError(f"{path} is not a readable {kind} file: it is damaged or incomplete; export it again.")


def kind_of(path: Path) -> str:
    """Which format a file has, by its first bytes or else its name.

    Raises InputError where it is no supported image.
    """
    start = _start_of(path, 132)
    if not start:
        raise InputError(f"{path} is empty; export the image again.")
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[128:132] == b"DICM" or is_bare_dicom(start):
        return "DICOM"
    name = path.name.lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    kind = _SUFFIXES.get(suffix, "")
    if kind in ("", "PNG", "JPEG", "TIFF", "NRRD"):
        raise InputError(f"{path} is not an image this program reads; give it a {SUPPORTED} file.")
    return kind


def is_bare_dicom(start: bytes) -> bool:
    """Whether a file's first bytes are elements of DICOM, without the preamble that belongs before them."""
    if start[:2] not in (b"\x02\0", b"\x08\0") or len(start) < 16:
        return False
    element, length = struct.unpack_from("<HI", start, 2)
    typed = start[4:6].isalpha() and start[4:6].isupper()
    return element <= 0x0070 and (typed or length <= 64)


def check_header(path: Path, kind: str, limits: Limits) -> Stated:
    """Check that the file can hold the data its header claims, without allocating that much.

    Raises InputError for damaged headers, truncated files and impossible claims.
    """
    held = path.stat().st_size
    try:
        if kind == "NRRD":
            return _check_nrrd(path, limits)
        if kind == "MetaImage":
            return _check_meta(path, limits)
        if kind == "NIfTI":
            return _check_nifti(path, limits)
        if kind == "JPEG":
            _check_jpeg_end(path)
        if kind == "TIFF":
            return _check_tiff(path, limits)
        if kind == "DICOM":
            check_claim(path, dicom_bytes(path, max(SMALL, held * limits.ratio)), held, limits)
    except (ValueError, KeyError, struct.error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, kind) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return Stated(held, has_spacing=kind == "DICOM", oriented=kind == "DICOM")


def check_claim(path: Path, claimed: int, held: int, limits: Limits, *, exact: bool = False) -> None:
    """Refuse `claimed` bytes of voxels that `held` bytes on disk cannot contain or memory cannot take."""
    if claimed > held if exact else claimed > max(SMALL, held * MOST_DEFLATED):
        raise InputError(
            f"{path} claims {_size(claimed)} of image data but holds only {_size(held)}: "
            "it is incomplete or its header is wrong; export it again."
        )
    if claimed > max(SMALL, held * limits.ratio):
        raise InputError(
            f"{path} packs {_size(claimed)} of image data into {_size(held)}, which is not unpacked for the "
            "page; start the viewer with the file's path."
        )
    if limits.decoded is not None and claimed > limits.decoded:
        left = _size(max(limits.decoded, 0))
        raise InputError(
            f"{path} needs {_size(claimed)} of memory, and uploads have {left} left; "
            "crop it first, or start the viewer with the file's path."
        )
    memory = _memory()
    if memory and claimed > memory:
        raise InputError(
            f"{path} needs {_size(claimed)} of memory and this computer has {_size(memory)}; crop it first."
        )


def no_position(path: Path | str) -> InputError:
    """The sentence for a geometry that is not finite."""
    return InputError(f"{path} states no usable position; correct the geometry in its header.")


def unreadable(path: Path, error: OSError) -> InputError:
    """The sentence for a file the system does not let us read."""
    return InputError(f"{path} cannot be read ({(error.strerror or 'input error').lower()}); check the file.")


def _start_of(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise unreadable(path, error) from error


def _size(count: int) -> str:
    if count < 10**6:
        return f"{count:,} bytes"
    return f"{count / 1e6:,.1f} MB" if count < 10**9 else f"{count / 1e9:,.1f} GB"


def _memory() -> int:
    """Physical memory in bytes, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _check_nrrd(path: Path, limits: Limits) -> Stated:
    with path.open("rb") as file:
        fields, listed = nrrd_fields(file)
        attached = path.stat().st_size - file.tell()
    sizes = [int(size) for size in fields["sizes"].split()]
    if min(sizes) < 1:
        raise ValueError("sizes")
    item = _NRRD_BYTES[re.sub(r"unsigned|signed|^u|_t$|\s", "", fields["type"].lower())]
    data_file = fields.get("data file")
    data = [] if data_file is None else data_files(path, data_file, listed, elsewhere=limits.elsewhere)
    held = sum(file.stat().st_size for file in data) if data else attached
    check_claim(path, math.prod(sizes) * item, held, limits, exact=fields["encoding"].lower() == "raw")
    spacing = _numbers(fields.get("spacings", ""))
    return Stated(
        held,
        has_spacing="space directions" in fields or (bool(spacing) and all(map(math.isfinite, spacing))),
        spacing=tuple(value for value in spacing if math.isfinite(value)),
        oriented="space directions" in fields,
        data=tuple(data),
        unit=_unit(fields.get("space units", fields.get("units", ""))),
    )


def _unit(stated: str) -> str:
    """The first unit of NRRD's quoted ones that is not mm; empty where there is none."""
    units = (unit.strip() for unit in re.findall(r'"([^"]*)"', stated))
    return next((unit for unit in units if unit.lower() not in _MILLIMETRES), "")


def _check_tiff(path: Path, limits: Limits) -> Stated:
    pages = tiff_pages(path)
    held = path.stat().st_size
    check_claim(path, sum(page.bytes for page in pages), held, limits)
    sizes = list(dict.fromkeys((page.columns, page.rows) for page in pages))
    if len(sizes) > 1:
        words = " and ".join(f"{columns} x {rows}" for columns, rows in sizes[:2])
        raise InputError(
            f"{path} has pages of {len(sizes)} sizes ({words}); save one page, or pages of one size."
        )
    if any(page.is_tiled and page.bits > 8 for page in pages):
        raise InputError(
            f"{path} is a TIFF of {max(page.bits for page in pages)} bits in tiles, which would be read with "
            "8 bits; save it without tiles (in strips)."
        )
    is_grey = all(page.is_tiled and page.is_grey for page in pages)
    return Stated(held, has_spacing=False, oriented=False, is_grey=is_grey)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split())


def _check_meta(path: Path, limits: Limits) -> Stated:
    with path.open("rb") as file:
        fields, listed = meta_fields(file)
        attached = path.stat().st_size - file.tell()
    sizes = [int(size) for size in fields["DimSize"].split()]
    if min(sizes) < 1 or len(sizes) != int(fields["NDims"]):
        raise ValueError("DimSize")
    names = list(fields)
    if any(names.index(name) < names.index("NDims") for name in _META_PER_AXIS if name in fields):
        raise ValueError("a field of each axis before their number")
    element = fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY").removeprefix("U")
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    data_file = fields["ElementDataFile"]
    data = []
    if data_file not in ("LOCAL", "Local", "local"):
        data = data_files(path, data_file, listed, elsewhere=limits.elsewhere)
    held = sum(file.stat().st_size for file in data) if data else attached
    compressed = fields.get("CompressedData", "")[:1] in ("T", "t", "1")  # as the decoder reads it
    claimed = math.prod(sizes) * channels * _META_BYTES[element]
    check_claim(path, claimed, held, limits, exact=not compressed)
    if compressed:
        # Without its size, the decoder takes all of a data file, but not what follows the header.
        packed = int(fields.get("CompressedDataSize", "0")) or (held if data else 0)
        if packed > held or _inflated_bytes(data[0] if data else path, held, packed, claimed) != claimed:
            raise ValueError("a stream of another length than stated")
    spacing = _numbers(fields.get("ElementSpacing", fields.get("ElementSize", "")))
    oriented = any(key in fields for key in ("TransformMatrix", "Orientation", "Rotation"))
    slope, offset = (fields.get(f"ElementToIntensityFunction{name}", "") for name in ("Slope", "Offset"))
    return Stated(
        held,
        has_spacing=bool(spacing),
        spacing=spacing,
        oriented=oriented,
        data=tuple(data),
        scaling=(float(slope or 1) or 1.0, float(offset or 0)),
    )


def _inflated_bytes(path: Path, held: int, packed: int, enough: int) -> int:
    """Bytes in a zlib stream, the first `packed` of a file's last `held`, counted to a little over `enough`.

    0 for one without an end, which ITK takes for a whole one. Raises zlib.error where it is damaged.
    """
    stream, count = zlib.decompressobj(), 0
    with path.open("rb") as file:
        file.seek(-held, os.SEEK_END)
        while not stream.eof and count <= enough:
            chunk = stream.unconsumed_tail
            if not chunk:
                chunk = file.read(min(packed, 2**18))
                packed -= len(chunk)
            if not chunk:
                return 0
            count += len(stream.decompress(chunk, 2**20))
    return count


def _check_nifti(path: Path, limits: Limits) -> Stated:
    zipped = _start_of(path, 2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        header = file.read(540)
    claimed, stated = _nifti_header(header)
    if zipped:
        check_claim(path, claimed, path.stat().st_size, limits)
        held = _unzipped_bytes(path, claimed)
    else:
        held = path.stat().st_size
    check_claim(path, claimed, held, limits, exact=True)
    return replace(stated, held=path.stat().st_size)


def _unzipped_bytes(path: Path, enough: int) -> int:
    """Bytes in a gzip stream, its checksum verified; ITK takes a truncated stream for a whole one."""
    count = 0
    with gzip.open(path) as stream:
        while chunk := stream.read(2**20):
            count += len(chunk)
            if count > enough + 2**20:
                break
    return count


def _nifti_header(header: bytes) -> tuple[int, Stated]:
    """Bytes the whole uncompressed file must have, and what is stated (NIfTI-1 or 2, either byte order)."""
    order = next((o for o in "<>" if struct.unpack(o + "i", header[:4])[0] in (348, 540)), None)
    if order is None:
        raise ValueError("not NIfTI")
    if struct.unpack(order + "i", header[:4])[0] == 348:
        dims = struct.unpack_from(order + "8h", header, 40)
        kind, bits = struct.unpack_from(order + "2h", header, 70)
        pixdim = struct.unpack_from(order + "8f", header, 76)
        offset = struct.unpack_from(order + "f", header, 108)[0]
        codes = struct.unpack_from(order + "2h", header, 252)
    else:
        dims = struct.unpack_from(order + "8q", header, 16)
        kind, bits = struct.unpack_from(order + "2h", header, 12)
        pixdim = struct.unpack_from(order + "8d", header, 104)
        offset = struct.unpack_from(order + "q", header, 168)[0]
        codes = struct.unpack_from(order + "2i", header, 344)
    used = [max(1, size) if axis > 2 else size for axis, size in enumerate(dims[1 : dims[0] + 1])]
    if not 1 <= dims[0] <= 7 or min(used) < 1 or bits < 1 or kind not in _NIFTI_TYPES:
        raise ValueError("dim or datatype")
    claimed = int(offset) + math.prod(used) * bits // 8
    spacing = tuple(float(size) for size in pixdim[1 : 1 + min(3, dims[0])])
    return claimed, Stated(0, spacing=spacing, oriented=any(code > 0 for code in codes))


def _check_jpeg_end(path: Path) -> None:
    """libjpeg fills a truncated picture with grey and only prints a warning."""
    data = path.read_bytes()
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise ValueError("no end of image")
