"""NIfTI-1 from bytes, so that volumes inside a zip need no file on disk."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib

import numpy as np

HEADER_BYTES = 348
MAX_VOXEL_BYTES = 4 << 30
MAX_OFFSET = 1 << 24

_DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}


def parse_nifti(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode `.nii` or `.nii.gz`.

    Returns the array with axes reversed to (..., K, J, I), scaled as the header says, and the (4, 4)
    ijk -> RAS matrix in mm. Raises ValueError where the bytes are no single-file NIfTI-1 of real numbers.
    """
    with _plain(data) as stream:
        try:
            header = stream.read(HEADER_BYTES)
            return _voxels(stream, header), _ijk_to_ras(header, _byte_order(header))
        except (EOFError, OSError, zlib.error, struct.error) as error:
            raise ValueError("it is damaged or cut short") from error


def _plain(data: bytes) -> gzip.GzipFile | io.BytesIO:
    stream = io.BytesIO(data)
    return gzip.GzipFile(fileobj=stream) if data[:2] == b"\x1f\x8b" else stream


def _byte_order(header: bytes) -> str:
    if len(header) == HEADER_BYTES and header[344:348] == b"n+1\0":
        for order in "<>":
            if struct.unpack_from(order + "i", header)[0] == HEADER_BYTES:
                return order
    raise ValueError("it is not a NIfTI-1 file")


def _voxels(stream: gzip.GzipFile | io.BytesIO, header: bytes) -> np.ndarray:
    order = _byte_order(header)
    dims = struct.unpack_from(order + "8h", header, 40)
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise ValueError("its dimensions make no sense")
    shape = dims[1 : dims[0] + 1][::-1]
    code = struct.unpack_from(order + "h", header, 70)[0]
    if code not in _DTYPES:
        raise ValueError("its voxels are not real numbers")
    dtype = np.dtype(order + _DTYPES[code])
    size = math.prod(shape) * dtype.itemsize
    offset = int(struct.unpack_from(order + "f", header, 108)[0])
    if size > MAX_VOXEL_BYTES or not HEADER_BYTES <= offset <= MAX_OFFSET:
        raise ValueError("it is larger than 4 GiB or its header is damaged")
    stream.read(offset - HEADER_BYTES)
    content = stream.read(size)
    if len(content) < size:
        raise ValueError("it is cut short")
    array = np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    slope, intercept = struct.unpack_from(order + "2f", header, 112)
    if math.isfinite(slope) and slope != 0.0 and (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return array


def _ijk_to_ras(header: bytes, order: str) -> np.ndarray:
    """The header's sform, else its qform, else the bare voxel size (NIfTI-1 methods 3, 2 and 1)."""
    qform_code, sform_code = struct.unpack_from(order + "2h", header, 252)
    pixdim = np.array(struct.unpack_from(order + "4f", header, 76), np.float64)
    zooms = np.where(np.isfinite(pixdim[1:]) & (pixdim[1:] > 0), pixdim[1:], 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(zooms)
    if sform_code > 0:
        matrix[:3] = np.array(struct.unpack_from(order + "12f", header, 280)).reshape(3, 4)
    elif qform_code > 0:
        b, c, d, *offset = struct.unpack_from(order + "6f", header, 256)
        handed = -1.0 if pixdim[0] < 0 else 1.0
        matrix[:3, :3] = _rotation(b, c, d) * (zooms * (1.0, 1.0, handed))
        matrix[:3, 3] = offset
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError("its orientation makes no sense")
    matrix[:3] *= _MM_PER_UNIT.get(header[123] & 7, 1.0)
    return matrix


def _rotation(b: float, c: float, d: float) -> np.ndarray:
    """The rotation of the unit quaternion (a, b, c, d), a >= 0."""
    a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
