"""NIfTI-1 and NRRD from bytes, so that volumes inside a zip need no file on disk."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from typing import Any

import numpy as np

MAX_VOXEL_BYTES = 4 << 30
_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
_TO_RAS = {"right": 1, "r": 1, "left": -1, "l": -1, "anterior": 1, "a": 1, "posterior": -1, "p": -1}


def parse_nifti(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode `.nii` or `.nii.gz`.

    Returns the array with axes reversed to (..., K, J, I), scaled as the header says, and the (4, 4)
    ijk -> RAS matrix in mm. Raises ValueError where the bytes are no single-file NIfTI-1 of real numbers.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    stream: Any = io.BytesIO(data)
    if data[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    try:
        header = Nifti1Header.from_fileobj(stream, check=False)
        if header["sizeof_hdr"] != header.sizeof_hdr or header["magic"] != b"n+1":
            raise ValueError("it is not a NIfTI-1 file")
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        if not shape or min(shape) < 1:
            raise ValueError("its dimensions make no sense")
        _check_voxels(shape, dtype)
        array = np.asarray(header.raw_data_from_fileobj(stream)).T
        slope, intercept = header.get_slope_inter()
        matrix = _nifti_matrix(header)
    except WrapStructError as error:
        raise ValueError("it is not a NIfTI-1 file") from error
    except HeaderDataError as error:
        raise ValueError("its voxels are not real numbers or its header is damaged") from error
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError("it is damaged or cut short") from error
    array = array.astype(dtype.newbyteorder("="))
    if slope is not None and (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return array, _checked_matrix(matrix)


def _nifti_matrix(header: Any) -> np.ndarray:
    """The header's sform, else its qform, else the bare voxel size (NIfTI-1 methods 3, 2 and 1), in mm."""
    if header["sform_code"] > 0:
        matrix = header.get_sform()
    elif header["qform_code"] > 0:
        matrix = header.get_qform()
    else:
        zooms = header["pixdim"][1:4].astype(np.float64)
        matrix = np.diag([*np.where(np.isfinite(zooms) & (zooms > 0), zooms, 1.0), 1.0])
    matrix[:3] *= _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    return np.asarray(matrix)


def parse_nrrd(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode a NRRD with attached raw or gzip data.

    Returns the array with axes reversed to (..., K, J, I) and the (4, 4) ijk -> RAS matrix in mm.
    Raises ValueError where the bytes are no such file or its axes are not all spatial.
    """
    from nrrd.errors import NRRDError
    from nrrd.reader import read_data, read_header

    if not data.startswith(b"NRRD"):
        raise ValueError("it is not a NRRD file")
    stream = io.BytesIO(data)
    try:
        header = read_header(stream)
        if "data file" in header or "datafile" in header:
            raise ValueError("its voxels lie in another file")
        kinds = (kind.lower() for kind in header.get("kinds", ()))
        if len(header["sizes"]) not in (2, 3) or len(header["sizes"]) != header["dimension"]:
            raise ValueError("it has not two or three axes")
        if any(kind not in ("domain", "space", "none", "???") for kind in kinds):
            raise ValueError("it has an axis that is not spatial")
        _check_voxels(header["sizes"], np.dtype("V1" if header["type"] == "block" else "u1"))
        if header["encoding"] in ("gzip", "gz"):  # decoded here, so that a small file cannot fill the memory
            stream = io.BytesIO(zlib.decompressobj(wbits=31).decompress(stream.read(), MAX_VOXEL_BYTES))
        elif header["encoding"] != "raw":
            raise ValueError(f"its encoding '{header['encoding']}' is not read here; save it as raw or gzip")
        array = read_data({**header, "encoding": "raw"}, stream, index_order="C")
        matrix = _nrrd_matrix(header)
    except (NRRDError, KeyError, zlib.error) as error:
        raise ValueError("it is cut short, damaged or lacks a field") from error
    return array.astype(array.dtype.newbyteorder("=")), _checked_matrix(matrix)


def _nrrd_matrix(header: Any) -> np.ndarray:
    matrix = np.eye(4)
    directions = np.asarray(header.get("space directions", ()), dtype=np.float64)
    if directions.shape == (header["dimension"], 3) and np.isfinite(directions).all():
        matrix[:3, : len(directions)] = directions.T
        if len(directions) == 2:
            matrix[:3, 2] = np.cross(*directions)
            matrix[:3, 2] /= np.linalg.norm(matrix[:3, 2]) or 1.0
        matrix[:3, 3] = header.get("space origin", np.zeros(3))
        space = header.get("space", "ras").lower()
        axes = space.split("-") if "-" in space else list(space)
        if len(axes) != 3 or axes[2] not in ("superior", "s") or not {*axes[:2]} <= {*_TO_RAS}:
            raise ValueError("its space is not a patient's")
        matrix[:2] *= np.array([_TO_RAS[axis] for axis in axes[:2]])[:, None]
    elif "spacings" in header:
        matrix[:3, :3] = np.diag([*header["spacings"], 1.0][:3])
    return matrix


def _check_voxels(shape: Any, dtype: np.dtype) -> None:
    """Raises ValueError where voxels of at least this type are no real numbers, or too many to hold."""
    if dtype.kind not in "iuf":
        raise ValueError("its voxels are not real numbers")
    if not 0 < math.prod(int(side) for side in shape) * dtype.itemsize <= MAX_VOXEL_BYTES:
        raise ValueError("it is empty or larger than 4 GiB")


def _checked_matrix(matrix: np.ndarray) -> np.ndarray:
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError("its orientation makes no sense")
    return matrix
