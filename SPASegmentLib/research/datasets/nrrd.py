"""NRRD from bytes, so that volumes inside a zip need no file on disk."""

from __future__ import annotations

import math
import re
import zlib

import numpy as np

MAX_VOXEL_BYTES = 4 << 30

_DTYPES = {
    **dict.fromkeys(["signed char", "int8", "int8_t"], "i1"),
    **dict.fromkeys(["uchar", "unsigned char", "uint8", "uint8_t"], "u1"),
    **dict.fromkeys(["short", "short int", "signed short", "int16", "int16_t"], "i2"),
    **dict.fromkeys(["ushort", "unsigned short", "uint16", "uint16_t"], "u2"),
    **dict.fromkeys(["int", "signed int", "int32", "int32_t"], "i4"),
    **dict.fromkeys(["uint", "unsigned int", "uint32", "uint32_t"], "u4"),
    **dict.fromkeys(["longlong", "long long", "int64", "int64_t"], "i8"),
    **dict.fromkeys(["ulonglong", "unsigned long long", "uint64", "uint64_t"], "u8"),
    "float": "f4",
    "double": "f8",
}
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}


def parse_nrrd(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode a NRRD with attached raw or gzip data.

    Returns the array with axes reversed to (..., K, J, I) and the (4, 4) ijk -> RAS matrix in mm.
    Raises ValueError where the bytes are no such file or its axes are not all spatial.
    """
    head, separator, content = data.partition(b"\n\n")
    if not separator or (b"\r\n\r\n" in data and data.index(b"\r\n\r\n") < len(head)):
        head, separator, content = data.partition(b"\r\n\r\n")
    if not data.startswith(b"NRRD") or not separator:
        raise ValueError("it is not a NRRD file")
    fields = _fields(head.decode("latin-1"))
    if "data file" in fields or "datafile" in fields:
        raise ValueError("its voxels lie in another file")
    try:
        array = _voxels(fields, content)
        return array, _ijk_to_ras(fields, array.ndim)
    except (KeyError, zlib.error) as error:
        raise ValueError("it is damaged or lacks a field") from error


def _fields(head: str) -> dict[str, str]:
    lines = (line for line in head.splitlines()[1:] if not line.startswith("#") and ":=" not in line)
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def _voxels(fields: dict[str, str], content: bytes) -> np.ndarray:
    shape = tuple(int(size) for size in fields["sizes"].split())[::-1]
    if not 2 <= len(shape) <= 3 or min(shape) < 1 or len(shape) != int(fields["dimension"]):
        raise ValueError("it has not two or three axes")
    if any(
        kind not in ("domain", "space", "none", "???") for kind in fields.get("kinds", "").lower().split()
    ):
        raise ValueError("it has an axis that is not spatial")
    if fields["type"].lower() not in _DTYPES:
        raise ValueError("its voxels are not real numbers")
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    dtype = np.dtype(order + _DTYPES[fields["type"].lower()])
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_VOXEL_BYTES:
        raise ValueError("it is larger than 4 GiB")
    encoding = fields["encoding"].lower()
    if encoding in ("gzip", "gz"):
        content = zlib.decompressobj(wbits=31).decompress(content, size)
    elif encoding != "raw":
        raise ValueError(f"its encoding '{encoding}' is not read here; save it as raw or gzip")
    if len(content) < size:
        raise ValueError("it is cut short")
    return np.frombuffer(content[:size], dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _ijk_to_ras(fields: dict[str, str], dimension: int) -> np.ndarray:
    matrix = np.eye(4)
    vectors = [_numbers(text) for text in re.findall(r"\(([^)]*)\)", fields.get("space directions", ""))]
    if len(vectors) == dimension and all(len(vector) == 3 for vector in vectors):
        for axis, vector in enumerate(vectors):
            matrix[:3, axis] = vector
        if dimension == 2:
            matrix[:3, 2] = np.cross(matrix[:3, 0], matrix[:3, 1])
            matrix[:3, 2] /= np.linalg.norm(matrix[:3, 2]) or 1.0
        origin = _numbers(fields.get("space origin", "").strip("()"))
        if len(origin) == 3:
            matrix[:3, 3] = origin
        signs = _TO_RAS.get(fields.get("space", "ras").lower())
        if signs is None:
            raise ValueError("its space is not a patient's")
        matrix[:3] *= np.array(signs)[:, None]
    elif "spacings" in fields:
        for axis, spacing in enumerate(_numbers(fields["spacings"].replace(" ", ","))[:3]):
            matrix[axis, axis] = spacing
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError("its orientation makes no sense")
    return matrix


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",") if number.strip()]
