"""NIfTI files: voxels as nibabel reads them, placed by the form that is in use."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted, choose_time
from SPASegmentLib.imaging.headers import damaged, no_position
from SPASegmentLib.imaging.types import NiftiForms

_TIME_UNITS = {8: "s", 16: "ms", 24: "us"}


@dataclass(frozen=True, eq=False)
class Nifti:
    """An opened file. shape: as stated, (i, j, k, time, component, ...). matrix: (4, 4) voxel -> RAS mm.

    colours: components of a colour type, 1 for numbers. pixel: its type in words.
    """

    path: Path
    header: Any
    shape: tuple[int, ...]
    matrix: np.ndarray
    forms: NiftiForms
    warnings: tuple[str, ...]
    colours: int
    pixel: str

    def voxels(self, wanted: Wanted) -> np.ndarray:
        """(K, J, I[, C]) of the wanted time point. Raises InputError where a choice is needed."""
        shape = [*self.shape, 1, 1, 1][: max(5, len(self.shape))]
        pick: list[Any] = [slice(None)] * 3
        if shape[3] > 1 or (wanted.time is not None and shape[4] == 1):
            pick.append(choose_time(self.path, self._time_labels(shape[3]), wanted))
        elif shape[4] > 1 and not are_colours(shape[4], self.pixel):
            labels = [f"component {number}" for number in range(1, shape[4] + 1)]
            pick += [0, choose_time(self.path, labels, wanted)]
        try:
            array = _read(self.path, self.header, shape, tuple(pick))
        except (ValueError, OSError, EOFError, HeaderDataError) as error:
            raise damaged(self.path, "NIfTI") from error
        if array.dtype.names:
            array = np.stack([array[name] for name in array.dtype.names], axis=-1)
            return np.ascontiguousarray(array[..., :4].reshape(*shape[:3], -1).transpose(2, 1, 0, 3))
        array = array.reshape(*shape[:3], -1, order="F").transpose(2, 1, 0, 3)
        return np.ascontiguousarray(array if array.shape[3] > 1 else array[..., 0])

    def _time_labels(self, count: int) -> list[str]:
        step = float(self.header["pixdim"][4])
        unit = _TIME_UNITS.get(int(self.header["xyzt_units"]) & 56)
        if unit is None or not np.isfinite(step) or step <= 0:
            return [f"time point {number}" for number in range(1, count + 1)]
        return [f"{number * step:g} {unit}" for number in range(count)]


def open_nifti(path: Path) -> Nifti:
    """Read a checked file's header. Raises InputError where it states no usable position."""
    with _opened(path) as file:
        start = file.read(540)
        is_second = 540 in (int.from_bytes(start[:4], order) for order in ("little", "big"))
        kind = Nifti2Header if is_second else Nifti1Header
        header = kind.from_fileobj(io.BytesIO(start), check=False)
    dims = [int(size) for size in header["dim"]]
    shape = tuple(max(1, size) if axis > 2 else size for axis, size in enumerate(dims[1 : dims[0] + 1]))
    forms = _forms(header)
    matrix, warnings = _placed(path, forms, shape)
    dtype = header.get_data_dtype()
    colours = len(dtype.names) if dtype.names else 1
    kinds = {"u": "unsigned integer", "i": "signed integer", "f": "float", "c": "complex"}
    pixel = "8-bit unsigned integer" if dtype.names else f"{dtype.itemsize * 8}-bit {kinds[dtype.kind]}"
    return Nifti(path, header, shape, matrix, forms, warnings, colours, pixel)


def are_colours(components: int, pixel: str) -> bool:
    """Whether several components of this type, in words, are a colour."""
    return components in (3, 4) and "unsigned" in pixel


def _opened(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")


def _read(path: Path, header: Any, shape: Sequence[int], pick: tuple[Any, ...]) -> np.ndarray:
    slope, intercept = header.get_slope_inter()
    offset = max(int(header["vox_offset"]), 544 if isinstance(header, Nifti2Header) else 352)
    dtype = header.get_data_dtype()
    with _opened(path) as file:
        spec = (tuple(shape), dtype, offset, 1.0 if slope is None else slope, intercept or 0.0)
        array = np.asarray(ArrayProxy(file, spec, mmap=False)[pick])
    if dtype.kind == "f" and dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.names else array.astype(array.dtype.newbyteorder("="))


def _forms(header: Any) -> NiftiForms:
    rows = np.stack([header[f"srow_{axis}"] for axis in "xyz"]).astype(np.float64)
    quaternion = [float(header[f"q{name}"]) for name in ("uatern_b", "uatern_c", "uatern_d")]
    quaternion += [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return NiftiForms(
        qform_code=int(header["qform_code"]),
        sform_code=int(header["sform_code"]),
        pixdim=tuple(float(size) for size in header["pixdim"][:4]),
        quaternion=tuple(quaternion),
        sform=tuple(map(tuple, rows.tolist())),
        units=int(header["xyzt_units"]) & 7,
    )


def _placed(path: Path, forms: NiftiForms, shape: Sequence[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The matrix in use, and what is said of it.

    As ITK and Slicer choose: an sform of scanner coordinates with right angles, else the qform, else the
    sform, else the voxel sizes alone.
    """
    warnings = []
    size = forms.pixdim[1 : 1 + min(3, len(shape))]
    if not all(np.isfinite(one) and one > 0 for one in size):
        text = " x ".join(f"{one:g}" for one in size)
        raise InputError(f"{path} states a voxel size of {text} mm; correct the spacing in its header.")
    matrix = forms.in_use
    if matrix is None:
        warnings.append("The file states no position in the patient: its axes are taken as L, P, S.")
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.diag([*forms.sizes_mm, 1.0]), tuple(warnings)
    if not np.isfinite(matrix).all():
        raise no_position(path)
    other = forms.qform if forms.uses_sform else forms.sform_matrix
    if forms.qform_code > 0 and forms.sform_code > 0 and not np.allclose(matrix, other, rtol=1e-4, atol=1e-3):
        used = "sform" if forms.uses_sform else "qform"
        warnings.append(f"The file states two positions (qform and sform): its {used} is used.")
    lengths, stated = np.linalg.norm(matrix[:3, :3], axis=0), np.array(forms.sizes_mm)
    if (lengths == 0).any():
        raise InputError(f"{path} states voxels of no size; correct the spacing in its header.")
    if len(shape) > 2 and (np.abs(lengths / stated - 1) > 1e-3).any():
        words = [" x ".join(f"{one:.5g}" for one in sizes) for sizes in (stated, lengths)]
        warnings.append(
            f"The file states voxels of {words[0]} mm, but its matrix makes them {words[1]} mm: "
            "the matrix is used."
        )
    return matrix, tuple(warnings)
